//! Events for more streams than others wait for.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use ssfd::{
    domain::stream::{Delivery, StreamConfig},
    store::Position,
};

use super::reading_with;
use crate::harness::{
    events::{about, about_with, key},
    eventually,
    redis::Redis,
    setup::Setup,
};

/// More than are appended in one step.
const STREAMS: usize = 1200;

/// What came to the stream of the setup, as `txn`s in the order of appending.
async fn txns(setup: &Setup) -> Vec<String> {
    let claims = setup.waiting().await.into_iter().map(|set| set.claims);
    let claims = claims.map(|claims| serde_json::from_str::<Value>(&claims).expect("JSON"));
    claims.map(|claims| claims["txn"].as_str().expect("a text").to_owned()).collect()
}

async fn position(setup: &Setup) -> Option<Position> {
    setup.daemon.store().position(&key()).await.expect("the store answers")
}

/// Streams beside that of the setup, and like it.
async fn add_streams(setup: &mut Setup) -> Vec<StreamConfig> {
    let all = setup.daemon.store().streams().await.expect("readable");
    let beside = |n| StreamConfig {
        id: format!("st_beside_{n}").parse().expect("valid"),
        delivery: Delivery::Poll,
        ..all[0].clone()
    };
    let beside: Vec<_> = (1..STREAMS).map(beside).collect();
    for stream in beside.clone() {
        setup.daemon.store().create_stream(stream, STREAMS).await.expect("created");
    }
    setup.daemon.restart().await;
    beside
}

/// P3, P4 of the design. An event that cannot be appended to its last stream is as slow as one can
/// be.
#[actix_web::test]
async fn a_long_event_holds_up_those_about_its_subject_alone() {
    let redis = Redis::start().await;
    let soon = Duration::from_millis(20);
    let change = |config: &mut ssfd::config::Config| config.ingest.redis.reconnect_max = soon;
    let mut setup = reading_with(&redis, change).await;
    let beside = add_streams(&mut setup).await;
    let last = &beside[STREAMS - 2].id;
    let database = setup.daemon.config().store.sqlite.path.clone();
    let database = Connection::open(database).expect("opens");
    let refuse = format!(
        "CREATE TRIGGER broken BEFORE INSERT ON outbox
            WHEN new.stream = (SELECT key FROM streams WHERE id = '{last}')
        BEGIN SELECT RAISE(ABORT, 'broken'); END"
    );
    database.execute_batch(&refuse).expect("runs");
    let narrow = |subject: &str, txn: &str| {
        about_with(subject, json!({"txn": txn, "stream_ids": [setup.stream]}))
    };
    let before = position(&setup).await;

    redis.publish(&key(), &about_with("kim", json!({"txn": "long"}))).await;
    redis.publish(&key(), &narrow("lee", "other subject")).await;
    redis.publish(&key(), &narrow("kim", "same subject")).await;

    let passes = async || txns(&setup).await.iter().any(|txn| txn == "other subject");
    eventually("another subject goes on", passes).await;
    assert!(!txns(&setup).await.iter().any(|txn| txn == "same subject"));
    assert_eq!(position(&setup).await, before, "not all is kept");

    database.execute_batch("DROP TRIGGER broken").expect("runs");
    eventually("all of it arrives", async || txns(&setup).await.len() == 3).await;
    let mut of_kim = txns(&setup).await;
    of_kim.retain(|txn| txn != "other subject");
    assert_eq!(of_kim, ["long", "same subject"]);
    for stream in [&beside[0], &beside[STREAMS - 2]] {
        let waiting = setup.daemon.store().waiting(&stream.id).await.expect("readable");
        assert_eq!(waiting.sets, 1);
    }
    let moved = async || position(&setup).await != before;
    eventually("the position moves behind all of it", moved).await;
}

/// Nothing is lost, doubled or out of order where many of them meet.
#[actix_web::test]
async fn long_events_keep_their_order_among_others() {
    const EVENTS: usize = 12;
    let redis = Redis::start().await;
    let mut setup = reading_with(&redis, |config| config.ingest.redis.batch_max = 5).await;
    let beside = add_streams(&mut setup).await;
    for n in 0..EVENTS {
        let subject = ["kim", "lee", "max"][n % 3];
        let event = if n % 4 == 0 {
            about_with(subject, json!({"txn": n.to_string()}))
        } else {
            about_with(subject, json!({"txn": n.to_string(), "stream_ids": [setup.stream]}))
        };
        redis.publish(&key(), &event).await;
    }
    eventually("all of it arrives", async || EVENTS <= txns(&setup).await.len()).await;
    let all = txns(&setup).await;
    let numbers: Vec<usize> = all.iter().map(|txn| txn.parse().expect("a number")).collect();
    assert_eq!(numbers.len(), EVENTS);
    for subject in 0..3 {
        let of_subject = numbers.iter().filter(|n| *n % 3 == subject);
        assert!(of_subject.is_sorted(), "{numbers:?}");
    }
    let last = &beside[STREAMS - 2].id;
    let long = async || setup.daemon.store().waiting(last).await.expect("readable").sets == 3;
    eventually("each long event reaches the last stream", long).await;

    // The position is behind all of them: a restart reads none again.
    redis.publish(&key(), &about("after")).await;
    setup.daemon.restart().await;
    eventually("reading goes on", async || EVENTS < setup.waiting().await.len()).await;
    assert_eq!(setup.waiting().await.len(), EVENTS + 1);
}
