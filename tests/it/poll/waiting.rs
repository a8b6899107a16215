//! Long polls (RFC 8936 §2.5).

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    http_client::post,
    polling::{handed_out, meanwhile, subjects, waits_long},
    scene::Scene,
};

/// POLL-07 (RFC 8936 §2.4).
#[actix_web::test]
async fn a_long_poll_ends_when_a_set_is_due_for_redelivery() {
    let scene = Scene::polling_with(|config| {
        waits_long(config);
        config.poll.redelivery_interval = Duration::from_millis(300);
    })
    .await;
    handed_out(&scene, &["s-1"]).await;
    assert_eq!(subjects(&scene.poll(json!({})).await), ["s-1"]);
}

/// SSF §8.1.2: the status of the stream at the time of the answer counts.
#[actix_web::test]
async fn a_long_poll_of_a_paused_stream_ends_when_it_is_enabled_and_has_a_set() {
    let scene = Scene::polling_with(waits_long).await;
    let resumed = async {
        scene.change_status("paused").await;
        scene.publish(&["s-1"]).await;
        scene.change_status("enabled").await;
    };
    assert_eq!(subjects(&meanwhile(&scene, json!({}), resumed).await), ["s-1"]);
}

/// SSF §8.1.1.5.
#[actix_web::test]
async fn a_long_poll_ends_when_its_stream_is_deleted() {
    let scene = Scene::polling_with(waits_long).await;
    let deleted = async {
        scene.daemon.delete_stream(&scene.token, &scene.stream).await.expect(204);
    };
    meanwhile(&scene, json!({}), deleted).await.expect(404);
}

/// P8 of the design.
#[actix_web::test]
async fn a_long_poll_ends_when_the_daemon_stops() {
    let mut scene = Scene::polling_with(waits_long).await;
    let ack = json!({"ack": handed_out(&scene, &["acknowledged"]).await});
    let url = scene.daemon.provider_url(scene.daemon.provider(), "/ssf/poll/");
    let call = post(&format!("{url}{}", scene.stream));
    let poll = call.bearer(&scene.token).json(&ack).send();
    let stop = async {
        scene.settled().await;
        scene.daemon.stop().await;
    };
    assert_eq!(tokio::join!(poll, stop).0.expect(200).json(), json!({"sets": {}}));
}

/// SEC-04: the number of waiting polls is bounded.
#[actix_web::test]
async fn a_long_poll_beyond_the_bound_is_answered_at_once() {
    let scene = Scene::polling_with(|config| {
        waits_long(config);
        config.poll.waiting_max = 0;
    })
    .await;
    assert_eq!(scene.poll(json!({})).await.expect(200).json(), json!({"sets": {}}));
    scene.publish(&["s-1"]).await;
    assert_eq!(subjects(&scene.poll(json!({})).await), ["s-1"]);
}
