//! A publishers' Redis that takes no writes. Reading goes on, and what could not be written is written
//! later.

use std::{collections::HashMap, fs};

use redis::{Value, streams::StreamRangeReply};
use tempfile::TempDir;

use super::arrived;
use crate::harness::{
    events::{about, key},
    eventually,
    redis::Redis,
    setup::Setup,
};

/// A reason why a server refuses writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    /// `OOM`.
    MemoryUsedUp,
    /// `MISCONF`: the last snapshot failed.
    SnapshotsFail,
    /// `READONLY`.
    Replica,
}

/// A server that a test can get into trouble.
struct Troubled {
    redis: Redis,
    folder: TempDir,
    trouble: Trouble,
}

impl Troubled {
    async fn start(trouble: Trouble) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshots = folder.path().join("snapshots");
        fs::create_dir(&snapshots).expect("a folder");
        let redis = match trouble {
            Trouble::SnapshotsFail => {
                let dir = snapshots.to_str().expect("text");
                Redis::with(&["--appendonly", "no", "--save", "3600 1", "--dir", dir]).await
            }
            _ => Redis::start().await,
        };
        Self { redis, folder, trouble }
    }

    async fn begin(&self) {
        match self.trouble {
            Trouble::MemoryUsedUp => {
                let () = self.redis.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
            }
            Trouble::SnapshotsFail => {
                fs::remove_dir_all(self.folder.path().join("snapshots")).expect("removed");
                let _: String = self.redis.run(&["BGSAVE"]).await;
            }
            Trouble::Replica => {
                let () = self.redis.run(&["REPLICAOF", "127.0.0.1", "1"]).await;
            }
        }
        eventually("writes are refused", async || {
            self.redis.try_run::<i64>(&["XADD", "probe", "*", "a", "b"]).await.is_err_and(|error| {
                ["OOM", "MISCONF", "READONLY"].contains(&error.code().unwrap_or_default())
            })
        })
        .await;
    }

    async fn end(&self) {
        let command: &[&str] = match self.trouble {
            Trouble::MemoryUsedUp => &["CONFIG", "SET", "maxmemory", "0"],
            Trouble::SnapshotsFail => &["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"],
            Trouble::Replica => &["REPLICAOF", "NO", "ONE"],
        };
        let () = self.redis.run(command).await;
    }

    async fn add(&self, event: &str) {
        let _: String = self.redis.run(&["XADD", &key(), "*", "event", event]).await;
    }

    /// The events that were rejected, as far as they are written.
    async fn rejected(&self) -> Vec<String> {
        let range = ["XRANGE", &format!("{}:rejected", key()), "-", "+"];
        let written = self.redis.run::<StreamRangeReply>(&range).await.ids;
        written.iter().map(|entry| entry.get("event").expect("the field is there")).collect()
    }

    /// How many entries the group has not read, if there is the group.
    async fn lag(&self) -> Option<i64> {
        let groups: Vec<HashMap<String, Value>> =
            self.redis.try_run(&["XINFO", "GROUPS", &key()]).await.ok()?;
        redis::from_redis_value(groups.into_iter().next()?.remove("lag")?).ok()
    }
}

/// Cases 5: at `maxmemory` with a rejected entry before good ones, and so for each reason.
async fn goes_on(trouble: Trouble) {
    let server = Troubled::start(trouble).await;
    let mut setup = Setup::polling().await;
    server.add("{not json").await;
    server.redis.publish(&key(), &about("s-1")).await;
    server.begin().await;

    // The group was never made.
    setup.daemon.config().ingest.redis.url = Some(server.redis.url());
    setup.daemon.config().ingest.redis.block = std::time::Duration::from_millis(100);
    setup.daemon.restart().await;
    assert_eq!(arrived(&setup, 1).await, ["s-1"], "{trouble:?}");
    let ready = async || setup.daemon.readiness().await.status == 200;
    eventually("the daemon is ready", ready).await;
    assert_eq!(server.lag().await, None, "{trouble:?}");

    server.end().await;
    eventually("the position is shown", async || server.lag().await == Some(0)).await;
    eventually("the rejected entry is written", async || !server.rejected().await.is_empty()).await;
    assert_eq!(server.rejected().await, ["{not json"], "{trouble:?}");

    setup.daemon.stop().await;
    server.add("[]").await;
    server.redis.publish(&key(), &about("s-2")).await;
    if trouble != Trouble::SnapshotsFail {
        server.begin().await;
    }
    setup.daemon.start_again().await;
    assert_eq!(arrived(&setup, 2).await, ["s-1", "s-2"], "{trouble:?}");
    setup.daemon.restart().await;
    server.end().await;
    server.redis.publish(&key(), &about("s-3")).await;
    assert_eq!(arrived(&setup, 3).await, ["s-1", "s-2", "s-3"], "{trouble:?}");
}

#[actix_web::test]
async fn reading_goes_on_when_the_memory_is_used_up() {
    goes_on(Trouble::MemoryUsedUp).await;
}

#[actix_web::test]
async fn reading_goes_on_when_snapshots_fail() {
    goes_on(Trouble::SnapshotsFail).await;
}

#[actix_web::test]
async fn reading_goes_on_on_a_replica() {
    goes_on(Trouble::Replica).await;
}
