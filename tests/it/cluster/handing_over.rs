//! Nodes come and go, and streams are served all the time.

use std::collections::BTreeMap;

use super::team::{Team, key_of};
use crate::{
    harness::{events::about, eventually, receiver::Receiver, streams::push_to},
    scripted_server::{Gate, Reply},
};

/// More than there are nodes, so that each serves some.
const STREAMS: usize = 24;

/// Promise P8 of the design: what is under way is finished, and what is not goes on elsewhere.
#[actix_web::test]
async fn a_node_that_is_stopped_hands_over_and_nothing_comes_twice() {
    let mut team = Team::of(3, "delivery.sweep_interval = \"1h\"\n").await;
    let mut receiver = Receiver::accepting().await;
    for n in 0..STREAMS {
        team.create_stream(n % 3, &push_to(&receiver.url("/in"))).await;
    }
    let known = async |team: &Team| {
        for node in &team.nodes {
            let streams = async || node.streams(&team.token).await == STREAMS;
            eventually("every node knows every stream", streams).await;
        }
    };
    known(&team).await;
    let mut published = 0;
    for stopped in [2, 0] {
        for _ in 0..20 {
            team.publish(1.min(team.nodes.len() - 1), &about(&format!("s-{}", published % 7)))
                .await;
            published += 1;
        }
        team.stop(stopped).await;
    }
    team.publish(0, &about("last")).await;
    published += 1;

    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for seen in receiver.next_few(published * STREAMS).await {
        *copies.entry(seen.jti()).or_default() += 1;
    }
    assert_eq!(copies.len(), published * STREAMS, "none twice");
    team.is_shared().await;
    assert!(receiver.rest().is_empty());
}

/// Not before its lease has run out, which is the latest by its own time.
#[actix_web::test]
async fn the_streams_of_a_node_that_dies_are_taken_over() {
    let mut team = Team::of(2, "").await;
    let mut receiver = Receiver::accepting().await;
    for n in 0..STREAMS {
        team.create_stream(n % 2, &push_to(&receiver.url("/in"))).await;
    }
    let streams = async || team.nodes[0].streams(&team.token).await == STREAMS;
    eventually("the first node knows every stream", streams).await;
    let taken = async |team: &Team| -> BTreeMap<String, u64> {
        let all: BTreeMap<String, String> =
            team.redis.run(&["HGETALL", "{ssf:cluster}:slots"]).await;
        let epoch = |value: &String| value.split(' ').next().and_then(|epoch| epoch.parse().ok());
        all.iter().map(|(slot, value)| (slot.clone(), epoch(value).expect("an epoch"))).collect()
    };
    let before = taken(&team).await;

    drop(team.nodes.remove(1));
    // The daemon is killed with this: it says nothing any more.
    let leases: BTreeMap<String, String> =
        team.redis.run(&["HGETALL", "{ssf:cluster}:nodes"]).await;
    let until = |value: &String| value.split(' ').next().and_then(|until| until.parse().ok());
    let ends: Vec<u64> = leases.values().map(|value| until(value).expect("a time")).collect();
    let (secs, _): (u64, u64) = team.redis.run(&["TIME"]).await;
    assert_eq!(ends.len(), 2);
    assert!(ends.iter().all(|end| *end <= (secs + 1) * 1000 + 5000), "{ends:?} at {secs} s");

    team.publish(0, &about("s-1")).await;
    let arrived = receiver.next_few(STREAMS).await;
    assert!(arrived.iter().all(|seen| seen.subject() == "s-1"));
    team.is_shared().await;
    let after = taken(&team).await;
    let earliest = ends.iter().min().expect("two of them") * 1000;
    let moved: Vec<_> = after.iter().filter(|(slot, epoch)| before[*slot] != **epoch).collect();
    assert_eq!(moved.len(), 128);
    assert!(moved.iter().all(|(_, epoch)| earliest <= **epoch), "not while its lease lasted");
}

/// A process that is stopped does not know that its lease has run out, nor that another goes on.
#[actix_web::test]
async fn a_node_that_slept_through_its_lease_writes_no_result() {
    let mut team = Team::of(2, "push.attempt_timeout = \"5m\"\n").await;
    let (first, second) = (Gate::default(), Gate::default());
    let answers = [Reply::status(400).behind(&first), Reply::status(202).behind(&second)];
    let mut receiver = Receiver::start(move |n, _| answers[n.min(1)].clone()).await;
    let id = team.create_stream(0, &push_to(&receiver.url("/in"))).await;
    team.publish(0, &about("s-1")).await;
    let jti = receiver.next().await.jti();
    let sleeper = team.server_of(&id).await;
    let other = 1 - sleeper;
    team.nodes[sleeper].daemon.signal("STOP");
    assert_eq!(receiver.next().await.jti(), jti, "the other node goes on");

    // What is said to the sleeper would make it a dead letter.
    first.open();
    team.nodes[sleeper].daemon.signal("CONT");
    team.nodes[sleeper].logs("another node serves this stream now").await;
    assert_eq!(team.nodes[other].metric(BACKLOG).await, 1, "it is not settled");
    second.open();
    let settled = async || team.nodes[other].metric(BACKLOG).await == 0;
    eventually("the other node's result counts", settled).await;
    let delivered = r#"ssfd_sets_delivered_total{provider="default",method="push"}"#;
    assert_eq!(team.nodes[other].metric(delivered).await, 1);
    let dead: String = team.redis.run(&["ZCARD", &key_of(&id, "dead")]).await;
    assert_eq!(dead, "0", "no dead letter");
    team.is_shared().await;
    assert!(receiver.rest().is_empty(), "nor is it sent again");
}

const BACKLOG: &str = r#"ssfd_backlog_sets{provider="default"}"#;

/// A node that comes gets its part, whatever is under way.
#[actix_web::test]
async fn a_node_that_joins_gets_its_part_and_nothing_comes_twice() {
    let mut team = Team::of(1, "").await;
    let mut receiver = Receiver::accepting().await;
    for _ in 0..STREAMS {
        team.create_stream(0, &push_to(&receiver.url("/in"))).await;
    }
    let mut published = 0;
    for _ in 0..2 {
        for _ in 0..20 {
            team.publish(0, &about(&format!("s-{}", published % 7))).await;
            published += 1;
        }
        team.add().await;
    }
    team.is_shared().await;
    team.publish(2, &about("last")).await;
    published += 1;
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for seen in receiver.next_few(published * STREAMS).await {
        *copies.entry(seen.jti()).or_default() += 1;
    }
    assert_eq!(copies.len(), published * STREAMS, "none twice");
    assert!(receiver.rest().is_empty());
}
