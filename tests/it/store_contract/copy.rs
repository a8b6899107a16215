//! One store's contents in another: each backend into each other one.

mod full;
mod moving;

use std::cell::Cell;

use ssfd::{
    delivery::outbox::Seq,
    domain::grant::TokenHash,
    store::{
        Acknowledgement, EntryId, Position,
        archive::{DeadFilter, Requeue, SetState, Since},
        copy::{Comparison, CopyError, CopyStep, Progress, compare},
        portable::ItemKind,
        slot::Slot,
    },
};
use tokio::sync::Notify;

use self::full::{answers, change, fill};
use super::{
    redis::{Clustered, Standalone},
    sqlite::Sqlite,
    *,
};

fn untold(_: Progress) {}

async fn copy(source: &dyn Store, target: &dyn Store) -> Result<Comparison, CopyError> {
    ssfd::store::copy::copy(source, target, false, &untold).await
}

async fn compared(source: &dyn Store, target: &dyn Store) -> Comparison {
    compare(source, target, CopyStep::Compare, &untold).await.expect("readable")
}

/// Both hold the same, by their digests and by what they answer.
async fn assert_same(source: &dyn Store, target: &dyn Store) {
    let comparison = compared(source, target).await;
    assert_eq!(comparison.difference(), None);
    assert_alike(source, target).await;
}

async fn assert_alike(source: &dyn Store, target: &dyn Store) {
    let (here, there) = (answers(source).await, answers(target).await);
    for (here, there) in here.iter().zip(&there) {
        assert_eq!(there, here);
    }
    assert_eq!(there.len(), here.len());
}

async fn all_of_it_arrives_and_keeps_up(from: impl Backend, to: impl Backend) {
    let (source, target) = (from.open().await, to.open().await);
    fill(&*source).await;
    let before = copy(&*source, &*target).await.expect("copied");
    for kind in ItemKind::always() {
        assert_ne!(before.source.of(&kind).count, 0, "no {kind} to be copied");
    }
    assert_same(&*source, &*target).await;
    assert_eq!(compared(&*source, &*target).await.records_to_write(), 0);

    change(&*source).await;
    let before = compared(&*source, &*target).await;
    let all: u64 = ItemKind::always().map(|kind| before.source.of(&kind).count).sum();
    assert!(before.records_to_write() < all, "what is the same is not written again");
    copy(&*source, &*target).await.expect("copied");
    assert_same(&*source, &*target).await;

    // And they behave alike from then on.
    for store in [&source, &target] {
        go_on(&**store).await;
    }
    assert_alike(&*source, &*target).await;
}

/// Delivers and polls on. A lane whose head is unknown, or a wrong order, would show.
async fn go_on(store: &dyn Store) {
    let (push, poll, now) = (id("st_push"), id("st_poll"), later(500));
    for _ in 0..8 {
        let due = store.read_due(&push, up_to(2), now).await.expect("readable");
        let settlements = due.sets.iter().map(|set| set.seq).map(|seq| Settlement {
            seq,
            disposition: Disposition::Delivered,
            version: 1,
        });
        store.settle(&push, settlements.collect(), now).await.expect("settled");
        let taken =
            store.take_for_poll(&poll, PollLimit::of(1), now, later(600)).await.expect("taken");
        let acked = taken.sets.into_iter().map(|set| set.jti).collect();
        let acked = Acknowledgement { acked, refused: vec![] };
        store.acknowledge(&poll, acked, now).await.expect("acknowledged");
    }
    store.expire_lists(later(1000)).await.expect("expired");
    while store.expire(Expiry::of_all(later(3), later(3))).await.expect("expired") {}
}

#[tokio::test]
async fn from_sqlite_to_redis() {
    all_of_it_arrives_and_keeps_up(Sqlite::new(), Standalone::default()).await;
}

#[tokio::test]
async fn from_redis_to_sqlite() {
    all_of_it_arrives_and_keeps_up(Standalone::default(), Sqlite::new()).await;
}

#[tokio::test]
async fn from_redis_to_a_cluster() {
    all_of_it_arrives_and_keeps_up(Standalone::default(), Clustered::new()).await;
}

#[tokio::test]
async fn from_sqlite_to_sqlite() {
    all_of_it_arrives_and_keeps_up(Sqlite::new(), Sqlite::new()).await;
}

/// More than one call writes.
async fn fill_with_many(store: &dyn Store) {
    for n in 0..20 {
        let name = format!("st_{n}");
        create(store, vec![push_stream(&name)]).await;
        let sets = (0..60).map(|m| event(vec![set(&name, &format!("j{n}-{m}"))])).collect();
        append(store, sets, NOW).await;
    }
}

async fn a_copy_that_broke_off_is_completed_by_another(from: impl Backend, to: impl Backend) {
    let source = from.open().await;
    fill_with_many(&*source).await;
    let target = to.open().await;
    let written = Notify::new();
    let tell = |progress: Progress| {
        if progress.step == CopyStep::Write {
            written.notify_one();
        }
    };
    tokio::select! {
        biased;
        () = written.notified() => {}
        _ = ssfd::store::copy::copy(&*source, &*target, false, &tell) => panic!("it had time"),
    }
    drop(target);

    let refused = to.try_open().await.err().expect("nobody serves from a part");
    assert!(refused.to_string().contains("a copy into it is not complete"), "{refused}");
    let target = to.open_to_fill().await;
    let before = compared(&*source, &*target).await;
    assert_ne!(before.target.of(&ItemKind::Waiting).count, 0, "some had been written");
    assert!(before.difference().is_some());
    copy(&*source, &*target).await.expect("copied");
    assert_same(&*source, &*target).await;
    drop(target);
    to.open().await;
}

#[tokio::test]
async fn what_broke_off_into_sqlite_is_completed() {
    a_copy_that_broke_off_is_completed_by_another(Sqlite::new(), Sqlite::new()).await;
}

#[tokio::test]
async fn what_broke_off_into_redis_is_completed() {
    a_copy_that_broke_off_is_completed_by_another(Sqlite::new(), Standalone::default()).await;
}

#[tokio::test]
async fn what_the_target_has_is_not_lost_unasked() {
    let (from, to) = (Sqlite::new(), Standalone::default());
    let (source, target) = (from.open().await, to.open().await);
    create(&*source, vec![push_stream("st_1")]).await;
    create(&*target, vec![push_stream("st_other")]).await;
    let refused = copy(&*source, &*target).await.expect_err("another stream");
    assert!(refused.to_string().contains("1, st_other among them"), "{refused}");
    assert_eq!(target.streams().await.expect("readable").len(), 1, "untouched");

    let replaced = ssfd::store::copy::copy(&*source, &*target, true, &untold).await;
    assert_eq!(replaced.expect("copied").streams_to_remove(), 1);
    assert_same(&*source, &*target).await;

    // The target was served from since: it has a newer event, or only a newer position.
    append(&*target, vec![event(vec![set("st_1", "j1")])], later(1)).await;
    assert!(matches!(copy(&*source, &*target).await, Err(CopyError::Newer)));
    append(&*source, vec![event(vec![set("st_1", "j1")])], later(2)).await;
    copy(&*source, &*target).await.expect("the source has gone on");
    for (store, millis) in [(&source, 5), (&target, 6)] {
        let entry = EntryId { millis, number: 0 };
        let position = Some(("ssf:events:acme".to_owned(), Position { epoch: 0, entry }));
        store
            .append(AppendBatch { events: vec![], position, now: NOW }, &|_| ())
            .await
            .expect("moved");
    }
    assert!(matches!(copy(&*source, &*target).await, Err(CopyError::Newer)));
}

#[tokio::test]
async fn a_difference_is_named() {
    let (from, to) = (Sqlite::new(), Standalone::default());
    let (source, target) = (from.open().await, to.open().await);
    fill(&*source).await;
    copy(&*source, &*target).await.expect("copied");
    let difference = async || {
        let comparison = compared(&*source, &*target).await;
        comparison.difference().map(|difference| difference.to_string()).unwrap_or_default()
    };
    assert_eq!(difference().await, "");
    let hash = TokenHash::from_hex(format!("{:0<64}", "0b"));
    target.revoke_grant(&hash).await.expect("revoked");
    assert_eq!(difference().await, "tokens differ: 3 in the source, 2 in the target");
    // Settled in another way, so that there are as many.
    let due = source.read_due(&id("st_push"), up_to(100), later(900)).await.expect("readable");
    let name = due.sets[0].jti.to_string();
    for (store, disposition) in [(&source, dead()), (&target, Disposition::Delivered)] {
        let seq = seq(&**store, "st_push", &name).await;
        settle(&**store, "st_push", seq, disposition).await;
    }
    let text = difference().await;
    assert!(text.starts_with("dead letters differ, first those of st_push: "), "{text}");
}

/// The numbers that a server gives after a copy are above all copied ones, even if its clock is behind.
#[tokio::test]
async fn what_comes_after_a_copy_lies_behind_it() {
    let (from, to) = (Sqlite::new(), Standalone::default());
    let (source, target) = (from.open().await, to.open().await);
    create(&*source, vec![push_stream("st_1")]).await;
    // In the first years of the clock, whose numbers have fewer digits.
    for (name, millis) in [("j1", 5000), ("j2", 4000)] {
        let events = vec![event(vec![set("st_1", name)])];
        append(&*source, events, Timestamp::from_millis(millis)).await;
    }
    copy(&*source, &*target).await.expect("copied");
    create(&*source, vec![push_stream("st_2")]).await;
    append(&*source, vec![event(vec![set("st_2", "j3")])], Timestamp::from_millis(6000)).await;
    copy(&*source, &*target).await.expect("copied again");
    let later = vec![event(vec![set("st_1", "j4"), set("st_2", "j5")])];
    append(&*target, later, Timestamp::from_millis(3000)).await;
    assert_eq!(names(&pending(&*target, "st_1").await), ["j1", "j2", "j4"]);
    assert_eq!(names(&pending(&*target, "st_2").await), ["j3", "j5"]);
}

/// A node that ends in the middle of a change of status leaves such a state.
#[tokio::test]
async fn what_a_disabled_stream_had_waiting_is_not_brought_back() {
    let (from, to) = (Standalone::default(), Sqlite::new());
    let (source, target) = (from.open().await, to.open().await);
    create(&*source, vec![push_stream("st_1")]).await;
    append_sets(&*source, vec![set("st_1", "j1")]).await;
    let server = from.server.get().expect("it runs");
    let streams = format!("{{ssf:{}}}:streams", Slot::of_stream(&id("st_1")));
    let record: String = server.run(&["HGET", &streams, "st_1"]).await;
    let disabled = format!("d{}", &record[1..]);
    let _: i64 = server.run(&["HSET", &streams, "st_1", &disabled]).await;

    copy(&*source, &*target).await.expect("copied");
    assert_eq!(target.waiting(&id("st_1")).await.expect("readable").sets, 0);
    let kept = target.kept_sets(vec![(id("st_1"), jti("j1"))]).await.expect("readable");
    assert!(matches!(&kept[0].state, SetState::Discarded { .. }), "{kept:?}");
}
