//! What an answer holds.

use std::time::Duration;

use hyper::header::CONTENT_TYPE;
use serde_json::json;

use super::{handed_out, jtis, poll_now, subjects};
use crate::harness::{http_client::Answer, receiver::claims, scene::Scene};

/// POLL-02 (RFC 8936 §2.3).
#[actix_web::test]
async fn each_set_stands_under_its_jti_and_verifies() {
    let scene = Scene::polling().await;
    scene.publish(&["s-1", "s-2"]).await;

    let answer = poll_now(&scene, json!({})).await;

    assert_eq!(answer.header(CONTENT_TYPE), "application/json");
    let verifier = scene.daemon.verifier(scene.daemon.provider()).await;
    let sets = answer.json()["sets"].as_object().expect("an object").clone();
    assert_eq!(sets.len(), 2);
    for (jti, jws) in sets {
        let set = verifier.verify(jws.as_str().expect("text")).expect("a SET of ours");
        assert_eq!(set.claims["jti"], json!(jti));
    }
}

/// POLL-03, POLL-08 (RFC 8936 §2.2, §2.3).
#[actix_web::test]
async fn max_events_bounds_an_answer_and_the_rest_is_said_to_be_available() {
    let scene = Scene::polling().await;
    scene.publish(&["s-1", "s-2", "s-3", "s-4", "s-5"]).await;

    let first = poll_now(&scene, json!({"maxEvents": 2})).await;
    assert_eq!(subjects(&first), ["s-1", "s-2"]);
    assert_eq!(first.json()["moreAvailable"], true);

    let rest = poll_now(&scene, json!({"maxEvents": 3})).await;
    assert_eq!(subjects(&rest), ["s-3", "s-4", "s-5"]);
    assert!(!rest.json().as_object().expect("an object").contains_key("moreAvailable"));
}

/// POLL-03 (RFC 8936 §2.2).
#[actix_web::test]
async fn an_answer_is_bounded_by_our_own_default_and_maximum() {
    let scene = Scene::polling_with(|config| {
        (config.poll.events_default, config.poll.events_max) = (2, 3);
    })
    .await;
    scene.publish(&["s-1", "s-2", "s-3", "s-4", "s-5", "s-6"]).await;

    assert_eq!(subjects(&poll_now(&scene, json!({})).await), ["s-1", "s-2"]);
    let most = poll_now(&scene, json!({"maxEvents": 1000})).await;
    assert_eq!(subjects(&most), ["s-3", "s-4", "s-5"]);
    assert_eq!(most.json()["moreAvailable"], true);
}

/// POLL-07 (RFC 8936 §2.4).
#[actix_web::test]
async fn a_set_that_is_not_acknowledged_is_handed_out_again() {
    let scene = Scene::polling_with(|config| {
        config.poll.redelivery_interval = Duration::ZERO;
    })
    .await;
    scene.publish(&["s-1", "s-2"]).await;
    let first = poll_now(&scene, json!({"maxEvents": 1})).await;

    let again = poll_now(&scene, json!({"maxEvents": 1})).await;

    assert_eq!(jtis(&again), jtis(&first));
    let set =
        |answer: &Answer| claims(answer.json()["sets"][&jtis(&first)[0]].as_str().expect("a SET"));
    assert_eq!(set(&again), set(&first));
    assert_eq!(subjects(&again), ["s-1"], "the oldest first");
}

/// POLL-07 (RFC 8936 §2.4).
#[actix_web::test]
async fn a_set_that_was_handed_out_stays_away_for_the_redelivery_interval() {
    let scene = Scene::polling().await;
    handed_out(&scene, &["s-1"]).await;

    assert_eq!(poll_now(&scene, json!({})).await.json(), json!({"sets": {}}));
    assert_eq!(scene.waiting().await.len(), 1);
}

/// VER-07 (SSF §8.1.4.2): the Receiver asked for it and waits for it.
#[actix_web::test]
async fn a_verification_comes_before_what_has_waited_longer() {
    let scene = Scene::polling().await;
    scene.publish(&["s-1", "s-2"]).await;
    scene.daemon.verify_stream(&scene.token, &scene.stream, "state-7").await.expect(204);

    let answer = poll_now(&scene, json!({"maxEvents": 1})).await.json();

    let sets = answer["sets"].as_object().expect("an object");
    let claims = claims(sets.values().next().and_then(|set| set.as_str()).expect("one SET"));
    let events = claims["events"].as_object().expect("an object");
    assert_eq!(events.values().next(), Some(&json!({"state": "state-7"})), "{claims}");
}
