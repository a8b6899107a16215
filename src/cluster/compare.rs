//! What this node knows of the streams is held against the store: now and then, and whenever it may
//! have missed something. Each slot keeps what was changed in it last, in the same step as the change
//! itself; so whoever died before it could tell the others is found out.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Cluster, local::Local, notice::Notice};
use crate::{
    store::{
        StoreError,
        redis::link::{Changed, Link, SlotChanges},
        slot::Slot,
    },
    telemetry::{causes::with_causes, metrics},
};

/// How long to wait before a store is asked again that failed.
const RETRY: Duration = Duration::from_millis(500);
/// Requests that wait; one more finds that one is waiting already.
const REQUESTS_MAX: usize = 16;

/// Asks for a comparison.
#[derive(Debug, Clone)]
pub(super) struct Comparison(mpsc::Sender<Option<oneshot::Sender<()>>>);

impl Comparison {
    /// Soon.
    pub(super) fn ask(&self) {
        // A full queue holds a request already.
        self.0.try_send(None).ok();
    }

    /// Returns once everything was compared.
    pub(super) async fn done(&self) {
        let (done, compared) = oneshot::channel();
        if self.0.send(Some(done)).await.is_ok() {
            // A comparer that is gone went with its node.
            compared.await.ok();
        }
    }
}

/// Compares when it is asked to, and now and then.
pub(super) struct Comparer {
    cluster: Arc<Cluster>,
    local: Arc<dyn Local>,
    /// The last change of each slot that is known here.
    known: Vec<String>,
    requests: mpsc::Receiver<Option<oneshot::Sender<()>>>,
}

impl Comparer {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        local: &Arc<dyn Local>,
        known: Vec<String>,
    ) -> (Self, Comparison) {
        let (ask, requests) = mpsc::channel(REQUESTS_MAX);
        let (cluster, local) = (Arc::clone(cluster), Arc::clone(local));
        (Self { cluster, local, known, requests }, Comparison(ask))
    }

    pub(super) async fn run(mut self) {
        let mut tick = interval(self.cluster.settings.compare_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            let request = tokio::select! {
                _ = tick.tick() => None,
                Some(request) = self.requests.recv() => request,
            };
            while let Err(error) = self.compare().await {
                metrics::store_error("compare");
                tracing::warn!(error = with_causes(&error), "cannot look for changes of streams");
                sleep(RETRY).await;
            }
            if let Some(done) = request {
                // Whoever waited may have given up.
                done.send(()).ok();
            }
        }
    }

    async fn compare(&mut self) -> Result<(), StoreError> {
        let slots = newest(&self.cluster.link, &self.known).await?;
        for ((slot, known), found) in Slot::all().zip(&mut self.known).zip(slots) {
            let changed: BTreeSet<_> = match found.changed {
                Changed::These(streams) => streams.into_iter().collect(),
                Changed::Any(streams) => {
                    streams.into_iter().chain(self.local.streams_of(slot)).collect()
                }
            };
            self.local.apply(&Notice { changed, ..Notice::default() }).await?;
            *known = found.newest;
        }
        Ok(())
    }
}

/// What was changed in each slot since, and where that ends.
pub(super) async fn newest(link: &Link, known: &[String]) -> Result<Vec<SlotChanges>, StoreError> {
    try_join_all(Slot::all().zip(known).map(|(slot, known)| link.changes(slot, known))).await
}
