//! Counts the backlog, shows it to publishers, and refuses events where it is too large.

use std::{sync::Arc, time::Duration};

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger};
use crate::{
    clock,
    cluster::lease::Lease,
    ingest::gauge::Gauge,
    store::{Backlog, Maintenance, Waiting},
    telemetry::metrics,
    transmitter::{Transmitter, pressure::Taken},
};

/// The gauge in Redis expires after this many periods without a write.
const GAUGE_LASTS_PERIODS: u32 = 4;

/// Counts the SETs that wait, decides by the count which events are taken, and writes both beside
/// the Redis streams of publishers.
///
/// Every node counts, because every node has to know which events it takes. One node writes the
/// gauge. Without a gauge and a bound there is nothing to count for.
pub struct CountBacklog {
    transmitter: Arc<Transmitter>,
    store: Arc<dyn Maintenance>,
    lease: Arc<Lease>,
    /// There if publishers use Redis.
    gauge: Option<Gauge>,
    /// SETs of one provider that may wait; 0 for any number.
    max: u64,
    period: Duration,
}

impl CountBacklog {
    pub fn new(
        transmitter: Arc<Transmitter>,
        store: Arc<dyn Maintenance>,
        lease: Arc<Lease>,
        gauge: Option<Gauge>,
        max: u64,
        period: Duration,
    ) -> Self {
        Self { transmitter, store, lease, gauge, max, period }
    }
}

#[async_trait::async_trait]
impl Job for CountBacklog {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "backlog",
            purpose: "Counts the SETs that wait, and decides which events are taken.",
            trigger: Trigger::Every(self.period),
            scope: JobScope::EachNode,
            operation: "backlog",
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        let writes = self.gauge.is_some() && self.lease.runs_maintenance(clock::instant());
        if !writes && self.max == 0 {
            return Ok(RunCounts::default());
        }
        let backlog = self.store.backlog().await?;
        let mut total = 0;
        let providers: Vec<_> = self.transmitter.directory().providers().cloned().collect();
        for provider in providers {
            let name = &provider.name;
            let waiting = backlog.iter().find(|backlog| backlog.provider == *name);
            let waiting = waiting.map(|Backlog { sets, oldest, .. }| (*sets, *oldest));
            let (sets, oldest) = waiting.unwrap_or_default();
            total += sets;
            let taken = Taken::by(sets, self.max);
            metrics::backlog_pressure(name, taken as u64);
            if let Some(before) = self.transmitter.pressure().set(name, taken) {
                let (before, taken, max) = (before.as_str(), taken.as_str(), self.max);
                let told = "the backlog has changed which events are taken";
                tracing::warn!(provider = %name, sets, max, before, taken, "{told}");
            }
            if let Some(gauge) = self.gauge.as_mut().filter(|_| writes) {
                let lasts = self.period * GAUGE_LASTS_PERIODS;
                let waiting = Waiting { sets, oldest };
                let written = gauge.write(name, waiting, taken, self.max, clock::now(), lasts);
                // The consumer reports a Redis that cannot be reached.
                if let Err(error) = written.await {
                    tracing::debug!(provider = %name, %error, "cannot write the gauge");
                }
            }
        }
        Ok(RunCounts::count("waiting", usize::try_from(total).unwrap_or(usize::MAX)))
    }
}
