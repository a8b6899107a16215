//! The time by which ages are judged.
//!
//! A clock that is set ahead makes everything older at once. Until it has stood for a while, the step does
//! not count as age: nothing expires and nothing is given up because of it. If the clock is set back
//! meanwhile, the step never counts.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{instant, now};
use crate::domain::time::Timestamp;

/// How far the clock may go ahead of a steady one without being noticed.
const TOLERATED: Duration = Duration::from_mins(1);

/// Tells the time by which ages are judged. Every part of the daemon that lets something expire shares it.
#[derive(Debug, Clone)]
pub struct Ages(Arc<Mutex<AgeClock>>);

impl Ages {
    /// `hold` is how long a step of the clock must stand before it counts as age.
    pub fn new(hold: Duration) -> Self {
        Self(Arc::new(Mutex::new(AgeClock::new(hold, now(), instant()))))
    }

    /// Returns the time by which ages are judged now. Notices steps, and so is to be called often.
    pub fn now(&self) -> Timestamp {
        let mut clock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = clock.held();
        let ages_by = clock.read(now(), instant());
        let held = clock.held();
        if before < held {
            tracing::warn!(
                ahead_secs = held.as_secs(),
                hold_secs = clock.hold.as_secs(),
                "the clock was set ahead; nothing expires by that while it may be set back"
            );
        } else if held < before {
            tracing::warn!(ahead_secs = held.as_secs(), "the clock is trusted for ages again");
        }
        ages_by
    }
}

/// Compares the clock with a steady one, which nobody sets.
#[derive(Debug)]
struct AgeClock {
    hold: Duration,
    time: Timestamp,
    steady: Instant,
    step: Option<StepAhead>,
}

/// Steps ahead that do not count as age yet.
#[derive(Debug, Clone, Copy)]
struct StepAhead {
    by: Duration,
    /// When the last of them was noticed.
    noticed: Instant,
}

impl AgeClock {
    fn new(hold: Duration, time: Timestamp, steady: Instant) -> Self {
        Self { hold, time, steady, step: None }
    }

    fn held(&self) -> Duration {
        self.step.map_or(Duration::ZERO, |step| step.by)
    }

    /// Takes note of both clocks. Returns the time by which ages are judged.
    fn read(&mut self, time: Timestamp, steady: Instant) -> Timestamp {
        let expected = self.time + steady.saturating_duration_since(self.steady);
        (self.time, self.steady) = (time, steady);
        let held = self.held();
        if expected + TOLERATED < time {
            self.step = Some(StepAhead { by: held + time.since(expected), noticed: steady });
        } else if time + TOLERATED < expected {
            let left = held.saturating_sub(expected.since(time));
            let is_left = TOLERATED < left;
            self.step = self.step.filter(|_| is_left).map(|step| StepAhead { by: left, ..step });
        }
        let wait = self.hold;
        let stands = |step: &StepAhead| steady.saturating_duration_since(step.noticed) < wait;
        self.step = self.step.filter(stands);
        time - self.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    /// Reads the clock at times of the steady one, in seconds. Each has the time of the clock, and the time
    /// by which ages are judged.
    #[track_caller]
    fn check(readings: &[(u64, i64, i64)]) {
        let begin = instant();
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let mut clock = AgeClock::new(Duration::from_secs(HOUR), at(0), begin);
        for (steady, time, ages_by) in readings {
            let read = clock.read(at(*time), begin + Duration::from_secs(*steady));
            assert_eq!(read, at(*ages_by), "at {steady} s");
        }
    }

    #[test]
    fn without_a_step_ages_follow_the_clock() {
        check(&[(5, 5, 5), (10, 11, 11), (3600, 3590, 3590), (3605, 3600, 3600)]);
    }

    #[test]
    fn a_step_ahead_that_is_taken_back_never_counts() {
        let days = 4 * 24 * 3600;
        check(&[
            (5, 5, 5),
            (10, days + 10, 10),
            (19, days + 19, 19),
            (20, 20, 20),
            (9000, 9000, 9000),
        ]);
        // Taken back in part.
        check(&[(5, days + 5, 5), (10, days / 2 + 10, 10), (20, 20, 20)]);
    }

    #[test]
    fn a_step_ahead_counts_once_it_has_stood() {
        let days = 4 * 24 * 3600;
        check(&[
            (5, days + 5, 5),
            (3600, days + 3600, 3600),
            (3605, days + 3605, days + 3605),
            (3610, days + 3610, days + 3610),
        ]);
    }

    #[test]
    fn further_steps_begin_the_wait_anew() {
        check(&[
            (5, 100_005, 5),
            (3000, 203_000, 3000),
            (3700, 203_700, 3700),
            (6600, 206_600, 206_600),
        ]);
    }
}
