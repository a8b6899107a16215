//! Starts the maintenance jobs, each with what it needs, and ends them.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::clock_steps::ClockSteps;
use crate::{
    actor::{registry::Registry, stream::EndpointFault},
    clock,
    cluster::lease::Lease,
    config::Config,
    http::Services,
    ingest::gauge::Gauge,
    maintenance::{
        CountBacklog, Expire, LimitHeld, MetricsUpkeep, PauseAtFault, PauseInactive,
        RecordActivity, Runner, run_once,
    },
    store::{Store, StoreError},
    telemetry::{causes::with_causes, metrics},
};

/// The jobs that run beside the listeners.
pub(super) struct Background {
    runner: Runner,
    sweep: JoinHandle<()>,
    /// Runs a last time at the end. `None` if no provider asks for the activity of streams.
    record_activity: Option<RecordActivity>,
}

impl Background {
    pub(super) fn start(
        config: &Config,
        services: &Services,
        registry: &Arc<Registry>,
        gauge: Option<Gauge>,
        faults: mpsc::Receiver<EndpointFault>,
    ) -> Self {
        let transmitter = || Arc::clone(&services.transmitter);
        let store = || Arc::clone(&services.store);
        let lease = || Arc::clone(&services.lease);
        let mut runner = Runner::new(Arc::clone(&services.jobs), lease());
        let (bound, period) = (config.store.backlog_max, config.store.backlog_interval);
        let (held_max, held_for) = (config.store.held_max, config.store.held_for);
        let expiry_interval = config.store.expiry_interval;
        let activity_interval = config.process.activity_interval;
        let retention = config.clone();

        let sweep = tokio::spawn(sweep(Arc::clone(registry), store(), lease(), config.clone()));
        runner.start(LimitHeld::new(store(), held_max, held_for, expiry_interval));
        let retention = move |now| retention.expiry(now);
        runner.start(Expire::new(store(), store(), retention, expiry_interval));
        runner.start(CountBacklog::new(transmitter(), store(), lease(), gauge, bound, period));
        runner.start(PauseAtFault::new(transmitter(), faults));
        let watched = services.transmitter.watches_activity();
        let record_activity = || RecordActivity::new(transmitter(), activity_interval);
        if watched {
            runner.start(record_activity());
            runner.start(PauseInactive::new(transmitter(), activity_interval));
        }
        runner.start(MetricsUpkeep::new(services.metrics.clone()));
        Self { runner, sweep, record_activity: watched.then(record_activity) }
    }

    /// Ends the jobs. To be called when nothing comes in or goes out any more.
    pub(super) async fn end(self) {
        self.runner.end();
        self.sweep.abort();
        if let Some(mut record_activity) = self.record_activity {
            // An error is logged there, and there is nothing else to do about it.
            run_once(&mut record_activity).await.ok();
        }
    }
}

/// Finds work whose wake-up was lost; at once after a start, when there was none at all. A clock that
/// went back would have what waits for its time wait longer by as much: that is noticed here.
async fn sweep(registry: Arc<Registry>, store: Arc<dyn Store>, lease: Arc<Lease>, config: Config) {
    let mut steps = ClockSteps::new(clock::now(), clock::instant());
    let mut tick = interval(config.delivery.sweep_interval.max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The newest may be by the clock of another node.
    let now = clock::now() + config.clock_skew_max();
    let mut went_back = store.newest().await.ok().flatten().is_some_and(|at| now < at);
    loop {
        tick.tick().await;
        let now = clock::now();
        went_back |= steps.went_back(now, clock::instant());
        if went_back {
            match store.forget_waits(now).await {
                Ok(sets) => {
                    went_back = false;
                    tracing::warn!(sets, "the clock went back; what waits is tried at once");
                }
                Err(error) => sweep_failed(&error),
            }
        }
        if !lease.is_valid(clock::instant()) {
            continue;
        }
        if let Err(error) = registry.sweep(lease.slots()).await {
            sweep_failed(&error);
        }
    }
}

fn sweep_failed(error: &StoreError) {
    metrics::store_error("sweep");
    tracing::warn!(error = with_causes(error), "cannot look for work");
}
