//! Bounds the rate of log lines that a stranger can cause.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The most kinds of lines that are told apart in one interval. Further kinds are not logged.
const KINDS_MAX: usize = 64;

/// Admits one log line of each kind in an interval.
#[derive(Debug)]
pub struct LogPace<K> {
    interval: Duration,
    last: Mutex<HashMap<K, Line>>,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    at: Instant,
    /// The lines that were left out since.
    left_out: u64,
}

impl<K: Eq + Hash> LogPace<K> {
    pub fn new(interval: Duration) -> Self {
        Self { interval, last: Mutex::default() }
    }

    /// Returns the number of lines of this kind that were left out since the last one, if a line is to
    /// be written now.
    pub fn admit(&self, kind: K, now: Instant) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |line: &Line| self.interval <= now.saturating_duration_since(line.at);
        match last.get_mut(&kind) {
            Some(line) if !is_over(line) => {
                line.left_out += 1;
                return None;
            }
            Some(line) => {
                let left_out = line.left_out;
                *line = Line { at: now, left_out: 0 };
                return Some(left_out);
            }
            None => {}
        }
        if KINDS_MAX <= last.len() {
            last.retain(|_, line| !is_over(line));
        }
        if KINDS_MAX <= last.len() {
            return None;
        }
        last.insert(kind, Line { at: now, left_out: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn one_line_of_a_kind_is_written_in_an_interval() {
        let pace = LogPace::new(Duration::from_mins(1));
        let start = clock::instant();
        let at = |kind, secs| pace.admit(kind, start + Duration::from_secs(secs));
        assert_eq!(at("a", 0), Some(0));
        assert_eq!(at("a", 1), None);
        assert_eq!(at("b", 2), Some(0));
        assert_eq!(at("a", 59), None);
        assert_eq!(at("a", 60), Some(2));
        assert_eq!(at("a", 61), None);
        assert_eq!(at("a", 500), Some(1));
    }

    #[test]
    fn the_kinds_are_bounded_in_each_interval() {
        let pace = LogPace::new(Duration::from_mins(1));
        let start = clock::instant();
        let written = |secs| {
            let now = start + Duration::from_secs(secs);
            (0..10_000).filter(|n| pace.admit((secs, *n), now).is_some()).count()
        };
        assert_eq!(written(0), KINDS_MAX);
        assert_eq!(written(30), 0);
        assert_eq!(written(60), KINDS_MAX);
    }
}
