//! Creating and reading streams (SSF §8.1.1.1, §8.1.1.2).

use std::collections::BTreeSet;

use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};
use ssfd::domain::{
    event_type::EventType,
    stream::{METHOD_POLL, METHOD_PUSH},
};

use crate::harness::{
    daemon::{Daemon, ISSUER, with_provider},
    events::{CREDENTIAL_CHANGE, SESSION_REVOKED, VERIFICATION, about_with},
    http_client::post,
    receiver::{Receiver, event},
    receiver_client::{UNKNOWN, assert_refused},
    setup::Setup,
    streams::{by_poll, every_member, id_of, push_to},
};

/// The answer has the whole object and no other member.
#[actix_web::test]
async fn cfg_01_a_created_stream_is_answered_201_with_its_members() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let answer = client.send("POST", "/ssf/streams", &every_member()).await.expect(201);
    assert_eq!(answer.header(CONTENT_TYPE), "application/json");
    let stream = answer.json();
    let expected = json!({
        "stream_id": stream["stream_id"],
        "iss": ISSUER,
        "aud": "https://rx.example",
        "events_supported": EventType::offered_by_default(),
        "events_requested": [CREDENTIAL_CHANGE, SESSION_REVOKED],
        "events_delivered": [SESSION_REVOKED, CREDENTIAL_CHANGE],
        "delivery": {"method": METHOD_PUSH, "endpoint_url": "https://rx.example/in"},
        "min_verification_interval": 0,
        "description": "prod",
    });
    assert_eq!(stream, expected);
}

/// The same holds if the request names the poll method.
#[actix_web::test]
async fn cfg_02_without_delivery_a_stream_is_a_poll_stream_with_a_url_of_its_own() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    for members in [json!({}), json!({"delivery": by_poll()})] {
        let stream = client.create(&members).await;
        let url = format!("{ISSUER}/ssf/poll/{}", id_of(&stream));
        assert_eq!(stream["delivery"], json!({"method": METHOD_POLL, "endpoint_url": url}));
        let path = url.strip_prefix("https://tx.example").expect("below the issuer");
        let poll = post(&daemon.public_url(path)).bearer(&client.token);
        poll.body("{\"returnImmediately\": true}").send().await.expect(200);
    }
}

#[actix_web::test]
async fn cfg_03_a_stream_may_be_for_push_and_for_poll() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    let client = setup.client();
    let polled = setup.daemon.create_stream(&setup.token, by_poll()).await;
    for (id, method) in [(&setup.stream, METHOD_PUSH), (&polled, METHOD_POLL)] {
        assert_eq!(client.read(id).await["delivery"]["method"], method);
    }
    setup.publish(&["s-88"]).await;
    assert_eq!(receiver.next().await.subject(), "s-88");
    assert_eq!(client.polled(&polled).await.len(), 1);
}

/// The limit is per Receiver, and deleting a stream makes room for another.
#[actix_web::test]
async fn cfg_04_a_second_stream_has_another_id_or_is_a_conflict() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    assert_ne!(client.new_stream().await, client.new_stream().await);

    let one_each = with_provider(|provider| provider.streams_per_receiver_max = 1);
    let daemon = Daemon::with(one_each).await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    let again = client.send("POST", "/ssf/streams", &json!({})).await;
    assert_refused(&again, 409, "this Receiver has 1 stream");
    daemon.client("other").await.new_stream().await;
    daemon.delete_stream(&client.token, &id).await.expect(204);
    client.new_stream().await;
}

#[actix_web::test]
async fn cfg_05_a_requested_event_that_is_not_supported_is_echoed_and_not_delivered() {
    let daemon = Daemon::with(with_provider(|provider| {
        provider.events_supported = vec!["caep:session-revoked".into(), "urn:example:badge".into()];
    }))
    .await;
    let client = daemon.client("rx").await;
    for (requested, delivered) in [
        (json!([SESSION_REVOKED]), json!([SESSION_REVOKED])),
        (json!(["urn:example:badge"]), json!(["urn:example:badge"])),
        // A type that the provider does not support, an unknown URI, an empty text, and a short
        // name, which is not the URI.
        (json!([CREDENTIAL_CHANGE, "urn:x", "", "caep:session-revoked"]), json!([])),
        (json!(["urn:x", SESSION_REVOKED, SESSION_REVOKED]), json!([SESSION_REVOKED])),
        (json!([]), json!([])),
    ] {
        let stream = client.create(&json!({"events_requested": requested})).await;
        assert_eq!(stream["events_requested"], requested);
        assert_eq!(stream["events_delivered"], delivered);
        assert_eq!(stream["events_supported"], json!([SESSION_REVOKED, "urn:example:badge"]));
    }
    let silent = client.create(&json!({})).await;
    assert_eq!((silent.get("events_requested"), &silent["events_delivered"]), (None, &json!([])));
}

#[actix_web::test]
async fn cfg_06_only_events_of_events_delivered_and_control_events_are_sent() {
    let setup = Setup::polling().await;
    let client = setup.client();
    assert_eq!(client.read(&setup.stream).await["events_delivered"], json!([SESSION_REVOKED]));
    for event_type in ["caep:session-revoked", "caep:credential-change", "risc:account-purged"] {
        let payload = json!({"credential_type": "password", "change_type": "update"});
        let event = about_with("s-88", json!({"type": event_type, "event": payload}));
        setup.daemon.publish(&setup.publisher, &event).await.expect(202);
    }
    setup.daemon.verify_stream(&setup.token, &setup.stream, "n-4411").await.expect(204);
    let come: BTreeSet<_> =
        client.polled(&setup.stream).await.iter().map(|claims| event(claims).0).collect();
    assert_eq!(come, [SESSION_REVOKED, VERIFICATION].map(str::to_owned).into());
}

/// RFC 3986 §2.3.
#[actix_web::test]
async fn cfg_07_a_stream_id_has_unreserved_characters_only() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    for _ in 0..5 {
        let id = client.new_stream().await;
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        assert!(!id.is_empty() && id.chars().all(unreserved), "{id}");
    }
}

#[actix_web::test]
async fn cfg_08_without_a_stream_id_the_answer_is_a_list_of_any_length() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    assert_eq!(client.list().await, json!([]));
    let one = client.create(&every_member()).await;
    assert_eq!(client.list().await, json!([one]));
    let two = client.create(&json!({})).await;
    let list = client.list().await;
    let list = list.as_array().expect("an array");
    assert!(list.len() == 2 && list.contains(&one) && list.contains(&two), "{list:?}");
}

/// The answer is never the list.
#[actix_web::test]
async fn cfg_09_an_unknown_stream_and_that_of_another_receiver_are_not_found() {
    let daemon = Daemon::start().await;
    let (owner, other) = (daemon.client("rx").await, daemon.client("other").await);
    let id = owner.new_stream().await;
    for id in [&id[..], UNKNOWN, "", "a%20b", "%00"] {
        let answer = other.get(&format!("/ssf/streams?stream_id={id}")).await;
        assert_refused(&answer, 404, "no such stream");
    }
    assert_eq!(other.list().await, json!([]));
}

#[actix_web::test]
async fn cfg_21_each_stream_of_a_receiver_has_a_poll_url_of_its_own() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let mut urls = BTreeSet::new();
    for _ in 0..5 {
        let stream = client.create(&json!({})).await;
        assert!(urls.insert(stream["delivery"]["endpoint_url"].to_string()), "{urls:?}");
    }
}

/// RFC 8935 §2.1. The refused request creates and changes nothing.
#[actix_web::test]
async fn cfg_22_a_plain_http_endpoint_and_another_method_are_refused() {
    let daemon = Daemon::with(with_provider(|provider| provider.insecure_endpoints = false)).await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    let before = client.list().await;
    let refused: [(Value, _); 2] = [
        (push_to("http://rx.example/"), "`delivery.endpoint_url` must be an https URL"),
        (json!({"method": "urn:x"}), "`delivery.method` must be"),
    ];
    for (delivery, rule) in refused {
        let mut members = json!({ "delivery": delivery });
        assert_refused(&client.send("POST", "/ssf/streams", &members).await, 400, rule);
        members["stream_id"] = id.clone().into();
        for method in ["PATCH", "PUT"] {
            assert_refused(&client.send(method, "/ssf/streams", &members).await, 400, rule);
        }
    }
    assert_eq!(client.list().await, before);
}

/// The text is cut between characters and not within one.
#[actix_web::test]
async fn cfg_24_a_long_description_is_truncated() {
    let daemon = Daemon::start().await;
    let stream = daemon.client("rx").await.create(&json!({"description": "ü".repeat(400)})).await;
    assert_eq!(stream["description"], "ü".repeat(255));
}

/// The answer shows the URN of today, as CAEP-IOP §2.3.8.1 asks. The metadata never advertises the
/// former methods.
#[actix_web::test]
async fn cfg_26_the_delivery_methods_of_2018_are_accepted_only_behind_a_setting() {
    const OLD: &str = "https://schemas.openid.net/secevent/risc/delivery-method/";
    let old = |method: &str| json!({"method": format!("{OLD}{method}")});
    let mut push = old("push");
    push["endpoint_url"] = "https://rx.example/in".into();
    let off = Daemon::start().await;
    let client = off.client("rx").await;
    for delivery in [&push, &old("poll")] {
        let answer = client.send("POST", "/ssf/streams", &json!({"delivery": delivery})).await;
        assert_refused(&answer, 400, "`delivery.method` must be");
    }
    assert_eq!(client.list().await, json!([]));

    let on = with_provider(|provider| provider.legacy_delivery_methods = true);
    let on = Daemon::with(on).await;
    let client = on.client("rx").await;
    for (delivery, shown) in [(push, METHOD_PUSH), (old("poll"), METHOD_POLL)] {
        let stream = client.create(&json!({"delivery": delivery})).await;
        assert_eq!(stream["delivery"]["method"], shown);
    }
    let metadata = client.get("/.well-known/ssf-configuration").await.expect(200).json();
    assert_eq!(metadata["delivery_methods_supported"], json!([METHOD_PUSH, METHOD_POLL]));
}
