//! Reports the condition of the store.

use std::{sync::Arc, time::Duration};

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger};
use crate::{
    clock,
    store::{Condition, Maintenance},
    telemetry::{metrics, supervision::Supervisor},
};

const PERIOD: Duration = Duration::from_secs(1);

/// Logs each change of the store's condition, keeps its metrics, and ends the process if the store can
/// never serve again. Makes no call of the store.
pub struct WatchStore {
    store: Arc<dyn Maintenance>,
    supervisor: Supervisor,
    before: Condition,
}

impl WatchStore {
    pub fn new(store: Arc<dyn Maintenance>, supervisor: Supervisor) -> Self {
        Self { store, supervisor, before: Condition::default() }
    }
}

#[async_trait::async_trait]
impl Job for WatchStore {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "watch_store",
            purpose: "Reports whether the store serves and takes new events.",
            trigger: Trigger::Every(PERIOD),
            scope: JobScope::EachNode,
            operation: "watch_store",
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        let now = self.store.condition(clock::instant());
        metrics::store_serves(now.failing.is_none());
        metrics::store_takes_events(now.failing.is_none() && now.refuses_events.is_none());
        match (&self.before.failing, &now.failing) {
            (None, Some(why)) => tracing::error!(why, "the store does not serve"),
            (Some(_), None) => tracing::info!("the store serves again"),
            _ => {}
        }
        match (&self.before.refuses_events, &now.refuses_events) {
            (None, Some(why)) => tracing::warn!(why, "the store takes no new events"),
            (Some(_), None) => tracing::info!("the store takes new events again"),
            _ => {}
        }
        for degraded in now.degraded.iter().filter(|one| !self.before.degraded.contains(one)) {
            tracing::warn!(degraded, "the store keeps less than it promises");
        }
        if now.ended && !self.before.ended {
            self.supervisor.report_end("store");
        }
        self.before = now;
        Ok(RunCounts::default())
    }
}
