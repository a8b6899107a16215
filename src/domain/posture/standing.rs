//! How a device stands: the state machine of its compliance.
//!
//! | status | a check-in meets all rules | a check-in fails a rule | no check-in for too long |
//! |---|---|---|---|
//! | unknown | compliant, nothing is told | not compliant, told | unknown |
//! | compliant | compliant | not compliant, told | not compliant, told |
//! | not compliant | compliant, told | not compliant | not compliant |
//!
//! A rule that is failed for less than its grace counts as met. "Told" is a [`Change`], which becomes an
//! event. The event of a device whose status was not known says that it was compliant before, because
//! CAEP §3.5 knows no other status, and a Receiver that hears nothing takes the device for compliant.

use std::collections::BTreeMap;

use crate::domain::{id::PostureRuleName, time::Timestamp};

use super::Failure;

/// The name that stands for the check-in itself where failed rules are listed. No rule may have it.
pub const CHECK_IN: &str = "check-in";

/// The knowledge of a device's compliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Status {
    /// The device has not checked in yet.
    #[default]
    Unknown,
    Compliant,
    NotCompliant,
}

/// A status that CAEP knows (CAEP §3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compliance {
    Compliant,
    NotCompliant,
}

/// Why the status changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The device meets all rules again.
    Met,
    /// The device fails these rules.
    Failed(Vec<PostureRuleName>),
    /// The device has not checked in since then.
    Lost { since: Timestamp },
}

/// A change of the status, which is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Numbers the changes of a device. No two changes have the same number.
    pub seq: i64,
    pub to: Compliance,
    pub at: Timestamp,
    pub cause: Cause,
}

/// The standing of one device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    pub status: Status,
    /// The number of the last change that was told.
    pub seq: i64,
    /// When the status became what it is.
    pub changed_at: Option<Timestamp>,
    /// The rules that the device failed at its last check-in, each with the time since when.
    pub failing: BTreeMap<PostureRuleName, Timestamp>,
    pub last_check_in: Option<Timestamp>,
    /// When the device was judged lost, until it checks in again.
    pub lost_at: Option<Timestamp>,
}

impl Status {
    pub const ALL: [Self; 3] = [Self::Unknown, Self::Compliant, Self::NotCompliant];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Compliant => "compliant",
            Self::NotCompliant => "not-compliant",
        }
    }
}

impl Compliance {
    pub fn as_str(self) -> &'static str {
        Status::from(self).as_str()
    }

    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Compliant => Self::NotCompliant,
            Self::NotCompliant => Self::Compliant,
        }
    }
}

impl From<Compliance> for Status {
    fn from(compliance: Compliance) -> Self {
        match compliance {
            Compliance::Compliant => Self::Compliant,
            Compliance::NotCompliant => Self::NotCompliant,
        }
    }
}

impl Standing {
    /// Makes the standing of a device that has just been registered. The numbers of its changes begin at
    /// the time, so that a device that is registered again repeats none.
    pub fn registered(at: Timestamp) -> Self {
        Self { seq: at.as_millis(), ..Self::default() }
    }

    /// Judges a check-in that failed these rules. Returns the new standing, and the change if there is one.
    pub fn checked_in(&self, failures: &[Failure], now: Timestamp) -> (Self, Option<Change>) {
        let since = |rule: &PostureRuleName| self.failing.get(rule).copied().unwrap_or(now);
        let failing: BTreeMap<_, _> =
            failures.iter().map(|failure| (failure.rule.clone(), since(&failure.rule))).collect();
        let counts = |failure: &&Failure| failing[&failure.rule] + failure.grace <= now;
        let failed: Vec<_> =
            failures.iter().filter(counts).map(|failure| failure.rule.clone()).collect();
        let mut next = Self { failing, last_check_in: Some(now), lost_at: None, ..self.clone() };
        let change = if failed.is_empty() {
            next.turn(Compliance::Compliant, Cause::Met, now)
        } else {
            next.turn(Compliance::NotCompliant, Cause::Failed(failed), now)
        };
        (next, change)
    }

    /// Judges a device that has not checked in for too long. Returns `None` if it never did, or is lost
    /// already.
    pub fn lost(&self, now: Timestamp) -> Option<(Self, Option<Change>)> {
        let since = self.last_check_in.filter(|_| self.lost_at.is_none())?;
        let mut next = Self { lost_at: Some(now), ..self.clone() };
        let change = next.turn(Compliance::NotCompliant, Cause::Lost { since }, now);
        Some((next, change))
    }

    /// Changes the status. Returns the change if it is to be told.
    fn turn(&mut self, to: Compliance, cause: Cause, at: Timestamp) -> Option<Change> {
        if self.status == Status::from(to) {
            return None;
        }
        let is_told = self.status != Status::Unknown || to == Compliance::NotCompliant;
        (self.status, self.changed_at) = (to.into(), Some(at));
        if !is_told {
            return None;
        }
        self.seq += 1;
        Some(Change { seq: self.seq, to, at, cause })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn failure(rule: &str, grace_secs: u64) -> Failure {
        Failure { rule: rule.parse().expect("a name"), grace: Duration::from_secs(grace_secs) }
    }

    /// Checks one row of the table: the status before, the check-in, the status after, and what is told.
    #[track_caller]
    fn check(before: Status, failures: &[Failure], after: Status, told: Option<Compliance>) {
        let standing = Standing { status: before, ..Standing::registered(at(1)) };
        let (next, change) = standing.checked_in(failures, at(5));
        assert_eq!(next.status, after);
        assert_eq!(change.as_ref().map(|change| change.to), told);
        assert_eq!(next.seq, 1000 + i64::from(told.is_some()));
        assert_eq!(next.changed_at, (before != after).then_some(at(5)));
        assert_eq!(next.last_check_in, Some(at(5)));
    }

    #[test]
    fn a_check_in_changes_the_status_by_the_table() {
        let (met, failed) = ([], [failure("disk", 0)]);
        check(Status::Unknown, &met, Status::Compliant, None);
        check(Status::Unknown, &failed, Status::NotCompliant, Some(Compliance::NotCompliant));
        check(Status::Compliant, &met, Status::Compliant, None);
        check(Status::Compliant, &failed, Status::NotCompliant, Some(Compliance::NotCompliant));
        check(Status::NotCompliant, &met, Status::Compliant, Some(Compliance::Compliant));
        check(Status::NotCompliant, &failed, Status::NotCompliant, None);
    }

    #[test]
    fn a_device_is_lost_once_and_comes_back() {
        let (fresh, met) = (Standing::registered(at(1)), []);
        assert_eq!(fresh.lost(at(100)), None, "a device that never checked in is not lost");
        let (compliant, _) = fresh.checked_in(&met, at(5));
        let (lost, change) = compliant.lost(at(100)).expect("lost");
        let change = change.expect("told");
        assert_eq!(change.cause, Cause::Lost { since: at(5) });
        assert_eq!((change.to, lost.status), (Compliance::NotCompliant, Status::NotCompliant));
        assert_eq!(lost.lost(at(101)), None);
        let (back, change) = lost.checked_in(&met, at(102));
        assert_eq!((back.lost_at, change.expect("told").cause), (None, Cause::Met));

        let (failing, _) = fresh.checked_in(&[failure("disk", 0)], at(5));
        let (lost, change) = failing.lost(at(100)).expect("lost");
        assert_eq!((lost.lost_at, change), (Some(at(100)), None), "it was not compliant before");
    }

    #[test]
    fn a_rule_counts_once_its_grace_is_over() {
        let failures = [failure("disk", 60), failure("os", 3600)];
        let (first, change) = Standing::registered(at(0)).checked_in(&failures, at(10));
        assert_eq!((first.status, change), (Status::Compliant, None));
        let (second, _) = first.checked_in(&failures, at(69));
        assert_eq!(second.status, Status::Compliant);
        let (third, change) = second.checked_in(&failures, at(70));
        let cause = change.expect("told").cause;
        assert_eq!(cause, Cause::Failed(vec!["disk".parse().expect("a name")]));
        assert_eq!(third.failing.len(), 2);
        // A rule that was met meanwhile begins its grace anew.
        let (met, _) = third.checked_in(&[], at(71));
        assert!(met.failing.is_empty());
        let (again, change) = met.checked_in(&failures, at(72));
        assert_eq!((again.status, change), (Status::Compliant, None));
    }

    /// One step of a device's life: a check-in with or without failures, or silence.
    fn steps() -> impl Strategy<Value = Vec<Option<bool>>> {
        vec(prop::option::of(any::<bool>()), 0..40)
    }

    proptest! {
        /// The changes that are told alternate, and each has a number of its own. Whoever hears them, and
        /// takes a device for compliant at first, knows the status.
        #[test]
        fn whoever_hears_the_changes_knows_the_status(steps in steps()) {
            let mut standing = Standing::registered(at(0));
            let (mut heard, mut last) = (Status::Compliant, standing.seq);
            for (step, second) in steps.into_iter().zip(1..) {
                let next = match step {
                    None => standing.lost(at(second)),
                    Some(met) => {
                        let failures = if met { Vec::new() } else { vec![failure("disk", 0)] };
                        Some(standing.checked_in(&failures, at(second)))
                    }
                };
                let Some((next, change)) = next else { continue };
                if let Some(change) = change {
                    prop_assert_ne!(Status::from(change.to), heard);
                    prop_assert!(last < change.seq);
                    (heard, last) = (change.to.into(), change.seq);
                }
                standing = next;
                prop_assert!(standing.status == Status::Unknown || standing.status == heard);
            }
        }
    }
}
