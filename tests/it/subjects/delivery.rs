//! Unsettled SETs whose subject is removed. Access is judged when a SET is sent.

use std::time::Duration;

use serde_json::{Value, json};

use super::{none_by_default, opaque, with_provider};
use crate::{
    harness::{
        eventually,
        receiver::{Receiver, claims, subject},
        setup::Setup,
        streams::push_to,
    },
    scripted_server::Seen,
};

/// A time that is longer than any test.
const FOR_GOOD: Duration = Duration::from_hours(1);

#[actix_web::test]
async fn a_set_that_waits_for_a_retry_goes_with_its_subject() {
    let mut receiver = Receiver::answering([503]).await;
    let setup = Setup::pushing_with(&receiver, |config| {
        config.delivery.retry.schedule = vec![FOR_GOOD];
    })
    .await;
    setup.publish(&["kim"]).await;
    eventually("the failure is recorded", async || setup.waiting().await[0].attempts == 1).await;
    assert_eq!(receiver.next().await.subject(), "kim");

    setup.remove(&opaque("kim")).await;
    // The change makes the SET due.
    setup.change_status("paused").await;
    setup.change_status("enabled").await;
    eventually("the SET is discarded", async || setup.daemon.backlog().await == 0).await;
    setup.publish(&["kim", "lee"]).await;
    assert_eq!(receiver.next().await.subject(), "lee");
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

#[actix_web::test]
async fn a_set_that_a_paused_stream_holds_goes_with_its_subject() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_with(&receiver, none_by_default).await;
    for subject in ["kim", "lee"] {
        setup.add(&opaque(subject)).await;
    }
    setup.change_status("paused").await;
    setup.publish(&["kim", "lee", "kim"]).await;
    setup.remove(&opaque("kim")).await;
    setup.change_status("enabled").await;
    assert_eq!(receiver.next().await.subject(), "lee");
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

#[actix_web::test]
async fn a_set_that_waits_to_be_polled_goes_with_its_subject() {
    let setup = Setup::polling_with(|config| {
        config.poll.redelivery_interval = Duration::ZERO;
    })
    .await;
    setup.publish(&["kim", "lee"]).await;
    let polled = async || {
        let answer = setup.poll(json!({"returnImmediately": true})).await.expect(200).json();
        let sets = answer["sets"].as_object().expect("an object of SETs");
        let jws = |jws: &Value| jws.as_str().expect("a compact JWS").to_owned();
        let mut subjects: Vec<_> = sets.values().map(|set| subject(&claims(&jws(set)))).collect();
        subjects.sort();
        subjects
    };
    assert_eq!(polled().await, ["kim", "lee"]);
    setup.remove(&opaque("kim")).await;
    // The SET was handed out and would otherwise be handed out again.
    assert_eq!(polled().await, ["lee"]);
    assert_eq!(setup.daemon.backlog().await, 1);
}

/// SUBJ-08: a SET that waits longer than the grace period is not sent.
#[actix_web::test]
async fn a_set_that_waits_longer_than_the_grace_goes_with_its_subject() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::new(
        push_to(&receiver.url("/in")),
        with_provider(|provider| provider.subject_removal_grace = Duration::from_millis(300)),
    )
    .await;
    setup.remove(&opaque("kim")).await;
    setup.change_status("paused").await;
    let mut kept = 0;
    eventually("the grace ends", async || {
        let reached = setup.reaches(&opaque("kim")).await;
        kept += u64::from(reached);
        !reached
    })
    .await;
    assert_eq!(setup.daemon.backlog().await, kept);
    setup.change_status("enabled").await;
    setup.publish(&["lee"]).await;
    assert_eq!(receiver.next().await.subject(), "lee");
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

/// A removal concerns one subject. SETs about other subjects go on.
#[actix_web::test]
async fn a_removal_during_delivery_loses_no_set_about_other_subjects() {
    const ROUNDS: usize = 40;
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    for n in 0..ROUNDS {
        setup.publish(&[&format!("kept-{n}"), &format!("gone-{n}")]).await;
        setup.remove(&opaque(&format!("gone-{n}"))).await;
    }
    setup.settled().await;
    let arrived: Vec<_> = receiver.rest().iter().map(Seen::subject).collect();
    for n in 0..ROUNDS {
        let kept = format!("kept-{n}");
        assert_eq!(arrived.iter().filter(|subject| **subject == kept).count(), 1, "{kept}");
    }
}
