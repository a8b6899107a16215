//! A Receiver settles SETs by acknowledging or refusing them.

use serde_json::json;
use ssfd::domain::grant::Scope;

use crate::harness::{
    polling::{at_once, handed_out, jtis, poll_now, subjects},
    setup::Setup,
    streams::by_poll,
};

/// POLL-13 (SSF §8).
#[actix_web::test]
async fn a_receiver_cannot_settle_the_sets_of_another() {
    let setup = Setup::polling_with(at_once).await;
    let sets = handed_out(&setup, &["s-1"]).await;
    let other = setup.daemon.receiver_token("other", &[Scope::Manage]).await;
    let stream = setup.daemon.create_stream(&other, by_poll()).await;

    let body = json!({"ack": sets, "setErrs": {sets[0].as_str(): {"err": "invalid_key"}},
        "returnImmediately": true});
    setup.daemon.poll(&other, &stream, &body).await.expect(200);
    setup.daemon.poll(&other, &setup.stream, &body).await.expect(404);

    assert_eq!(jtis(&poll_now(&setup, json!({})).await), sets);
}

/// POLL-14 (SSF §8.1.2.1).
#[actix_web::test]
async fn a_disabled_poll_stream_discards_its_sets() {
    let setup = Setup::polling_with(at_once).await;
    handed_out(&setup, &["s-1"]).await;
    setup.change_status("disabled").await;
    setup.publish(&["s-2"]).await;

    assert_eq!(poll_now(&setup, json!({})).await.json(), json!({"sets": {}}));

    setup.change_status("enabled").await;
    setup.publish(&["s-3"]).await;
    assert_eq!(subjects(&poll_now(&setup, json!({})).await), ["s-3"]);
}

/// P1 of the design.
#[actix_web::test]
async fn acknowledged_sets_stay_settled_over_a_restart_and_the_others_are_kept() {
    let mut setup = Setup::polling_with(at_once).await;
    let sets = handed_out(&setup, &["s-1", "s-2"]).await;
    poll_now(&setup, json!({"ack": sets[..1]})).await;

    setup.daemon.restart().await;

    assert_eq!(jtis(&poll_now(&setup, json!({})).await), sets[1..]);
}
