//! Verification (SSF §8.1.4).

use std::time::Duration;

use hyper::header::RETRY_AFTER;
use serde_json::{Value, json};
use ssfd::clock;

use super::{Caller, UNKNOWN, assert_refused};
use crate::harness::{
    daemon::{Daemon, ISSUER, PROVIDER},
    receiver::{Receiver, claims},
    streams::push_to,
};

const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

async fn verify(caller: &Caller<'_>, members: &Value) {
    let answer = caller.send("POST", "/ssf/verify", members).await.expect(204);
    assert!(answer.body.is_empty());
}

/// The claims of what a poll of this stream gives, which acknowledges it at once.
async fn polled(caller: &Caller<'_>, id: &str) -> Vec<Value> {
    let path = format!("/ssf/poll/{id}");
    let answer = caller.send("POST", &path, &json!({})).await.expect(200).json();
    let sets = answer["sets"].as_object().expect("an object").clone();
    let ack: Vec<_> = sets.keys().collect();
    let body = json!({"ack": ack, "returnImmediately": true});
    let rest = caller.send("POST", &path, &body).await.expect(200).json();
    assert_eq!(rest, json!({"sets": {}}), "one request, one SET");
    sets.values().map(|set| claims(set.as_str().expect("a string"))).collect()
}

/// VER-01, VER-02, VER-07.
#[actix_web::test]
async fn a_poll_stream_gets_one_set_that_echoes_the_state() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let id = caller.new_stream().await;
    for (state, payload) in [
        (
            Some("VGhpcyBpcyBhbiBl\"\\ \u{1f511}"),
            json!({"state": "VGhpcyBpcyBhbiBl\"\\ \u{1f511}"}),
        ),
        (Some(""), json!({"state": ""})),
        (None, json!({})),
    ] {
        let mut members = json!({"stream_id": id});
        if let Some(state) = state {
            members["state"] = state.into();
        }
        verify(&caller, &members).await;
        let [set] = polled(&caller, &id).await.try_into().expect("one SET");
        assert_eq!(set["events"], json!({VERIFICATION: payload}));
    }
}

/// VER-01 (SSF §8.1.4.1), over a real connection, with what RFC 8417 §2.2 asks of every SET.
#[actix_web::test]
async fn a_push_stream_gets_a_set_about_itself() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let mut receiver = Receiver::accepting().await;
    let stream = caller.create(&json!({"delivery": push_to(&receiver.url("/in"))})).await;
    let id = stream["stream_id"].as_str().expect("a string");

    let before = clock::now().as_secs();
    verify(&caller, &json!({"stream_id": id, "state": "n-4411"})).await;
    let request = receiver.next().await;
    let set = daemon.verifier(PROVIDER).await.verify(request.jws()).expect("a SET of ours");
    let claims = Value::Object(set.claims);
    assert_eq!(claims["events"], json!({VERIFICATION: {"state": "n-4411"}}));
    assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": id}));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ISSUER), &stream["aud"]));
    let issued_at = claims["iat"].as_i64().expect("whole seconds");
    assert!((before..=clock::now().as_secs()).contains(&issued_at), "{issued_at}");
    assert!(claims.get("sub").is_none() && claims.get("exp").is_none());
}

/// VER-04 (SSF §8.1.1): never before the first request, and per stream.
#[actix_web::test]
async fn a_request_too_soon_is_told_how_long_to_wait() {
    let daemon = Daemon::with(|config| {
        let provider = config.providers.values_mut().next().expect("a provider");
        provider.min_verification_interval = Duration::from_hours(1);
    })
    .await;
    let caller = daemon.caller("rx").await;
    let stream = caller.create(&json!({})).await;
    assert_eq!(stream["min_verification_interval"], 3600);
    let id = stream["stream_id"].as_str().expect("a string");
    // What is refused for another reason does not count.
    let refused = caller.send("POST", "/ssf/verify", &json!({"stream_id": id, "state": 1})).await;
    assert_refused(&refused, 400, "`state` must be a string");

    verify(&caller, &json!({"stream_id": id, "state": "first"})).await;
    let again = caller.send("POST", "/ssf/verify", &json!({"stream_id": id})).await;
    assert_refused(&again, 429, "too many requests");
    let wait: u64 = again.header(RETRY_AFTER).parse().expect("whole seconds");
    assert!((3000..=3600).contains(&wait), "{wait}");
    assert_eq!(polled(&caller, id).await.len(), 1);
    let other = caller.new_stream().await;
    verify(&caller, &json!({"stream_id": other})).await;
}

/// VER-04: a Receiver that keeps to the interval as it is shown is not refused.
#[actix_web::test]
async fn an_interval_of_part_of_a_second_is_shown_as_the_next_second() {
    for (millis, shown) in [(0, 0), (1, 1), (1000, 1), (1500, 2)] {
        let daemon = Daemon::with(|config| {
            let provider = config.providers.values_mut().next().expect("a provider");
            provider.min_verification_interval = Duration::from_millis(millis);
        })
        .await;
        let stream = daemon.caller("rx").await.create(&json!({})).await;
        assert_eq!(stream["min_verification_interval"], shown);
    }
}

/// VER-06.
#[actix_web::test]
async fn a_stream_that_is_not_enabled_is_not_verified() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let id = caller.new_stream().await;
    for status in ["paused", "disabled"] {
        daemon.change_status(&caller.token, &id, status).await.expect(200);
        let answer = caller.send("POST", "/ssf/verify", &json!({"stream_id": id})).await;
        assert_refused(&answer, 400, "not enabled");
    }
    assert_eq!(daemon.backlog().await, 0);
    // And the refusal has used up no interval, and left nothing behind.
    daemon.change_status(&caller.token, &id, "enabled").await.expect(200);
    verify(&caller, &json!({"stream_id": id, "state": "now"})).await;
    assert_eq!(polled(&caller, &id).await.len(), 1);
}

/// VER-05.
#[actix_web::test]
async fn a_request_that_breaks_a_rule_names_it_and_queues_nothing() {
    let daemon = Daemon::start().await;
    let (caller, other) = (daemon.caller("rx").await, daemon.caller("other").await);
    let id = caller.new_stream().await;
    for (body, detail) in [
        (json!({"state": "x"}), "`stream_id` is required"),
        (json!({"stream_id": null}), "`stream_id` must be a string"),
        (json!({"stream_id": id, "state": null}), "`state` must be a string"),
        (json!({"stream_id": id, "state": {}}), "`state` must be a string"),
        (json!({"stream_id": id, "state": "x".repeat(1025)}), "at most 1024 bytes"),
    ] {
        assert_refused(&caller.send("POST", "/ssf/verify", &body).await, 400, detail);
    }
    for id in [&id[..], UNKNOWN, "a b"] {
        let answer = other.send("POST", "/ssf/verify", &json!({"stream_id": id})).await;
        assert_refused(&answer, 404, "no such stream");
    }
    assert_eq!(daemon.backlog().await, 0);
    verify(&caller, &json!({"stream_id": id, "state": "x".repeat(1024)})).await;
}
