//! Streams of one host share its limits (P4 of the design).

use serde_json::json;

use crate::{
    harness::{receiver::Receiver, setup::Setup, streams::push_to},
    scripted_server::{Gate, Reply},
};

/// Starts a Receiver that does not answer at `/slow` until the gate is opened.
async fn receiver(gate: &Gate) -> Receiver {
    let held = gate.clone();
    Receiver::start(move |_, request| match request.target.as_str() {
        "/slow" => Reply::status(202).behind(&held),
        _ => Reply::status(202),
    })
    .await
}

async fn publish_many(setup: &Setup, count: usize) {
    let about: Vec<String> = (0..count).map(|n| format!("s-{n}")).collect();
    setup.publish(&about.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[actix_web::test]
async fn streams_of_one_host_share_its_limit_of_attempts() {
    const CAP: usize = 6;
    let gate = Gate::default();
    let mut receiver = receiver(&gate).await;
    let setup = Setup::new(push_to(&receiver.url("/slow")), |config| {
        config.delivery.host_in_flight_max = CAP;
    })
    .await;
    for _ in 0..3 {
        setup.daemon.create_stream(&setup.token, push_to(&receiver.url("/slow"))).await;
    }
    publish_many(&setup, 20).await;

    receiver.next_few(CAP).await;
    // The second Receiver is another host on the same machine. By the time its SETs have arrived,
    // any further SETs for the first host would have arrived too.
    let mut other = Receiver::accepting().await;
    setup.daemon.create_stream(&setup.token, push_to(&other.url("/in"))).await;
    publish_many(&setup, 20).await;
    other.next_few(20).await;
    assert!(receiver.rest().is_empty(), "no more attempts than allowed are in flight");

    gate.open();
    setup.settled().await;
}

/// A stream whose endpoint hangs uses its own limit of the host's attempts, and no more.
#[actix_web::test]
async fn a_slow_stream_leaves_room_for_another_of_its_host() {
    let gate = Gate::default();
    let mut receiver = receiver(&gate).await;
    let setup = Setup::new(push_to(&receiver.url("/slow")), |config| {
        config.delivery.in_flight_max = 3;
        config.delivery.host_in_flight_max = 4;
    })
    .await;
    setup.daemon.create_stream(&setup.token, push_to(&receiver.url("/in"))).await;
    publish_many(&setup, 50).await;
    let mut through = 0;
    while through < 50 {
        through += usize::from(receiver.next().await.target == "/in");
    }
    gate.open();
    setup.settled().await;
}

/// The host allows one attempt, so many streams must share it fairly.
#[actix_web::test]
async fn each_stream_of_one_host_makes_progress() {
    const STREAMS: usize = 8;
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::new(push_to(&receiver.url("/0")), |config| {
        config.delivery.host_in_flight_max = 1;
    })
    .await;
    for n in 1..STREAMS {
        setup.daemon.create_stream(&setup.token, push_to(&receiver.url(&format!("/{n}")))).await;
    }
    publish_many(&setup, 10).await;
    setup.settled().await;
    let arrived = receiver.rest();
    assert_eq!(arrived.len(), 10 * STREAMS);
    for n in 0..STREAMS {
        let target = format!("/{n}");
        assert_eq!(arrived.iter().filter(|set| set.target == target).count(), 10);
    }
}

/// A stream without room at its host has not read anything yet. After a change of its endpoint it
/// must wait for room at the new host and no longer at the old one.
#[actix_web::test]
async fn a_stream_that_moves_away_from_a_full_host_is_delivered_at_once() {
    let gate = Gate::default();
    let mut full = receiver(&gate).await;
    let setup = Setup::new(push_to(&full.url("/slow")), |config| {
        config.delivery.host_in_flight_max = 1;
    })
    .await;
    publish_many(&setup, 1).await;
    full.next().await;
    let waits = setup.daemon.create_stream(&setup.token, push_to(&full.url("/in"))).await;
    publish_many(&setup, 3).await;

    let mut free = Receiver::accepting().await;
    let moved = json!({"delivery": push_to(&free.url("/in"))});
    let answer = setup.daemon.update_stream(&setup.token, &waits, moved).await;
    assert_eq!(answer.status, 200);
    free.next_few(3).await;
    assert!(full.rest().is_empty(), "the first host has no room");
    gate.open();
    setup.settled().await;
}
