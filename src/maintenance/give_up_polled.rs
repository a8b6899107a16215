//! Bounds for how long SETs wait to be polled.

use std::{sync::Arc, time::Duration};

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger};
use crate::{
    clock::{self, Ages},
    domain::reason::Reason,
    store::Maintenance,
    telemetry::metrics,
};

/// Gives up the SETs of poll streams that no Receiver acknowledged for too long. They become dead
/// letters. Without this bound, a stream that nobody polls would grow for ever.
pub struct GiveUpPolled {
    store: Arc<dyn Maintenance>,
    give_up_after: Duration,
    period: Duration,
    ages: Ages,
}

impl GiveUpPolled {
    pub fn new(
        store: Arc<dyn Maintenance>,
        give_up_after: Duration,
        period: Duration,
        ages: Ages,
    ) -> Self {
        Self { store, give_up_after, period, ages }
    }
}

#[async_trait::async_trait]
impl Job for GiveUpPolled {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "give_up_polled",
            purpose: "Gives up the SETs of poll streams that were not acknowledged within \
                      `poll.give_up_after`.",
            trigger: Trigger::Every(self.period),
            scope: JobScope::OneNode,
            operation: "give_up_polled",
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        let now = clock::now();
        let given_up = self.store.give_up_polled(self.ages.now() - self.give_up_after, now).await?;
        let mut total = 0;
        for (provider, sets) in given_up {
            metrics::sets_dead(&provider, Reason::Expired, sets);
            tracing::warn!(%provider, sets, "poll streams were not polled for too long");
            total += sets;
        }
        Ok(RunCounts::count("given_up", total))
    }
}
