//! How SETs are settled.

use std::time::Duration;

use serde_json::json;
use ssfd::{config::Config, domain::grant::Scope};

use super::{handed_out, jtis, poll_now, subjects};
use crate::harness::{daemon::rename_provider, scene::Scene, streams::by_poll};

/// Each poll hands out everything that is not settled.
fn at_once(config: &mut Config) {
    config.poll.redelivery_interval = Duration::ZERO;
}

/// POLL-06, POLL-09 (RFC 8936 §2.1, §2.4).
#[actix_web::test]
async fn what_a_poll_acknowledges_is_not_in_its_answer_nor_in_a_later_one() {
    let scene = Scene::polling_with(at_once).await;
    let sets = handed_out(&scene, &["s-1", "s-2", "s-3"]).await;

    let answer = poll_now(&scene, json!({"ack": sets[..2]})).await;
    assert_eq!(jtis(&answer), sets[2..]);
    assert_eq!(jtis(&poll_now(&scene, json!({})).await), sets[2..]);

    let answer = poll_now(&scene, json!({"ack": sets})).await;
    assert_eq!(answer.json(), json!({"sets": {}}), "an acknowledgement may be repeated");
    scene.settled().await;
}

/// POLL-05 (RFC 8936 §2.4.2).
#[actix_web::test]
async fn a_poll_may_acknowledge_and_ask_for_nothing() {
    let scene = Scene::polling_with(at_once).await;
    let sets = handed_out(&scene, &["s-1"]).await;

    let answer = poll_now(&scene, json!({"maxEvents": 0, "ack": sets})).await;

    assert_eq!(answer.json(), json!({"sets": {}}));
    scene.settled().await;
}

/// POLL-10 (RFC 8936 §2.6).
#[actix_web::test]
async fn a_set_that_the_receiver_refuses_is_dead() {
    let name = "poll-refused";
    let scene = Scene::polling_with(|config| {
        rename_provider(config, name);
        at_once(config);
    })
    .await;
    let sets = handed_out(&scene, &["s-1", "s-2", "s-3"]).await;

    let errors = json!({
        sets[0].as_str(): {"err": "invalid_audience", "description": "not for us"},
        sets[1].as_str(): {"err": "made_up"},
    });
    let answer = poll_now(&scene, json!({"setErrs": errors})).await;

    assert_eq!(jtis(&answer), sets[2..]);
    assert_eq!(scene.waiting().await.len(), 1);
    for reason in ["invalid_audience", "other"] {
        let dead = format!(r#"ssfd_sets_dead_total{{provider="{name}",reason="{reason}"}}"#);
        assert_eq!(scene.daemon.metric(&dead).await.to_string(), "1", "{reason}");
    }
}

/// POLL-09.
#[actix_web::test]
async fn a_jti_that_does_not_wait_is_ignored() {
    let scene = Scene::polling_with(at_once).await;
    let sets = handed_out(&scene, &["s-1"]).await;

    let unknown = json!({
        "ack": ["no-such-jti", "not a jti at all \u{0}", ""],
        "setErrs": {"no-such-jti-2": {"err": "invalid_key", "description": ""}},
    });
    assert_eq!(jtis(&poll_now(&scene, unknown).await), sets);
}

/// POLL-13 (SSF §8).
#[actix_web::test]
async fn a_receiver_settles_nothing_of_another() {
    let scene = Scene::polling_with(at_once).await;
    let sets = handed_out(&scene, &["s-1"]).await;
    let other = scene.daemon.receiver_token("other", &[Scope::Manage]).await;
    let stream = scene.daemon.create_stream(&other, by_poll()).await;

    let body = json!({"ack": sets, "setErrs": {sets[0].as_str(): {"err": "invalid_key"}},
        "returnImmediately": true});
    scene.daemon.poll(&other, &stream, &body).await.expect(200);
    scene.daemon.poll(&other, &scene.stream, &body).await.expect(404);

    assert_eq!(jtis(&poll_now(&scene, json!({})).await), sets);
}

/// POLL-14 (SSF §8.1.2.1).
#[actix_web::test]
async fn a_paused_stream_hands_out_nothing_and_takes_acknowledgements() {
    let scene = Scene::polling_with(at_once).await;
    let sets = handed_out(&scene, &["s-1", "s-2"]).await;
    scene.change_status("paused").await;
    scene.publish(&["s-3"]).await;

    let answer = poll_now(&scene, json!({"ack": sets[..1]})).await;
    assert_eq!(answer.json(), json!({"sets": {}}));

    scene.change_status("enabled").await;
    assert_eq!(subjects(&poll_now(&scene, json!({})).await), ["s-2", "s-3"]);
}

/// POLL-14 (SSF §8.1.2.1).
#[actix_web::test]
async fn a_disabled_stream_discards_what_waited() {
    let scene = Scene::polling_with(at_once).await;
    handed_out(&scene, &["s-1"]).await;
    scene.change_status("disabled").await;
    scene.publish(&["s-2"]).await;

    assert_eq!(poll_now(&scene, json!({})).await.json(), json!({"sets": {}}));

    scene.change_status("enabled").await;
    scene.publish(&["s-3"]).await;
    assert_eq!(subjects(&poll_now(&scene, json!({})).await), ["s-3"]);
}

/// P1 of the design.
#[actix_web::test]
async fn what_is_acknowledged_stays_so_over_a_restart_and_the_rest_is_kept() {
    let mut scene = Scene::polling_with(at_once).await;
    let sets = handed_out(&scene, &["s-1", "s-2"]).await;
    poll_now(&scene, json!({"ack": sets[..1]})).await;

    scene.daemon.restart().await;

    assert_eq!(jtis(&poll_now(&scene, json!({})).await), sets[1..]);
}
