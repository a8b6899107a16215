//! The limits of an answer to a poll.

use serde_json::json;

use crate::harness::{
    polling::{poll_now, subjects},
    setup::Setup,
};

/// POLL-03 (RFC 8936 §2.2).
#[actix_web::test]
async fn an_answer_is_bounded_by_our_own_default_and_maximum() {
    let setup = Setup::polling_with(|config| {
        (config.poll.events_default, config.poll.events_max) = (2, 3);
    })
    .await;
    setup.publish(&["s-1", "s-2", "s-3", "s-4", "s-5", "s-6"]).await;

    assert_eq!(subjects(&poll_now(&setup, json!({})).await), ["s-1", "s-2"]);
    let most = poll_now(&setup, json!({"maxEvents": 1000})).await;
    assert_eq!(subjects(&most), ["s-3", "s-4", "s-5"]);
    assert_eq!(most.json()["moreAvailable"], true);
}
