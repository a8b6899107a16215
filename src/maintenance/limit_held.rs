//! Bounds what paused streams hold.

use std::{sync::Arc, time::Duration};

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger};
use crate::{
    clock::{self, Ages},
    domain::reason::Reason,
    store::Maintenance,
    telemetry::metrics,
};

/// Gives up the SETs that a paused stream holds for too long, and the oldest of those beyond its
/// bound (SSF §8.1.2.1). They become dead letters.
pub struct LimitHeld {
    store: Arc<dyn Maintenance>,
    held_max: usize,
    held_for: Duration,
    period: Duration,
    ages: Ages,
}

impl LimitHeld {
    pub fn new(
        store: Arc<dyn Maintenance>,
        held_max: usize,
        held_for: Duration,
        period: Duration,
        ages: Ages,
    ) -> Self {
        Self { store, held_max, held_for, period, ages }
    }
}

#[async_trait::async_trait]
impl Job for LimitHeld {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "limit_held",
            purpose: "Gives up the SETs that paused streams hold for too long, or beyond \
                      `store.held_max`.",
            trigger: Trigger::Every(self.period),
            scope: JobScope::OneNode,
            operation: "limit_held",
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        let now = clock::now();
        let appended_before = self.ages.now() - self.held_for;
        let given_up = self.store.limit_held(self.held_max, appended_before, now).await?;
        let mut total = 0;
        for (provider, sets) in given_up {
            metrics::sets_dead(&provider, Reason::HoldLimit, sets);
            tracing::warn!(%provider, sets, "paused streams held too much or for too long");
            total += sets;
        }
        Ok(RunCounts::count("given_up", total))
    }
}
