//! The verification event, which shows that a stream works (SSF §8.1.4).

use std::time::Duration;

use serde_json::{Map, Value};

use super::{payload::Payload, time::Timestamp};

/// The longest `state` that a Receiver may send, in bytes.
pub const STATE_LENGTH_MAX: usize = 1024;

/// Makes the payload of a verification event. It repeats the `state` of the request exactly, and
/// has no `state` if the request had none (SSF §8.1.4.1).
pub fn payload(state: Option<&str>) -> Payload {
    let state = state.map(|state| ("state".to_owned(), Value::from(state)));
    state.into_iter().collect::<Map<_, _>>().into()
}

/// Returns an interval in whole seconds for a configuration or a response. It is rounded up, so
/// that a Receiver that keeps the interval is never too early.
pub fn whole_secs(interval: Duration) -> u64 {
    interval.as_secs() + u64::from(0 < interval.subsec_nanos())
}

/// Returns how long a Receiver must wait that asks again before `min_verification_interval` is over
/// (SSF §8.1.1). The first request never waits.
pub fn wait_before(
    last: Option<Timestamp>,
    now: Timestamp,
    interval: Duration,
) -> Option<Duration> {
    let left = interval.saturating_sub(now.since(last?));
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_is_echoed_or_absent() {
        assert_eq!(json!(payload(Some("n-4411"))), json!({"state": "n-4411"}));
        assert_eq!(json!(payload(Some(""))), json!({"state": ""}));
        assert_eq!(json!(payload(None)), json!({}));
    }

    #[test]
    fn part_of_a_second_counts_as_one() {
        for (millis, secs) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
            assert_eq!(whole_secs(Duration::from_millis(millis)), secs);
        }
    }

    #[test]
    fn a_request_too_soon_waits_for_the_rest_of_the_interval() {
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let interval = Duration::from_secs(30);
        assert_eq!(wait_before(None, at(100), interval), None);
        assert_eq!(wait_before(Some(at(100)), at(112), interval), Some(Duration::from_secs(18)));
        assert_eq!(wait_before(Some(at(100)), at(130), interval), None);
        assert_eq!(wait_before(Some(at(100)), at(100), Duration::ZERO), None);
    }
}
