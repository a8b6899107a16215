//! Servers that go away, come back, or refuse. A call then fails within its time, and the next ones
//! heal by themselves.

use std::path::PathBuf;

use ssfd::store::{StoreError, redis::ReplicasMissing};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
    sync::watch,
};

use super::*;
use crate::harness::{eventually, within};

/// A server that keeps its data over a stop, with a stream and a SET in it.
async fn filled() -> (Redis, RedisStore) {
    let server = Redis::with(&[]).await;
    let store = store_on(&server).await;
    create(&store, vec![push_stream("st_1")]).await;
    append_sets(&store, vec![set("st_1", "j1")]).await;
    (server, store)
}

async fn try_append(store: &RedisStore, name: &str) -> Result<Vec<Appended>, StoreError> {
    let events = vec![event(vec![set("st_1", name)])];
    let batch = AppendBatch { events, position: None, now: NOW };
    within("an append ends", store.append(batch, &|_| ())).await
}

async fn heals(store: &RedisStore, name: &str) {
    eventually("the store heals", async || try_append(store, name).await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_comes_back_is_served_from_again() {
    let (mut server, store) = filled().await;
    server.kill();
    for _ in 0..2 {
        let failed = try_append(&store, "j2").await;
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    }
    server.start_again().await;
    heals(&store, "j2").await;
    assert_eq!(names(&pending(&store, "st_1").await), ["j1", "j2"]);
}

#[tokio::test]
async fn a_server_that_does_not_answer_fails_a_call_in_its_time() {
    let (server, _) = filled().await;
    let response_timeout = Duration::from_millis(100);
    let wait_timeout = Duration::ZERO;
    let settings =
        RedisSettings { response_timeout, wait_timeout, ..impatient(vec![server.url()]) };
    let store = RedisStore::open(&settings, Arc::new(Epochs::default())).await.expect("opens");
    server.freeze();
    let failed = try_append(&store, "j2").await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    server.thaw();
    heals(&store, "j2").await;
    assert_eq!(names(&pending(&store, "st_1").await), ["j1", "j2"]);
}

/// The connection is lost without notice, for example because a machine on the route is gone.
#[tokio::test]
async fn a_way_that_is_lost_is_left_for_another() {
    let (server, _) = filled().await;
    let way = Way::to(server.socket()).await;
    let response_timeout = Duration::from_millis(100);
    let wait_timeout = Duration::ZERO;
    let settings = RedisSettings { response_timeout, wait_timeout, ..impatient(vec![way.url()]) };
    let store = RedisStore::open(&settings, Arc::new(Epochs::default())).await.expect("opens");
    try_append(&store, "j2").await.expect("appended");
    way.lose();
    try_append(&store, "j3").await.expect_err("the way is lost");
    try_append(&store, "j3").await.expect("over another connection");
    assert_eq!(names(&pending(&store, "st_1").await), ["j1", "j2", "j3"]);
}

/// Hands on what comes, in both directions, until it is lost; what comes later has a new way.
struct Way {
    port: u16,
    lost: watch::Sender<u32>,
}

impl Way {
    async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let lost = watch::Sender::new(0);
        let told = lost.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = UnixStream::connect(&socket).await.expect("the server listens");
                let mut told = told.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        // Both ends stay open.
                        _ = told.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { port, lost }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn lose(&self) {
        self.lost.send_modify(|times| *times += 1);
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_is_replaced_within_the_call() {
    let (server, store) = filled().await;
    for n in 2..5 {
        let () = server.run(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        try_append(&store, &format!("j{n}")).await.expect("appended");
    }
    assert_eq!(names(&pending(&store, "st_1").await), ["j1", "j2", "j3", "j4"]);
}

#[tokio::test]
async fn calls_that_are_under_way_end_when_the_connection_is_cut() {
    let (server, store) = filled().await;
    let store = Arc::new(store);
    let () = server.run(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    let calls: Vec<_> = (0..50)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { try_append(&store, &format!("k{n}")).await.is_ok() })
        })
        .collect();
    eventually("calls are under way", async || {
        let info: String = server.run(&["INFO", "clients"]).await;
        !info.contains("blocked_clients:0")
    })
    .await;
    let () = server.run(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    let () = server.run(&["CLIENT", "UNPAUSE"]).await;
    for call in calls {
        assert!(call.await.expect("no task panics"));
    }
    assert_eq!(pending(&*store, "st_1").await.len(), 51);
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_them_again() {
    let (server, store) = filled().await;
    let () = server.run(&["SCRIPT", "FLUSH"]).await;
    try_append(&store, "j2").await.expect("appended");
    assert_eq!(names(&pending(&store, "st_1").await), ["j1", "j2"]);
}

#[tokio::test]
async fn a_server_that_was_emptied_is_an_empty_store() {
    let (server, store) = filled().await;
    let () = server.run(&["FLUSHALL"]).await;
    assert!(store.streams().await.expect("readable").is_empty());
    assert_eq!(try_append(&store, "j2").await.expect("appended"), [new(&[])]);
    create(&store, vec![push_stream("st_1")]).await;
    assert_eq!(try_append(&store, "j2").await.expect("appended"), [new(&["st_1"])]);
}

/// A result that somebody still has in mind is of another SET.
#[tokio::test]
async fn a_number_is_not_given_again_by_a_server_that_forgot_it() {
    let (server, store) = filled().await;
    let forgotten = seq(&store, "st_1", "j1").await;
    let () = server.run(&["FLUSHALL"]).await;
    create(&store, vec![push_stream("st_1")]).await;
    append(&store, vec![event(vec![set("st_1", "j2")])], later(1)).await;
    settle(&store, "st_1", forgotten, Disposition::Delivered).await;
    assert!(forgotten < seq(&store, "st_1", "j2").await);
}

/// SETs that were accepted before can still be delivered, and their results recorded.
#[tokio::test]
async fn a_server_whose_memory_is_used_up_takes_results_and_no_events() {
    let (server, store) = filled().await;
    let () = server.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let failed = try_append(&store, "j2").await;
    let Err(StoreError::Unavailable(cause)) = failed else { panic!("{failed:?}") };
    assert!(cause.to_string().contains("OOM"), "{cause}");
    let read = store.read_due(&id("st_1"), up_to(9), NOW).await.expect("readable");
    settle(&store, "st_1", read.sets[0].seq, Disposition::Delivered).await;
    assert!(pending(&store, "st_1").await.is_empty());

    let () = server.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    try_append(&store, "j2").await.expect("appended");
}

#[tokio::test]
async fn a_server_that_turned_into_a_replica_is_left_for_its_successor() {
    let (server, store) = filled().await;
    let () = server.run(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let failed = try_append(&store, "j2").await;
    let Err(StoreError::Unavailable(cause)) = failed else { panic!("{failed:?}") };
    assert!(cause.to_string().contains("ReadOnly"), "{cause}");
    let () = server.run(&["REPLICAOF", "NO", "ONE"]).await;
    try_append(&store, "j2").await.expect("appended");
}

#[tokio::test]
async fn a_server_that_is_busy_with_another_clients_script_is_waited_for() {
    let (server, store) = filled().await;
    let () = server.run(&["CONFIG", "SET", "busy-reply-threshold", "10"]).await;
    let mut other = server.connection().await;
    let endless = tokio::spawn(async move {
        let mut endless = ::redis::cmd("EVAL");
        endless.arg("while true do end").arg(0);
        endless.query_async::<()>(&mut other).await.is_err()
    });
    eventually("a call is refused", async || try_append(&store, "j2").await.is_err()).await;
    let () = server.run(&["SCRIPT", "KILL"]).await;
    heals(&store, "j2").await;
    endless.abort();
}

/// SETs that are stored are still delivered. New events are refused, or taken by the operator's choice.
#[tokio::test]
async fn without_its_replicas_a_store_records_results_and_takes_events_by_choice() {
    for (replicas_missing, takes_events) in
        [(ReplicasMissing::Refuse, false), (ReplicasMissing::Accept, true)]
    {
        let (server, _) = filled().await;
        let settings = RedisSettings {
            wait_replicas: 1,
            wait_timeout: Duration::from_millis(10),
            replicas_missing,
            ..impatient(vec![server.url()])
        };
        let store = RedisStore::open(&settings, Arc::new(Epochs::default())).await.expect("opens");
        for name in ["j2", "j3"] {
            let appended = try_append(&store, name).await;
            assert_eq!(appended.is_ok(), takes_events, "{replicas_missing:?}: {appended:?}");
        }
        if let Err(StoreError::Unavailable(cause)) = try_append(&store, "j3").await {
            assert!(cause.to_string().contains("fewer than 1 replicas"), "{cause}");
        }
        let condition = store.condition(ssfd::clock::instant());
        assert_eq!(condition.failing, None);
        assert_eq!(condition.refuses_events.is_none(), takes_events);
        assert!(condition.degraded[0].contains("store.redis.wait_replicas"), "{condition:?}");
        loop {
            let read = store.read_due(&id("st_1"), up_to(9), NOW).await.expect("readable");
            let Some(set) = read.sets.first() else { break };
            settle(&store, "st_1", set.seq, Disposition::Delivered).await;
        }
        assert!(pending(&store, "st_1").await.is_empty(), "{replicas_missing:?}");
    }
}

/// `WAIT` holds up its connection, and many calls wait for replicas at the same time. Reads go on, and no call
/// runs out of time.
#[tokio::test]
async fn a_missing_replica_is_told_as_that_and_as_nothing_else() {
    for (millis, replicas_missing) in [
        (10, ReplicasMissing::Refuse),
        (300, ReplicasMissing::Refuse),
        (300, ReplicasMissing::Accept),
        // Longer than a server may be without an answer that is not held up.
        (2500, ReplicasMissing::Refuse),
    ] {
        let (server, _) = filled().await;
        let settings = RedisSettings {
            wait_replicas: 1,
            wait_timeout: Duration::from_millis(millis),
            response_timeout: Duration::from_millis(500),
            replicas_missing,
            ..impatient(vec![server.url()])
        };
        let store = RedisStore::open(&settings, Arc::new(Epochs::default())).await.expect("opens");
        let store = Arc::new(store);
        let calls = (0..40).map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let (stream, name) = (id("st_1"), format!("k{n}"));
                let read = store.read_due(&stream, up_to(9), NOW);
                let (appended, read) = tokio::join!(try_append(&store, &name), read);
                (appended, read.map(|due| due.sets.len()))
            })
        });
        let mut calls = futures_util::future::join_all(calls.collect::<Vec<_>>());
        let ended = loop {
            assert_eq!(store.condition(ssfd::clock::instant()).failing, None, "{millis} ms");
            let looked = tokio::time::timeout(Duration::from_millis(10), &mut calls).await;
            if let Ok(ended) = looked {
                break ended;
            }
        };
        for call in ended {
            let (appended, read) = call.expect("no task panics");
            read.expect("readable");
            match (replicas_missing, appended) {
                (ReplicasMissing::Accept, appended) => _ = appended.expect("taken"),
                (ReplicasMissing::Refuse, Err(StoreError::Unavailable(cause))) => {
                    let cause = cause.to_string();
                    assert!(cause.contains("fewer than 1 replicas"), "{millis} ms: {cause}");
                }
                (ReplicasMissing::Refuse, other) => panic!("{millis} ms: {other:?}"),
            }
        }
        let condition = store.condition(ssfd::clock::instant());
        assert_eq!(condition.failing, None);
        assert!(condition.degraded[0].contains("store.redis.wait_replicas"), "{condition:?}");
    }
}

/// With a replica that is waited for, nothing of what was accepted is lost.
#[tokio::test]
async fn a_cluster_goes_on_with_the_replica_of_a_primary_that_dies() {
    let mut cluster = RedisCluster::start(3, 1).await;
    let open = async |wait_replicas| {
        let topology = Topology::Cluster;
        let settings = RedisSettings { topology, wait_replicas, ..impatient(cluster.urls()) };
        RedisStore::open(&settings, Arc::new(Epochs::default())).await.expect("opens")
    };
    // The successor has no replica that could be waited for.
    let (careful, store) = (open(1).await, open(0).await);
    let streams: Vec<_> = (0..12).map(|n| format!("st_{n}")).collect();
    create(&careful, streams.iter().map(|name| poll_stream(name)).collect()).await;
    let append_to_all = async |store: &RedisStore, jti: &str| {
        let sets = streams.iter().map(|name| set(name, jti)).collect();
        let batch = AppendBatch { events: vec![event(sets)], position: None, now: NOW };
        within("an append ends", store.append(batch, &|_| ())).await
    };
    append_to_all(&careful, "j1").await.expect("appended");
    append_to_all(&store, "j2").await.expect("appended");

    cluster.primaries[0].kill();
    let takes_over = async || append_to_all(&store, "j3").await.is_ok();
    eventually("the replica takes over", takes_over).await;
    for stream in &streams {
        let pending = pending(&store, stream).await;
        let names = names(&pending);
        assert!(names.contains(&"j1") && names.contains(&"j3"), "{stream}: {names:?}");
    }
}
