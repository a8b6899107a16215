//! Poll streams.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    receiver::{claims, subject},
    setup::Setup,
};

/// A time longer than any test.
const FOR_GOOD: Duration = Duration::from_hours(1);

/// Starts a daemon with a stream that hands out each SET once.
async fn polled() -> Setup {
    Setup::polling_with(|config| config.poll.redelivery_interval = FOR_GOOD).await
}

impl Setup {
    /// Polls without waiting. Returns the claims of the SETs, and whether there are more.
    async fn brings(&self, mut request: Value) -> (Vec<Value>, bool) {
        request["returnImmediately"] = true.into();
        let answer = self.poll(request).await.expect(200).json();
        let sets = answer["sets"].as_object().expect("SETs").values();
        let sets = sets.map(|set| claims(set.as_str().expect("a SET"))).collect();
        (sets, answer["moreAvailable"] == true)
    }

    /// Polls and acknowledges one SET, and returns its claims.
    async fn takes(&self) -> Value {
        let (mut sets, _) = self.brings(json!({"maxEvents": 1})).await;
        let set = sets.pop().expect("a SET");
        self.acknowledges(&set).await;
        set
    }

    async fn acknowledges(&self, set: &Value) {
        let (none, _) = self.brings(json!({"ack": [set["jti"]], "maxEvents": 0})).await;
        assert!(none.is_empty());
    }
}

/// STAT-08.
#[actix_web::test]
async fn an_announcement_is_handed_out_until_it_is_acknowledged() {
    let setup =
        Setup::polling_with(|config| config.poll.redelivery_interval = Duration::ZERO).await;
    setup.publish(&["s-1"]).await;
    setup.set_status("paused", "moving").await;
    for _ in 0..3 {
        let (said, _) = setup.brings(json!({})).await;
        assert_eq!(said.len(), 1);
        setup.assert_announced(&said[0], "paused", "moving");
    }
    let (_, more) = setup.brings(json!({"maxEvents": 0})).await;
    assert!(more);
}

/// Most Receivers wait in a long poll.
#[actix_web::test]
async fn a_long_poll_is_answered_with_the_announcement() {
    let setup = polled().await;
    let (answer, ()) =
        tokio::join!(setup.poll(json!({})), setup.set_status("disabled", "contract ended"));
    let answer = answer.expect(200).json();
    let sets = answer["sets"].as_object().expect("SETs");
    let set = sets.values().next().expect("one").as_str().expect("a SET");
    setup.assert_announced(&claims(set), "disabled", "contract ended");
}

/// STAT-07, STAT-08, POLL-14.
#[actix_web::test]
async fn a_disabled_stream_announces_it_and_discards_all_other_sets() {
    let setup = polled().await;
    setup.publish(&["s-1", "s-2"]).await;
    let (sets, _) = setup.brings(json!({"maxEvents": 1})).await;
    setup.set_status("disabled", "contract ended").await;
    setup.publish(&["s-3"]).await;
    // An acknowledgement of a discarded SET has no effect.
    setup.acknowledges(&sets[0]).await;
    setup.assert_announced(&setup.takes().await, "disabled", "contract ended");
    assert_eq!(setup.brings(json!({})).await, (vec![], false));

    setup.set_status("enabled", "a new one").await;
    setup.publish(&["s-4"]).await;
    setup.assert_announced(&setup.takes().await, "enabled", "a new one");
    assert_eq!(subject(&setup.takes().await), "s-4");
    assert_eq!(setup.brings(json!({})).await, (vec![], false));
}

/// STAT-11: a change by the Receiver withdraws an announcement that was not polled yet.
#[actix_web::test]
async fn a_change_by_the_receiver_is_not_announced() {
    let setup = polled().await;
    setup.set_status("paused", "moving").await;
    for status in ["paused", "enabled", "disabled", "enabled"] {
        setup.change_status(status).await;
        assert_eq!(setup.brings(json!({})).await, (vec![], false));
    }
}
