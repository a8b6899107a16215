//! Starts the maintenance jobs, each with what it needs, and ends them.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    actor::{registry::Registry, stream::EndpointFault},
    config::Config,
    http::Services,
    ingest::gauge::Gauge,
    maintenance::{
        ClockGuard, CountBacklog, EndRevokedPolls, Expire, GiveUpPolled, LimitHeld, MetricsUpkeep,
        PauseAtFault, PauseInactive, RecordActivity, RecordLastUses, Runner, Sweep, SweepDevices,
        WatchStore, run_once,
    },
    telemetry::supervision::Supervisor,
};

/// The jobs that run beside the listeners.
pub(super) struct Background {
    runner: Runner,
    /// Runs a last time at the end. `None` if no provider asks for the activity of streams.
    record_activity: Option<RecordActivity>,
    /// Runs a last time at the end as well.
    record_last_uses: RecordLastUses,
}

impl Background {
    pub(super) fn start(
        config: &Config,
        services: &Services,
        registry: &Arc<Registry>,
        gauge: Option<Gauge>,
        faults: mpsc::Receiver<EndpointFault>,
        supervisor: &Supervisor,
    ) -> Self {
        let transmitter = || Arc::clone(&services.transmitter);
        let store = || Arc::clone(&services.store);
        let lease = || Arc::clone(&services.lease);
        let mut runner = Runner::new(Arc::clone(&services.jobs), lease(), supervisor.clone());
        let (bound, period) = (config.store.backlog_max, config.store.backlog_interval);
        let (held_max, held_for) = (config.store.held_max, config.store.held_for);
        let expiry_interval = config.store.expiry_interval;
        let activity_interval = config.process.activity_interval;
        let retention = config.clone();

        let wait_max = config.delivery.retry.wait_max().max(config.poll.redelivery_interval);
        let guard = ClockGuard::new(store(), store(), config.clock_skew_max(), wait_max);
        let registry = Arc::clone(registry);
        let sweep_interval = config.delivery.sweep_interval;
        runner.start(Sweep::new(registry, guard, lease(), sweep_interval, services.ages.clone()));
        let ages = || services.ages.clone();
        runner.start(LimitHeld::new(store(), held_max, held_for, expiry_interval, ages()));
        let give_up_after = config.poll.give_up_after;
        runner.start(GiveUpPolled::new(store(), give_up_after, expiry_interval, ages()));
        let retention = move |now| retention.expiry(now);
        runner.start(Expire::new(store(), store(), retention, expiry_interval, ages()));
        runner.start(CountBacklog::new(transmitter(), store(), lease(), gauge, bound, period));
        runner.start(PauseAtFault::new(transmitter(), faults));
        let watched = services.transmitter.watches_activity();
        let record_activity = || RecordActivity::new(transmitter(), activity_interval);
        if watched {
            runner.start(record_activity());
            runner.start(PauseInactive::new(transmitter(), activity_interval, ages()));
        }
        if let Some(period) = services.agents.sweep_period() {
            let agents = Arc::clone(&services.agents);
            runner.start(SweepDevices::new(agents, period, ages()));
        }
        runner.start(WatchStore::new(store(), supervisor.clone()));
        runner.start(MetricsUpkeep::new(services.metrics.clone()));
        let record_last_uses = || RecordLastUses::new(services.authenticator.clone());
        runner.start(record_last_uses());
        runner.start(EndRevokedPolls::new(services.authenticator.clone(), transmitter()));
        Self {
            runner,
            record_activity: watched.then(record_activity),
            record_last_uses: record_last_uses(),
        }
    }

    /// Ends the jobs. To be called when nothing comes in or goes out any more.
    pub(super) async fn end(mut self) {
        self.runner.end();
        if let Some(mut record_activity) = self.record_activity {
            // An error is logged there, and there is nothing else to do about it.
            run_once(&mut record_activity).await.ok();
        }
        run_once(&mut self.record_last_uses).await.ok();
    }
}
