//! How servers are found and signed in to.

use ssfd::store::StoreError;

use super::*;
use crate::harness::{
    eventually,
    redis_sentinel::{NAME, Sentinel},
    redis_tls::GuardedRedis,
};

/// The permissions that `docs/operate/stores.md` tells operators to grant.
const ALLOWED: &str = "~{ssf:* resetchannels -@all +@read +@write +@scripting +@connection +wait \
    +info +time +config|get";

fn settings_for(server: &GuardedRedis) -> RedisSettings {
    RedisSettings {
        username: Some("ssfd".into()),
        password_file: Some(server.file("password")),
        tls_ca: Some(server.file("certificate.pem")),
        retries: 0,
        checks: Checks::Refuse,
        ..impatient(vec![server.url()])
    }
}

async fn refused(settings: RedisSettings) -> String {
    let opened = RedisStore::open(&settings, Arc::new(Epochs::default())).await;
    let Err(StoreError::Unavailable(cause)) = opened else { panic!("it opened") };
    ssfd::telemetry::causes::with_causes(&*cause)
}

/// The whole of the store needs no more than is allowed.
#[tokio::test]
async fn a_user_is_signed_in_over_tls_and_needs_little() {
    let guarded = GuardedRedis::start(ALLOWED, false).await;
    let settings = RedisSettings { tls_ca: None, ..settings_for(&guarded) };
    let error = refused(settings).await;
    assert!(error.contains("certificate"), "{error}");
    let settings =
        RedisSettings { password_file: Some(guarded.file("key.pem")), ..settings_for(&guarded) };
    let error = refused(settings).await;
    assert!(error.contains("authentication failed"), "{error}");
    let settings =
        RedisSettings { password_file: Some("/nowhere".into()), ..settings_for(&guarded) };
    let error = refused(settings).await;
    assert!(error.contains("cannot read /nowhere"), "{error}");

    let store = RedisStore::open(&settings_for(&guarded), Arc::new(Epochs::default())).await;
    let store = store.expect("opens");
    create(&store, vec![push_stream("st_1"), poll_stream("st_2")]).await;
    let sets = vec![set("st_1", "j1"), set("st_2", "j1")];
    append(&store, vec![event_with_id("evt-1", sets)], NOW).await;
    let due = store.read_due(&id("st_1"), up_to(9), NOW).await.expect("readable");
    settle(&store, "st_1", due.sets[0].seq, dead()).await;
    let taken =
        store.take_for_poll(&id("st_2"), PollLimit::of(9), NOW, later(9)).await.expect("taken");
    assert_eq!(names(&taken.sets), ["j1"]);
    store.expire(Expiry::of_all(later(1), NOW)).await.expect("expired");
    assert!(store.delete_stream(&id("st_1")).await.expect("deleted"));
    let keys: Vec<String> = guarded.redis.run(&["KEYS", "*"]).await;
    assert!(keys.iter().all(|key| key.starts_with("{ssf:")), "{keys:?}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_one() {
    let guarded = GuardedRedis::start(ALLOWED, true).await;
    let error = refused(settings_for(&guarded)).await;
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    let settings = RedisSettings {
        tls_certificate: Some(guarded.file("certificate.pem")),
        tls_key: Some(guarded.file("key.pem")),
        ..settings_for(&guarded)
    };
    let store = RedisStore::open(&settings, Arc::new(Epochs::default())).await.expect("opens");
    create(&store, vec![push_stream("st_1")]).await;
    append_sets(&store, vec![set("st_1", "j1")]).await;
    let due = store.read_due(&id("st_1"), up_to(9), NOW).await.expect("readable");
    assert_eq!(names(&due.sets), ["j1"]);
}

#[tokio::test]
async fn sentinels_name_the_primary_and_its_successor() {
    let mut sentinel = Sentinel::start().await;
    let settings = RedisSettings {
        topology: Topology::Sentinel,
        sentinel_primary: NAME.into(),
        ..impatient(vec![sentinel.url()])
    };
    let careful = RedisSettings { wait_replicas: 1, ..settings.clone() };
    let careful = RedisStore::open(&careful, Arc::new(Epochs::default())).await.expect("opens");
    create(&careful, vec![poll_stream("st_1")]).await;
    append_sets(&careful, vec![set("st_1", "j1")]).await;
    let store = RedisStore::open(&settings, Arc::new(Epochs::default())).await.expect("opens");
    append_sets(&store, vec![set("st_1", "j2")]).await;

    sentinel.kill_primary();
    eventually("the replica takes over", async || {
        let events = vec![event(vec![set("st_1", "j3")])];
        store.append(AppendBatch { events, position: None, now: NOW }, &|_| ()).await.is_ok()
    })
    .await;
    let pending = pending(&store, "st_1").await;
    assert!(names(&pending).contains(&"j1") && names(&pending).contains(&"j3"), "{pending:?}");
}
