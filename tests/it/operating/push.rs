//! Push streams.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ssfd::domain::grant::Scope;

use crate::{
    harness::{
        events::STREAM_UPDATED, eventually, receiver::Receiver, setup::Setup, streams::push_to,
    },
    scripted_server::{Gate, Reply, Seen},
};

/// Adds a second stream, to the path `/other`. Once its SET has arrived, a SET of the first stream would
/// have arrived, too.
async fn add_other(setup: &Setup, receiver: &Receiver) {
    let token = setup.daemon.receiver_token("other", &[Scope::Manage]).await;
    setup.daemon.create_stream(&token, push_to(&receiver.url("/other"))).await;
}

/// Starts a Receiver that answers 503 until it is told to recover.
async fn failing() -> (Receiver, impl Fn()) {
    let healthy = Arc::new(AtomicBool::new(false));
    let recover = Arc::clone(&healthy);
    let receiver = Receiver::start(move |_, request| {
        let well = healthy.load(Ordering::SeqCst) || request.target == "/other";
        Reply::status(if well { 202 } else { 503 })
    })
    .await;
    (receiver, move || recover.store(true, Ordering::SeqCst))
}

fn is_announcement(request: &Seen) -> bool {
    request.claims()["events"].get(STREAM_UPDATED).is_some()
}

/// STAT-08: nothing comes after the announcement, not even a SET whose attempt was under way.
#[actix_web::test]
async fn an_announcement_waits_for_the_attempts_under_way() {
    let gate = Gate::default();
    let held = gate.clone();
    let mut receiver = Receiver::start(move |n, _| match n {
        0 => Reply::status(503).behind(&held),
        _ => Reply::status(202),
    })
    .await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.publish(&["s-1"]).await;
    receiver.next().await;
    setup.set_status("paused", "moving").await;
    assert!(receiver.rest().is_empty());

    gate.open();
    setup.assert_announced(&receiver.next().await.claims(), "paused", "moving");
    // The SET that failed is held, and not retried.
    eventually("the word is with it", async || setup.in_outbox().await == 1).await;
    assert!(receiver.rest().is_empty());
    setup.set_status("enabled", "").await;
    let few = receiver.next_few(2).await;
    assert_eq!(few.iter().filter(|request| is_announcement(request)).count(), 1);
    setup.settled().await;
}

/// STAT-08, P1 of the design.
#[actix_web::test]
async fn an_announcement_is_sent_after_a_restart_and_nothing_else() {
    let (mut receiver, recover) = failing().await;
    let mut setup = Setup::pushing_to(&receiver).await;
    setup.set_status("paused", "moving").await;
    let before = receiver.next().await.claims();
    setup.publish(&["s-1"]).await;
    setup.daemon.stop().await;
    receiver.rest();
    recover();
    setup.daemon.start_again().await;

    assert_eq!(receiver.next().await.claims(), before);
    setup.assert_announced(&before, "paused", "moving");
    eventually("it is settled", async || setup.in_outbox().await == 1).await;
    assert!(receiver.rest().is_empty());
    assert_eq!(setup.shown().await["status"], "paused");
}

/// STAT-07, STAT-08.
#[actix_web::test]
async fn a_disabled_stream_announces_it_and_discards_all_other_sets() {
    let (mut receiver, recover) = failing().await;
    let setup = Setup::pushing_with(&receiver, |config| {
        config.delivery.retry.schedule = vec![Duration::from_hours(1)];
    })
    .await;
    setup.publish(&["s-1"]).await;
    eventually("the failure is recorded", async || {
        setup.waiting().await.first().is_some_and(|set| set.attempts == 1)
    })
    .await;
    assert_eq!(receiver.next().await.subject(), "s-1");
    recover();

    setup.set_status("disabled", "contract ended").await;
    setup.assert_announced(&receiver.next().await.claims(), "disabled", "contract ended");
    setup.publish(&["s-2"]).await;
    setup.settled().await;

    setup.set_status("enabled", "a new one").await;
    setup.assert_announced(&receiver.next().await.claims(), "enabled", "a new one");
    setup.publish(&["s-3"]).await;
    assert_eq!(receiver.next().await.subject(), "s-3");
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

/// SSF §8.1.2 wants a change from paused to disabled announced, and §8.1.2.1 forbids to send anything
/// meanwhile. We send nothing.
#[actix_web::test]
async fn a_change_from_paused_to_disabled_is_not_announced() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.change_status("paused").await;
    setup.publish(&["s-1"]).await;
    setup.set_status("disabled", "contract ended").await;
    setup.set_status("paused", "or not").await;
    assert_eq!(setup.in_outbox().await, 0);
    setup.set_status("enabled", "after all").await;
    setup.assert_announced(&receiver.next().await.claims(), "enabled", "after all");
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

/// A Receiver that was away is told of the last change alone.
#[actix_web::test]
async fn an_announcement_that_was_not_delivered_is_replaced_by_the_next() {
    let (mut receiver, recover) = failing().await;
    let setup = Setup::pushing_to(&receiver).await;
    for (status, reason) in [("paused", "one"), ("enabled", "two"), ("paused", "three")] {
        setup.set_status(status, reason).await;
        assert_eq!(setup.in_outbox().await, 1);
    }
    // A change that is not announced by itself replaces the announcement, too.
    setup.set_status("disabled", "four").await;
    assert_eq!(setup.in_outbox().await, 1);
    recover();
    setup.settled().await;
    let last = receiver.rest().pop().expect("it was attempted");
    setup.assert_announced(&last.claims(), "disabled", "four");
}

/// STAT-11: the Receiver knows of its own change, and the announcement before is not true any more.
#[actix_web::test]
async fn a_change_by_the_receiver_is_not_announced() {
    let (mut receiver, recover) = failing().await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.set_status("paused", "moving").await;
    receiver.next().await;
    setup.change_status("enabled").await;
    assert_eq!(setup.in_outbox().await, 0);
    setup.change_status("paused").await;
    setup.change_status("enabled").await;
    setup.publish(&["s-1"]).await;
    // An announcement whose attempt was under way may still arrive, but before the next SET.
    while is_announcement(&receiver.next().await) {}
    recover();
    setup.settled().await;
    assert!(!receiver.rest().iter().any(is_announcement));
}

/// PUSH-13: an announcement is given up like any SET.
#[actix_web::test]
async fn an_announcement_to_a_dead_endpoint_is_given_up() {
    let (mut receiver, _) = failing().await;
    let setup = Setup::pushing_with(&receiver, |config| {
        config.delivery.retry.give_up_after = Duration::from_millis(100);
    })
    .await;
    add_other(&setup, &receiver).await;
    setup.set_status("paused", "your endpoint is down").await;
    setup.publish(&["s-1"]).await;
    while receiver.next().await.target != "/other" {}
    eventually("it is given up", async || setup.in_outbox().await == 1).await;
    assert_eq!(setup.shown().await["status"], "paused");
}
