//! Streams are delivered without a gap while nodes join, depart, crash and are suspended.

use std::collections::BTreeMap;

use super::daemons::{Daemons, key_of};
use crate::{
    harness::{events::about, eventually, receiver::Receiver, streams::push_to},
    scripted_server::{Gate, Reply},
};

/// Many more than there are nodes, so that each node serves some.
const STREAMS: usize = 24;

/// Promise P8 of the design: attempts in progress are finished, and the other SETs are delivered by
/// other nodes.
#[actix_web::test]
async fn a_node_that_is_stopped_hands_over_and_no_set_arrives_twice() {
    let mut daemons = Daemons::start(3, "delivery.sweep_interval = \"1h\"\n").await;
    let mut receiver = Receiver::accepting().await;
    for n in 0..STREAMS {
        daemons.create_stream(n % 3, &push_to(&receiver.url("/in"))).await;
    }
    let known = async |daemons: &Daemons| {
        for node in &daemons.nodes {
            let streams = async || node.streams(&daemons.receiver_token).await == STREAMS;
            eventually("every node knows every stream", streams).await;
        }
    };
    known(&daemons).await;
    let mut published = 0;
    for stopped in [2, 0] {
        for _ in 0..20 {
            daemons
                .publish(1.min(daemons.nodes.len() - 1), &about(&format!("s-{}", published % 7)))
                .await;
            published += 1;
        }
        daemons.stop(stopped).await;
    }
    daemons.publish(0, &about("last")).await;
    published += 1;

    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for seen in receiver.next_few(published * STREAMS).await {
        *copies.entry(seen.jti()).or_default() += 1;
    }
    assert_eq!(copies.len(), published * STREAMS, "no SET arrives twice");
    daemons.are_balanced().await;
    assert!(receiver.rest().is_empty());
}

/// The takeover happens no earlier than the end of the crashed node's lease, by the clock of Redis.
#[actix_web::test]
async fn the_streams_of_a_node_that_crashes_are_taken_over() {
    let mut daemons = Daemons::start(2, "").await;
    let mut receiver = Receiver::accepting().await;
    for n in 0..STREAMS {
        daemons.create_stream(n % 2, &push_to(&receiver.url("/in"))).await;
    }
    let streams = async || daemons.nodes[0].streams(&daemons.receiver_token).await == STREAMS;
    eventually("the first node knows every stream", streams).await;
    let epochs = async |daemons: &Daemons| -> BTreeMap<String, u64> {
        let all: BTreeMap<String, String> =
            daemons.redis.run(&["HGETALL", "{ssf:cluster}:slots"]).await;
        let epoch = |value: &String| value.split(' ').next().and_then(|epoch| epoch.parse().ok());
        all.iter().map(|(slot, value)| (slot.clone(), epoch(value).expect("an epoch"))).collect()
    };
    let before = epochs(&daemons).await;

    drop(daemons.nodes.remove(1));
    // Dropping the node kills its daemon, so that it sends no further heartbeat.
    let leases: BTreeMap<String, String> =
        daemons.redis.run(&["HGETALL", "{ssf:cluster}:nodes"]).await;
    let until = |value: &String| value.split(' ').next().and_then(|until| until.parse().ok());
    let ends: Vec<u64> = leases.values().map(|value| until(value).expect("a time")).collect();
    let (secs, _): (u64, u64) = daemons.redis.run(&["TIME"]).await;
    assert_eq!(ends.len(), 2);
    assert!(ends.iter().all(|end| *end <= (secs + 1) * 1000 + 5000), "{ends:?} at {secs} s");

    daemons.publish(0, &about("s-1")).await;
    let arrived = receiver.next_few(STREAMS).await;
    assert!(arrived.iter().all(|seen| seen.subject() == "s-1"));
    daemons.are_balanced().await;
    let after = epochs(&daemons).await;
    let earliest = ends.iter().min().expect("two of them") * 1000;
    let moved: Vec<_> = after.iter().filter(|(slot, epoch)| before[*slot] != **epoch).collect();
    assert_eq!(moved.len(), 128);
    assert!(moved.iter().all(|(_, epoch)| earliest <= **epoch), "not before the lease has expired");
}

/// A suspended process does not know that its lease has expired and that another node has taken
/// over.
#[actix_web::test]
async fn a_node_that_was_suspended_beyond_its_lease_writes_no_result() {
    let mut daemons = Daemons::start(2, "push.attempt_timeout = \"5m\"\n").await;
    let (first, second) = (Gate::default(), Gate::default());
    let answers = [Reply::status(400).behind(&first), Reply::status(202).behind(&second)];
    let mut receiver = Receiver::start(move |n, _| answers[n.min(1)].clone()).await;
    let id = daemons.create_stream(0, &push_to(&receiver.url("/in"))).await;
    daemons.publish(0, &about("s-1")).await;
    let jti = receiver.next().await.jti();
    let suspended = daemons.owner_of(&id).await;
    let other = 1 - suspended;
    daemons.nodes[suspended].daemon.signal("STOP");
    assert_eq!(receiver.next().await.jti(), jti, "the other node delivers it");

    // The answer to the suspended node's attempt would make the SET a dead letter.
    first.open();
    daemons.nodes[suspended].daemon.signal("CONT");
    daemons.nodes[suspended].logs("another node serves this stream now").await;
    assert_eq!(daemons.nodes[other].metric(BACKLOG).await, 1, "the SET is not settled");
    second.open();
    let settled = async || daemons.nodes[other].metric(BACKLOG).await == 0;
    eventually("the other node's result counts", settled).await;
    let delivered = r#"ssfd_sets_delivered_total{provider="default",method="push"}"#;
    assert_eq!(daemons.nodes[other].metric(delivered).await, 1);
    let dead: String = daemons.redis.run(&["ZCARD", &key_of(&id, "dead")]).await;
    assert_eq!(dead, "0", "no dead letter");
    daemons.are_balanced().await;
    assert!(receiver.rest().is_empty(), "the SET is not sent again");
}

const BACKLOG: &str = r#"ssfd_backlog_sets{provider="default"}"#;

/// A new node gets its share while SETs are being delivered.
#[actix_web::test]
async fn a_node_that_joins_gets_its_share_and_no_set_arrives_twice() {
    let mut daemons = Daemons::start(1, "").await;
    let mut receiver = Receiver::accepting().await;
    for _ in 0..STREAMS {
        daemons.create_stream(0, &push_to(&receiver.url("/in"))).await;
    }
    let mut published = 0;
    for _ in 0..2 {
        for _ in 0..20 {
            daemons.publish(0, &about(&format!("s-{}", published % 7))).await;
            published += 1;
        }
        daemons.add().await;
    }
    daemons.are_balanced().await;
    daemons.publish(2, &about("last")).await;
    published += 1;
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for seen in receiver.next_few(published * STREAMS).await {
        *copies.entry(seen.jti()).or_default() += 1;
    }
    assert_eq!(copies.len(), published * STREAMS, "no SET arrives twice");
    assert!(receiver.rest().is_empty());
}
