//! What other nodes tell is taken in, in its order.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{Cluster, compare::Comparison, local::Local, notice::Notice};
use crate::{
    store::{StoreError, redis::link::Told},
    telemetry::{causes::with_causes, metrics},
};

/// How long one read waits for entries.
const BLOCK: Duration = Duration::from_secs(5);
/// How long to wait before the store is asked again that failed.
const RETRY: Duration = Duration::from_millis(500);

/// The reader of the feed.
pub(super) struct FeedReader {
    pub(super) cluster: Arc<Cluster>,
    pub(super) local: Arc<dyn Local>,
    pub(super) comparison: Comparison,
    /// The last entry that was taken in.
    pub(super) last: String,
}

impl FeedReader {
    pub(super) async fn run(mut self) {
        let mut told = false;
        loop {
            let interrupted = self.listen(&mut told).await;
            // One line for each change of state, not for each try.
            if !told {
                metrics::store_error("feed");
                let error = with_causes(&interrupted);
                tracing::warn!(error, "what other nodes tell is not heard");
            }
            told = true;
            sleep(RETRY).await;
        }
    }

    /// Listens until something fails.
    async fn listen(&mut self, was_interrupted: &mut bool) -> StoreError {
        // A connection of its own: a read that blocks holds up all else on its connection.
        let mut listener = match self.cluster.link.listen(BLOCK).await {
            Ok(listener) => listener,
            Err(error) => return error,
        };
        loop {
            let entries = match listener.after(&self.last).await {
                Ok(entries) => entries,
                Err(error) => return error,
            };
            if std::mem::take(was_interrupted) {
                tracing::info!("what other nodes tell is heard again");
            }
            for told in entries {
                self.take_in(told).await;
            }
        }
    }

    async fn take_in(&mut self, told: Told) {
        let (before, from) = (told.field("before"), told.field("from"));
        let mut notice = Notice::default();
        if before != Some(self.last.as_str()) {
            tracing::warn!(after = self.last, "what other nodes told was missed");
            (notice.more_changed, notice.more_woken) = (true, true);
        }
        if from != Some(self.cluster.voice.as_str()) {
            notice.merge(Notice::of_fields(told.fields()));
        }
        if notice.nodes {
            self.cluster.nudge.notify_one();
        }
        if notice.more_changed {
            self.comparison.ask();
        }
        while let Err(error) = self.local.apply(&notice).await {
            metrics::store_error("hear");
            tracing::warn!(error = with_causes(&error), "cannot take in what another node told");
            sleep(RETRY).await;
        }
        self.last = told.id;
    }
}
