//! Counts of the store for the metrics.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    clock,
    store::{Maintenance, archive::DeadCount},
    telemetry::{causes::with_causes, metrics},
    transmitter::Transmitter,
};

/// How long a scrape waits for fresh counts. Later it gets those of the last time.
const FRESH_WAIT: Duration = Duration::from_millis(250);

/// Counts the backlog and the dead letters when somebody reads the metrics. At most one count is under way,
/// so that a store that hangs is asked once, and is waited for once.
pub struct StoreCounts {
    store: Arc<dyn Maintenance>,
    transmitter: Arc<Transmitter>,
    is_under_way: Arc<AtomicBool>,
}

/// Ends a count, also if it panics.
struct UnderWay(Arc<AtomicBool>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl StoreCounts {
    pub fn new(store: Arc<dyn Maintenance>, transmitter: Arc<Transmitter>) -> Self {
        Self { store, transmitter, is_under_way: Arc::default() }
    }

    /// Counts anew, and waits for the result if the store answers promptly.
    pub(super) async fn refresh(&self) {
        if self.is_under_way.swap(true, Ordering::SeqCst) {
            return;
        }
        let under_way = UnderWay(Arc::clone(&self.is_under_way));
        let (store, transmitter) = (Arc::clone(&self.store), Arc::clone(&self.transmitter));
        let counting = tokio::spawn(async move {
            let _until_counted = under_way;
            count_backlog(&*store, &transmitter).await;
            count_dead_letters(&transmitter).await;
        });
        // If this is late, the count goes on by itself.
        timeout(FRESH_WAIT, counting).await.ok();
    }
}

async fn count_backlog(store: &dyn Maintenance, transmitter: &Transmitter) {
    match store.backlog().await {
        Ok(backlog) => {
            let now = clock::now();
            for provider in transmitter.directory().providers() {
                let waiting = backlog.iter().find(|backlog| backlog.provider == provider.name);
                let oldest = waiting.and_then(|backlog| backlog.oldest);
                let age = oldest.map(|oldest| now.since(oldest)).unwrap_or_default();
                metrics::backlog_sets(&provider.name, waiting.map_or(0, |backlog| backlog.sets));
                metrics::backlog_oldest(&provider.name, age);
            }
        }
        Err(error) => {
            metrics::store_error("backlog");
            tracing::warn!(error = with_causes(&error), "cannot count the backlog");
        }
    }
}

async fn count_dead_letters(transmitter: &Transmitter) {
    match transmitter.count_dead_letters().await {
        Ok(counts) => {
            for DeadCount { provider, reason, sets } in counts {
                metrics::dead_letters(&provider, reason.label(), sets);
            }
        }
        Err(error) => {
            metrics::store_error("dead_counts");
            tracing::warn!(error = with_causes(&error), "cannot count dead letters");
        }
    }
}
