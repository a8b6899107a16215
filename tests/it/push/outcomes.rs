//! What becomes of a SET by what its Receiver answers.

use std::time::Duration;

use serde_json::json;
use ssfd::clock;

use crate::{
    harness::{
        daemon::rename_provider, eventually, receiver::Receiver, scene::Scene, streams::push_to,
    },
    scripted_server::{Reply, Seen},
};

/// PUSH-05, PUSH-06, PUSH-07 (RFC 8935 §2).
#[actix_web::test]
async fn a_set_that_did_not_get_across_is_sent_again_as_the_same_bytes() {
    let failures = [500, 503, 408, 425, 429, 401, 403, 302, 404];
    let mut receiver = Receiver::answering(failures).await;
    let scene = Scene::pushing_to(&receiver).await;

    scene.publish(&["s-1"]).await;

    let attempts = receiver.next_few(failures.len() + 1).await;
    for attempt in &attempts {
        assert_eq!(attempt.body, attempts[0].body);
    }
    scene.settled().await;
    assert!(receiver.rest().is_empty());
}

/// PUSH-05 (RFC 9110 §10.2.3).
#[actix_web::test]
async fn retry_after_outweighs_the_schedule() {
    let receiver = Receiver::start(|_, _| Reply::full(429, &[("retry-after", "1800")], "")).await;
    let scene = Scene::pushing_to(&receiver).await;
    let before = clock::now();

    scene.publish(&["s-1"]).await;

    eventually("the failure is recorded", async || scene.waiting().await[0].attempts == 1).await;
    let due_at = scene.waiting().await[0].due_at;
    assert!(before + Duration::from_mins(30) <= due_at, "{due_at:?}");
}

/// PUSH-03 (RFC 8935 §2.2).
#[actix_web::test]
async fn any_success_ends_the_delivery() {
    let mut receiver = Receiver::answering([200, 201, 204]).await;
    let name = "any-success";
    let scene = Scene::pushing_with(&receiver, |config| rename_provider(config, name)).await;

    scene.publish(&["s-1", "s-1", "s-1", "s-1"]).await;

    receiver.next_few(4).await;
    scene.settled().await;
    assert!(receiver.rest().is_empty());
    let deviations = format!(r#"ssfd_push_deviations_total{{provider="{name}"}}"#);
    assert_eq!(scene.daemon.metric(&deviations).await.to_string(), "3");
}

/// PUSH-04, PUSH-08 (RFC 8935 §2.3, §2.4).
#[actix_web::test]
async fn a_refused_set_is_dead_and_the_one_behind_it_goes_on() {
    let refusals = [
        (r#"{"err":"invalid_request","description":"no"}"#, "invalid_request"),
        (r#"{"err":"invalid_key"}"#, "invalid_key"),
        (r#"{"err":"invalid_issuer"}"#, "invalid_issuer"),
        (r#"{"err":"invalid_audience"}"#, "invalid_audience"),
        (r#"{"err":"made_up"}"#, "other"),
        ("", "other"),
        ("<html>", "other"),
    ];
    let script = move |n: usize| match refusals.get(n) {
        Some((body, _)) => Reply::full(400, &[("content-type", "application/json")], body),
        None => Reply::status(202),
    };
    let mut receiver = Receiver::start(move |n, _| script(n)).await;
    let name = "refused";
    let scene = Scene::pushing_with(&receiver, |config| rename_provider(config, name)).await;

    scene.publish(&["s-1"; 8]).await;

    let sets = receiver.next_few(refusals.len() + 1).await;
    let mut jtis: Vec<_> = sets.iter().map(Seen::jti).collect();
    jtis.dedup();
    assert_eq!(jtis.len(), refusals.len() + 1, "none is sent twice: {jtis:?}");
    scene.settled().await;
    for (_, reason) in refusals {
        let expected = refusals.iter().filter(|(_, other)| *other == reason).count();
        let dead = format!(r#"ssfd_sets_dead_total{{provider="{name}",reason="{reason}"}}"#);
        assert_eq!(scene.daemon.metric(&dead).await.to_string(), expected.to_string(), "{reason}");
    }
}

/// PUSH-06 (RFC 8935 §2.4): these blame our credentials and not the SET.
#[actix_web::test]
async fn a_set_survives_the_refusal_of_our_credentials() {
    let codes = ["authentication_failed", "access_denied"];
    let script = move |n: usize| match codes.get(n) {
        Some(code) => Reply::full(400, &[], &json!({"err": code}).to_string()),
        None => Reply::status(202),
    };
    let mut receiver = Receiver::start(move |n, _| script(n)).await;
    let scene = Scene::pushing_to(&receiver).await;

    scene.publish(&["s-1"]).await;

    let attempts = receiver.next_few(3).await;
    assert_eq!(attempts[0].body, attempts[2].body);
    scene.settled().await;
}

/// PUSH-11.
#[actix_web::test]
async fn a_set_is_given_up_by_its_age() {
    let receiver = Receiver::start(|_, _| Reply::status(503)).await;
    let name = "given-up";
    let scene = Scene::pushing_with(&receiver, |config| {
        rename_provider(config, name);
        config.delivery.retry.give_up_after = Duration::from_millis(100);
    })
    .await;

    scene.publish(&["s-1"]).await;

    scene.settled().await;
    let dead = format!(r#"ssfd_sets_dead_total{{provider="{name}",reason="expired"}}"#);
    assert_eq!(scene.daemon.metric(&dead).await.to_string(), "1");
}

/// PUSH-12: it waits, since the operator may allow the network after all.
#[actix_web::test]
async fn a_set_for_an_endpoint_in_our_own_network_is_not_sent() {
    let mut receiver = Receiver::accepting().await;
    let name = "own-network";
    let scene = Scene::pushing_with(&receiver, |config| {
        rename_provider(config, name);
        config.push.allow_networks.clear();
    })
    .await;

    scene.publish(&["s-1"]).await;

    let series =
        format!(r#"ssfd_attempts_failed_total{{provider="{name}",class="address_refused"}}"#);
    eventually("an attempt is refused", async || scene.daemon.metric(&series).await >= 1.0).await;
    assert_eq!(scene.waiting().await.len(), 1);
    assert!(receiver.rest().is_empty());
}

/// SSF §6.1.1: as the Receiver gave it, byte for byte.
#[actix_web::test]
async fn the_authorization_header_goes_along_as_it_was_given() {
    let mut receiver = Receiver::accepting().await;
    let mut delivery = push_to(&receiver.url("/in"));
    delivery["authorization_header"] = "Custom  rx secret=7".into();
    let scene = Scene::new(delivery, |_| {}).await;

    scene.publish(&["s-1"]).await;
    assert_eq!(receiver.next().await.headers["authorization"], "Custom  rx secret=7");

    scene.update(json!({"delivery": push_to(&receiver.url("/in"))})).await;
    scene.publish(&["s-1"]).await;
    assert!(!receiver.next().await.headers.contains_key("authorization"));
}
