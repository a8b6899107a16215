//! What the daemon does without being asked, from its start to its end.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::{clock_steps::ClockSteps, pressure::PressureWatch};
use crate::{
    actor::{registry::Registry, stream::EndpointFault},
    clock,
    cluster::lease::Lease,
    config::Config,
    domain::reason::Reason,
    http::Services,
    ingest::gauge::Gauge,
    store::{Store, StoreError},
    telemetry::{causes::with_causes, metrics},
    transmitter::Transmitter,
};

/// The tasks that run beside the listeners.
pub(super) struct Background(Vec<JoinHandle<()>>);

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
        let pressure = PressureWatch::new(transmitter(), store(), lease(), gauge, &config.store);
        Self(vec![
            tokio::spawn(pressure.run()),
            tokio::spawn(watch_activity(transmitter(), config.process.activity_interval)),
            tokio::spawn(metrics::keep_up(services.metrics.clone())),
            tokio::spawn(sweep(Arc::clone(registry), store(), lease(), config.clone())),
            tokio::spawn(expire(store(), lease(), config.clone())),
            tokio::spawn(pause_at_fault(transmitter(), faults)),
        ])
    }

    /// Ends them, when nothing comes in or goes out any more.
    pub(super) async fn end(self, transmitter: &Transmitter) {
        self.0.iter().for_each(JoinHandle::abort);
        if transmitter.watches_activity()
            && let Err(error) = transmitter.record_activity().await
        {
            activity_failed(&error);
        }
    }
}

async fn pause_at_fault(transmitter: Arc<Transmitter>, faults: mpsc::Receiver<EndpointFault>) {
    transmitter.pause_at_fault(faults).await;
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

/// Records when streams were last active, and pauses those that were not for too long.
async fn watch_activity(transmitter: Arc<Transmitter>, period: Duration) {
    if !transmitter.watches_activity() {
        return;
    }
    let mut tick = interval(period.max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = transmitter.record_activity().await {
            activity_failed(&error);
        }
        if let Err(error) = transmitter.pause_inactive().await {
            activity_failed(&error);
        }
    }
}

fn activity_failed(error: &(dyn std::error::Error + 'static)) {
    metrics::store_error("activity");
    tracing::warn!(error = with_causes(error), "cannot keep up with the activity of streams");
}

/// Removes what is kept long enough, on one node for all.
async fn expire(store: Arc<dyn Store>, lease: Arc<Lease>, config: Config) {
    let mut tick = interval(config.store.expiry_interval.max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if !lease.runs_maintenance(clock::instant()) {
            continue;
        }
        let now = clock::now();
        let expiry = config.expiry(now);
        match store.limit_held(config.store.held_max, now - config.store.held_for, now).await {
            Ok(dropped) => {
                for (provider, sets) in dropped {
                    metrics::sets_dead(&provider, Reason::HoldLimit, sets);
                    tracing::warn!(%provider, sets, "paused streams held too much or too long");
                }
            }
            Err(error) => {
                metrics::store_error("limit_held");
                tracing::warn!(error = with_causes(&error), "cannot bound what is held");
            }
        }
        loop {
            let expired = async {
                let lists = store.expire_lists(now).await?;
                let grants = store.expire_grants(now).await?;
                let settled = store.expire(expiry.clone()).await?;
                Ok::<_, StoreError>(lists || grants || settled)
            };
            match expired.await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    metrics::store_error("expire");
                    tracing::warn!(error = with_causes(&error), "cannot remove what is old");
                    break;
                }
            }
        }
    }
}
