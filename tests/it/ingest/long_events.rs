//! Events for more streams than others wait for.

use std::{cell::RefCell, time::Duration};

use futures_util::future::{join, join_all};
use rusqlite::Connection;
use serde_json::{Value, json};
use ssfd::{
    config::Config,
    domain::stream::{Delivery, StreamConfig},
    store::Position,
};

use super::reading_with;
use crate::harness::{
    daemon::rename_provider,
    events::{about, about_with, key},
    eventually,
    redis::Redis,
    setup::Setup,
};

/// More than are appended in one step.
const STREAMS: usize = 1200;

/// Returns the `txn`s of the SETs of the setup's stream, in the order of appending.
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

/// P3, P4 of the design.
#[actix_web::test]
async fn a_long_event_holds_up_those_about_its_subject_alone() {
    check_that_others_go_on_beside(&["kim"]).await;
}

#[actix_web::test]
async fn long_events_in_a_row_hold_up_those_about_their_subjects_alone() {
    let others: Vec<_> = (0..11).map(|n| format!("kai-{n}")).collect();
    let subjects: Vec<_> = others.iter().map(String::as_str).chain(["kim"]).collect();
    check_that_others_go_on_beside(&subjects).await;
}

/// Publishes long events about these subjects, and then two for one stream: about another subject, and
/// about the last one. Events that cannot be appended to their last stream are as slow as can be.
async fn check_that_others_go_on_beside(subjects: &[&str]) {
    let redis = Redis::start().await;
    let soon = Duration::from_millis(20);
    let change = |config: &mut Config| config.ingest.redis.reconnect_max = soon;
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

    for subject in subjects {
        redis
            .publish(&key(), &about_with(subject, json!({"txn": format!("long {subject}")})))
            .await;
    }
    redis.publish(&key(), &narrow("lee", "other subject")).await;
    redis.publish(&key(), &narrow("kim", "same subject")).await;

    let passes = async || txns(&setup).await.iter().any(|txn| txn == "other subject");
    eventually("another subject goes on", passes).await;
    assert!(!txns(&setup).await.iter().any(|txn| txn == "same subject"));
    assert_eq!(position(&setup).await, before, "not all is kept");

    database.execute_batch("DROP TRIGGER broken").expect("runs");
    let all = subjects.len() + 2;
    eventually("all of it arrives", async || txns(&setup).await.len() == all).await;
    let mut of_kim = txns(&setup).await;
    of_kim.retain(|txn| ["long kim", "same subject"].contains(&txn.as_str()));
    assert_eq!(of_kim, ["long kim", "same subject"]);
    for stream in [&beside[0], &beside[STREAMS - 2]] {
        let waiting = setup.daemon.store().waiting(&stream.id).await.expect("readable");
        assert_eq!(waiting.sets, subjects.len() as u64);
    }
    let moved = async || position(&setup).await != before;
    eventually("the position moves behind all of it", moved).await;
}

/// P4 of the design, over HTTP: each request is answered once its event is durable. They are all let in
/// while another process keeps the database to itself, so that the order of the answers is that of the
/// work.
#[actix_web::test]
async fn an_event_for_one_stream_is_accepted_before_the_long_ones_that_came_before_it() {
    for long in [1, 5] {
        // Metrics are counted for the whole process, by the name of the provider.
        let name = format!("long_{long}");
        let mut setup = Setup::polling_with(|config| rename_provider(config, &name)).await;
        add_streams(&mut setup).await;
        let database = setup.daemon.config().store.sqlite.path.clone();
        let database = Connection::open(database).expect("opens");
        database.execute_batch("BEGIN IMMEDIATE").expect("locked");
        let come = async |count: usize| {
            let series =
                format!(r#"ssfd_events_ingested_total{{provider="{name}",source="http"}}"#);
            let come = async || setup.daemon.metric(&series).await.to_string() == count.to_string();
            eventually("the requests have come", come).await;
        };
        let publish = async |event: Value| {
            setup.daemon.publish(&setup.publisher, &event).await.expect(202);
        };
        let answered = RefCell::new(Vec::new());
        let others = (0..long).map(|n| {
            let event = about_with(&format!("long-{n}"), json!({"txn": format!("long {n}")}));
            async {
                publish(event).await;
                answered.borrow_mut().push("long");
            }
        });
        let short = async {
            come(long).await;
            let more = json!({"txn": "short", "stream_ids": [setup.stream]});
            let short = async {
                publish(about_with("lee", more)).await;
                answered.borrow_mut().push("short");
            };
            let unlock = async {
                come(long + 1).await;
                database.execute_batch("COMMIT").expect("unlocked");
            };
            join(short, unlock).await;
        };
        join(join_all(others), short).await;
        let answered = answered.into_inner();
        assert_eq!((answered[0], answered.len()), ("short", long + 1));
        let mut all = txns(&setup).await;
        all.sort_unstable();
        assert_eq!(all.len(), long + 1, "{all:?}");
    }
}

/// P3 of the design, within one request.
#[actix_web::test]
async fn the_events_of_one_request_keep_the_order_of_their_subjects() {
    let mut setup = Setup::polling().await;
    let beside = add_streams(&mut setup).await;
    let event = |n: usize| {
        let subject = ["kim", "lee", "max"][n % 3];
        let mut event = about_with(subject, json!({"txn": n.to_string()}));
        if !n.is_multiple_of(4) {
            event["stream_ids"] = json!([setup.stream]);
        }
        event
    };
    let events: Vec<_> = (0..24).map(event).collect();

    let answer = setup.daemon.publish(&setup.publisher, &json!(events)).await.expect(202).json();

    for (n, one) in answer["events"].as_array().expect("an answer for each").iter().enumerate() {
        let streams = if n % 4 == 0 { STREAMS } else { 1 };
        assert_eq!(*one, json!({"status": "accepted", "streams": streams}), "event {n}");
    }
    let all = txns(&setup).await;
    let numbers: Vec<usize> = all.iter().map(|txn| txn.parse().expect("a number")).collect();
    assert_eq!(numbers.len(), 24);
    for subject in 0..3 {
        assert!(numbers.iter().filter(|n| *n % 3 == subject).is_sorted(), "{numbers:?}");
    }
    let last = setup.daemon.store().waiting(&beside[STREAMS - 2].id).await.expect("readable");
    assert_eq!(last.sets, 6);
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
