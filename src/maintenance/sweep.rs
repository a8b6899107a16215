//! Finds SETs that wait although nobody was told of them.

use std::{sync::Arc, time::Duration};

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger, clock_steps::ClockSteps};
use crate::{
    actor::registry::Registry, clock, cluster::lease::Lease, domain::time::Timestamp,
    store::Maintenance,
};

/// Wakes the streams of this node that have SETs to push. A wake-up may be lost, and at a start there
/// was none at all.
///
/// The job also notices that the clock was set back, because SETs that wait for a time would then wait
/// for as much longer. It makes all of them due.
pub struct Sweep {
    registry: Arc<Registry>,
    store: Arc<dyn Maintenance>,
    lease: Arc<Lease>,
    period: Duration,
    /// How far the clock of another node may be ahead of ours.
    clock_skew_max: Duration,
    /// `None` before the first run.
    steps: Option<ClockSteps>,
    /// The clock was set back, and the SETs that wait for a time are not due yet.
    went_back: bool,
}

impl Sweep {
    pub fn new(
        registry: Arc<Registry>,
        store: Arc<dyn Maintenance>,
        lease: Arc<Lease>,
        period: Duration,
        clock_skew_max: Duration,
    ) -> Self {
        Self { registry, store, lease, period, clock_skew_max, steps: None, went_back: false }
    }

    /// Returns whether the clock was set back since the last run. The first run compares the clock with
    /// the newest SET, which another node may have appended.
    async fn clock_went_back(&mut self, now: Timestamp) -> bool {
        if let Some(steps) = &mut self.steps {
            return steps.went_back(now, clock::instant());
        }
        self.steps = Some(ClockSteps::new(now, clock::instant()));
        let latest = now + self.clock_skew_max;
        self.store.newest().await.ok().flatten().is_some_and(|at| latest < at)
    }

    /// Makes due all SETs that wait for a time. Returns how many, or 0 if the clock was not set back.
    async fn forget_waits(&mut self, now: Timestamp) -> Result<usize, JobError> {
        self.went_back |= self.clock_went_back(now).await;
        if !self.went_back {
            return Ok(0);
        }
        let sets = self.store.forget_waits(now).await?;
        self.went_back = false;
        tracing::warn!(
            sets,
            "the clock was set back; SETs that waited for a retry are tried at once"
        );
        Ok(sets)
    }
}

#[async_trait::async_trait]
impl Job for Sweep {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "sweep",
            purpose: "Wakes the streams of this node that have SETs to push, and notices that the \
                      clock was set back.",
            trigger: Trigger::Every(self.period),
            scope: JobScope::EachNode,
            operation: "sweep",
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        let now = clock::now();
        let made_due = self.forget_waits(now).await;
        // A node that may not deliver wakes nobody.
        let woken = if self.lease.is_valid(clock::instant()) {
            self.registry.sweep(self.lease.slots()).await?
        } else {
            0
        };
        Ok(RunCounts::count("woken", woken).and("made_due", made_due?))
    }
}
