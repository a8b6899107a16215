//! The limits of a request, and its answer.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use serde_json::{Value, json};
use ssfd::config::Config;

use super::waiting_subjects;
use crate::harness::{
    events::{about, about_with},
    http_client::{Answer, Call, post},
    setup::Setup,
};

fn call(setup: &Setup) -> Call {
    post(&setup.daemon.internal_url("/events")).bearer(&setup.publisher)
}

async fn send(setup: &Setup, body: impl Into<Bytes>) -> Answer {
    call(setup).body(body).send().await
}

/// P1 of the design: an accepted event is durable, so the test does not wait for anything.
#[actix_web::test]
async fn an_accepted_event_is_kept() {
    let mut setup = Setup::polling().await;

    let answer = setup.daemon.publish(&setup.publisher, &about("s-1")).await.expect(202);

    let expected = json!({"accepted": 1, "duplicate": 0, "rejected": 0,
        "events": [{"status": "accepted", "streams": 1}]});
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.header(CACHE_CONTROL), "no-store");
    assert_eq!(waiting_subjects(&setup).await, ["s-1"]);
    setup.daemon.restart().await;
    assert_eq!(waiting_subjects(&setup).await, ["s-1"]);
}

#[actix_web::test]
async fn an_array_is_answered_event_by_event() {
    let setup = Setup::polling().await;
    let twice = about_with("s-1", json!({"id": "evt-8841"}));
    let events = json!([
        twice,
        {"type": "caep:session-revoked"},
        about_with("unwanted", json!({"type": "caep:session-presented"})),
        twice,
        7,
        about("s-2"),
    ]);

    let answer = setup.daemon.publish(&setup.publisher, &events).await.expect(202).json();

    assert_eq!(
        (&answer["accepted"], &answer["duplicate"], &answer["rejected"]),
        (&json!(3), &json!(1), &json!(2))
    );
    let events = answer["events"].as_array().expect("an answer for each");
    let statuses: Vec<_> = events.iter().map(|event| event["status"].as_str()).collect();
    let expected = ["accepted", "rejected", "accepted", "duplicate", "rejected", "accepted"];
    assert_eq!(statuses, expected.map(Some));
    assert_eq!(events[1]["reason"], "invalid_field");
    assert_eq!(events[1]["detail"], "`sub_id` is required: the subject of the event");
    assert_eq!(events[2], json!({"status": "accepted", "streams": 0}), "no stream wants it");
    assert_eq!(waiting_subjects(&setup).await, ["s-1", "s-2"]);
}

#[actix_web::test]
async fn lines_are_answered_event_by_event_with_any_content_type() {
    let setup = Setup::polling().await;
    let lines = format!("{}\r\n\n{{broken\n{}\n", about("s-1"), about("s-2"));

    for content_type in ["application/x-ndjson", "application/jsonl", "application/json"] {
        let call = call(&setup).header("content-type", content_type);
        let answer = call.body(lines.clone()).send().await.expect(202).json();
        let statuses: Vec<_> =
            answer["events"].as_array().into_iter().flatten().map(|e| &e["status"]).collect();
        assert_eq!(statuses, ["accepted", "rejected", "accepted"], "{content_type}");
        assert_eq!(answer["events"][1]["reason"], "malformed");
    }
    assert_eq!(waiting_subjects(&setup).await, ["s-1", "s-2"].repeat(3));
}

#[actix_web::test]
async fn a_request_without_a_valid_event_is_answered_400_event_by_event() {
    let setup = Setup::polling().await;
    let events = json!([about_with("s-1", json!({"type": "caep:nope"})), "no event"]);
    let answer = setup.daemon.publish(&setup.publisher, &events).await.expect(400).json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(0), &json!(2)));
    assert!(answer["events"][0]["detail"].as_str().unwrap_or_default().contains("caep:nope"));
}

#[actix_web::test]
async fn a_body_without_events_is_refused_with_the_reason() {
    let setup = Setup::polling().await;
    let truncated_array = format!("[\n{},\n{}\n", about("s-1"), about("s-2"));
    for (body, rule) in [
        ("", "must be JSON"),
        ("{\"type\":", "must be JSON"),
        ("not json", "must be JSON"),
        ("[]", "must hold at least one event"),
        (truncated_array.as_str(), "must be JSON"),
    ] {
        let answer = send(&setup, body.to_owned()).await.expect(400);
        assert_eq!(answer.header(CONTENT_TYPE), "application/problem+json");
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.starts_with(&format!("`body` {rule}")), "{body}: {detail}");
    }
    let call = call(&setup).header("content-type", "application/x-ndjson");
    call.body("\n\n").send().await.expect(400);
    assert_eq!(setup.daemon.backlog().await, 0);
}

/// The bound of one event is the same as for events from Redis.
#[actix_web::test]
async fn an_event_that_is_too_large_is_rejected_and_its_neighbours_are_not() {
    let bytes_max = 1000;
    let change = |config: &mut Config| config.ingest.redis.event_bytes_max = bytes_max;
    let setup = Setup::polling_with(change).await;
    let large = about_with("s-1", json!({"event": {"x_ours": "x".repeat(bytes_max)}}));
    let answer = send(&setup, json!([large, about("s-2")]).to_string()).await.expect(202).json();
    assert_eq!(answer["events"][0]["reason"], "too_large");
    assert_eq!(answer["events"][1]["status"], "accepted");
    let alone = send(&setup, large.to_string()).await.expect(400).json();
    assert_eq!(alone["events"][0]["detail"], "the event is larger than 1000 bytes");
}

#[actix_web::test]
async fn a_member_that_occurs_twice_is_named() {
    let setup = Setup::polling().await;
    let event = about_with("s-1", json!({"txn": "a"})).to_string();
    let twice = event.replacen('{', r#"{"txn":"b","#, 1);
    let answer = send(&setup, twice).await.expect(400).json();
    assert_eq!(answer["events"][0]["reason"], "malformed");
    let detail = "the event must not have the member `txn` twice";
    assert_eq!(answer["events"][0]["detail"], detail);
}

/// The digits of a number go from the publisher to the Receiver.
#[actix_web::test]
async fn a_number_keeps_its_digits_in_the_set() {
    let setup = Setup::polling().await;
    let numbers = "[12345678901234567890123,0.1234567890123456789,1e-400,-0,1E+400,2.50]";
    let event = about_with("s-1", json!({"event": {"x_ours": 7, "event_timestamp": null}}));
    send(&setup, event.to_string().replace(":7", &format!(":{numbers}"))).await.expect(202);
    let waiting = setup.waiting().await;
    let claims = &waiting[0].claims;
    assert!(claims.contains(&format!(r#"{{"x_ours":{numbers}}}"#)), "{claims}");
    let sets = setup.poll(json!({"returnImmediately": true})).await.expect(200).json();
    let jws = sets["sets"][waiting[0].jti.as_str()].as_str().expect("the SET").to_owned();
    let part = jws.split('.').nth(1).expect("claims");
    assert_eq!(URL_SAFE_NO_PAD.decode(part).expect("base64url"), claims.as_bytes());
}

#[actix_web::test]
async fn a_request_beyond_a_limit_is_refused_as_a_whole() {
    let event = about("s-1").to_string();
    let bytes_max = event.len() * 3 + 4;
    let setup = Setup::polling_with(|config| {
        config.internal.events_max = 3;
        config.internal.events_bytes_max = bytes_max;
    })
    .await;
    let array = |count: usize| format!("[{}]", vec![event.as_str(); count].join(","));

    send(&setup, array(4)).await.expect(413);
    let many = send(&setup, ["{}"; 4].join("\n")).await.expect(400);
    assert!(many.text().contains("at most 3 events"), "{}", many.text());
    assert_eq!(setup.daemon.backlog().await, 0);

    let most = array(3);
    assert_eq!(most.len(), bytes_max);
    assert_eq!(send(&setup, most.clone()).await.expect(202).json()["accepted"], 3);
    send(&setup, most + " ").await.expect(413);
    assert_eq!(setup.daemon.backlog().await, 3);
}

/// A publisher publishes for its own provider, and nobody else publishes.
#[actix_web::test]
async fn publishing_requires_the_token_of_a_publisher() {
    let mut setup = Setup::polling().await;
    let url = setup.daemon.internal_url("/events");
    let answer = post(&url).json(&about("s-1")).send().await.expect(401);
    assert_eq!(answer.header(WWW_AUTHENTICATE), r#"Bearer realm="ssf""#);
    for token in ["made-up", setup.token.as_str()] {
        let answer = setup.daemon.publish(token, &about("s-1")).await.expect(401);
        let challenge = answer.header(WWW_AUTHENTICATE);
        assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
    }
    assert_eq!(setup.daemon.backlog().await, 0);

    let gone = setup.daemon.config().providers.pop_first().expect("there is one").1;
    setup.daemon.config().providers.insert("other".parse().expect("a name"), gone);
    setup.daemon.restart().await;
    let answer = setup.daemon.publish(&setup.publisher, &about("s-1")).await.expect(400).json();
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("provider") && detail.contains("not configured"), "{detail}");
}

/// Events with the same id are one event, over several requests and over a restart.
#[actix_web::test]
async fn a_publisher_may_repeat_a_request_whose_answer_was_lost() {
    let mut setup = Setup::polling().await;
    let events: Value =
        (1..=3).map(|n| about_with(&format!("s-{n}"), json!({"id": format!("evt-{n}")}))).collect();
    setup.daemon.publish(&setup.publisher, &events).await.expect(202);

    setup.daemon.restart().await;
    let answer = setup.daemon.publish(&setup.publisher, &events).await.expect(202).json();

    assert_eq!((&answer["accepted"], &answer["duplicate"]), (&json!(0), &json!(3)));
    assert_eq!(waiting_subjects(&setup).await, ["s-1", "s-2", "s-3"]);
}
