//! The servers that a daemon accepts or refuses as its store.

use ssfd::{app::StartError, store::redis::Checks, telemetry::causes::with_causes};

use super::on_server;
use crate::harness::{daemon::Daemon, redis::Redis};

async fn refused(redis: &Redis) -> String {
    let refused = Daemon::try_with(|config| {
        on_server(config, redis);
        config.store.redis.checks = Checks::Refuse;
        config.store.redis.retries = 0;
    });
    let Err(error) = refused.await else { panic!("the daemon started") };
    assert!(matches!(error, StartError::Store(_)), "{error}");
    with_causes(&error)
}

#[actix_web::test]
async fn a_redis_that_could_lose_data_is_refused() {
    let redis = Redis::start().await;
    let error = refused(&redis).await;
    assert!(error.contains("loses everything when it stops"), "{error}");
    let () = redis.run(&["CONFIG", "SET", "save", "3600 1"]).await;
    let error = refused(&redis).await;
    assert!(error.contains("snapshots only"), "{error}");
    let redis = Redis::with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let error = refused(&redis).await;
    assert!(error.contains("not `allkeys-lru`"), "{error}");
    // With checks that only warn, the daemon starts.
    Daemon::with(|config| on_server(config, &redis)).await;
    let () = redis.run(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    Daemon::with(|config| {
        on_server(config, &redis);
        config.store.redis.checks = Checks::Refuse;
    })
    .await;
}

#[actix_web::test]
async fn records_of_a_newer_version_are_refused() {
    let redis = Redis::start().await;
    let () = redis.run(&["SET", "{ssf:all}:version", "7"]).await;
    let refused = Daemon::try_with(|config| on_server(config, &redis)).await;
    let Err(error) = refused else { panic!("the daemon started") };
    let error = with_causes(&error);
    assert!(error.contains("format 7"), "{error}");
}

#[actix_web::test]
async fn an_unreachable_store_is_named_in_the_error() {
    let redis = Redis::down(false);
    let error = refused(&redis).await;
    assert!(error.contains("cannot open the store"), "{error}");
}
