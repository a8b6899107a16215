//! How fast the attempts of a stream follow one another while all of them fail, though its endpoint
//! answers.

use std::time::Duration;

use crate::{
    delivery::{courier::SlowdownReport, settings::DeliverySettings},
    domain::time::Timestamp,
};

/// The slow-down of one stream. Failures in a row leave fewer and fewer attempts room, down to one in
/// each interval, so that streams whose SETs are accepted have the capacity. A slow-down never stops a
/// stream as a breaker does, because the endpoint may accept another SET. The first success ends it.
#[derive(Debug)]
pub struct Slowdown {
    /// Failures in a row that halve what is done at a time.
    step: u32,
    interval: Duration,
    long: Duration,
    /// In a row, in whichever way.
    failures: u32,
    /// When the first of them was.
    since: Timestamp,
    /// When attempts last started.
    started_at: Timestamp,
}

impl Slowdown {
    pub fn new(settings: &DeliverySettings) -> Self {
        Self {
            step: settings.breaker.failures,
            interval: settings.failing_attempt_interval,
            long: settings.breaker.open_for_max,
            failures: 0,
            since: Timestamp::EPOCH,
            started_at: Timestamp::EPOCH,
        }
    }

    /// Returns how many of `all` may be done at a time.
    pub fn leaves(&self, all: usize) -> usize {
        let halvings = if self.is_on() { self.failures / self.step } else { 0 };
        all.checked_shr(halvings).unwrap_or(0).max(1)
    }

    /// When more attempts may start, if none may now.
    pub fn goes_on_at(&self, now: Timestamp) -> Option<Timestamp> {
        let at = self.started_at + self.interval;
        // The clock may have gone back since.
        (self.is_on() && (self.started_at..at).contains(&now)).then_some(at)
    }

    /// Whether attempts have failed for as long as the longest wait for a probe.
    pub fn lasts(&self, now: Timestamp) -> bool {
        self.is_on() && self.since + self.long <= now
    }

    /// How far attempts are slowed down, if they are; `in_flight_max` may start otherwise.
    pub fn report(&self, in_flight_max: usize) -> Option<SlowdownReport> {
        self.is_on().then(|| SlowdownReport {
            failures: self.failures,
            in_flight_max: self.leaves(in_flight_max),
        })
    }

    fn is_on(&self) -> bool {
        self.step <= self.failures && !self.interval.is_zero()
    }

    pub fn on_started(&mut self, now: Timestamp) {
        self.started_at = now;
    }

    pub fn on_succeeded(&mut self) {
        self.failures = 0;
    }

    pub fn on_failed(&mut self, now: Timestamp) {
        if self.failures == 0 {
            self.since = now;
        }
        self.failures = self.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn slowdown() -> Slowdown {
        Slowdown::new(&DeliverySettings::default())
    }

    #[test]
    fn it_halves_the_attempts_down_to_one_and_ends_with_a_success() {
        let mut slowdown = slowdown();
        let mut left = Vec::new();
        for failure in 0..40 {
            if failure % 5 == 0 {
                left.push(slowdown.leaves(32));
            }
            slowdown.on_failed(at(0));
        }
        assert_eq!(left, [32, 16, 8, 4, 2, 1, 1, 1]);
        for _ in 0..1000 {
            slowdown.on_failed(at(0));
        }
        assert_eq!(slowdown.leaves(32), 1);
        slowdown.on_succeeded();
        assert_eq!(slowdown.leaves(32), 32);
    }

    #[test]
    fn attempts_are_an_interval_apart() {
        let mut slowdown = slowdown();
        slowdown.on_started(at(1000));
        assert_eq!(slowdown.goes_on_at(at(1000)), None);
        for _ in 0..5 {
            slowdown.on_failed(at(1001));
        }
        assert_eq!(slowdown.goes_on_at(at(1049)), Some(at(1050)));
        assert_eq!(slowdown.goes_on_at(at(1050)), None);
        assert_eq!(slowdown.goes_on_at(at(999)), None, "the clock has gone back");
    }

    #[test]
    fn without_an_interval_there_is_none() {
        let settings = DeliverySettings {
            failing_attempt_interval: Duration::ZERO,
            ..DeliverySettings::default()
        };
        let mut slowdown = Slowdown::new(&settings);
        for _ in 0..100 {
            slowdown.on_failed(at(0));
        }
        slowdown.on_started(at(0));
        assert_eq!((slowdown.leaves(32), slowdown.goes_on_at(at(0))), (32, None));
    }

    #[test]
    fn it_lasts_once_a_probe_would_wait_longest() {
        let mut slowdown = slowdown();
        for _ in 0..5 {
            slowdown.on_failed(at(0));
        }
        assert!(!slowdown.lasts(at(299_999)) && slowdown.lasts(at(300_000)));
        slowdown.on_succeeded();
        slowdown.on_failed(at(300_000));
        assert!(!slowdown.lasts(at(600_000)));
    }
}
