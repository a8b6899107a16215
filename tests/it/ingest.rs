//! Events from the publishers' Redis streams.

mod backlog;
mod dedup;
mod long_events;
mod missing;
mod outages;
mod reading;
mod rejected;
mod servers;
mod unwritable;

use redis::streams::StreamPendingReply;
use serde_json::Value;
use ssfd::config::Config;

use crate::harness::{events::key, eventually, receiver::subject, redis::Redis, setup::Setup};

/// A daemon that reads from this server, with one poll stream.
async fn reading(redis: &Redis) -> Setup {
    reading_with(redis, |_| {}).await
}

async fn reading_with(redis: &Redis, change: impl FnOnce(&mut Config)) -> Setup {
    Setup::polling_with(|config| {
        config.ingest.redis.url = Some(redis.url());
        change(config);
    })
    .await
}

/// The subjects of the SETs that wait, in the order of their events, once there are `count`.
async fn arrived(setup: &Setup, count: usize) -> Vec<String> {
    eventually("the events arrive", async || count <= setup.waiting().await.len()).await;
    let waiting = setup.waiting().await;
    let claims = waiting.iter().map(|set| serde_json::from_str::<Value>(&set.claims));
    claims.map(|claims| subject(&claims.expect("claims are JSON"))).collect()
}

/// The entries that were handed to the group and are not acknowledged.
async fn pending(redis: &Redis, key: &str) -> usize {
    // Without the group, which may just be made again, nothing is known.
    let pending = redis.try_run::<StreamPendingReply>(&["XPENDING", key, "ssfd"]).await;
    pending.map_or(1, |pending| pending.count())
}

/// Returns once the daemon has acknowledged all it was given.
async fn all_acknowledged(redis: &Redis) {
    let none = async || pending(redis, &key()).await == 0;
    eventually("nothing stays pending", none).await;
}
