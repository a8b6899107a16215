//! The daemon with its store in Redis: `starting` checks which servers are accepted, `delivering`
//! delivers an event.

mod delivering;
mod starting;

use ssfd::{
    config::{Config, StoreBackend},
    store::redis::{Checks, RedisSettings, Topology},
};

use crate::harness::{redis::Redis, redis_cluster::RedisCluster};

/// Puts the store in a server of the test, which loses its data when it stops.
fn on_server(config: &mut Config, redis: &Redis) {
    config.store.backend = StoreBackend::Redis;
    let checks = Checks::Warn;
    config.store.redis =
        RedisSettings { urls: vec![redis.url()], checks, ..RedisSettings::default() };
}

fn on_cluster(config: &mut Config, cluster: &RedisCluster) {
    config.store.backend = StoreBackend::Redis;
    config.store.redis = RedisSettings {
        urls: cluster.urls(),
        topology: Topology::Cluster,
        checks: Checks::Warn,
        ..RedisSettings::default()
    };
}
