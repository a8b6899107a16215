//! Entries that are no events (design, section 3).

use redis::streams::StreamRangeReply;
use serde_json::{Value, json};

use super::{all_acknowledged, arrived, reading, reading_with};
use crate::harness::{
    events::{SESSION_REVOKED, about, about_with, key},
    eventually,
    redis::Redis,
    setup::Setup,
};

const CUSTOM: &str = "https://schemas.example.com/event-type/badge-lost";

/// The record of one entry in the stream of rejected entries.
#[derive(Debug, PartialEq)]
struct Rejected {
    entry: String,
    reason: String,
    detail: String,
    event: Vec<u8>,
}

/// The entries of the rejected stream, once there are `count`.
async fn rejected(redis: &Redis, count: usize) -> Vec<Rejected> {
    let key = format!("{}:rejected", key());
    let range = async || redis.run::<StreamRangeReply>(&["XRANGE", &key, "-", "+"]).await.ids;
    eventually("entries are rejected", async || count <= range().await.len()).await;
    let entries = range().await.into_iter().map(|id| {
        let text = |field: &str| id.get(field).expect("the field is there");
        Rejected {
            entry: text("entry"),
            reason: text("reason"),
            detail: text("detail"),
            event: id.get("event").expect("the field is there"),
        }
    });
    entries.collect()
}

/// Adds an entry whose `event` is this text, be it an event or not.
async fn add(redis: &Redis, event: &str) -> String {
    redis.run(&["XADD", &key(), "*", "event", event]).await
}

#[actix_web::test]
async fn an_entry_that_is_no_event_is_rejected_with_the_reason_and_holds_up_none() {
    let redis = Redis::start().await;
    let setup = reading_with(&redis, |config| config.ingest.redis.event_bytes_max = 2000).await;
    let mut without_subject = about("s-1");
    without_subject.as_object_mut().expect("an object").remove("sub_id");
    let cases = [
        ("{not json".to_owned(), "malformed", "must be JSON"),
        ("[]".to_owned(), "invalid_field", "`event` must be a JSON object"),
        (without_subject.to_string(), "invalid_field", "`sub_id` is required"),
        (
            about_with("s-1", json!({"sub_id": {"format": "email"}})).to_string(),
            "invalid_subject",
            "`sub_id`",
        ),
        (about_with("s-1", json!({"event": []})).to_string(), "invalid_field", "`event` must be"),
        (about_with("s-1", json!({"type": CUSTOM})).to_string(), "unknown_type", CUSTOM),
        (
            about_with("s-1", json!({"type": "ssf:verification"})).to_string(),
            "control_type",
            "SSF §8.1.4",
        ),
        (about(&"x".repeat(2000)).to_string(), "too_large", "2000 bytes"),
    ];

    let mut entries = Vec::new();
    for (event, ..) in &cases {
        entries.push(add(&redis, event).await);
        redis.publish(&key(), &about("behind")).await;
    }

    assert_eq!(arrived(&setup, cases.len()).await, vec!["behind"; cases.len()]);
    let rejected = rejected(&redis, cases.len()).await;
    assert_eq!(rejected.len(), cases.len());
    for ((found, entry), (event, reason, detail)) in rejected.iter().zip(&entries).zip(&cases) {
        assert_eq!((&found.entry, found.reason.as_str()), (entry, *reason), "{found:?}");
        assert!(found.detail.contains(detail), "{found:?}");
        assert_eq!(found.event, event.as_bytes());
    }
    all_acknowledged(&redis).await;
}

#[actix_web::test]
async fn an_entry_without_an_event_and_one_that_is_no_text_are_rejected() {
    let redis = Redis::start().await;
    let setup = reading(&redis).await;
    let entry: String = redis.run(&["XADD", &key(), "*", "evnet", "{}"]).await;
    let mut connection = redis.connection().await;
    let add = redis::cmd("XADD").arg(key()).arg("*").arg("event").arg(b"{\"\xff\"}").to_owned();
    let _: String = add.query_async(&mut connection).await.expect("added");
    redis.publish(&key(), &about("behind")).await;

    assert_eq!(arrived(&setup, 1).await, ["behind"]);
    let rejected = rejected(&redis, 2).await;
    assert_eq!(
        rejected[0],
        Rejected {
            entry,
            reason: "malformed".into(),
            detail: "the entry has no field `event`".into(),
            event: Vec::new(),
        }
    );
    assert_eq!(
        (rejected[1].reason.as_str(), &*rejected[1].event),
        ("malformed", &b"{\"\xff\"}"[..])
    );
}

/// Cases 5: the entry is rejected alone, whatever its event is.
#[actix_web::test]
async fn an_entry_with_a_field_name_that_is_no_text_is_rejected_and_holds_up_none() {
    let redis = Redis::start().await;
    let setup = reading(&redis).await;
    let mut connection = redis.connection().await;
    let event = about("odd").to_string();
    let cases: [&[&[u8]]; 4] = [
        &[b"\xff", b"1"],
        &[b"event\xff", event.as_bytes()],
        &[b"\xc3\x28", b"1", b"event", event.as_bytes()],
        &[b"event", event.as_bytes(), b"\xff", b"1"],
    ];
    for fields in cases {
        let mut add = redis::cmd("XADD");
        add.arg(key()).arg("*").arg(fields);
        let _: String = add.query_async(&mut connection).await.expect("added");
        redis.publish(&key(), &about("behind")).await;
    }
    let twice = ["XADD", &key(), "*", "event", &event, "event", &event];
    let _: String = redis.run(&twice).await;
    redis.publish(&key(), &about("last")).await;

    let expected = [vec!["behind"; cases.len()], vec!["last"]].concat();
    assert_eq!(arrived(&setup, expected.len()).await, expected);
    let rejected = rejected(&redis, cases.len() + 1).await;
    let details: Vec<_> = rejected.iter().map(|entry| entry.detail.as_str()).collect();
    let name = "the name of a field of the entry is not UTF-8";
    let expected =
        [vec![name; cases.len()], vec!["the entry has the field `event` more than once"]];
    assert_eq!(details, expected.concat());
    assert!(rejected.iter().all(|entry| entry.reason == "malformed"));
}

#[actix_web::test]
async fn a_rejected_event_that_is_large_is_kept_by_its_head() {
    let redis = Redis::start().await;
    let _scene = reading(&redis).await;
    add(&redis, &"x".repeat(10_000)).await;
    assert_eq!(rejected(&redis, 1).await[0].event, "x".repeat(4096).as_bytes());
}

/// An event of a custom type, to a stream that has asked for it.
async fn publish_custom(redis: &Redis, setup: &Setup) {
    setup.update(json!({"events_requested": [SESSION_REVOKED, CUSTOM]})).await;
    redis.publish(&key(), &about_with("custom", json!({"type": CUSTOM}))).await;
    redis.publish(&key(), &about("behind")).await;
}

#[actix_web::test]
async fn a_custom_type_that_the_provider_supports_is_carried() {
    let redis = Redis::start().await;
    let setup = reading_with(&redis, |config| {
        for provider in config.providers.values_mut() {
            provider.events_supported = vec![SESSION_REVOKED.into(), CUSTOM.into()];
        }
    })
    .await;
    publish_custom(&redis, &setup).await;
    assert_eq!(arrived(&setup, 2).await, ["custom", "behind"]);
    let claims: Value = serde_json::from_str(&setup.waiting().await[0].claims).expect("JSON");
    assert_eq!(claims["events"], json!({CUSTOM: {"event_timestamp": 1_775_000_099}}));
}

#[actix_web::test]
async fn a_custom_type_is_carried_where_the_provider_allows_any() {
    let redis = Redis::start().await;
    let setup = reading_with(&redis, |config| {
        config.providers.values_mut().for_each(|provider| provider.custom_event_types = true);
    })
    .await;
    publish_custom(&redis, &setup).await;
    assert_eq!(arrived(&setup, 2).await, ["custom", "behind"]);
    let exists: usize = redis.run(&["EXISTS", &format!("{}:rejected", key())]).await;
    assert_eq!(exists, 0);
}
