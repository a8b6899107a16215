//! Runs the jobs.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Job, JobBoard, JobError, JobScope, JobSpec, LastRun, RunCounts, Trigger, board::BoardEntry,
};
use crate::{
    clock,
    cluster::lease::Lease,
    telemetry::{causes::with_causes, metrics, supervision::Supervisor},
};

/// The shortest period. A setting of 0 must not make a loop that never rests.
const PERIOD_MIN: Duration = Duration::from_millis(10);

/// A run that takes longer than this is logged, and goes on: to break it off in the middle of a
/// write would help nobody.
const RUN_EXPECTED_MAX: Duration = Duration::from_mins(1);

/// Runs each job on a task of its own, so that no job delays another.
pub struct Runner {
    board: Arc<JobBoard>,
    lease: Arc<Lease>,
    supervisor: Supervisor,
    tasks: Vec<JoinHandle<()>>,
}

impl Runner {
    pub fn new(board: Arc<JobBoard>, lease: Arc<Lease>, supervisor: Supervisor) -> Self {
        Self { board, lease, supervisor, tasks: Vec::new() }
    }

    /// Starts a job. A job with a period runs at once.
    pub fn start(&mut self, job: impl Job) {
        let (name, entry) = (job.spec().name, self.board.add(job.spec()));
        let running = keep_running(job, Arc::clone(&self.lease), entry);
        // A run that panics is caught there. Nothing is left of a job whose task panics otherwise.
        self.tasks.push(self.supervisor.essential(&format!("job {name}"), running));
    }

    /// Ends all jobs. A run under way is broken off.
    pub fn end(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn keep_running(mut job: impl Job, lease: Arc<Lease>, entry: BoardEntry) {
    let spec = job.spec();
    let period = match spec.trigger {
        Trigger::Every(period) => Some(period.max(PERIOD_MIN)),
        Trigger::Request => None,
    };
    let mut tick = period.map(|period| {
        let mut tick = interval(period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick
    });
    loop {
        if let Some(tick) = &mut tick {
            tick.tick().await;
        }
        job.ready().await;
        let (started, begun) = (clock::now(), clock::instant());
        let next_run = period.map(|period| started + period);
        if spec.scope == JobScope::OneNode && !lease.runs_maintenance(begun) {
            entry.left_to_another_node(next_run);
            continue;
        }
        entry.started(started);
        let result = run_once(&mut job).await;
        let (done, error) = match result {
            Ok(done) => (Some(done), None),
            Err(error) => (None, Some(error)),
        };
        let took = clock::instant().saturating_duration_since(begun);
        let now = clock::now();
        let next_run = next_run.map(|next| next.max(now));
        entry.ended(LastRun { started, took, done }, error, now, next_run);
    }
}

/// Runs a job once. An error is logged and counted here, and returned as its text.
pub async fn run_once(job: &mut impl Job) -> Result<RunCounts, String> {
    let JobSpec { name, operation, .. } = job.spec();
    // A panic ends a task silently. The job shall run again, and the list of jobs shall show why
    // its last run failed.
    let mut run = pin!(AssertUnwindSafe(job.run()).catch_unwind());
    let result = if let Ok(result) = timeout(RUN_EXPECTED_MAX, &mut run).await {
        result
    } else {
        let secs = RUN_EXPECTED_MAX.as_secs();
        tracing::warn!(job = name, secs, "a maintenance job takes long");
        run.await
    };
    let result = result.unwrap_or_else(|_| Err(JobError::from("the job panicked")));
    result.map_err(|error| {
        let error = with_causes(error.as_ref());
        metrics::store_error(operation);
        tracing::warn!(job = name, error, "a maintenance job failed");
        error
    })
}
