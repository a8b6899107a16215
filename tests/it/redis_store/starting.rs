//! Which servers a daemon takes for a store.

use ssfd::{app::StartError, store::redis::Checks, telemetry::causes::with_causes};

use super::on_server;
use crate::harness::{daemon::Daemon, redis::Redis};

async fn refused(redis: &Redis) -> String {
    let refused = Daemon::try_with(|config| {
        on_server(config, redis);
        config.store.redis.checks = Checks::Refuse;
        config.store.redis.retries = 0;
    });
    let Err(error) = refused.await else { panic!("it started") };
    assert!(matches!(error, StartError::Store(_)), "{error}");
    with_causes(&error)
}

#[actix_web::test]
async fn a_server_that_would_lose_what_it_is_given_is_refused() {
    let redis = Redis::start().await;
    let error = refused(&redis).await;
    assert!(error.contains("loses everything when it stops"), "{error}");
    let () = redis.run(&["CONFIG", "SET", "save", "3600 1"]).await;
    let () = redis.run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let error = refused(&redis).await;
    assert!(error.contains("not `allkeys-lru`"), "{error}");
    // Where that is only to be told, it starts.
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
    let Err(error) = refused else { panic!("it started") };
    let error = with_causes(&error);
    assert!(error.contains("format 7"), "{error}");
}

#[actix_web::test]
async fn a_server_that_is_not_there_is_named() {
    let redis = Redis::down(false);
    let error = refused(&redis).await;
    assert!(error.contains("cannot open the store"), "{error}");
}
