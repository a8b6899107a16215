//! The ways to reach the publishers' Redis. The settings are those of the store.

use ssfd::store::redis::Topology;

use super::arrived;
use crate::harness::{
    events::{about, key},
    eventually,
    redis_cluster::RedisCluster,
    redis_sentinel::{NAME, Sentinel},
    redis_tls::GuardedRedis,
    setup::Setup,
};

/// The permissions that `README.md` tells operators to grant.
const ALLOWED: &str = "~ssf:events:* resetchannels -@all +@read +@connection +xgroup +xadd +xack +hset \
    +pexpire +time";

#[actix_web::test]
async fn a_server_with_tls_a_user_and_a_password_is_read() {
    let server = GuardedRedis::start(ALLOWED, true).await;
    let setup = Setup::polling_with(|config| {
        let ingest = &mut config.ingest.redis;
        ingest.urls = vec![server.url()];
        ingest.username = Some("ssfd".into());
        ingest.password_file = Some(server.file("password"));
        ingest.tls_ca = Some(server.file("certificate.pem"));
        ingest.tls_certificate = Some(server.file("certificate.pem"));
        ingest.tls_key = Some(server.file("key.pem"));
    })
    .await;
    server.redis.publish(&key(), &about("s-1")).await;
    assert_eq!(arrived(&setup, 1).await, ["s-1"]);
    let rejected = format!("{}:rejected", key());
    let _: String = server.redis.run(&["XADD", &key(), "*", "event", "{"]).await;
    eventually("the user may write rejected entries", async || {
        server.redis.run::<i64>(&["EXISTS", &rejected]).await == 1
    })
    .await;
}

#[actix_web::test]
async fn a_cluster_is_read() {
    let cluster = RedisCluster::start(3, 0).await;
    let setup = Setup::polling_with(|config| {
        let ingest = &mut config.ingest.redis;
        (ingest.urls, ingest.topology) = (cluster.urls(), Topology::Cluster);
        ingest.partitions = 6;
    })
    .await;
    let client = redis::cluster::ClusterClient::new(cluster.urls()).expect("URLs");
    let mut publisher = client.get_async_connection().await.expect("it answers");
    for partition in 0..6 {
        let key = format!("{}:{partition}", key());
        for n in 0..2 {
            let event = about(&format!("{partition}-{n}")).to_string();
            let mut add = redis::cmd("XADD");
            add.arg(&key).arg("*").arg("event").arg(event);
            let _: String = add.query_async(&mut publisher).await.expect("added");
        }
    }
    let arrived = arrived(&setup, 12).await;
    for partition in 0..6 {
        let of: Vec<_> =
            arrived.iter().filter(|name| name.starts_with(&format!("{partition}-"))).collect();
        assert_eq!(of, [&format!("{partition}-0"), &format!("{partition}-1")]);
    }
    eventually("the daemon is ready", async || setup.daemon.readiness().await.status == 200).await;
}

#[actix_web::test]
async fn the_primary_that_sentinels_name_is_read_and_its_successor() {
    let mut sentinel = Sentinel::start().await;
    let setup = Setup::polling_with(|config| {
        let ingest = &mut config.ingest.redis;
        (ingest.urls, ingest.topology) = (vec![sentinel.url()], Topology::Sentinel);
        ingest.sentinel_primary = NAME.into();
    })
    .await;
    sentinel.primary().publish(&key(), &about("before")).await;
    assert_eq!(arrived(&setup, 1).await, ["before"]);
    let length = async || sentinel.replica().run::<i64>(&["XLEN", &key()]).await;
    eventually("the replica has it", async || length().await == 1).await;
    sentinel.kill_primary();
    eventually("the replica takes over", async || {
        let event = about("after").to_string();
        let add = ["XADD", &key(), "*", "event", &event];
        sentinel.replica().try_run::<String>(&add).await.is_ok()
    })
    .await;
    assert_eq!(arrived(&setup, 2).await, ["before", "after"]);
}
