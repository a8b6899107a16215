//! Streams whose endpoint is at fault (SSF §8.1.2) or unreachable.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ssfd::config::Config;

use crate::{
    harness::{
        daemon::rename_provider, eventually, receiver::Receiver, setup::Setup, streams::push_to,
    },
    scripted_server::{Gate, Reply},
};

/// Makes a stream pause at its third fault, however soon that comes.
pub(crate) fn impatient(config: &mut Config) {
    config.delivery.fault.pause_after = Duration::ZERO;
    config.delivery.fault.attempts_min = 3;
    config.delivery.fault.key_refusals_max = 3;
}

/// Starts a Receiver that answers with the current value of `status`.
pub(crate) async fn changeable(status: &Arc<AtomicUsize>) -> Receiver {
    let status = Arc::clone(status);
    Receiver::start(move |_, _| {
        let status = u16::try_from(status.load(Ordering::SeqCst)).expect("a status");
        let body = if status == 400 { r#"{"err":"invalid_key"}"# } else { "" };
        Reply::full(status, &[], body)
    })
    .await
}

pub(crate) async fn paused(setup: &Setup) -> String {
    let mut reason = String::new();
    eventually("the stream is paused", async || {
        let (status, why) = setup.status().await;
        reason = why;
        status == "paused"
    })
    .await;
    reason
}

/// PUSH-10, PUSH-11: the SET never reached the Receiver.
#[actix_web::test]
async fn a_stream_whose_endpoint_is_not_trusted_or_not_allowed_is_paused() {
    let receiver = Receiver::accepting_over_tls().await;
    for (label, allowed) in [("tls_untrusted", true), ("address_refused", false)] {
        // A literal address would be refused when the stream is created.
        let url = receiver.url("/in").replace("127.0.0.1", "localhost");
        let setup = Setup::new(push_to(&url), |config| {
            impatient(config);
            if !allowed {
                config.push.allow_networks.clear();
            }
        })
        .await;
        setup.publish(&["s-1"]).await;
        let reason = paused(&setup).await;
        assert!(reason.contains(label), "{reason}");
        assert!(1 <= setup.daemon.backlog().await, "the SET is held");
    }
}

/// PUSH-11: a SET that is given up frees its lane, and its stream stays enabled.
#[actix_web::test]
async fn a_set_that_is_given_up_leaves_the_stream_enabled() {
    let mut receiver = Receiver::start(|_, request| {
        Reply::status(if request.subject() == "poison" { 500 } else { 202 })
    })
    .await;
    let setup = Setup::pushing_with(&receiver, |config| {
        impatient(config);
        config.delivery.retry.give_up_after = Duration::from_millis(200);
    })
    .await;
    setup.publish(&["poison", "well"]).await;
    setup.settled().await;
    setup.publish(&["poison", "well"]).await;
    setup.settled().await;
    assert_eq!(setup.status().await.0, "enabled");
    let arrived = receiver.rest().iter().filter(|set| set.subject() == "well").count();
    assert_eq!(arrived, 2);
}

/// A busy endpoint is not at fault, however long it takes.
#[actix_web::test]
async fn a_busy_endpoint_leaves_its_stream_enabled() {
    let mut receiver = Receiver::answering([503, 429, 500, 503, 408, 425, 500, 503]).await;
    let setup = Setup::pushing_with(&receiver, impatient).await;
    setup.publish(&["s-1"]).await;
    receiver.next_few(9).await;
    setup.settled().await;
    assert_eq!(setup.status().await.0, "enabled");
}

/// Starts a Receiver that closes every connection without an answer until the gate is open.
async fn silent_until(repaired: &Gate) -> Receiver {
    let repaired = repaired.clone();
    Receiver::start(
        move |_, _| if repaired.is_open() { Reply::status(202) } else { Reply::Nothing },
    )
    .await
}

/// P4 of the design: an unreachable endpoint gets one attempt at a time, after a delay.
#[actix_web::test]
async fn an_unreachable_endpoint_is_only_probed() {
    let repaired = Gate::default();
    let mut receiver = silent_until(&repaired).await;
    let setup = Setup::pushing_with(&receiver, |config| {
        rename_provider(config, "out-of-reach");
        config.delivery.in_flight_max = 1;
        config.delivery.breaker.open_for = Duration::from_millis(100);
        config.delivery.breaker.open_for_max = Duration::from_millis(100);
    })
    .await;
    let about: Vec<_> = (0..40).map(|n| format!("s-{n}")).collect();
    setup.publish(&about.iter().map(String::as_str).collect::<Vec<_>>()).await;

    // The breaker opens after five failures in a row. The further attempts are probes.
    receiver.next_few(7).await;
    assert!(1.0 <= setup.daemon.metric("ssfd_endpoints_cut_off").await);
    let waiting = setup.waiting().await;
    assert_eq!(waiting.len(), about.len());
    assert!(
        waiting.iter().filter(|set| set.attempts == 0).count() >= 30,
        "most SETs were not attempted"
    );

    repaired.open();
    setup.settled().await;
}

/// SSF §8.1.4: the Receiver wants to know now whether its stream works.
#[actix_web::test]
async fn a_verification_is_sent_at_once_though_the_endpoint_was_out_of_reach() {
    let repaired = Gate::default();
    let mut receiver = silent_until(&repaired).await;
    let setup = Setup::pushing_with(&receiver, |config| {
        rename_provider(config, "verified-at-once");
        config.delivery.in_flight_max = 1;
        config.delivery.breaker.failures = 3;
        (config.delivery.breaker.open_for, config.delivery.breaker.open_for_max) =
            (Duration::from_hours(1), Duration::from_hours(1));
    })
    .await;
    setup.publish(&["s-1", "s-2"]).await;
    eventually("the breaker opens", async || setup.attempts("connect").await == 3).await;
    receiver.rest();
    // A first verification fails, and waits for its retry. The second does not wait for the first.
    setup.daemon.verify_stream(&setup.token, &setup.stream, "one").await.expect(204);
    assert_eq!(receiver.next().await.payload()["state"], "one");
    eventually("it has failed", async || setup.attempts("connect").await == 4).await;
    repaired.open();
    setup.daemon.verify_stream(&setup.token, &setup.stream, "two").await.expect(204);
    let mut states = Vec::new();
    while states.last().is_none_or(|last| last != "two") {
        states.push(receiver.next().await.payload()["state"].clone());
    }
    assert!(states.iter().all(|state| !state.is_null()), "before any event: {states:?}");
    setup.settled().await;
}
