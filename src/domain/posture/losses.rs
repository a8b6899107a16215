//! Devices that have not checked in for too long.
//!
//! A device that is switched off says nothing, and neither does a device that cannot reach us. Three guards
//! keep our own trouble from being taken for theirs:
//!
//! - A device is overdue after [`LossPolicy::lost_after`] intervals.
//! - No device is judged before we have listened for one whole interval without a break
//!   ([`LossPolicy::has_listened`]), because until then a device may not have had the chance.
//! - If too many devices are lost within a span of time, none is judged until an operator says so
//!   ([`LossPolicy::admits`]).

use std::time::Duration;

use crate::domain::time::Timestamp;

/// When a device is lost, and how many may be at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LossPolicy {
    /// How often a device checks in.
    pub interval: Duration,
    /// After how many intervals without a check-in a device is overdue.
    pub lost_after: u32,
    /// The percentage of the devices that may be lost within `within`. One device may always be.
    pub percent_max: u32,
    pub within: Duration,
}

/// Numbers of devices, for the guard against losses that are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LossCounts {
    /// All devices that have checked in once and are not revoked.
    pub known: usize,
    /// Devices that were judged lost within `within`.
    pub lost_lately: usize,
    /// Devices that would be judged lost now.
    pub overdue: usize,
}

impl LossPolicy {
    /// Returns when a device is overdue that checked in then.
    pub fn deadline(&self, last_check_in: Timestamp) -> Timestamp {
        last_check_in + self.interval.saturating_mul(self.lost_after)
    }

    pub fn is_overdue(&self, last_check_in: Timestamp, now: Timestamp) -> bool {
        self.deadline(last_check_in) <= now
    }

    /// Tells whether we have listened for so long that every device could check in.
    pub fn has_listened(&self, for_long: Duration) -> bool {
        self.interval <= for_long
    }

    /// Tells whether the overdue devices may be judged lost, or are too many.
    pub fn admits(&self, counts: LossCounts) -> bool {
        let percent = usize::try_from(self.percent_max).unwrap_or(usize::MAX);
        let share = counts.known.saturating_mul(percent) / 100;
        counts.lost_lately + counts.overdue <= share.max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: LossPolicy = LossPolicy {
        interval: Duration::from_mins(15),
        lost_after: 4,
        percent_max: 20,
        within: Duration::from_hours(1),
    };

    #[test]
    fn a_device_is_overdue_after_its_intervals() {
        let at = |mins: i64| Timestamp::from_millis(mins * 60_000);
        assert!(!POLICY.is_overdue(at(10), at(69)));
        assert!(POLICY.is_overdue(at(10), at(70)));
        assert!(!POLICY.is_overdue(at(70), at(10)), "a clock that was set back");
    }

    #[test]
    fn nobody_is_judged_before_a_whole_interval() {
        assert!(!POLICY.has_listened(Duration::from_mins(15) - Duration::from_millis(1)));
        assert!(POLICY.has_listened(Duration::from_mins(15)));
    }

    #[track_caller]
    fn check(known: usize, lost_lately: usize, overdue: usize, expected: bool) {
        assert_eq!(POLICY.admits(LossCounts { known, lost_lately, overdue }), expected);
    }

    #[test]
    fn a_share_of_the_devices_may_be_lost() {
        check(100, 0, 20, true);
        check(100, 0, 21, false);
        check(100, 15, 5, true);
        check(100, 15, 6, false);
        check(3, 0, 1, true);
        check(3, 1, 1, false);
        check(1, 0, 1, true);
        check(0, 0, 0, true);
    }

    proptest! {
        #[test]
        fn more_losses_are_never_admitted_where_fewer_are_not(
            known in 0..10_000_usize, lost_lately in 0..10_000_usize, overdue in 0..10_000_usize
        ) {
            let fewer = POLICY.admits(LossCounts { known, lost_lately, overdue });
            let more = POLICY.admits(LossCounts { known, lost_lately, overdue: overdue + 1 });
            prop_assert!(fewer || !more);
        }
    }
}
