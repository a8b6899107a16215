//! Entries that are gone before they are read, and the lag that the group shows.

use std::collections::HashMap;

use redis::Value;
use serde_json::json;

use super::arrived;
use crate::harness::{
    daemon::rename_provider, events::about, eventually, redis::Redis, setup::Setup,
};

/// A daemon that reads the Redis stream of a provider with this name, so that its metrics are a test's own.
async fn reading(redis: &Redis, provider: &str) -> Setup {
    Setup::polling_with(|config| {
        rename_provider(config, provider);
        config.ingest.redis.url = Some(redis.url());
        config.ingest.redis.block = std::time::Duration::from_millis(50);
    })
    .await
}

/// How many entries the group has read and how many it has not, by what the server knows.
async fn shown(redis: &Redis, key: &str) -> Option<(i64, i64)> {
    let groups: Vec<HashMap<String, Value>> =
        redis.try_run(&["XINFO", "GROUPS", key]).await.ok()?;
    let group = groups.into_iter().next()?;
    let number = |name: &str| redis::from_redis_value(group.get(name)?.clone()).ok();
    Some((number("entries-read")?, number("lag")?))
}

#[actix_web::test]
async fn entries_that_were_trimmed_or_deleted_before_they_were_read_are_counted() {
    let redis = Redis::start().await;
    let (key, provider) = ("ssf:events:forgets", "forgets");
    let mut setup = reading(&redis, provider).await;
    let missing = format!("ssfd_ingest_entries_missing_total{{partition=\"{key}\"}}");
    let mut expected = Vec::new();
    let mut gone = 0.0;
    let mut added = 0;
    for (round, keep) in ["newest", "middle", "none", "all"].into_iter().enumerate() {
        setup.daemon.stop().await;
        let mut ids = Vec::new();
        for n in 0..6 {
            ids.push(redis.publish(key, &about(&format!("{round}-{n}"))).await);
        }
        added += 6;
        let kept = match keep {
            "newest" => {
                let _: i64 = redis.run(&["XTRIM", key, "MAXLEN", "2"]).await;
                4..6
            }
            "middle" => {
                let deleted = [&["XDEL", key][..], &[ids[0].as_str(), &ids[1], &ids[5]]].concat();
                let _: i64 = redis.run(&deleted).await;
                2..5
            }
            "none" => {
                let _: i64 = redis.run(&["XTRIM", key, "MAXLEN", "0"]).await;
                0..0
            }
            _ => 0..6,
        };
        gone += 6.0 - f64::from(u8::try_from(kept.len()).expect("small"));
        expected.extend(kept.map(|n| format!("{round}-{n}")));
        setup.daemon.start_again().await;
        assert_eq!(arrived(&setup, expected.len()).await, expected, "{keep}");
        eventually("the missing entries are counted", async || {
            (setup.daemon.metric(&missing).await - gone).abs() < 0.5
        })
        .await;
        eventually("the group shows that all is read", async || {
            shown(&redis, key).await == Some((added, 0))
        })
        .await;
    }
}

/// An operator sees by `XINFO GROUPS` how much is still to be read.
#[actix_web::test]
async fn the_lag_of_the_group_is_that_of_the_reader() {
    let redis = Redis::start().await;
    let (key, provider) = ("ssf:events:lags", "lags");
    let mut setup = reading(&redis, provider).await;
    for n in 0..3 {
        redis.publish(key, &about(&format!("a-{n}"))).await;
    }
    eventually("all is read", async || shown(&redis, key).await == Some((3, 0))).await;
    setup.daemon.stop().await;
    for n in 0..5 {
        redis.publish(key, &about(&format!("b-{n}"))).await;
    }
    assert_eq!(shown(&redis, key).await, Some((3, 5)));
    setup.daemon.start_again().await;
    eventually("all is read", async || shown(&redis, key).await == Some((8, 0))).await;
    let polled = setup.poll(json!({"returnImmediately": true})).await.expect(200).json();
    assert_eq!(polled["sets"].as_object().expect("SETs").len(), 8);
}
