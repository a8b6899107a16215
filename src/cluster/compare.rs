//! Compares the streams that this node knows with the store, periodically and after a gap in the
//! change feed.
//!
//! Each slot keeps a bounded log of its changed streams, and the store writes it in the same step
//! as the change itself. A comparison therefore also finds the changes of a node that crashed
//! before it could send a notice.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Cluster, change_feed::notice::Notice, local_node::LocalNode};
use crate::{
    store::{
        StoreError,
        redis::link::{ChangedStreams, Link, SlotChanges},
        slot::Slot,
    },
    telemetry::{causes::with_causes, metrics},
};

/// The wait between two tries of a comparison that failed.
const RETRY: Duration = Duration::from_millis(500);
/// The most requests that can wait. A further request is not needed, because a waiting one serves
/// it.
const REQUESTS_MAX: usize = 16;

/// Requests a comparison from the [`Comparer`].
#[derive(Debug, Clone)]
pub(super) struct ComparisonRequests(mpsc::Sender<Option<oneshot::Sender<()>>>);

impl ComparisonRequests {
    /// Requests a comparison and does not wait for it.
    pub(super) fn request(&self) {
        // A full queue holds a request already.
        self.0.try_send(None).ok();
    }

    /// Requests a comparison and returns once all slots were compared.
    pub(super) async fn request_and_wait(&self) {
        let (done, compared) = oneshot::channel();
        if self.0.send(Some(done)).await.is_ok() {
            // The comparer ends only with its node, so there is nothing left to wait for.
            compared.await.ok();
        }
    }
}

/// The task that compares every `compare_interval` and on request.
pub(super) struct Comparer {
    cluster: Arc<Cluster>,
    local: Arc<dyn LocalNode>,
    /// For each slot, the id of the newest change that this node has applied.
    applied: Vec<String>,
    requests: mpsc::Receiver<Option<oneshot::Sender<()>>>,
}

impl Comparer {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        local: &Arc<dyn LocalNode>,
        applied: Vec<String>,
    ) -> (Self, ComparisonRequests) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let (cluster, local) = (Arc::clone(cluster), Arc::clone(local));
        (Self { cluster, local, applied, requests }, ComparisonRequests(sender))
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
                tracing::warn!(
                    error = with_causes(&error),
                    "cannot compare this node's streams with the store"
                );
                sleep(RETRY).await;
            }
            if let Some(done) = request {
                // The requester may have given up.
                done.send(()).ok();
            }
        }
    }

    async fn compare(&mut self) -> Result<(), StoreError> {
        let slots = changes_since(&self.cluster.link, &self.applied).await?;
        for ((slot, applied), found) in Slot::all().zip(&mut self.applied).zip(slots) {
            let changed: BTreeSet<_> = match found.changed {
                ChangedStreams::Exactly(streams) => streams.into_iter().collect(),
                // Streams that were deleted are only in this node's directory.
                ChangedStreams::AnyOf(streams) => {
                    streams.into_iter().chain(self.local.streams_in(slot)).collect()
                }
            };
            self.local.apply(&Notice { changed, ..Notice::default() }).await?;
            *applied = found.newest;
        }
        Ok(())
    }
}

/// Reads for each slot which streams changed after the change in `applied`.
pub(super) async fn changes_since(
    link: &Link,
    applied: &[String],
) -> Result<Vec<SlotChanges>, StoreError> {
    try_join_all(Slot::all().zip(applied).map(|(slot, last)| link.slot_changes(slot, last))).await
}
