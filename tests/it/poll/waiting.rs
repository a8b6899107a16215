//! Long polls (RFC 8936 §2.5).

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    http_client::post,
    polling::{handed_out, meanwhile, subjects, waits_long},
    setup::Setup,
};

/// POLL-07 (RFC 8936 §2.4).
#[actix_web::test]
async fn a_long_poll_ends_when_a_set_is_due_for_redelivery() {
    let setup = Setup::polling_with(|config| {
        waits_long(config);
        config.poll.redelivery_interval = Duration::from_millis(300);
    })
    .await;
    handed_out(&setup, &["s-1"]).await;
    assert_eq!(subjects(&setup.poll(json!({})).await), ["s-1"]);
}

/// SSF §8.1.2: the status of the stream at the time of the answer counts.
#[actix_web::test]
async fn a_long_poll_of_a_paused_stream_ends_when_it_is_enabled_and_has_a_set() {
    let setup = Setup::polling_with(waits_long).await;
    let resumed = async {
        setup.change_status("paused").await;
        setup.publish(&["s-1"]).await;
        setup.change_status("enabled").await;
    };
    assert_eq!(subjects(&meanwhile(&setup, json!({}), resumed).await), ["s-1"]);
}

/// SSF §8.1.1.5.
#[actix_web::test]
async fn a_long_poll_ends_when_its_stream_is_deleted() {
    let setup = Setup::polling_with(waits_long).await;
    let deleted = async {
        setup.daemon.delete_stream(&setup.token, &setup.stream).await.expect(204);
    };
    meanwhile(&setup, json!({}), deleted).await.expect(404);
}

/// P8 of the design.
#[actix_web::test]
async fn a_long_poll_ends_when_the_daemon_stops() {
    let mut setup = Setup::polling_with(waits_long).await;
    let ack = json!({"ack": handed_out(&setup, &["acknowledged"]).await});
    let url = setup.daemon.provider_url(setup.daemon.provider(), "/ssf/poll/");
    let call = post(&format!("{url}{}", setup.stream));
    let poll = call.bearer(&setup.token).json(&ack).send();
    let stop = async {
        setup.settled().await;
        setup.daemon.stop().await;
    };
    assert_eq!(tokio::join!(poll, stop).0.expect(200).json(), json!({"sets": {}}));
}

/// SEC-04: the number of waiting polls is bounded.
#[actix_web::test]
async fn a_long_poll_beyond_the_bound_is_answered_at_once() {
    let setup = Setup::polling_with(|config| {
        waits_long(config);
        config.poll.waiting_max = 0;
    })
    .await;
    assert_eq!(setup.poll(json!({})).await.expect(200).json(), json!({"sets": {}}));
    setup.publish(&["s-1"]).await;
    assert_eq!(subjects(&setup.poll(json!({})).await), ["s-1"]);
}
