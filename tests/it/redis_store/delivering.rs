//! Delivery from the publisher to the Receiver with the store in Redis.

use serde_json::{Value, json};
use ssfd::domain::grant::Scope;

use super::{on_cluster, on_server};
use crate::harness::{
    daemon::{Daemon, PROVIDER},
    events::{about, key},
    eventually,
    receiver::{Receiver, subject},
    redis::Redis,
    redis_cluster::RedisCluster,
    streams::{by_poll, push_to},
};

async fn subject_of(daemon: &Daemon, jws: &str) -> String {
    let verifier = daemon.verifier(PROVIDER).await;
    subject(&Value::Object(verifier.verify(jws).expect("a SET of this provider").claims))
}

/// Asserts that a published event reaches a push stream and a poll stream and is settled on both.
async fn delivers(mut daemon: Daemon, restarts: bool) {
    let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
    let mut receiver = Receiver::accepting().await;
    daemon.create_stream(&token, push_to(&receiver.url("/in"))).await;
    let stream = daemon.create_stream(&token, by_poll()).await;
    if restarts {
        daemon.restart().await;
    }
    daemon.publish_about(&daemon.publisher_token().await, &["s-88"]).await;

    assert_eq!(subject_of(&daemon, receiver.next().await.jws()).await, "s-88");
    let answer = daemon.poll(&token, &stream, &json!({})).await.expect(200).json();
    let sets = answer["sets"].as_object().expect("an object of SETs");
    let (jti, jws) = sets.iter().next().expect("there is one");
    assert_eq!(subject_of(&daemon, jws.as_str().expect("a compact JWS")).await, "s-88");
    let ack = json!({"ack": [jti], "returnImmediately": true});
    assert_eq!(daemon.poll(&token, &stream, &ack).await.expect(200).json(), json!({"sets": {}}));
    eventually("both are settled", async || daemon.backlog().await == 0).await;
}

#[actix_web::test]
async fn events_are_pushed_and_polled_from_a_server() {
    let redis = Redis::start().await;
    delivers(Daemon::with(|config| on_server(config, &redis)).await, true).await;
}

#[actix_web::test]
async fn events_are_pushed_and_polled_from_a_cluster() {
    let cluster = RedisCluster::start(3, 0).await;
    delivers(Daemon::with(|config| on_cluster(config, &cluster)).await, true).await;
}

#[actix_web::test]
async fn publishers_may_write_to_the_redis_of_the_store() {
    let redis = Redis::start().await;
    let mut daemon = Daemon::with(|config| {
        on_server(config, &redis);
        config.ingest.redis.url = Some(redis.url());
    })
    .await;
    let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
    let mut receiver = Receiver::accepting().await;
    daemon.create_stream(&token, push_to(&receiver.url("/in"))).await;
    redis.publish(&key(), &about("a")).await;
    assert_eq!(subject_of(&daemon, receiver.next().await.jws()).await, "a");

    // An event that is published while the daemon is down is read after its start.
    daemon.stop().await;
    redis.publish(&key(), &about("b")).await;
    daemon.start_again().await;
    assert_eq!(subject_of(&daemon, receiver.next().await.jws()).await, "b");
    eventually("both are settled", async || daemon.backlog().await == 0).await;
    assert!(receiver.rest().is_empty());
}
