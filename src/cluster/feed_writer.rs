//! What this node has to tell goes out, one entry after another: what comes meanwhile is the next.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::sleep};

use super::{Cluster, notice::Notice};
use crate::{
    store::StoreError,
    telemetry::{causes::with_causes, metrics},
};

/// How long to wait before a store is told again that failed.
const RETRY: Duration = Duration::from_millis(200);

/// Tells until `stop` is rung and there is nothing more to tell.
pub(super) async fn write(cluster: Arc<Cluster>, stop: Arc<Notify>) {
    let mut failing = false;
    loop {
        let notice = tokio::select! {
            biased;
            notice = cluster.change_feed.next() => notice,
            () = stop.notified() => return,
        };
        match say(&cluster, &notice).await {
            Ok(()) => failing = false,
            Err(error) => {
                metrics::store_error("tell");
                if !failing {
                    tracing::warn!(error = with_causes(&error), "cannot tell other nodes");
                }
                failing = true;
                cluster.change_feed.tell(notice);
                sleep(RETRY).await;
            }
        }
    }
}

async fn say(cluster: &Cluster, notice: &Notice) -> Result<(), StoreError> {
    let mut fields = vec![("from", cluster.voice.clone())];
    fields.extend(notice.fields());
    cluster.link.tell(cluster.settings.feed_max, &fields).await
}
