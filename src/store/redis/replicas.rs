//! Replicas that are waited for, and what follows while there are too few of them.
//!
//! A write is waited for by its kind ([`Need`]). While replicas are missing, results are recorded without
//! them, because a result that is lost costs a repetition and no SET. New events and changes are refused,
//! unless `store.redis.replicas_missing` accepts that they are on one server only.
//!
//! Replicas that are missing must not make the server seem not to answer, although `WAIT` holds up its
//! connection. So `wait_rounds` bounds for how long it does, the bounds of a call are beyond that
//! ([`super::settings::RedisSettings::held_up_max`]), and replicas that are known to be missing are looked for
//! only now and then, for a short time.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::telemetry::metrics;

/// How often replicas are looked for while they are missing.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The longest time of one such look, which holds up other calls on its connection.
const PROBE_MAX: Duration = Duration::from_millis(100);

/// The consequence while fewer replicas than `wait_replicas` have the newest writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicasMissing {
    /// New events and changes are refused.
    Refuse,
    /// All goes on, and a failure of the primary may lose accepted events.
    Accept,
}

/// Whether a call needs replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// The call is waited for where that is possible.
    Wanted,
    /// The call counts only once the replicas have it.
    Required,
}

/// Too few replicas have a write, or would have one.
#[derive(Debug, thiserror::Error)]
#[error(
    "fewer than {0} replicas have the write (`store.redis.wait_replicas`); bring them back, or let \
     `store.redis.replicas_missing = \"accept\"` go on without them"
)]
pub(super) struct TooFewReplicas(pub(super) u32);

/// Watches whether the replicas that are waited for are there.
#[derive(Debug)]
pub(super) struct ReplicaWatch {
    wanted: u32,
    timeout: Duration,
    missing: ReplicasMissing,
    /// When replicas were last looked for, while they are missing.
    short: Mutex<Option<Instant>>,
}

impl ReplicaWatch {
    pub(super) fn new(wanted: u32, timeout: Duration, missing: ReplicasMissing) -> Self {
        Self { wanted, timeout, missing, short: Mutex::default() }
    }

    pub(super) fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Whether the call fails if replicas are missing.
    pub(super) fn must_have(&self, need: Need) -> bool {
        self.wanted != 0 && need == Need::Required && self.missing == ReplicasMissing::Refuse
    }

    /// Whether replicas are looked for before the call is made, so that nothing is written that is then
    /// refused.
    pub(super) fn looks_before(&self, need: Need) -> bool {
        self.must_have(need) && self.is_short()
    }

    /// Whether the call waits for replicas once it is made.
    pub(super) fn waits(&self, need: Need, now: Instant) -> bool {
        if self.wanted == 0 || need == Need::Nothing {
            return false;
        }
        let is_due = self.lock().is_none_or(|looked| is_due(looked, now));
        is_due || self.must_have(need)
    }

    /// Returns how long a call may wait for replicas. `None` if they are known to be missing, and it is not
    /// time to look for them again.
    pub(super) fn patience(&self, now: Instant) -> Option<Duration> {
        match &mut *self.lock() {
            None => Some(self.timeout),
            Some(looked) if is_due(*looked, now) => {
                *looked = now;
                Some(self.timeout.min(PROBE_MAX))
            }
            Some(_) => None,
        }
    }

    /// Notes whether enough replicas had the writes.
    pub(super) fn note(&self, reached: bool, now: Instant) {
        let mut short = self.lock();
        if reached != short.is_some() {
            return;
        }
        *short = (!reached).then_some(now);
        metrics::store_replicas_missing(!reached);
        let (wanted, accepted) = (self.wanted, self.missing == ReplicasMissing::Accept);
        if reached {
            tracing::info!(wanted, "the replicas of the store are back");
        } else {
            tracing::warn!(wanted, accepted, "replicas of the store are missing");
        }
    }

    pub(super) fn is_short(&self) -> bool {
        self.lock().is_some()
    }

    pub(super) fn refuses(&self) -> bool {
        self.missing == ReplicasMissing::Refuse && self.is_short()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.short.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_due(looked: Instant, now: Instant) -> bool {
    PROBE_INTERVAL <= now.saturating_duration_since(looked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const TIMEOUT: Duration = Duration::from_secs(1);

    #[test]
    fn replicas_that_are_missing_are_looked_for_now_and_then_and_for_a_short_time() {
        let (watch, now) =
            (ReplicaWatch::new(1, TIMEOUT, ReplicasMissing::Refuse), clock::instant());
        assert_eq!(watch.patience(now), Some(TIMEOUT));
        watch.note(false, now);
        assert_eq!(watch.patience(now), None);
        let next = now + PROBE_INTERVAL;
        assert_eq!([(); 2].map(|()| watch.patience(next)), [Some(PROBE_MAX), None], "one looks");
        watch.note(true, next);
        assert_eq!(watch.patience(next), Some(TIMEOUT));
    }

    /// The consequences of each need while replicas are missing: looks before, waits at once, waits after the
    /// interval, fails.
    #[track_caller]
    fn check(missing: ReplicasMissing, need: Need, expected: [bool; 4]) {
        let (watch, now) = (ReplicaWatch::new(1, TIMEOUT, missing), clock::instant());
        assert!(!watch.looks_before(need), "none is missing");
        assert_eq!(watch.waits(need, now), need != Need::Nothing);
        watch.note(false, now);
        let found = [
            watch.looks_before(need),
            watch.waits(need, now),
            watch.waits(need, now + PROBE_INTERVAL),
            watch.must_have(need),
        ];
        assert_eq!(found, expected, "{missing:?} {need:?}");
        watch.note(true, now);
        assert!(!watch.is_short());
    }

    #[test]
    fn results_go_on_without_replicas_and_events_by_the_operators_choice() {
        use Need::*;
        use ReplicasMissing::*;
        for missing in [Refuse, Accept] {
            check(missing, Nothing, [false; 4]);
            check(missing, Wanted, [false, false, true, false]);
        }
        check(Refuse, Required, [true; 4]);
        check(Accept, Required, [false, false, true, false]);
    }

    #[test]
    fn without_replicas_to_wait_for_nothing_waits() {
        let watch = ReplicaWatch::new(0, TIMEOUT, ReplicasMissing::Refuse);
        for need in [Need::Nothing, Need::Wanted, Need::Required] {
            assert!(!watch.waits(need, clock::instant()) && !watch.must_have(need));
        }
    }
}
