//! Changes of a stream that has unsettled SETs.

use std::time::Duration;

use serde_json::{Map, json};
use ssfd::domain::grant::Scope;

use crate::{
    harness::{
        eventually,
        receiver::{Receiver, claims, subject},
        setup::Setup,
        streams::{by_poll, push_to},
    },
    scripted_server::{Gate, Reply, Seen},
};

/// A retry delay that is longer than any test.
const FOR_GOOD: Duration = Duration::from_hours(1);

/// Starts a Receiver that accepts SETs at every path except `/down`, where it fails.
async fn receiver() -> Receiver {
    Receiver::start(|_, request| Reply::status(if request.target == "/down" { 503 } else { 202 }))
        .await
}

/// Returns a stream whose Receiver is down, with one SET about `s-1` that waits for its retry until
/// the end of the test.
async fn blocked(receiver: &mut Receiver) -> Setup {
    let setup = Setup::new(push_to(&receiver.url("/down")), |config| {
        config.delivery.retry.schedule = vec![FOR_GOOD];
    })
    .await;
    setup.publish(&["s-1"]).await;
    eventually("the failure is recorded", async || setup.waiting().await[0].attempts == 1).await;
    assert_eq!(receiver.next().await.target, "/down");
    setup
}

/// Adds a second stream to the path `/other`. Once a SET has arrived there, a SET of the first
/// stream would have arrived too.
async fn add_other(setup: &Setup, receiver: &Receiver) {
    let token = setup.daemon.receiver_token("other", &[Scope::Manage]).await;
    setup.daemon.create_stream(&token, push_to(&receiver.url("/other"))).await;
}

fn arrivals(requests: &[Seen]) -> Vec<(&str, String)> {
    requests.iter().map(|request| (request.target.as_str(), request.subject())).collect()
}

/// SSF §8.1.2.
#[actix_web::test]
async fn a_disabled_stream_discards_its_sets() {
    let mut receiver = receiver().await;
    let setup = blocked(&mut receiver).await;

    setup.change_status("disabled").await;
    setup.publish(&["s-2"]).await;
    assert_eq!(setup.daemon.backlog().await, 0);

    setup.change_status("enabled").await;
    setup.update(json!({"delivery": push_to(&receiver.url("/in"))})).await;
    setup.publish(&["s-3"]).await;
    assert_eq!(arrivals(&[receiver.next().await]), [("/in", "s-3".to_owned())]);
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

/// SSF §8.1.2.1. If the SET in flight is accepted, it is settled. If it fails, it is held like the
/// SET behind it.
#[actix_web::test]
async fn an_attempt_in_flight_at_a_pause_ends_and_no_other_begins() {
    for (status, again) in [(202, vec!["s-1"]), (503, vec!["s-1", "s-1"])] {
        let gate = Gate::default();
        let held = gate.clone();
        let mut receiver = Receiver::start(move |n, _| match n {
            0 => Reply::status(status).behind(&held),
            _ => Reply::status(202),
        })
        .await;
        let setup = Setup::pushing_to(&receiver).await;
        setup.publish(&["s-1", "s-1"]).await;
        let under_way = receiver.next().await;
        setup.change_status("paused").await;
        gate.open();
        let ended = async || setup.in_outbox().await == again.len() as u64;
        eventually("the result is recorded", ended).await;
        assert!(receiver.rest().is_empty());

        setup.change_status("enabled").await;
        let sent = receiver.next_few(again.len()).await;
        assert_eq!(sent.iter().map(Seen::subject).collect::<Vec<_>>(), again);
        assert_eq!(sent[0].jti() == under_way.jti(), status == 503);
        setup.settled().await;
        assert!(receiver.rest().is_empty());
    }
}

/// SSF §8.1.1.5.
#[actix_web::test]
async fn a_deleted_stream_sends_no_more() {
    let mut receiver = receiver().await;
    let setup = Setup::new(push_to(&receiver.url("/down")), |_| {}).await;
    add_other(&setup, &receiver).await;
    setup.publish(&["s-1"]).await;
    eventually("the failure is recorded", async || {
        setup.waiting().await.first().is_some_and(|set| 0 < set.attempts)
    })
    .await;

    setup.daemon.delete_stream(&setup.token, &setup.stream).await.expect(204);

    assert!(setup.waiting().await.is_empty());
    setup.publish(&["s-2"]).await;
    while receiver.next().await.subject() != "s-2" {}
    assert!(receiver.rest().is_empty());
}

/// The SET is sent to the new endpoint at once, because the failures of the old endpoint do not
/// count for the new one (SSF §8.1.1.3).
#[actix_web::test]
async fn unsettled_sets_go_to_the_new_endpoint_and_none_to_the_old_one() {
    let mut receiver = receiver().await;
    let setup = blocked(&mut receiver).await;

    setup.update(json!({"delivery": push_to(&receiver.url("/in"))})).await;

    assert_eq!(arrivals(&[receiver.next().await]), [("/in", "s-1".to_owned())]);
    setup.publish(&["s-1", "s-2"]).await;
    let then = receiver.next_few(2).await;
    assert!(then.iter().all(|set| set.target == "/in"), "{:?}", arrivals(&then));
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

/// The old endpoint answers after the stream has moved (SSF §8.1.1.3).
#[actix_web::test]
async fn a_failed_attempt_at_the_old_endpoint_is_retried_at_the_new_one() {
    let gate = Gate::default();
    let held = gate.clone();
    let mut receiver = Receiver::start(move |_, request| match request.target.as_str() {
        "/down" => Reply::status(503).behind(&held),
        _ => Reply::status(202),
    })
    .await;
    let setup = Setup::new(push_to(&receiver.url("/down")), |config| {
        config.delivery.retry.schedule = vec![FOR_GOOD];
    })
    .await;
    setup.publish(&["s-1"]).await;
    let failed = receiver.next().await;

    setup.update(json!({"delivery": push_to(&receiver.url("/in"))})).await;
    gate.open();

    let then = receiver.next().await;
    assert_eq!((then.target.as_str(), then.jti()), ("/in", failed.jti()));
    setup.settled().await;
}

/// SSF §8.1.1.3.
#[actix_web::test]
async fn unsettled_sets_can_be_polled_once_a_push_stream_becomes_a_poll_stream() {
    let mut receiver = receiver().await;
    let setup = blocked(&mut receiver).await;
    let jti = setup.waiting().await[0].jti.to_string();

    setup.update(json!({"delivery": by_poll()})).await;

    let answer = setup.poll(json!({"returnImmediately": true})).await.expect(200).json();
    let set = answer["sets"][&jti].as_str().expect("the SET that waits");
    assert_eq!(subject(&claims(set)), "s-1");
    assert!(receiver.rest().is_empty());
}

/// SSF §8.1.1.3.
#[actix_web::test]
async fn unsettled_sets_are_pushed_once_a_poll_stream_becomes_a_push_stream() {
    let mut receiver = receiver().await;
    let setup = Setup::polling_with(|config| config.poll.redelivery_interval = FOR_GOOD).await;
    setup.publish(&["s-1"]).await;
    let answer = setup.poll(json!({})).await.expect(200).json();
    assert_eq!(answer["sets"].as_object().map(Map::len), Some(1), "{answer}");

    setup.update(json!({"delivery": push_to(&receiver.url("/in"))})).await;

    let set = receiver.next().await;
    assert_eq!(answer["sets"][set.jti()].as_str().map(claims), Some(set.claims()));
    setup.settled().await;
}
