//! The state of each polled URL on this node, for operators.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::time::Timestamp;

/// The states of all URLs of a source, in the order of the configuration.
#[derive(Debug)]
pub(super) struct PollBoard(Mutex<Vec<PollState>>);

/// The state of one URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PollState {
    /// The URL without its query.
    pub url: String,
    /// Whether this node polls it.
    pub polls_here: bool,
    /// The last round that ended on this node.
    pub last_round: Option<LastRound>,
    /// The last round that failed. Later successes leave it.
    pub last_error: Option<LastPollError>,
    /// Rounds that failed since the last success.
    pub failures: u32,
    /// All records of the provider up to this time are taken in.
    pub caught_up_to: Option<Timestamp>,
}

/// A round that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRound {
    pub ended_at: Timestamp,
    /// `complete`, `continued`, or the kind of its fault.
    pub outcome: &'static str,
    pub tally: Tally,
}

/// The work of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub pages: usize,
    pub records: usize,
    /// Events that were not known before.
    pub new: usize,
    /// Events that were known, for example from a webhook.
    pub known: usize,
}

/// A round that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastPollError {
    pub at: Timestamp,
    /// The error with its causes, and the remedy if there is one.
    pub error: String,
}

impl PollBoard {
    pub(super) fn new(urls: impl Iterator<Item = String>) -> Self {
        let state = |url| PollState { url, ..PollState::default() };
        Self(Mutex::new(urls.map(state).collect()))
    }

    pub(super) fn states(&self) -> Vec<PollState> {
        self.lock().clone()
    }

    /// Changes the state of one URL, and returns what `change` returns.
    pub(super) fn change<T>(&self, url: usize, change: impl FnOnce(&mut PollState) -> T) -> T {
        change(&mut self.lock()[url])
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PollState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PollState {
    /// Notes that all records up to a time are taken in.
    pub(super) fn caught_up(&mut self, to: Timestamp) {
        self.caught_up_to = self.caught_up_to.max(Some(to));
    }
}
