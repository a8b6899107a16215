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
        events::STREAM_UPDATED, eventually, receiver::Receiver, scene::Scene, streams::push_to,
    },
    scripted_server::{Gate, Reply, Seen},
};

/// A second stream, at the path `/other`: what arrives there could have arrived elsewhere too.
async fn add_other(scene: &Scene, receiver: &Receiver) {
    let token = scene.daemon.receiver_token("other", &[Scope::Manage]).await;
    scene.daemon.create_stream(&token, push_to(&receiver.url("/other"))).await;
}

/// Answers 503 until it is told to recover.
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

/// STAT-08: what is under way is not after the last word, either.
#[actix_web::test]
async fn the_last_word_waits_for_what_is_under_way() {
    let gate = Gate::default();
    let held = gate.clone();
    let mut receiver = Receiver::start(move |n, _| match n {
        0 => Reply::status(503).behind(&held),
        _ => Reply::status(202),
    })
    .await;
    let scene = Scene::pushing_to(&receiver).await;
    scene.publish(&["s-1"]).await;
    receiver.next().await;
    scene.set_status("paused", "moving").await;
    assert!(receiver.rest().is_empty());

    gate.open();
    scene.assert_announced(&receiver.next().await.claims(), "paused", "moving");
    // The one that failed is held, and not retried.
    eventually("the word is with it", async || scene.in_outbox().await == 1).await;
    assert!(receiver.rest().is_empty());
    scene.set_status("enabled", "").await;
    let few = receiver.next_few(2).await;
    assert_eq!(few.iter().filter(|request| is_announcement(request)).count(), 1);
    scene.settled().await;
}

/// STAT-08, P1 of the design.
#[actix_web::test]
async fn the_last_word_is_still_said_after_a_restart_and_nothing_else() {
    let (mut receiver, recover) = failing().await;
    let mut scene = Scene::pushing_to(&receiver).await;
    scene.set_status("paused", "moving").await;
    let before = receiver.next().await.claims();
    scene.publish(&["s-1"]).await;
    scene.daemon.stop().await;
    receiver.rest();
    recover();
    scene.daemon.start_again().await;

    assert_eq!(receiver.next().await.claims(), before);
    scene.assert_announced(&before, "paused", "moving");
    eventually("it is settled", async || scene.in_outbox().await == 1).await;
    assert!(receiver.rest().is_empty());
    assert_eq!(scene.shown().await["status"], "paused");
}

/// STAT-07, STAT-08: the word is not among what is discarded.
#[actix_web::test]
async fn a_disabled_stream_says_so_and_discards_all_else() {
    let (mut receiver, recover) = failing().await;
    let scene = Scene::pushing_with(&receiver, |config| {
        config.delivery.retry.schedule = vec![Duration::from_hours(1)];
    })
    .await;
    scene.publish(&["s-1"]).await;
    eventually("the failure is recorded", async || {
        scene.waiting().await.first().is_some_and(|set| set.attempts == 1)
    })
    .await;
    assert_eq!(receiver.next().await.subject(), "s-1");
    recover();

    scene.set_status("disabled", "contract ended").await;
    scene.assert_announced(&receiver.next().await.claims(), "disabled", "contract ended");
    scene.publish(&["s-2"]).await;
    scene.settled().await;

    scene.set_status("enabled", "a new one").await;
    scene.assert_announced(&receiver.next().await.claims(), "enabled", "a new one");
    scene.publish(&["s-3"]).await;
    assert_eq!(receiver.next().await.subject(), "s-3");
    scene.settled().await;
    assert!(receiver.rest().is_empty());
}

/// SSF §8.1.2 against §8.1.2.1: from one silence to the other, nothing is said.
#[actix_web::test]
async fn a_stream_that_is_silent_stays_so() {
    let mut receiver = Receiver::accepting().await;
    let scene = Scene::pushing_to(&receiver).await;
    scene.change_status("paused").await;
    scene.publish(&["s-1"]).await;
    scene.set_status("disabled", "contract ended").await;
    scene.set_status("paused", "or not").await;
    assert_eq!(scene.in_outbox().await, 0);
    scene.set_status("enabled", "after all").await;
    scene.assert_announced(&receiver.next().await.claims(), "enabled", "after all");
    scene.settled().await;
    assert!(receiver.rest().is_empty());
}

/// Of several changes the Receiver hears what is true when it can hear again.
#[actix_web::test]
async fn a_word_that_did_not_get_across_gives_way_to_the_next() {
    let (mut receiver, recover) = failing().await;
    let scene = Scene::pushing_to(&receiver).await;
    for (status, reason) in [("paused", "one"), ("enabled", "two"), ("paused", "three")] {
        scene.set_status(status, reason).await;
        assert_eq!(scene.in_outbox().await, 1);
    }
    // Not even a silent change leaves it as it was.
    scene.set_status("disabled", "four").await;
    assert_eq!(scene.in_outbox().await, 1);
    recover();
    scene.settled().await;
    let last = receiver.rest().pop().expect("it was attempted");
    scene.assert_announced(&last.claims(), "disabled", "four");
}

/// STAT-11: what the Receiver asks for it knows, and what it was to be told is not true any more.
#[actix_web::test]
async fn what_the_receiver_asks_for_is_not_announced() {
    let (mut receiver, recover) = failing().await;
    let scene = Scene::pushing_to(&receiver).await;
    scene.set_status("paused", "moving").await;
    receiver.next().await;
    scene.change_status("enabled").await;
    assert_eq!(scene.in_outbox().await, 0);
    scene.change_status("paused").await;
    scene.change_status("enabled").await;
    scene.publish(&["s-1"]).await;
    // A word that was on its way already may still arrive, but before what comes then.
    while is_announcement(&receiver.next().await) {}
    recover();
    scene.settled().await;
    assert!(!receiver.rest().iter().any(is_announcement));
}

/// PUSH-13: an endpoint that is dead delays nobody, and hears of it no more in the end.
#[actix_web::test]
async fn a_word_to_a_dead_endpoint_is_given_up() {
    let (mut receiver, _) = failing().await;
    let scene = Scene::pushing_with(&receiver, |config| {
        config.delivery.retry.give_up_after = Duration::from_millis(100);
    })
    .await;
    add_other(&scene, &receiver).await;
    scene.set_status("paused", "your endpoint is down").await;
    scene.publish(&["s-1"]).await;
    while receiver.next().await.target != "/other" {}
    eventually("it is given up", async || scene.in_outbox().await == 1).await;
    assert_eq!(scene.shown().await["status"], "paused");
}
