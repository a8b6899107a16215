//! What this node has to tell goes out, one entry after another: what comes meanwhile is the next.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::sleep};

use super::{Cluster, news::News};
use crate::{
    store::StoreError,
    telemetry::{causes::with_causes, metrics},
};

/// How long to wait before a store is told again that failed.
const RETRY: Duration = Duration::from_millis(200);

/// Tells until `stop` is rung and there is nothing more to tell.
pub(super) async fn tell(cluster: Arc<Cluster>, stop: Arc<Notify>) {
    let mut failing = false;
    loop {
        let news = tokio::select! {
            biased;
            news = cluster.teller.next() => news,
            () = stop.notified() => return,
        };
        match say(&cluster, &news).await {
            Ok(()) => failing = false,
            Err(error) => {
                metrics::store_error("tell");
                if !failing {
                    tracing::warn!(error = with_causes(&error), "cannot tell other nodes");
                }
                failing = true;
                cluster.teller.tell(news);
                sleep(RETRY).await;
            }
        }
    }
}

async fn say(cluster: &Cluster, news: &News) -> Result<(), StoreError> {
    let mut fields = vec![("from", cluster.voice.clone())];
    fields.extend(news.fields());
    cluster.link.tell(cluster.settings.feed_max, &fields).await
}
