//! Creating a stream (SSF §8.1.1.1).

use std::collections::BTreeSet;

use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};
use ssfd::domain::{
    event_type::EventType,
    stream::{METHOD_POLL, METHOD_PUSH},
};

use super::{super::assert_refused, CREDENTIAL_CHANGE, broken_members, every_member};
use crate::harness::{
    daemon::{Daemon, ISSUER, PROVIDER},
    events::SESSION_REVOKED,
    streams::push_to,
};

/// CFG-01, CFG-03: the whole object, and nothing besides.
#[actix_web::test]
async fn a_push_stream_is_shown_with_every_member() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let answer = caller.send("POST", "/ssf/streams", &every_member()).await.expect(201);
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

/// CFG-02 (SSF §8.1.1.1), CFG-03: also where poll is asked for by name.
#[actix_web::test]
async fn without_delivery_it_is_a_poll_stream_with_a_url_of_its_own() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    for members in [json!({}), json!({"delivery": {"method": METHOD_POLL}})] {
        let stream = caller.create(&members).await;
        let id = stream["stream_id"].as_str().expect("a string");
        let url = format!("{ISSUER}/ssf/poll/{id}");
        assert_eq!(stream["delivery"], json!({"method": METHOD_POLL, "endpoint_url": url}));
        let path = url.strip_prefix("https://tx.example").expect("below the issuer");
        let poll = crate::harness::http_client::post(&daemon.public_url(path));
        poll.bearer(&caller.token).body("{\"returnImmediately\": true}").send().await.expect(200);
    }
}

/// CFG-04, CFG-07, CFG-21.
#[actix_web::test]
async fn each_stream_has_an_id_and_a_poll_url_of_its_own() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let (mut ids, mut urls) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..5 {
        let stream = caller.create(&json!({})).await;
        let id = stream["stream_id"].as_str().expect("a string").to_owned();
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        assert!(!id.is_empty() && id.chars().all(unreserved), "{id}");
        assert!(ids.insert(id));
        assert!(urls.insert(stream["delivery"]["endpoint_url"].to_string()));
    }
}

/// CFG-05, CFG-06.
#[actix_web::test]
async fn what_is_not_supported_is_echoed_and_not_delivered() {
    let daemon = Daemon::with(|config| {
        let provider = config.providers.values_mut().next().expect("a provider");
        provider.events_supported = vec!["caep:session-revoked".into(), "urn:example:badge".into()];
    })
    .await;
    let caller = daemon.caller("rx").await;
    for (requested, delivered) in [
        (json!([SESSION_REVOKED]), json!([SESSION_REVOKED])),
        (json!(["urn:example:badge"]), json!(["urn:example:badge"])),
        // Known, but not this provider's; unknown; no URI; a short name, which is not its URI.
        (json!([CREDENTIAL_CHANGE, "urn:x", "", "caep:session-revoked"]), json!([])),
        (json!(["urn:x", SESSION_REVOKED, SESSION_REVOKED]), json!([SESSION_REVOKED])),
        (json!([]), json!([])),
    ] {
        let stream = caller.create(&json!({"events_requested": requested})).await;
        assert_eq!(stream["events_requested"], requested);
        assert_eq!(stream["events_delivered"], delivered);
        assert_eq!(stream["events_supported"], json!([SESSION_REVOKED, "urn:example:badge"]));
    }
    let silent = caller.create(&json!({})).await;
    assert_eq!((silent.get("events_requested"), &silent["events_delivered"]), (None, &json!([])));
}

#[actix_web::test]
async fn what_is_for_the_transmitter_to_say_is_refused() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let stream = caller.create(&json!({})).await;
    let before = caller.list().await;
    for member in [
        "stream_id",
        "iss",
        "aud",
        "events_supported",
        "events_delivered",
        "min_verification_interval",
        "inactivity_timeout",
    ] {
        // Even the value that it would have.
        for value in [stream[member].clone(), Value::Null] {
            let answer = caller.send("POST", "/ssf/streams", &json!({ member: value })).await;
            assert_refused(&answer, 400, &format!("`{member}` is for the Transmitter to say"));
        }
    }
    assert_eq!(caller.list().await, before);
}

/// SSF §4.2.3, and members of former drafts.
#[actix_web::test]
async fn unknown_members_are_ignored() {
    let daemon = Daemon::start().await;
    let members = json!({"format": "email", "status": "paused", "x": [null],
        "delivery": {"method": METHOD_POLL, "x": 1}});
    let stream = daemon.caller("rx").await.create(&members).await;
    assert!(["format", "status", "x"].iter().all(|member| stream.get(member).is_none()));
}

/// CFG-22 and what else a Receiver can get wrong.
#[actix_web::test]
async fn a_member_that_breaks_a_rule_is_named_and_nothing_is_made() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    for (members, detail) in broken_members() {
        assert_refused(&caller.send("POST", "/ssf/streams", &members).await, 400, detail);
    }
    assert_eq!(caller.list().await, json!([]));
}

/// CFG-22 (RFC 8935 §2.1).
#[actix_web::test]
async fn plain_http_is_refused_unless_the_provider_allows_it() {
    let members =
        json!({"delivery": {"method": METHOD_PUSH, "endpoint_url": "http://rx.example/"}});
    for allowed in [false, true] {
        let daemon = Daemon::with(|config| {
            let provider = config.providers.values_mut().next().expect("a provider");
            provider.insecure_endpoints = allowed;
        })
        .await;
        let caller = daemon.caller("rx").await;
        let answer = caller.send("POST", "/ssf/streams", &members).await;
        if allowed {
            assert_eq!(answer.expect(201).json()["delivery"], members["delivery"]);
        } else {
            assert_refused(&answer, 400, "`delivery.endpoint_url` must be an https URL");
        }
    }
}

/// SSF §8.1.1: a Receiver recognizes what it said, over a restart and all.
#[actix_web::test]
async fn an_endpoint_url_is_shown_as_it_was_given() {
    let mut daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let urls = ["https://rx.example", "https://RX.example:443/a/../in?x=%7e&y=\u{fc}"];
    for url in urls {
        let stream = caller.create(&json!({"delivery": push_to(url)})).await;
        assert_eq!(stream["delivery"]["endpoint_url"], url);
    }
    let (before, token) = (caller.list().await, caller.token.clone());
    daemon.restart().await;
    assert_eq!(daemon.caller_with(PROVIDER, &token).list().await, before);
}

/// CFG-24 (SSF §8.1.1): by characters, not in the midst of one.
#[actix_web::test]
async fn a_long_description_is_truncated() {
    let daemon = Daemon::start().await;
    let stream = daemon.caller("rx").await.create(&json!({"description": "ü".repeat(400)})).await;
    assert_eq!(stream["description"], "ü".repeat(255));
}

/// CFG-04: also where several are asked for at once.
#[actix_web::test]
async fn the_limit_holds_for_requests_at_the_same_time() {
    let daemon = Daemon::with(|config| {
        let provider = config.providers.values_mut().next().expect("a provider");
        provider.streams_per_receiver_max = 3;
    })
    .await;
    let caller = daemon.caller("rx").await;
    let members = json!({});
    let creates = (0..12).map(|_| caller.send("POST", "/ssf/streams", &members));
    let answers = futures_util::future::join_all(creates).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(409)), (3, 9));
    assert_eq!(caller.list().await.as_array().map(Vec::len), Some(3));
}

/// CFG-04 (SSF §8.1.1.1): the limit is the Receiver's own.
#[actix_web::test]
async fn one_stream_too_many_is_a_conflict() {
    let daemon = Daemon::with(|config| {
        let provider = config.providers.values_mut().next().expect("a provider");
        provider.streams_per_receiver_max = 1;
    })
    .await;
    let caller = daemon.caller("rx").await;
    let id = caller.new_stream().await;
    let again = caller.send("POST", "/ssf/streams", &json!({})).await;
    assert_refused(&again, 409, "this Receiver has 1 stream");
    daemon.caller("other").await.new_stream().await;
    daemon.delete_stream(&caller.token, &id).await.expect(204);
    caller.new_stream().await;
}
