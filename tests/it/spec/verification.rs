//! Verification of a stream (SSF §8.1.4).

use std::time::Duration;

use hyper::{Method, header::RETRY_AFTER};
use serde_json::{Value, json};

use crate::harness::{
    daemon::{Daemon, with_provider},
    events::VERIFICATION,
    receiver::{Receiver, event},
    receiver_client::{ReceiverClient, UNKNOWN, assert_refused},
    setup::Setup,
    streams::id_of,
};

async fn verify(client: &ReceiverClient<'_>, members: &Value) {
    let answer = client.send("POST", "/ssf/verify", members).await.expect(204);
    assert!(answer.body.is_empty());
}

#[actix_web::test]
async fn ver_01_a_request_is_answered_204_and_brings_one_verification() {
    let mut receiver = Receiver::accepting().await;
    let pushed = Setup::pushing_to(&receiver).await;
    verify(&pushed.client(), &json!({"stream_id": pushed.stream})).await;
    let set = receiver.next().await;
    pushed.settled().await;
    assert!(receiver.rest().is_empty());

    let polled = Setup::polling().await;
    verify(&polled.client(), &json!({"stream_id": polled.stream})).await;
    let sets = polled.client().polled(&polled.stream).await;
    assert_eq!(sets.len(), 1);

    for (claims, stream) in [(&set.claims(), &pushed.stream), (&sets[0], &polled.stream)] {
        assert_eq!(event(claims).0, VERIFICATION);
        assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": stream}));
    }
}

#[actix_web::test]
async fn ver_02_the_state_is_echoed_unchanged_and_only_if_given() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    for state in [Some("VGhpcyBpcyBhbiBl\"\\ \u{1f511}"), Some(" "), Some(""), None] {
        let mut members = json!({"stream_id": id});
        let mut expected = json!({});
        if let Some(state) = state {
            (members["state"], expected["state"]) = (state.into(), state.into());
        }
        verify(&client, &members).await;
        let [set] = client.polled(&id).await.try_into().expect("one SET");
        assert_eq!(set["events"], json!({VERIFICATION: expected}));
    }
}

#[actix_web::test]
async fn ver_03_an_unrequested_verification_has_no_state() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_with(&receiver, |config| {
        let provider = config.providers.values_mut().next().expect("a provider");
        provider.min_verification_interval = Duration::from_hours(1);
    })
    .await;
    // The interval limits Receivers and not the operator.
    for _ in 0..2 {
        setup.operate(Method::POST, "/verify", &Value::Null).await.expect(204);
        let claims = receiver.next().await.claims();
        assert_eq!(claims["events"], json!({VERIFICATION: {}}));
        assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": setup.stream}));
    }
    setup.daemon.verify_stream(&setup.token, &setup.stream, "first").await.expect(204);
    setup.set_status("paused", "").await;
    setup.operate(Method::POST, "/verify", &Value::Null).await.expect(400);
}

/// The first request is never too soon, and the interval is per stream.
#[actix_web::test]
async fn ver_04_a_request_too_soon_is_refused_with_the_time_to_wait() {
    let daemon = Daemon::with(with_provider(|provider| {
        provider.min_verification_interval = Duration::from_hours(1);
    }))
    .await;
    let client = daemon.client("rx").await;
    let stream = client.create(&json!({})).await;
    assert_eq!(stream["min_verification_interval"], 3600);
    let id = id_of(&stream);
    // A request that is refused for another reason does not count.
    let refused = client.send("POST", "/ssf/verify", &json!({"stream_id": id, "state": 1})).await;
    assert_refused(&refused, 400, "`state` must be a string");

    verify(&client, &json!({"stream_id": id, "state": "first"})).await;
    let again = client.send("POST", "/ssf/verify", &json!({"stream_id": id})).await;
    assert_refused(&again, 429, "too many requests");
    let wait: u64 = again.header(RETRY_AFTER).parse().expect("whole seconds");
    assert!((3000..=3600).contains(&wait), "{wait}");
    assert_eq!(client.polled(id).await.len(), 1);
    let other = client.new_stream().await;
    verify(&client, &json!({"stream_id": other})).await;
}

/// The refusal names the rule, and no SET is created.
#[actix_web::test]
async fn ver_05_a_bad_body_is_refused_and_an_unknown_stream_not_found() {
    let daemon = Daemon::start().await;
    let (client, other) = (daemon.client("rx").await, daemon.client("other").await);
    let id = client.new_stream().await;
    for (body, detail) in [
        (json!([]), "`body` must be a JSON object"),
        (json!({"state": "x"}), "`stream_id` is required"),
        (json!({"stream_id": null}), "`stream_id` is required"),
        (json!({"stream_id": id, "state": {}}), "`state` must be a string"),
        (json!({"stream_id": id, "state": "x".repeat(1025)}), "at most 1024 bytes"),
    ] {
        assert_refused(&client.send("POST", "/ssf/verify", &body).await, 400, detail);
    }
    for id in [&id[..], UNKNOWN, "a b"] {
        let answer = other.send("POST", "/ssf/verify", &json!({"stream_id": id})).await;
        assert_refused(&answer, 404, "no such stream");
    }
    assert_eq!(daemon.backlog().await, 0);
    verify(&client, &json!({"stream_id": id, "state": "x".repeat(1024)})).await;
}

#[actix_web::test]
async fn ver_06_a_stream_that_is_not_enabled_is_not_verified() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    for status in ["paused", "disabled"] {
        daemon.change_status(&client.token, &id, status).await.expect(200);
        let answer = client.send("POST", "/ssf/verify", &json!({"stream_id": id})).await;
        assert_refused(&answer, 400, "not enabled");
    }
    assert_eq!(daemon.backlog().await, 0);
    // The refused request did not count for the interval and created no SET.
    daemon.change_status(&client.token, &id, "enabled").await.expect(200);
    verify(&client, &json!({"stream_id": id, "state": "now"})).await;
    assert_eq!(client.polled(&id).await.len(), 1);
}

/// The specification allows a delay. The daemon stores the event before it answers, so the next
/// poll returns it before all other SETs.
#[actix_web::test]
async fn ver_07_a_poll_after_the_204_returns_the_verification() {
    let setup = Setup::polling().await;
    setup.publish(&["s-1", "s-2"]).await;
    verify(&setup.client(), &json!({"stream_id": setup.stream, "state": "n-4411"})).await;
    let one = json!({"maxEvents": 1, "returnImmediately": true});
    let answer = setup.poll(one).await.expect(200).json();
    let set = answer["sets"].as_object().and_then(|sets| sets.values().next());
    let claims = crate::harness::receiver::claims(set.and_then(Value::as_str).expect("one SET"));
    assert_eq!(event(&claims), (VERIFICATION.to_owned(), json!({"state": "n-4411"})));
}
