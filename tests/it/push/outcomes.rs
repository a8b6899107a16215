//! What becomes of a SET by what its Receiver answers.

use std::time::Duration;

use serde_json::json;

use crate::{
    harness::{daemon::rename_provider, receiver::Receiver, scene::Scene},
    scripted_server::Reply,
};

/// PUSH-06 (RFC 8935 §2).
#[actix_web::test]
async fn a_set_that_was_turned_away_is_sent_again_as_the_same_bytes() {
    let failures = [401, 403, 302, 404];
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
