//! Verification (SSF §8.1.4).

use std::time::Duration;

use serde_json::json;

use crate::harness::daemon::{Daemon, with_provider};

/// VER-04: a Receiver that keeps to the interval as it is shown is not refused.
#[actix_web::test]
async fn an_interval_of_part_of_a_second_is_shown_as_the_next_second() {
    for (millis, shown) in [(0, 0), (1, 1), (1000, 1), (1500, 2)] {
        let daemon = Daemon::with(with_provider(|provider| {
            provider.min_verification_interval = Duration::from_millis(millis);
        }))
        .await;
        let stream = daemon.client("rx").await.create(&json!({})).await;
        assert_eq!(stream["min_verification_interval"], shown);
    }
}
