//! Answers that may be guesses of a token: counted for a device and an address, and after too many the
//! device is locked for that address. Pure.
//!
//! The lock is for the address as well, because anybody may name a device: a stranger must not be able to
//! lock a device out, which would be lost soon and then count as not compliant.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{auth::rates::Network, domain::id::DeviceId};

/// The most pairs of a device and an address that are counted. A stranger who uses more of them guesses
/// more often; the lock only saves work, because a token cannot be guessed.
const PAIRS_MAX: usize = 10_000;

/// The failures of each pair that are not forgotten yet.
#[derive(Debug)]
pub(super) struct FailureBook {
    failures_max: u32,
    lock_for: Duration,
    pairs: HashMap<(DeviceId, Network), Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl FailureBook {
    pub(super) fn new(failures_max: u32, lock_for: Duration) -> Self {
        Self { failures_max, lock_for, pairs: HashMap::new() }
    }

    /// Tells whether answers of a device from an address are refused unread.
    pub(super) fn is_locked(&self, device: &DeviceId, from: Network, now: Instant) -> bool {
        let known = self.pairs.get(&(device.clone(), from));
        known.is_some_and(|known| self.failures_max <= known.count && !self.is_over(known, now))
    }

    /// Counts a failure. Returns `true` if the device is locked from now on.
    pub(super) fn count(&mut self, device: &DeviceId, from: Network, now: Instant) -> bool {
        let pair = (device.clone(), from);
        let before = self.pairs.get(&pair).filter(|known| !self.is_over(known, now));
        let count = before.map_or(0, |known| known.count) + 1;
        if PAIRS_MAX <= self.pairs.len() && !self.pairs.contains_key(&pair) {
            let (lock_for, is_over) = (self.lock_for, Self::is_past);
            self.pairs.retain(|_, known| !is_over(lock_for, known, now));
            if PAIRS_MAX <= self.pairs.len() {
                return false;
            }
        }
        self.pairs.insert(pair, Failures { count, last: now });
        count == self.failures_max
    }

    fn is_over(&self, known: &Failures, now: Instant) -> bool {
        Self::is_past(self.lock_for, known, now)
    }

    fn is_past(lock_for: Duration, known: &Failures, now: Instant) -> bool {
        lock_for <= now.saturating_duration_since(known.last)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::clock;

    fn device(name: &str) -> DeviceId {
        name.parse().expect("an id")
    }

    fn network(address: &str) -> Network {
        Network::from(address.parse::<IpAddr>().expect("an address"))
    }

    #[test]
    fn a_device_is_locked_for_an_address_and_for_a_while() {
        let mut book = FailureBook::new(3, Duration::from_mins(1));
        let start = clock::instant();
        let at = |secs| start + Duration::from_secs(secs);
        let (dev, here, there) = (device("dev-1"), network("192.0.2.1"), network("192.0.2.2"));
        assert!(!book.count(&dev, here, at(0)));
        assert!(!book.count(&dev, here, at(1)));
        assert!(!book.is_locked(&dev, here, at(1)));
        assert!(book.count(&dev, here, at(2)), "the lock is told once");
        assert!(book.is_locked(&dev, here, at(61)));
        assert!(!book.is_locked(&dev, there, at(3)), "another address is not locked");
        assert!(!book.is_locked(&device("dev-2"), here, at(3)));
        assert!(!book.is_locked(&dev, here, at(62)), "it ends by itself");
        assert!(!book.count(&dev, here, at(62)), "and begins anew");
    }

    #[test]
    fn failures_that_are_long_past_do_not_count() {
        let mut book = FailureBook::new(2, Duration::from_secs(10));
        let start = clock::instant();
        let (dev, here) = (device("dev-1"), network("2001:db8::1"));
        for n in 0..20 {
            assert!(!book.count(&dev, here, start + Duration::from_secs(n * 10)));
        }
    }

    #[test]
    fn the_memory_is_bounded_and_old_pairs_make_room() {
        let mut book = FailureBook::new(1, Duration::from_mins(1));
        let (start, here) = (clock::instant(), network("192.0.2.1"));
        let later = start + Duration::from_mins(2);
        for n in 0..PAIRS_MAX + 100 {
            book.count(&device(&format!("d{n}")), here, start);
        }
        assert_eq!(book.pairs.len(), PAIRS_MAX);
        assert!(book.count(&device("new"), here, later));
        assert_eq!(book.pairs.len(), 1);
    }
}
