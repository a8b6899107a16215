//! The memory of what is over is given back.

use std::collections::BTreeSet;

use ssfd::{
    domain::set_error::SetError,
    store::{
        Acknowledgement,
        archive::{DeadFilter, Requeue, Since},
        ledger::EventRecord,
    },
};

use super::*;

/// Returns the names of all keys, without their tags.
async fn keys(server: &Redis) -> BTreeSet<String> {
    let keys: Vec<String> = server.run(&["KEYS", "*"]).await;
    keys.iter().filter_map(|key| key.split_once("}:")).map(|(_, name)| name.to_owned()).collect()
}

/// The keys that stay in an empty store: numbers that are not given again, names of providers,
/// the last that were changed, and how far things were forgotten.
const STAYS: [&str; 7] =
    ["changes", "ids_before", "positions", "providers", "record_version", "seq", "version"];

/// Some of everything that a SET may go through.
async fn live_through(store: &RedisStore) {
    let chooses = StreamConfig { default_subjects: DefaultSubjects::None, ..push_stream("st_3") };
    create(store, vec![push_stream("st_1"), poll_stream("st_2"), chooses]).await;
    let record = EventRecord {
        event_type: "caep:session-revoked".parse().expect("valid"),
        txn: None,
        stream_ids: None,
        withheld: vec![],
    };
    for n in 0..6 {
        let sets = ["st_1", "st_2", "st_3"].map(|name| in_lane(n % 2, set(name, &format!("j{n}"))));
        let event = event_with_id(&format!("e{n}"), sets.to_vec());
        append(store, vec![Append { record: Some(record.clone()), ..event }], NOW).await;
    }
    append_sets(store, vec![control("st_1", "c1"), announcement("st_1", "a1")]).await;

    // Pushed: tried again, delivered, refused, given up; and again, as itself and under another jti.
    let push = async |disposition: Disposition| {
        let due = store.read_due(&id("st_1"), up_to(9), later(60)).await.expect("readable");
        let settlements = due
            .sets
            .iter()
            .map(|set| (set.seq, disposition.clone()))
            .map(|(seq, disposition)| Settlement { seq, disposition, version: 1 });
        store.settle(&id("st_1"), settlements.collect(), NOW).await.expect("settled");
        due.sets.len()
    };
    push(retry_at(later(9))).await;
    push(dead()).await;
    push(Disposition::GivenUp { reason: Reason::Expired, detail: "72 h".into() }).await;
    while push(Disposition::Delivered).await != 0 {}
    let kept = store.retained(&id("st_1"), Since::default(), None, 99).await.expect("readable");
    let again = kept.sets.iter().enumerate().map(|(n, set)| {
        let copy = jti(&format!("copy{n}"));
        let copy = Requeue::Copy { of: set.seq, jti: copy, claims: "{}".into() };
        if n.is_multiple_of(2) { Requeue::Same(set.seq) } else { copy }
    });
    store.requeue(&id("st_1"), again.collect(), later(1)).await.expect("requeued");
    while push(Disposition::Delivered).await != 0 {}

    // Polled: handed out twice, acknowledged and refused.
    for now in [NOW, later(40)] {
        store
            .take_for_poll(&id("st_2"), PollLimit::of(4), now, now + Duration::from_secs(30))
            .await
            .expect("taken");
    }
    let refused = vec![(jti("j1"), SetError::new("invalid_key", "which?"))];
    let acked = ["j0", "j2", "j3", "j4", "j5"].map(jti).to_vec();
    let acknowledgement = Acknowledgement { acked, refused };
    store.acknowledge(&id("st_2"), acknowledgement, NOW).await.expect("acknowledged");
    let dead = store.dead_letters(DeadFilter::default(), None, 99).await.expect("readable");
    let of_push = dead.sets.iter().filter(|set| set.stream == id("st_1"));
    store.purge(&id("st_1"), of_push.map(|set| set.seq).collect()).await.expect("purged");

    // Discarded, since nobody chose its subject.
    let read = store.read_due(&id("st_3"), up_to(9), NOW).await.expect("readable");
    assert_eq!(read.discarded, 6);
}

#[tokio::test]
async fn what_has_expired_leaves_nothing_but_the_streams() {
    let server = Redis::start().await;
    let store = store_on(&server).await;
    live_through(&store).await;
    while store.expire(Expiry::of_all(later(999), later(999))).await.expect("expired") {}
    let left = keys(&server).await;
    let streams = ["owned:acme:rx".to_owned(), "streams".to_owned()].into();
    assert_eq!(&left - &STAYS.map(str::to_owned).into(), streams);
}

#[tokio::test]
async fn a_deleted_stream_leaves_what_expires() {
    let server = Redis::start().await;
    let store = store_on(&server).await;
    live_through(&store).await;
    for stream in ["st_1", "st_2", "st_3"] {
        assert!(store.delete_stream(&id(stream)).await.expect("deleted"));
    }
    while store.expire(Expiry::of_all(later(999), later(999))).await.expect("expired") {}
    let left = keys(&server).await;
    assert_eq!(&left - &STAYS.map(str::to_owned).into(), BTreeSet::new());
}

/// An outbox costs a bounded number of bytes for each SET beside its claims.
#[tokio::test]
async fn memory_is_bounded_by_what_is_kept() {
    const SETS: u64 = 2000;
    const STREAMS: u64 = 2000;
    let server = Redis::start().await;
    let store = store_on(&server).await;
    let used = async || {
        let info: String = server.run(&["INFO", "memory"]).await;
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        used.expect("it tells").trim().parse::<u64>().expect("a number")
    };
    create(&store, vec![push_stream("st_1")]).await;
    let before = used().await;
    for n in 0..SETS {
        let claims = "x".repeat(600).into();
        let set = NewSet { claims, ..set("st_1", &format!("{n:032x}")) };
        append_sets(&store, vec![in_lane(n.cast_signed(), set)]).await;
    }
    let each = (used().await - before) / SETS;
    assert!(each < 1600, "{each} bytes for a SET with 600 bytes of claims");
    let before = used().await;
    for n in 0..STREAMS {
        let stream = push_stream(&format!("idle-{n:020}"));
        store.create_stream(stream, 10_000).await.expect("created");
    }
    let each = (used().await - before) / STREAMS;
    assert!(each < 1024, "{each} bytes for an idle stream");
}
