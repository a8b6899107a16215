//! Notices that the clock was set back.

use std::time::{Duration, Instant};

use crate::domain::time::Timestamp;

/// How far the clock may go back without being noticed: a wait that is longer by as much does no
/// harm.
const TOLERATED: Duration = Duration::from_secs(1);

/// Compares the clock with one that nobody sets.
pub(super) struct ClockSteps {
    time: Timestamp,
    steady: Instant,
}

impl ClockSteps {
    pub(super) fn new(time: Timestamp, steady: Instant) -> Self {
        Self { time, steady }
    }

    /// Whether the clock went back since the last call.
    pub(super) fn went_back(&mut self, time: Timestamp, steady: Instant) -> bool {
        let expected = self.time + steady.duration_since(self.steady);
        (self.time, self.steady) = (time, steady);
        time + TOLERATED < expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn only_a_step_back_counts_and_only_once() {
        let steady = clock::instant();
        let after = |secs| steady + Duration::from_secs(secs);
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let mut steps = ClockSteps::new(at(1000), steady);
        assert!(!steps.went_back(at(1005), after(5)));
        assert!(!steps.went_back(at(1009), after(10)), "slow by a second");
        assert!(!steps.went_back(at(9000), after(15)), "set forward");
        assert!(steps.went_back(at(5000), after(20)));
        assert!(!steps.went_back(at(5005), after(25)));
    }
}
