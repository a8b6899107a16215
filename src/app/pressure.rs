//! Counts what waits, lets publishers know, and refuses them where it is too much.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    clock,
    cluster::lease::Lease,
    config::StoreSettings,
    ingest::gauge::Gauge,
    store::{Backlog, Store, StoreError, Waiting},
    telemetry::{causes::with_causes, metrics},
    transmitter::{Transmitter, pressure::Taken},
};

/// How many times the gauge may be written late before it goes.
const LATE_MAX: u32 = 4;

pub(super) struct PressureWatch {
    pub(super) transmitter: Arc<Transmitter>,
    pub(super) store: Arc<dyn Store>,
    pub(super) lease: Arc<Lease>,
    /// Where publishers read it, if they publish through Redis.
    pub(super) gauge: Option<Gauge>,
    pub(super) max: u64,
    pub(super) interval: Duration,
}

impl PressureWatch {
    pub(super) fn new(
        transmitter: Arc<Transmitter>,
        store: Arc<dyn Store>,
        lease: Arc<Lease>,
        gauge: Option<Gauge>,
        settings: &StoreSettings,
    ) -> Self {
        let interval = settings.backlog_interval.max(Duration::from_millis(10));
        Self { transmitter, store, lease, gauge, max: settings.backlog_max, interval }
    }

    pub(super) async fn run(mut self) {
        let mut tick = interval(self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // The gauge is one node's to write; what is taken each node has to know.
            let writes = self.gauge.is_some() && self.lease.runs_maintenance(clock::instant());
            if (writes || self.max != 0)
                && let Err(error) = self.look(writes).await
            {
                metrics::store_error("backlog");
                tracing::warn!(error = with_causes(&error), "cannot count what waits");
            }
        }
    }

    async fn look(&mut self, writes: bool) -> Result<(), StoreError> {
        let backlog = self.store.backlog().await?;
        let providers: Vec<_> = self.transmitter.directory().providers().cloned().collect();
        for provider in providers {
            let name = &provider.name;
            let waiting = backlog.iter().find(|backlog| backlog.provider == *name);
            let waiting = waiting.map(|Backlog { sets, oldest, .. }| (*sets, *oldest));
            let (sets, oldest) = waiting.unwrap_or_default();
            let taken = Taken::by(sets, self.max);
            metrics::backlog_pressure(name, taken as u64);
            if let Some(before) = self.transmitter.pressure().set(name, taken) {
                let (before, taken, max) = (before.as_str(), taken.as_str(), self.max);
                tracing::warn!(provider = %name, sets, max, before, taken, "what is taken has changed");
            }
            if let Some(gauge) = self.gauge.as_mut().filter(|_| writes) {
                let (waiting, lasts) = (Waiting { sets, oldest }, self.interval * LATE_MAX);
                let written = gauge.write(name, waiting, taken, self.max, clock::now(), lasts);
                // The consumer tells of an upstream that is away.
                if let Err(error) = written.await {
                    tracing::debug!(provider = %name, %error, "cannot write the gauge");
                }
            }
        }
        Ok(())
    }
}
