//! One rate for each of many callers.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use governor::{Quota, RateLimiter, clock::Clock, state::keyed::HashMapStateStore};

use crate::clock;

/// After so many checks, the callers are forgotten that have their whole rate again. They are those
/// that were quiet for a second, so the requests of about a second limit the memory.
const CHECKS_BETWEEN_SWEEPS: u32 = 1024;

/// Admits up to `n` requests of each caller in a second, and as many at once after a quiet second.
#[derive(Debug)]
pub(super) struct Keyed<K: Hash + Eq + Clone> {
    /// `None` admits everything.
    limiter: Option<RateLimiter<K, HashMapStateStore<K>, DaemonClock>>,
    checks: AtomicU32,
}

/// The clock of the daemon, which tests may not replace here. They ask in ratios instead.
#[derive(Debug, Clone, Copy)]
struct DaemonClock;

impl Clock for DaemonClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        clock::instant()
    }
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    /// With 0 nothing is limited.
    pub(super) fn new(per_second_max: u32) -> Self {
        let quota = NonZeroU32::new(per_second_max).map(Quota::per_second);
        let limiter = |quota| RateLimiter::new(quota, HashMapStateStore::default(), DaemonClock);
        Self { limiter: quota.map(limiter), checks: AtomicU32::new(0) }
    }

    /// Counts a request. The error is the time until the next one is admitted.
    pub(super) fn admit(&self, caller: &K) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHECKS_BETWEEN_SWEEPS) {
            limiter.retain_recent();
        }
        limiter.check_key(caller).map_err(|until| until.wait_time_from(clock::instant()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_admitted_and_then_a_wait_is_named() {
        let keyed = Keyed::new(1000);
        let admitted = (0..5000).filter(|_| keyed.admit(&7).is_ok()).count();
        assert!((1000..5000).contains(&admitted), "{admitted}");
        let slow = Keyed::new(1);
        assert_eq!(slow.admit(&7), Ok(()));
        let wait = slow.admit(&7).expect_err("the second one is too many");
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn zero_means_no_limit() {
        let keyed = Keyed::new(0);
        assert!((0..10_000).all(|_| keyed.admit(&7).is_ok()));
    }

    /// A caller of a high rate has it all back at once, so it is soon forgotten.
    #[test]
    fn callers_that_have_their_rate_again_are_forgotten() {
        let keyed = Keyed::new(1_000_000);
        for caller in 0..100_000_u32 {
            assert_eq!(keyed.admit(&caller), Ok(()));
        }
        let known = keyed.limiter.as_ref().expect("a limit").len();
        assert!(known < 50_000, "{known}");
    }
}
