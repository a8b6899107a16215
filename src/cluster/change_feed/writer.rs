//! Appends this node's notices to the change feed, one entry at a time. Notices that are sent while
//! an entry is being written are merged into the next entry.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::sleep};

use super::notice::Notice;
use crate::{
    cluster::Cluster,
    store::StoreError,
    telemetry::{causes::with_causes, metrics},
};

/// The wait between two tries after the store failed.
const RETRY: Duration = Duration::from_millis(200);

/// Writes notices until `stop` is notified and no notice is pending.
pub(in crate::cluster) async fn run(cluster: Arc<Cluster>, stop: Arc<Notify>) {
    let mut failing = false;
    loop {
        let notice = tokio::select! {
            biased;
            notice = cluster.change_feed.next() => notice,
            () = stop.notified() => return,
        };
        match append(&cluster, &notice).await {
            Ok(()) => failing = false,
            Err(error) => {
                metrics::store_error("tell");
                if !failing {
                    let error = with_causes(&error);
                    tracing::warn!(error, "cannot write to the change feed of the other nodes");
                }
                failing = true;
                cluster.change_feed.send(notice);
                sleep(RETRY).await;
            }
        }
    }
}

async fn append(cluster: &Cluster, notice: &Notice) -> Result<(), StoreError> {
    let mut fields = vec![("from", cluster.feed_author.clone())];
    fields.extend(notice.fields());
    cluster.link.append_to_feed(cluster.settings.feed_max, &fields).await
}
