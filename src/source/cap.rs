//! How many events a source may give in a minute, or how often something else may happen. Pure.

use std::time::Instant;

/// The parts that the minute is counted in.
const SECONDS: usize = 60;

/// Counts events in the last minute, second by second.
#[derive(Debug)]
pub(crate) struct MinuteCap {
    /// 0 means no limit.
    max: u32,
    start: Instant,
    /// The number of the second that was counted last.
    newest: u64,
    counts: [u32; SECONDS],
}

impl MinuteCap {
    pub(crate) fn new(max: u32, start: Instant) -> Self {
        Self { max, start, newest: 0, counts: [0; SECONDS] }
    }

    /// Counts one event. Returns `false`, and counts nothing, if there were too many in the last minute.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let takes = !self.is_full(now);
        if takes {
            self.count(1, now);
        }
        takes
    }

    /// Tells whether there were as many events in the last minute as may be.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.move_to(now);
        let counted: u64 = self.counts.iter().copied().map(u64::from).sum();
        self.max != 0 && u64::from(self.max) <= counted
    }

    /// Counts events, also beyond the cap.
    pub(super) fn count(&mut self, events: u32, now: Instant) {
        self.move_to(now);
        let count = &mut self.counts[place(self.newest)];
        *count = count.saturating_add(events);
    }

    /// Takes back events that turned out to be none, the youngest first.
    pub(crate) fn give_back(&mut self, mut events: u32) {
        for age in 0..SECONDS as u64 {
            let Some(second) = self.newest.checked_sub(age) else { return };
            let count = &mut self.counts[place(second)];
            let back = events.min(*count);
            *count -= back;
            events -= back;
        }
    }

    fn move_to(&mut self, now: Instant) {
        let second = now.saturating_duration_since(self.start).as_secs();
        let passed = second.saturating_sub(self.newest).min(SECONDS as u64);
        for age in 0..passed {
            self.counts[place(second - age)] = 0;
        }
        self.newest = self.newest.max(second);
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % SECONDS as u64).expect("less than a minute")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn the_minute_slides() {
        let start = clock::instant();
        let at = |secs| start + Duration::from_secs(secs);
        let mut cap = MinuteCap::new(3, start);
        assert!(cap.take(at(0)) && cap.take(at(30)) && cap.take(at(59)));
        assert!(!cap.take(at(59)));
        assert!(cap.take(at(60)), "the first is a minute ago");
        assert!(!cap.take(at(89)));
        assert!(cap.take(at(90)));
        assert!(cap.take(at(1000)) && cap.take(at(1000)) && cap.take(at(1000)));
        assert!(!cap.take(at(1000)));
        // A clock that stands still or goes back counts all the same.
        assert!(!cap.take(at(990)));
    }

    #[test]
    fn events_may_be_counted_beyond_the_cap() {
        let start = clock::instant();
        let at = |secs| start + Duration::from_secs(secs);
        let mut cap = MinuteCap::new(3, start);
        cap.count(2, at(0));
        assert!(!cap.is_full(at(0)));
        cap.count(u32::MAX, at(10));
        assert!(cap.is_full(at(69)));
        assert!(!cap.is_full(at(70)));
    }

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let start = clock::instant();
        let mut cap = MinuteCap::new(2, start);
        assert!(cap.take(start) && cap.take(start + Duration::from_secs(5)));
        cap.give_back(1);
        assert!(cap.take(start + Duration::from_secs(6)));
        assert!(!cap.take(start + Duration::from_secs(6)));
        cap.give_back(100);
        assert!(cap.take(start + Duration::from_secs(6)));
        let mut open = MinuteCap::new(0, start);
        assert!((0..10_000).all(|_| open.take(start)));
    }
}
