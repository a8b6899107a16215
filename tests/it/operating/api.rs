//! The admin API: who may use it, and what it shows.

use std::time::Duration;

use hyper::{
    Method,
    header::{ALLOW, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use ssfd::domain::grant::Scope;

use crate::harness::{
    daemon::{Daemon, ISSUER, PROVIDER, provider},
    events::{SESSION_REVOKED, VERIFICATION},
    eventually,
    http_client::{Answer, Call, post},
    receiver::Receiver,
    setup::Setup,
    streams::{by_poll, push_to},
};

/// Checks a refusal, which has the form of RFC 9457.
#[track_caller]
pub(super) fn assert_refused(answer: &Answer, status: u16, detail: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    let said = problem["detail"].as_str().unwrap_or_default();
    assert!(said.contains(detail), "no `{detail}` in `{said}`");
}

fn operations(id: &str) -> Vec<(Method, String, Value)> {
    let status = json!({"status": "paused"});
    vec![
        (Method::GET, "/streams".to_owned(), Value::Null),
        (
            Method::POST,
            "/streams".to_owned(),
            json!({"receiver": "rx", "aud": "https://rx.example"}),
        ),
        (Method::GET, format!("/streams/{id}"), Value::Null),
        (Method::PATCH, format!("/streams/{id}"), json!({"subject_format": "email"})),
        (Method::POST, format!("/streams/{id}/status"), status),
        (Method::POST, format!("/streams/{id}/verify"), Value::Null),
        (Method::DELETE, format!("/streams/{id}"), Value::Null),
    ]
}

#[actix_web::test]
async fn only_an_operator_may_use_it() {
    let setup = Setup::polling().await;
    let daemon = &setup.daemon;
    for (method, path, body) in operations(&setup.stream) {
        let url = daemon.internal_url(&format!("/admin/v1{path}"));
        let nobody = Call::new(method.clone(), &url).json(&body).send().await;
        assert_refused(&nobody, 401, "a bearer token is required");
        assert_eq!(nobody.header(WWW_AUTHENTICATE), r#"Bearer realm="ssf""#);
        for token in [&setup.token, &setup.publisher, "ssfd_unknown"] {
            let answer = daemon.admin(token, method.clone(), &path).json(&body).send().await;
            assert_refused(&answer, 401, "of another kind");
        }
    }
    assert_eq!(setup.shown().await["status"], "enabled");
    // An operator is no Receiver and no publisher.
    let operator = daemon.operator_token().await;
    assert_refused(&daemon.publish(&operator, &json!([])).await, 401, "of another kind");
    let streams = daemon.provider_url(PROVIDER, "/ssf/streams");
    assert_refused(&post(&streams).bearer(&operator).send().await, 401, "of another kind");
    // The listener for Receivers does not have the admin API.
    let public = daemon.public_url("/admin/v1/streams");
    assert_refused(&Call::new(Method::GET, &public).bearer(&operator).send().await, 404, "");
}

#[actix_web::test]
async fn a_stream_is_shown_without_its_secret() {
    let receiver = Receiver::accepting().await;
    let mut delivery = push_to(&receiver.url("/in"));
    delivery["authorization_header"] = "Bearer s3cret".into();
    let setup = Setup::new(delivery, |_| {}).await;
    setup.update(json!({"description": "prod"})).await;
    setup.change_status("paused").await;
    setup.publish(&["s-1"]).await;

    let answer = setup.operate(Method::GET, "", &Value::Null).await.expect(200);
    assert!(!answer.text().contains("s3cret"), "{}", answer.text());
    let mut stream = answer.json();
    assert!(stream["created_at"].take().as_i64().expect("a time") > 1_700_000_000);
    // The courier may still be at work for a while after the pause.
    stream.as_object_mut().expect("an object").remove("courier");
    assert!(stream["waiting"]["oldest_at"].take().as_i64().expect("a time") > 1_700_000_000);
    let expected = json!({
        "stream_id": setup.stream, "provider": PROVIDER, "iss": ISSUER, "receiver": "rx",
        "aud": "https://rx.example", "status": "paused", "version": 3, "description": "prod",
        "delivery": {
            "method": "urn:ietf:rfc:8935", "endpoint_url": receiver.url("/in"),
            "has_authorization_header": true,
        },
        "events_requested": [SESSION_REVOKED], "events_delivered": [SESSION_REVOKED],
        "default_subjects": "ALL", "subject_format": "as_published",
        "created_at": null, "waiting": {"sets": 1, "oldest_at": null},
        "explanation": "The stream is paused and holds its SETs until it is enabled.",
    });
    assert_eq!(stream, expected);
}

#[actix_web::test]
async fn a_stream_whose_endpoint_is_down_says_so() {
    let setup = Setup::new(push_to("http://127.0.0.1:1/in"), |config| {
        config.delivery.breaker.failures = 1;
        config.delivery.breaker.open_for = Duration::from_hours(1);
        config.delivery.breaker.open_for_max = Duration::from_hours(1);
    })
    .await;
    assert_eq!(setup.shown().await["explanation"], "No SET waits.");
    setup.publish(&["s-1", "s-2"]).await;
    eventually("the endpoint is cut off", async || {
        setup.shown().await["courier"]["breaker"]["state"] == "open"
    })
    .await;
    let stream = setup.shown().await;
    let explanation = stream["explanation"].as_str().expect("a sentence");
    assert!(explanation.starts_with("The endpoint is cut off for another "), "{explanation}");
    assert!(explanation.contains("the last attempt failed: connect"), "{explanation}");
    assert_eq!(stream["courier"]["last_outcome"]["outcome"], "connect");
    assert_eq!(stream["waiting"]["sets"], 2);
}

#[actix_web::test]
async fn a_poll_stream_says_what_its_receiver_has_not_acknowledged() {
    let setup = Setup::polling().await;
    setup.publish(&["s-1"]).await;
    let explanation = setup.shown().await["explanation"].clone();
    assert_eq!(explanation, "The Receiver has not polled this node since the node started.");
    let polled = setup.poll(json!({})).await.expect(200).json();
    let stream = setup.shown().await;
    let explanation = stream["explanation"].as_str().expect("a sentence");
    assert!(explanation.starts_with("The Receiver was handed 1 SET "), "{explanation}");
    assert_eq!(stream["polling"]["handed_out"], 1);
    let jtis: Vec<_> = polled["sets"].as_object().expect("SETs").keys().collect();
    setup.poll(json!({"ack": jtis, "returnImmediately": true})).await.expect(200);
    assert_eq!(setup.shown().await["explanation"], "No SET waits.");
}

/// Starts a daemon with the provider `globex` beside [`PROVIDER`], and with four streams: `a`, `b` of
/// another Receiver, `c`, which is paused, and `d` of `globex`.
async fn four_streams() -> (Daemon, [String; 4]) {
    let daemon = Daemon::with(|config| {
        let name = "globex".parse().expect("a name");
        config.providers.insert(name, provider("https://tx.example/t/globex"));
    })
    .await;
    let scopes = [Scope::Manage];
    let rx = daemon.receiver_token("rx", &scopes).await;
    let other = daemon.receiver_token("other", &scopes).await;
    let elsewhere = daemon.receiver_token_at("globex", "rx", &scopes).await;
    let a = daemon.create_stream(&rx, by_poll()).await;
    let b = daemon.create_stream(&other, by_poll()).await;
    let c = daemon.create_stream(&rx, by_poll()).await;
    daemon.change_status(&rx, &c, "paused").await.expect(200);
    let d = daemon.create_stream_at("globex", &elsewhere, by_poll()).await;
    (daemon, [a, b, c, d])
}

#[actix_web::test]
async fn streams_are_listed_by_id_filtered_and_in_pages() {
    let (daemon, [a, b, c, d]) = four_streams().await;
    let token = daemon.operator_token().await;
    let page = async |query: &str| {
        let path = format!("/streams{query}");
        let page = daemon.admin(&token, Method::GET, &path).send().await.expect(200).json();
        let streams = page["streams"].as_array().expect("streams");
        let id = |stream: &Value| stream["stream_id"].as_str().expect("an id").to_owned();
        let next = page["next"].as_str().map(str::to_owned);
        (streams.iter().map(id).collect::<Vec<_>>(), next)
    };
    let by_id = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        ids.sort();
        ids
    };
    let all = by_id(&[&a, &b, &c, &d]);
    assert_eq!(page("").await, (all.clone(), None));
    assert_eq!(page("?provider=acme").await.0, by_id(&[&a, &b, &c]));
    assert_eq!(page("?receiver=rx").await.0, by_id(&[&a, &c, &d]));
    assert_eq!(page("?status=paused").await.0, by_id(&[&c]));
    assert_eq!(page("?receiver=rx&status=enabled&provider=globex").await.0, by_id(&[&d]));
    assert_eq!(page("?provider=nobody").await, (vec![], None));

    let (mut listed, mut next) = page("?limit=3").await;
    assert_eq!((listed.len(), next.as_ref()), (3, Some(&all[2])));
    while let Some(after) = next {
        let (more, then) = page(&format!("?limit=3&after={after}")).await;
        listed.extend(more);
        next = then;
    }
    assert_eq!(listed, all);
}

#[actix_web::test]
async fn a_request_that_breaks_a_rule_names_it() {
    let setup = Setup::polling().await;
    let token = setup.daemon.operator_token().await;
    for (query, detail) in [
        ("limit=0", "`limit` must be a number from 1 to 1000"),
        ("limit=1001", "`limit` must be"),
        ("limit=x", "`limit` must be"),
        ("status=Paused", "`status` must be `enabled`, `paused` or `disabled`"),
        ("receiver=a%20b", "`receiver` a Receiver id must be"),
        ("status=paused&status=enabled", "`status` must be given once"),
        ("statu=paused", "`statu` is none of provider, receiver, status"),
    ] {
        let path = format!("/streams?{query}");
        let answer = setup.daemon.admin(&token, Method::GET, &path).send().await;
        assert_refused(&answer, 400, detail);
    }
    for (body, detail) in [
        (json!({}), "`status` is required"),
        (json!({"status": "gone"}), "`status` must be"),
        (json!({"status": "paused", "reason": 7}), "`reason` must be a string"),
        (json!([]), "`body` must be a JSON object"),
    ] {
        assert_refused(&setup.operate(Method::POST, "/status", &body).await, 400, detail);
    }
    let long = json!({"status": "paused", "reason": "x".repeat(70_000)});
    let answer = setup.operate(Method::POST, "/status", &long).await;
    assert_refused(&answer, 413, "65536 bytes");
    assert_eq!(setup.shown().await["version"], 1);
}

#[actix_web::test]
async fn an_unknown_stream_is_404_and_an_unknown_method_is_405() {
    let setup = Setup::polling().await;
    let token = setup.daemon.operator_token().await;
    for id in ["st_unknown", "a%20b"] {
        for (method, path, body) in operations(id).into_iter().skip(2) {
            let answer = setup.daemon.admin(&token, method, &path).json(&body).send().await;
            assert_refused(&answer, 404, "no such stream");
        }
    }
    let call = async |method, path: &str| setup.daemon.admin(&token, method, path).send().await;
    assert_refused(&call(Method::GET, "").await, 404, "");
    assert_refused(&call(Method::GET, "/stream").await, 404, "");
    for (path, allowed) in [
        ("/streams", "GET, POST"),
        ("/streams/st_1", "GET, PATCH, DELETE"),
        ("/streams/st_1/status", "POST"),
        ("/streams/st_1/verify", "POST"),
    ] {
        let answer = call(Method::PUT, path).await;
        assert_refused(&answer, 405, "");
        assert_eq!(answer.header(ALLOW), allowed);
    }
}

#[actix_web::test]
async fn an_operator_changes_the_subject_format_alone() {
    let setup = Setup::polling().await;
    let change = async |body: Value| setup.operate(Method::PATCH, "", &body).await;
    for (body, detail) in [
        (json!({}), "`subject_format` is required"),
        (json!({"subject_format": null}), "`subject_format` is required"),
        (json!({"subject_format": "phone"}), "must be one of `as_published`"),
        (json!({"subject_format": "email", "status": "paused"}), "`status` is not for an operator"),
    ] {
        assert_refused(&change(body).await, 400, detail);
    }
    assert_eq!(setup.shown().await["version"], 1);
    for version in [2, 2] {
        let stream = change(json!({"subject_format": "email"})).await.expect(200).json();
        assert_eq!(stream["subject_format"], "email");
        assert_eq!(stream["version"], version, "what changes nothing is no change");
    }
}

#[actix_web::test]
async fn a_stream_is_deleted_and_verified() {
    let setup = Setup::polling().await;
    setup.operate(Method::POST, "/verify", &Value::Null).await.expect(204);
    let set = &setup.waiting().await[0];
    let claims: Value = serde_json::from_str(&set.claims).expect("claims");
    assert_eq!(claims["events"], json!({VERIFICATION: {}}));

    setup.operate(Method::DELETE, "", &Value::Null).await.expect(204);
    assert_refused(&setup.operate(Method::GET, "", &Value::Null).await, 404, "no such stream");
    assert_refused(&setup.poll(json!({})).await, 404, "no such stream");
    assert_eq!(setup.daemon.backlog().await, 0);
}
