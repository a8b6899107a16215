//! The present state of each job.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{JobSpec, RunCounts};
use crate::domain::time::Timestamp;

/// The states of all jobs of this daemon, in the order in which they were started.
#[derive(Debug, Default)]
pub struct JobBoard(Mutex<Vec<JobState>>);

/// The present state of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobState {
    pub spec: JobSpec,
    /// Whether this node runs the job. `None` before its first time.
    pub runs_here: Option<bool>,
    /// When the run under way started.
    pub running_since: Option<Timestamp>,
    /// The last run that ended.
    pub last_run: Option<LastRun>,
    /// The last run that failed. Later successes leave it.
    pub last_error: Option<LastError>,
    /// When the job runs next. `None` while it runs, or if it runs on request.
    pub next_run: Option<Timestamp>,
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    pub started: Timestamp,
    pub took: Duration,
    /// `None` if the run failed.
    pub done: Option<RunCounts>,
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    pub at: Timestamp,
    /// The error with its causes.
    pub error: String,
}

/// The place of one job on the board.
#[derive(Debug)]
pub(super) struct BoardEntry {
    board: Arc<JobBoard>,
    index: usize,
}

impl JobBoard {
    pub fn states(&self) -> Vec<JobState> {
        self.lock().clone()
    }

    /// Adds a job that has not run.
    pub(super) fn add(self: &Arc<Self>, spec: JobSpec) -> BoardEntry {
        let mut states = self.lock();
        states.push(JobState {
            spec,
            runs_here: None,
            running_since: None,
            last_run: None,
            last_error: None,
            next_run: None,
        });
        BoardEntry { board: Arc::clone(self), index: states.len() - 1 }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<JobState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BoardEntry {
    /// Notes that another node does the work.
    pub(super) fn left_to_another_node(&self, next_run: Option<Timestamp>) {
        self.change(|state| {
            state.runs_here = Some(false);
            state.next_run = next_run;
        });
    }

    pub(super) fn started(&self, now: Timestamp) {
        self.change(|state| {
            state.runs_here = Some(true);
            state.running_since = Some(now);
            state.next_run = None;
        });
    }

    /// Notes how a run ended, at `now`.
    pub(super) fn ended(
        &self,
        run: LastRun,
        error: Option<String>,
        now: Timestamp,
        next_run: Option<Timestamp>,
    ) {
        self.change(|state| {
            state.running_since = None;
            state.last_run = Some(run);
            if let Some(error) = error {
                state.last_error = Some(LastError { at: now, error });
            }
            state.next_run = next_run;
        });
    }

    fn change(&self, change: impl FnOnce(&mut JobState)) {
        change(&mut self.board.lock()[self.index]);
    }
}
