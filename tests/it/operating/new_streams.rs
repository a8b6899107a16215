//! Streams that an operator makes for a Receiver.

use hyper::Method;
use serde_json::{Value, json};
use ssfd::domain::stream::{METHOD_POLL, METHOD_PUSH};

use super::api::assert_refused;
use crate::harness::{
    daemon::{Daemon, ISSUER, PROVIDER, provider, with_provider},
    events::{SESSION_REVOKED, about},
    eventually,
    http_client::Answer,
    receiver::Receiver,
    streams::{by_poll, push_to},
};

const ID: &str = "6a5d436f-6258-4614-b769-01859d37cc0a";

/// An operator of a daemon.
struct Operator {
    daemon: Daemon,
    token: String,
}

impl Operator {
    async fn of(daemon: Daemon) -> Self {
        let token = daemon.operator_token().await;
        Self { daemon, token }
    }

    async fn make(&self, members: &Value) -> Answer {
        self.daemon.admin(&self.token, Method::POST, "/streams").json(members).send().await
    }

    async fn streams(&self) -> Vec<Value> {
        let page = self.daemon.admin(&self.token, Method::GET, "/streams").send().await.expect(200);
        page.json()["streams"].as_array().expect("streams").clone()
    }
}

/// The least that a stream needs, and these members.
fn stream_with(more: Value) -> Value {
    let mut members = json!({"receiver": "rx", "aud": "https://rx.example/other"});
    let Value::Object(more) = more else { panic!("members are those of an object") };
    members.as_object_mut().expect("an object").extend(more);
    members
}

#[actix_web::test]
async fn a_stream_has_the_members_that_the_operator_chose() {
    let operator = Operator::of(Daemon::start().await).await;
    let mut delivery = push_to("https://rx.example/in");
    delivery["authorization_header"] = "Bearer s3cret".into();
    let given = json!({
        "stream_id": ID, "receiver": "acme-rx", "aud": ["https://rx.example", "app"],
        "delivery": delivery, "events_requested": [SESSION_REVOKED, "urn:unknown:x"],
        "description": "made by hand", "status": "paused", "reason": "until Monday",
        "subject_format": "email",
    });
    let made = operator.make(&given).await.expect(201);
    assert!(!made.text().contains("s3cret"), "{}", made.text());
    let mut made = made.json();
    assert!(made["created_at"].take().as_i64().expect("a time") > 1_700_000_000);
    let expected = json!({
        "stream_id": ID, "provider": PROVIDER, "iss": ISSUER, "receiver": "acme-rx",
        "aud": ["https://rx.example", "app"], "status": "paused", "reason": "until Monday",
        "delivery": {
            "method": METHOD_PUSH, "endpoint_url": "https://rx.example/in",
            "has_authorization_header": true,
        },
        "events_requested": [SESSION_REVOKED, "urn:unknown:x"],
        "events_delivered": [SESSION_REVOKED],
        "default_subjects": "ALL", "subject_format": "email", "description": "made by hand",
        "version": 1, "created_at": null,
    });
    assert_eq!(made, expected);

    // All that may be left out.
    let made = operator.make(&stream_with(json!({}))).await.expect(201).json();
    assert_eq!((&made["status"], &made["version"]), (&json!("enabled"), &json!(1)));
    assert_eq!(made["delivery"]["method"], METHOD_POLL);
    assert!(made["stream_id"].as_str().expect("an id").starts_with("st_"));
}

#[actix_web::test]
async fn the_owner_sees_the_stream_and_nobody_else_does() {
    let operator = Operator::of(Daemon::start().await).await;
    let given = stream_with(json!({"stream_id": ID, "events_requested": [SESSION_REVOKED]}));
    operator.make(&given).await.expect(201);
    let (rx, other) = (operator.daemon.client("rx").await, operator.daemon.client("other").await);
    let seen = rx.read(ID).await;
    assert_eq!(seen["aud"], "https://rx.example/other", "and not that of the Receiver's token");
    assert_eq!(rx.list().await, json!([seen]));
    rx.change("PATCH", ID, &json!({"description": "ours"})).await;
    assert_eq!(other.list().await, json!([]));
    let read = other.get(&format!("/ssf/streams?stream_id={ID}")).await;
    assert_refused(&read, 404, "no such stream");
}

#[actix_web::test]
async fn the_status_decides_from_the_first_event_on() {
    let mut receiver = Receiver::accepting().await;
    let operator = Operator::of(Daemon::start().await).await;
    let daemon = &operator.daemon;
    for (n, status) in ["enabled", "paused", "disabled"].into_iter().enumerate() {
        for (name, delivery) in [("push", push_to(&receiver.url("/in"))), ("poll", by_poll())] {
            let (id, owner) = (format!("{name}-{n}"), format!("rx-{name}-{n}"));
            let given = json!({
                "stream_id": id, "receiver": owner, "aud": "https://rx.example", "status": status,
                "delivery": delivery, "events_requested": [SESSION_REVOKED],
            });
            operator.make(&given).await.expect(201);
            let mut event = about("s-1");
            event["stream_ids"] = json!([id]);
            let publisher = daemon.publisher_token().await;
            daemon.publish(&publisher, &event).await.expect(202);
            let client = daemon.client(&owner).await;
            let (at_once, waiting) = match status {
                "enabled" => (1, 0),
                "paused" => (0, 1),
                _ => (0, 0),
            };
            if name == "poll" {
                assert_eq!(client.sets(&id).await.len(), at_once, "{id}");
            } else if at_once == 1 {
                let set = receiver.next().await;
                daemon.verifier(PROVIDER).await.verify(set.jws()).expect("a good signature");
            }
            let path = format!("/streams/{id}");
            eventually("the outbox is as the status says", async || {
                let shown = daemon.admin(&operator.token, Method::GET, &path).send().await;
                shown.expect(200).json()["waiting"]["sets"] == waiting
            })
            .await;
        }
    }
    assert!(receiver.rest().is_empty(), "neither a verification nor a SET of a stopped stream");
}

#[actix_web::test]
async fn a_dry_run_shows_the_stream_and_makes_none() {
    let operator = Operator::of(Daemon::start().await).await;
    let given = stream_with(json!({"stream_id": ID, "dry_run": true}));
    let shown = operator.make(&given).await.expect(200).json();
    assert_eq!((&shown["stream_id"], &shown["iss"]), (&json!(ID), &json!(ISSUER)));
    assert_eq!(operator.streams().await, [] as [Value; 0]);
    let given = stream_with(json!({"stream_id": ID, "dry_run": false}));
    operator.make(&given).await.expect(201);
    let given = stream_with(json!({"stream_id": ID, "dry_run": true}));
    assert_refused(&operator.make(&given).await, 409, ID);
}

#[actix_web::test]
async fn an_id_is_used_once_whoever_has_it() {
    let operator = Operator::of(Daemon::start().await).await;
    let given = stream_with(json!({"stream_id": ID}));
    operator.make(&given).await.expect(201);
    for owner in ["rx", "other"] {
        let mut again = given.clone();
        again["receiver"] = owner.into();
        let detail = format!("there is a stream `{ID}` already");
        assert_refused(&operator.make(&again).await, 409, &detail);
    }
    assert_eq!(operator.streams().await.len(), 1);
    operator.daemon.client("rx").await.delete(&format!("/ssf/streams?stream_id={ID}")).await;
    operator.make(&given).await.expect(201);
}

#[actix_web::test]
async fn the_limit_of_streams_is_for_receivers() {
    let limited = with_provider(|provider| provider.streams_per_receiver_max = 1);
    let operator = Operator::of(Daemon::with(limited).await).await;
    for _ in 0..3 {
        operator.make(&stream_with(json!({}))).await.expect(201);
    }
    let rx = operator.daemon.client("rx").await;
    assert_eq!(rx.list().await.as_array().expect("streams").len(), 3);
    assert_refused(&rx.send("POST", "/ssf/streams", &json!({})).await, 409, "1 streams");
}

#[actix_web::test]
async fn the_provider_is_named_or_known_by_its_issuer() {
    let issuer = "https://tx.example/t/globex";
    let both = Daemon::with(|config| {
        config.providers.insert("globex".parse().expect("a name"), provider(issuer));
    });
    let operator = Operator::of(both.await).await;
    for members in [
        json!({"provider": "globex"}),
        json!({"iss": issuer}),
        json!({"provider": "globex", "iss": issuer}),
    ] {
        let made = operator.make(&stream_with(members)).await.expect(201).json();
        assert_eq!((&made["provider"], &made["iss"]), (&json!("globex"), &json!(issuer)));
    }
    for (members, detail) in [
        (json!({}), "`provider` is required, and must be one of `acme`, `globex`"),
        (
            json!({"provider": "initech"}),
            "`provider` must be one of `acme`, `globex`, not `initech`",
        ),
        (
            json!({"iss": "https://idp.example/x"}),
            "`iss` `https://idp.example/x` is the issuer of no",
        ),
        (json!({"iss": "https://tx.example/t/globex/"}), "set `providers.<name>.issuer` to it"),
        (json!({"provider": "acme", "iss": issuer}), "`iss` must be `https://tx.example/t/acme`"),
    ] {
        assert_refused(&operator.make(&stream_with(members)).await, 400, detail);
    }
    assert_eq!(operator.streams().await.len(), 3);
}

#[actix_web::test]
async fn a_member_that_breaks_a_rule_is_named_and_nothing_is_made() {
    let operator =
        Operator::of(Daemon::with(with_provider(|p| p.insecure_endpoints = false)).await);
    let operator = operator.await;
    let push = |url: &str| json!({"delivery": push_to(url)});
    for (members, detail) in [
        (json!({"receiver": null}), "`receiver` is required"),
        (json!({"receiver": "a b"}), "`receiver` a Receiver id must be"),
        (json!({"aud": null}), "`aud` is required"),
        (json!({"aud": []}), "`aud` an audience must be"),
        (json!({"stream_id": "a b"}), "`stream_id` a stream id must be"),
        (json!({"stream_id": "x".repeat(65)}), "`stream_id` a stream id must be 1 to 64"),
        (json!({"delivery": "push"}), "`delivery` must be an object"),
        (json!({"delivery": {"method": "push"}}), "`delivery.method` must be"),
        (json!({"delivery": {"method": METHOD_PUSH}}), "`delivery.endpoint_url` is required"),
        (push("http://rx.example/in"), "`delivery.endpoint_url` must be an https URL"),
        (push("https://10.0.0.7/in"), "`delivery.endpoint_url` must not be used"),
        (json!({"events_requested": "x"}), "`events_requested` must be a list of texts"),
        (json!({"events_requested": vec!["urn:x:y"; 257]}), "at most 256 values"),
        (json!({"subject_format": "phone"}), "`subject_format` must be one of"),
        (json!({"status": "Paused"}), "`status` must be `enabled`"),
        (json!({"status": "disabled_deleted"}), "`status` must be `enabled`"),
        (json!({"reason": 7}), "`reason` must be a string"),
        (json!({"dry_run": "yes"}), "`dry_run` must be true or false"),
        (json!({"audience": "x"}), "`audience` is no member of this body"),
    ] {
        assert_refused(&operator.make(&stream_with(members)).await, 400, detail);
    }
    assert_eq!(operator.streams().await, [] as [Value; 0]);
}
