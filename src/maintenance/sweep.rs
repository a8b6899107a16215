//! Finds SETs that wait although nobody was told of them.

use std::{sync::Arc, time::Duration};

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger, clock_steps::ClockGuard};
use crate::{
    actor::registry::Registry,
    clock::{self, Ages},
    cluster::lease::Lease,
};

/// Wakes the streams of this node that have SETs to push. A wake-up may be lost, and at a start there
/// was none at all.
///
/// Before that the job judges the clock, because SETs that wait for a time would wait for longer if the
/// clock was set back.
pub struct Sweep {
    registry: Arc<Registry>,
    guard: ClockGuard,
    lease: Arc<Lease>,
    period: Duration,
    ages: Ages,
}

impl Sweep {
    pub fn new(
        registry: Arc<Registry>,
        guard: ClockGuard,
        lease: Arc<Lease>,
        period: Duration,
        ages: Ages,
    ) -> Self {
        Self { registry, guard, lease, period, ages }
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
        // A step ahead is noticed here even if nothing is judged by its age for long.
        self.ages.now();
        let slots = self.lease.slots();
        let made_due = self.guard.check(clock::now(), clock::instant(), slots).await;
        // A node that may not deliver wakes nobody.
        let woken = if self.lease.is_valid(clock::instant()) {
            self.registry.sweep(self.lease.slots()).await?
        } else {
            0
        };
        Ok(RunCounts::count("woken", woken).and("made_due", made_due?))
    }
}
