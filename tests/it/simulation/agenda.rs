//! Virtual time: what is to happen, and when.

use std::{collections::BTreeMap, time::Duration};

use ssfd::domain::time::Timestamp;

/// Time passes from one entry to the next, in no time at all.
pub(super) struct Agenda<T> {
    /// Of what comes at one moment, what was entered first comes first.
    entries: BTreeMap<(Duration, u64), T>,
    entered: u64,
    /// Since the run began; never set back.
    elapsed: Duration,
    /// The time of day, which an operator sets.
    clock: Clock,
}

struct Clock {
    began_at: Timestamp,
    ahead: Duration,
}

impl<T> Agenda<T> {
    pub(super) fn new() -> Self {
        // Far enough from zero for a clock that is set back.
        let began_at = Timestamp::from_millis(1_775_000_000_000);
        let clock = Clock { began_at, ahead: Duration::ZERO };
        Self { entries: BTreeMap::new(), entered: 0, elapsed: Duration::ZERO, clock }
    }

    pub(super) fn after(&mut self, wait: Duration, entry: T) {
        self.entered += 1;
        self.entries.insert((self.elapsed + wait, self.entered), entry);
    }

    /// Moves on to the next entry.
    pub(super) fn next(&mut self) -> Option<T> {
        let ((at, _), entry) = self.entries.pop_first()?;
        self.elapsed = at;
        Some(entry)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The time of day.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.began_at + self.elapsed + self.clock.ahead
    }

    /// Sets the clock to so much ahead of what it showed at first.
    pub(super) fn set_clock(&mut self, ahead: Duration) {
        self.clock.ahead = ahead;
    }
}
