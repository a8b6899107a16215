//! When the next round begins. Pure.

use std::time::Duration;

use super::fault::Fault;
use crate::source::settings::PollSettings;

/// The longest wait that a provider may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// Rounds in a row after whose failure an operator is told.
const FAILURES_TOLD: u32 = 3;

/// The waits between the rounds of one URL.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    backoff_max: Duration,
    failures: u32,
}

impl Pace {
    pub(super) fn new(settings: &PollSettings) -> Self {
        let interval = settings.interval;
        Self { interval, backoff_max: settings.backoff_max.max(interval), failures: 0 }
    }

    /// Returns how long to wait after a round that `took` so long.
    pub(super) fn after_success(&mut self, took: Duration) -> Duration {
        self.failures = 0;
        self.interval.saturating_sub(took)
    }

    /// Returns how long to wait after a round that failed: the interval, doubled with each further failure,
    /// less up to a half by the dice (`0.0..=1.0`), or as long as the provider asks.
    pub(super) fn after_fault(&mut self, fault: &Fault, dice: f64) -> Duration {
        let doubled = self.interval.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let own = doubled.min(self.backoff_max).mul_f64(1.0 - dice / 2.0);
        match fault.retry_after() {
            Some(asked) => asked.clamp(self.interval, RETRY_AFTER_MAX.max(self.interval)),
            None => own,
        }
    }

    /// Tells whether the failures last, so that an operator is to be told. A fault that another try is not
    /// likely to mend is told at once.
    pub(super) fn is_lasting(&self, fault: &Fault) -> bool {
        fault.remedy().is_some() || FAILURES_TOLD <= self.failures
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use serde_json::json;

    use super::*;

    fn pace() -> Pace {
        let settings = json!({
            "urls": "https://kc.example/", "paging": "time", "interval": "10s", "backoff_max": "60s",
        });
        Pace::new(&serde_json::from_value(settings).expect("settings"))
    }

    fn status(status: StatusCode, secs: Option<u64>) -> Fault {
        Fault::Status { status, retry_after: secs.map(Duration::from_secs) }
    }

    #[test]
    fn waits_double_up_to_their_ceiling_and_start_over() {
        let mut pace = pace();
        let fault = status(StatusCode::BAD_GATEWAY, None);
        let waits: Vec<_> = (0..5).map(|_| pace.after_fault(&fault, 0.0).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 60, 60]);
        assert_eq!(pace.after_success(Duration::from_secs(4)), Duration::from_secs(6));
        assert_eq!(pace.after_success(Duration::from_secs(40)), Duration::ZERO);
        assert_eq!(pace.after_fault(&fault, 1.0), Duration::from_secs(5));
    }

    #[test]
    fn a_provider_moves_the_wait_within_our_bounds() {
        for (asked, secs) in [(0, 10), (15, 15), (600, 600), (u64::MAX, 3600)] {
            let fault = status(StatusCode::TOO_MANY_REQUESTS, Some(asked));
            assert_eq!(pace().after_fault(&fault, 1.0), Duration::from_secs(secs), "{asked}");
        }
    }

    #[test]
    fn an_operator_is_told_of_failures_that_last() {
        let mut pace = pace();
        let passing = status(StatusCode::BAD_GATEWAY, None);
        for told in [false, false, true, true] {
            pace.after_fault(&passing, 0.0);
            assert_eq!(pace.is_lasting(&passing), told);
        }
        pace.after_success(Duration::ZERO);
        pace.after_fault(&passing, 0.0);
        assert!(!pace.is_lasting(&passing));
        for ours in [
            status(StatusCode::UNAUTHORIZED, None),
            status(StatusCode::FORBIDDEN, None),
            Fault::TooLarge(1),
            Fault::Loop,
            Fault::Unordered,
            Fault::Token(Box::new(status(StatusCode::UNAUTHORIZED, None))),
        ] {
            assert!(pace.is_lasting(&ours), "{ours}");
        }
    }
}
