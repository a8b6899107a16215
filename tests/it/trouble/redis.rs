//! The Redis of the store has no memory left, hangs, may lose data, or misses its replica.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use ssfd::{
    config::{Config, StoreBackend},
    domain::grant::Scope,
    store::redis::{RedisSettings, ReplicasMissing},
};

use super::{missing, ready, ready_for, refuses};
use crate::{
    harness::{
        daemon::Daemon,
        eventually,
        http_client::get,
        receiver::Receiver,
        redis::Redis,
        streams::{by_poll, push_to},
    },
    scripted_server::Reply,
};

/// Puts the store into a server that is fit for it.
fn on(config: &mut Config, redis: &Redis) {
    config.store.backend = StoreBackend::Redis;
    config.store.redis = RedisSettings { urls: vec![redis.url()], ..RedisSettings::default() };
}

/// A daemon with a push stream whose Receiver is down, a poll stream, and an event for both.
struct Waiting {
    daemon: Daemon,
    publisher: String,
    token: String,
    polled: String,
    status: Arc<AtomicU16>,
    _receiver: Receiver,
}

impl Waiting {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let status = Arc::new(AtomicU16::new(503));
        let answered = Arc::clone(&status);
        let mut receiver =
            Receiver::start(move |_, _| Reply::status(answered.load(Ordering::SeqCst))).await;
        let daemon = Daemon::with(change).await;
        let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
        let publisher = daemon.publisher_token().await;
        daemon.create_stream(&token, push_to(&receiver.url("/in"))).await;
        let polled = daemon.create_stream(&token, by_poll()).await;
        daemon.publish_about(&publisher, &["s-1", "s-2"]).await;
        receiver.next().await;
        Self { daemon, publisher, token, polled, status, _receiver: receiver }
    }

    /// Asserts that all that waits is delivered, by push and by poll.
    async fn is_delivered(&self) {
        self.status.store(202, Ordering::SeqCst);
        let poll = async |body| self.daemon.poll(&self.token, &self.polled, &body).await;
        let sets =
            poll(json!({"returnImmediately": true})).await.expect(200).json()["sets"].clone();
        let jtis: Vec<_> = sets.as_object().expect("SETs").keys().cloned().collect();
        assert_eq!(jtis.len(), 2);
        poll(json!({"ack": jtis, "returnImmediately": true})).await.expect(200);
        eventually("all is settled", async || self.daemon.backlog().await == 0).await;
    }
}

/// Also after a start, for which the node needs a lease.
#[actix_web::test]
async fn a_server_whose_memory_is_used_up_delivers_what_it_has_and_takes_no_events() {
    let redis = Redis::with(&[]).await;
    let mut waiting = Waiting::start(|config| on(config, &redis)).await;
    let () = redis.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    refuses(&waiting.daemon, &waiting.publisher, &["s-3", "s-4"]).await;
    let why = missing(&waiting.daemon, "events").await;
    assert!(why.contains("OOM"), "{why}");
    ready_for(&waiting.daemon, "publishers").await.expect(503);
    ready_for(&waiting.daemon, "receivers").await.expect(200);

    waiting.daemon.restart().await;
    ready(&waiting.daemon).await;
    refuses(&waiting.daemon, &waiting.publisher, &["s-5"]).await;
    waiting.is_delivered().await;

    let () = redis.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    waiting.daemon.publish_about(&waiting.publisher, &["s-6"]).await;
    ready(&waiting.daemon).await;
}

/// By the operator's choice, events are refused or taken while the replica is gone.
#[actix_web::test]
async fn without_its_replica_a_store_delivers_and_takes_events_by_choice() {
    for (missing_replicas, takes_events) in
        [(ReplicasMissing::Refuse, false), (ReplicasMissing::Accept, true)]
    {
        let (primary, mut replica) = Redis::with_replica().await;
        let waiting = Waiting::start(|config| {
            on(config, &primary);
            config.store.redis.wait_replicas = 1;
            config.store.redis.wait_timeout = Duration::from_secs(3);
            config.store.redis.replicas_missing = missing_replicas;
        })
        .await;
        replica.kill();
        if takes_events {
            waiting.daemon.publish_about(&waiting.publisher, &["s-3"]).await;
            let degraded = waiting.daemon.readiness().await.expect(200).json();
            assert!(degraded["degraded"][0].as_str().is_some_and(|why| why.contains("replicas")));
            let polled = json!({"returnImmediately": true});
            let sets = waiting.daemon.poll(&waiting.token, &waiting.polled, &polled).await;
            let sets = sets.expect(200).json()["sets"].clone();
            let jtis: Vec<_> = sets.as_object().expect("SETs").keys().cloned().collect();
            assert_eq!(jtis.len(), 3);
            let ack = json!({"ack": jtis, "returnImmediately": true});
            waiting.daemon.poll(&waiting.token, &waiting.polled, &ack).await.expect(200);
            waiting.status.store(202, Ordering::SeqCst);
            eventually("all is settled", async || waiting.daemon.backlog().await == 0).await;
        } else {
            refuses(&waiting.daemon, &waiting.publisher, &["s-3"]).await;
            let why = missing(&waiting.daemon, "events").await;
            assert!(why.contains("store.redis.replicas_missing"), "{why}");
            ready_for(&waiting.daemon, "receivers").await.expect(200);
            waiting.is_delivered().await;
        }
        replica.start_again().await;
        eventually("events are taken again", async || {
            let event = json!([crate::harness::events::about("s-9")]);
            waiting.daemon.publish(&waiting.publisher, &event).await.status == 202
        })
        .await;
        eventually("nothing is degraded", async || {
            waiting.daemon.readiness().await.json()["degraded"].is_null()
        })
        .await;
    }
}

/// The server would answer in an hour at the latest, so whatever waits for it gets no answer here.
#[actix_web::test]
async fn health_and_metrics_do_not_wait_for_a_server_that_hangs() {
    let redis = Redis::with(&[]).await;
    let daemon = Daemon::with(|config| {
        on(config, &redis);
        config.store.redis.response_timeout = Duration::from_hours(1);
    })
    .await;
    ready(&daemon).await;
    redis.freeze();
    for path in ["/healthz", "/metrics", "/healthz", "/metrics"] {
        get(&daemon.internal_url(path)).send().await.expect(200);
    }
    missing(&daemon, "store").await;
    for asked in ["receivers", "publishers", "all"] {
        ready_for(&daemon, asked).await.expect(503);
    }
    redis.thaw();
    ready(&daemon).await;
}

#[actix_web::test]
async fn requests_are_refused_while_a_server_hangs_and_answered_once_it_is_back() {
    let redis = Redis::with(&[]).await;
    let daemon = Daemon::with(|config| {
        on(config, &redis);
        config.store.redis.response_timeout = Duration::from_millis(500);
    })
    .await;
    let publisher = daemon.publisher_token().await;
    redis.freeze();
    // Many at the same time, because each waits for the same connection.
    let event = json!([crate::harness::events::about("s-1")]);
    let requests = (0..50).map(|_| daemon.publish(&publisher, &event));
    for answer in futures_util::future::join_all(requests).await {
        answer.expect(503);
    }
    redis.thaw();
    eventually("events are taken again", async || {
        daemon.publish(&publisher, &event).await.status == 202
    })
    .await;
    ready(&daemon).await;
}

/// Accepted means on disk, unless the operator accepts the loss by its name.
#[actix_web::test]
async fn a_server_that_forgets_a_second_is_refused_or_accepted_by_name_and_then_told() {
    let redis = Redis::with(&["--appendfsync", "everysec"]).await;
    let Err(refused) = Daemon::try_with(|config| on(config, &redis)).await else {
        panic!("the daemon started")
    };
    let error = ssfd::telemetry::causes::with_causes(&refused);
    for word in ["`appendfsync everysec`", "appendfsync always", "accept_loss_at_power_cut"] {
        assert!(error.contains(word), "no {word} in: {error}");
    }
    let daemon = Daemon::with(|config| {
        on(config, &redis);
        config.store.redis.accept_loss_at_power_cut = true;
    })
    .await;
    ready(&daemon).await;
    let told = daemon.readiness().await.expect(200).json()["degraded"].to_string();
    assert!(told.contains("may lose accepted events"), "{told}");
    drop(daemon);
    let () = redis.run(&["CONFIG", "SET", "appendfsync", "always"]).await;
    let daemon = Daemon::with(|config| on(config, &redis)).await;
    ready(&daemon).await;
    assert!(daemon.readiness().await.expect(200).json()["degraded"].is_null());
}
