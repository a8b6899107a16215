//! Follows the change feed and applies the notices of other nodes in their order.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::notice::Notice;
use crate::{
    cluster::{Cluster, compare::ComparisonRequests, local_node::LocalNode},
    store::{StoreError, redis::link::FeedEntry},
    telemetry::{causes::with_causes, metrics},
};

/// The longest time that one read waits for entries.
const BLOCK: Duration = Duration::from_secs(5);
/// The wait between two tries after the store failed.
const RETRY: Duration = Duration::from_millis(500);

/// The task that reads the feed.
pub(in crate::cluster) struct FeedReader {
    pub(in crate::cluster) cluster: Arc<Cluster>,
    pub(in crate::cluster) local: Arc<dyn LocalNode>,
    pub(in crate::cluster) comparison: ComparisonRequests,
    /// The id of the newest entry that was applied.
    pub(in crate::cluster) last: String,
}

impl FeedReader {
    pub(in crate::cluster) async fn run(mut self) {
        let mut interrupted = false;
        loop {
            let error = self.follow(&mut interrupted).await;
            // One log line for each interruption, not for each failed try.
            if !interrupted {
                metrics::store_error("feed");
                let error = with_causes(&error);
                tracing::warn!(error, "cannot read the change feed of the other nodes");
            }
            interrupted = true;
            sleep(RETRY).await;
        }
    }

    /// Reads and applies entries until the store fails.
    async fn follow(&mut self, was_interrupted: &mut bool) -> StoreError {
        // A connection of its own, because a blocking read delays every other command on its
        // connection.
        let mut feed = match self.cluster.link.connect_to_feed(BLOCK).await {
            Ok(feed) => feed,
            Err(error) => return error,
        };
        loop {
            let entries = match feed.read_after(&self.last).await {
                Ok(entries) => entries,
                Err(error) => return error,
            };
            if std::mem::take(was_interrupted) {
                tracing::info!("the change feed of the other nodes is readable again");
            }
            for entry in entries {
                self.apply(entry).await;
            }
        }
    }

    async fn apply(&mut self, entry: FeedEntry) {
        let (before, from) = (entry.field("before"), entry.field("from"));
        let mut notice = Notice::default();
        if before != Some(self.last.as_str()) {
            tracing::warn!(after = self.last, "entries of the change feed were missed");
            (notice.more_changed, notice.more_woken) = (true, true);
        }
        if from != Some(self.cluster.feed_author.as_str()) {
            notice.merge(Notice::of_fields(entry.fields()));
        }
        if notice.nodes {
            self.cluster.nodes_changed.notify_one();
        }
        if notice.more_changed {
            self.comparison.request();
        }
        while let Err(error) = self.local.apply(&notice).await {
            metrics::store_error("hear");
            tracing::warn!(error = with_causes(&error), "cannot apply a notice of another node");
            sleep(RETRY).await;
        }
        self.last = entry.id;
    }
}
