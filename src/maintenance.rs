//! Maintenance jobs: the recurring background work of a daemon.
//!
//! - [`Job`] is one kind of work. Each job has a file of its own in this folder, and owns what it
//!   needs.
//! - [`Runner`] runs every job on a task of its own: it waits for the job's trigger, leaves the work
//!   to another node where one node works for all, and logs and counts errors.
//! - [`JobBoard`] keeps a [`JobState`] for each job. `GET /admin/v1/jobs` shows the states.
//!
//! ```text
//!  trigger ─▶ Runner ─▶ Job::run ─▶ RunCounts, or JobError ─▶ JobBoard ─▶ GET /admin/v1/jobs
//! ```
//!
//! [`Sweep`], [`Expire`], [`LimitHeld`] and [`GiveUpPolled`] are needed for correctness: they find SETs
//! whose wake-up was lost, remove data at the end of its retention, and bound what paused streams hold
//! and what waits to be polled. [`SweepDevices`] finds changes of devices that a crash left pending. The other jobs keep figures up to date or do what a setting asks for.
//!
//! To add a job: a file with a type that implements [`Job`], and a line in `app::background` that
//! starts it.

mod activity;
mod backlog;
mod board;
mod clock_steps;
mod end_revoked_polls;
mod expire;
mod give_up_polled;
mod last_uses;
mod limit_held;
mod metrics_upkeep;
mod pause_at_fault;
mod runner;
mod sweep;
mod sweep_devices;
mod watch_store;

use std::{collections::BTreeMap, error::Error, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    activity::{PauseInactive, RecordActivity},
    backlog::CountBacklog,
    board::{JobBoard, JobState, LastError, LastRun},
    clock_steps::ClockGuard,
    end_revoked_polls::EndRevokedPolls,
    expire::Expire,
    give_up_polled::GiveUpPolled,
    last_uses::RecordLastUses,
    limit_held::LimitHeld,
    metrics_upkeep::MetricsUpkeep,
    pause_at_fault::PauseAtFault,
    runner::{Runner, run_once},
    sweep::Sweep,
    sweep_devices::SweepDevices,
    watch_store::WatchStore,
};

/// One kind of recurring work.
#[async_trait::async_trait]
pub trait Job: Send + 'static {
    /// Describes the job. The runner asks once, when it starts the job.
    fn spec(&self) -> JobSpec;

    /// Waits until there is work. A job with [`Trigger::Request`] waits for a request here.
    async fn ready(&mut self) {}

    /// Does the work once.
    async fn run(&mut self) -> Result<RunCounts, JobError>;
}

/// Why a run failed.
pub type JobError = Box<dyn Error + Send + Sync>;

/// The fixed properties of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobSpec {
    /// Stands in logs and in the list of jobs.
    pub name: &'static str,
    /// One sentence for operators.
    pub purpose: &'static str,
    pub trigger: Trigger,
    pub scope: JobScope,
    /// Failed runs are counted under this `operation` in `ssfd_store_errors_total`.
    pub operation: &'static str,
}

/// When a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// At the start, and then once in each period.
    Every(Duration),
    /// Whenever another part of the daemon asks for it.
    Request,
}

/// The nodes that run a job, where several nodes share one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobScope {
    /// Every node, for itself.
    EachNode,
    /// The node that runs the maintenance of all nodes.
    OneNode,
}

/// The result of a run, as counts with names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunCounts(pub BTreeMap<&'static str, u64>);

impl RunCounts {
    /// A run whose result is one count.
    pub fn count(name: &'static str, count: usize) -> Self {
        Self::default().and(name, count)
    }

    /// Adds a count.
    #[must_use]
    pub fn and(mut self, name: &'static str, count: usize) -> Self {
        self.0.insert(name, u64::try_from(count).unwrap_or(u64::MAX));
        self
    }
}
