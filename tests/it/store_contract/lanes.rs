//! The SETs of an outbox that can be pushed: the heads of its lanes.

use ssfd::{
    domain::set_error::SetError,
    store::{Acknowledgement, archive::SetState},
};

use super::*;

/// Reads the SETs that are due, and the time of the next retry.
async fn read(
    store: &dyn Store,
    reading: OutboxQuery,
    now: Timestamp,
) -> (Vec<PendingSet>, Option<Timestamp>) {
    let due = store.read_due(&id("st_1"), reading, now).await.expect("readable");
    (due.sets, due.next_retry)
}

async fn heads(store: &dyn Store, now: Timestamp) -> String {
    names(&read(store, up_to(100), now).await.0).join(" ")
}

async fn retry(store: &dyn Store, name: &str, due_at: Timestamp) {
    let failed = seq(store, "st_1", name).await;
    settle(store, "st_1", failed, retry_at(due_at)).await;
}

/// A store with a push stream, and events of it by name and lane.
async fn with_events(backend: &impl Backend, events: &[(&str, i64)]) -> Arc<dyn Store> {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    append_events(&*store, events).await;
    store
}

async fn append_events(store: &dyn Store, events: &[(&str, i64)]) {
    let sets = events.iter().map(|(name, lane)| in_lane(*lane, set("st_1", name)));
    append_sets(store, sets.collect()).await;
}

pub(super) async fn only_the_head_of_a_lane_is_read(backend: impl Backend) {
    let store =
        with_events(&backend, &[("a1", 1), ("a2", 1), ("b1", i64::MIN), ("a3", 1), ("c1", 0)])
            .await;
    append_sets(&*store, vec![in_lane(1, set("st_2", "x"))]).await;
    assert_eq!(heads(&*store, NOW).await, "a1 b1 c1");
    let limited = read(&*store, OutboxQuery { fresh: 2, ..OutboxQuery::default() }, NOW).await;
    assert_eq!(names(&limited.0), ["a1", "b1"]);
    assert!(read(&*store, OutboxQuery::default(), NOW).await.0.is_empty());
    drop(store);
    assert_eq!(heads(&*backend.open().await, NOW).await, "a1 b1 c1");

    // A clock that was set back keeps nothing from being sent that was never tried.
    let store = backend.open().await;
    assert_eq!(heads(&*store, NOW - Duration::from_hours(1)).await, "a1 b1 c1");
    let unknown = store.read_due(&id("st_x"), up_to(9), NOW).await.expect("readable");
    assert!(unknown.sets.is_empty());
}

pub(super) async fn kinds_do_not_wait_for_one_another(backend: impl Backend) {
    let store = with_events(&backend, &[("e1", 9), ("e2", 9)]).await;
    let sets = vec![control("st_1", "c1"), announcement("st_1", "a1"), control("st_1", "c2")];
    append_sets(&*store, sets.into_iter().map(|set| in_lane(9, set)).collect()).await;
    assert_eq!(heads(&*store, NOW).await, "a1 c1 e1");
    retry(&*store, "c1", later(5)).await;
    let announced = seq(&*store, "st_1", "a1").await;
    settle(&*store, "st_1", announced, Disposition::Delivered).await;
    assert_eq!(heads(&*store, NOW).await, "e1");
    assert_eq!(heads(&*store, later(5)).await, "c1 e1");
}

pub(super) async fn control_events_are_read_first_and_on_top(backend: impl Backend) {
    let store = with_events(&backend, &[("a1", 1), ("b1", 2)]).await;
    let control = |name| in_lane(9, control("st_1", name));
    append_sets(&*store, vec![control("c1"), control("c2")]).await;
    assert_eq!(heads(&*store, NOW).await, "c1 a1 b1");
    assert_eq!(names(&read(&*store, OutboxQuery::default(), NOW).await.0), ["c1"]);
    retry(&*store, "c1", later(5)).await;
    assert_eq!(read(&*store, OutboxQuery::default(), NOW).await, (vec![], Some(later(5))));
    assert_eq!(heads(&*store, later(5)).await, "c1 a1 b1");
}

pub(super) async fn what_is_in_memory_is_passed_over(backend: impl Backend) {
    let store = with_events(&backend, &[("a1", 1), ("a2", 1), ("b1", 2), ("c1", 3)]).await;
    retry(&*store, "b1", NOW).await;
    let busy = vec![seq(&*store, "st_1", "a1").await, seq(&*store, "st_1", "b1").await];
    let reading = OutboxQuery { busy, fresh: 1, retries: 1 };
    assert_eq!(names(&read(&*store, reading, NOW).await.0), ["c1"]);
}

pub(super) async fn a_lane_waits_while_its_head_waits_for_a_retry(backend: impl Backend) {
    let store = with_events(&backend, &[("a1", 1), ("a2", 1), ("b1", 2), ("c1", 3)]).await;
    retry(&*store, "a1", later(9)).await;
    retry(&*store, "b1", later(5)).await;
    append_events(&*store, &[("a3", 1)]).await;
    let at = async |secs| {
        let (sets, next_retry) = read(&*store, up_to(9), later(secs)).await;
        (names(&sets).join(" "), next_retry)
    };
    assert_eq!(at(4).await, ("c1".into(), Some(later(5))));
    assert_eq!(at(5).await, ("b1 c1".into(), Some(later(9))));
    assert_eq!(at(9).await, ("b1 a1 c1".into(), None));
    let work = store.streams_with_work(NOW, SlotSet::ALL).await.expect("readable");
    assert_eq!(work, [id("st_1")]);
}

pub(super) async fn retries_and_new_sets_share_the_places(backend: impl Backend) {
    let store = with_events(&backend, &[]).await;
    let named = (1..=4).flat_map(|n| [(format!("f{n}"), n), (format!("n{n}"), -n)]);
    let named: Vec<_> = named.collect();
    let events: Vec<_> = named.iter().map(|(name, lane)| (name.as_str(), *lane)).collect();
    append_events(&*store, &events).await;
    // The longest due first, whenever it came.
    for n in 1..=4 {
        retry(&*store, &format!("f{n}"), later(9 - n)).await;
    }
    let share = async |retries, fresh| {
        let reading = OutboxQuery { busy: vec![], fresh, retries };
        names(&read(&*store, reading, later(9)).await.0).join(" ")
    };
    assert_eq!(share(2, 2).await, "f4 f3 n1 n2");
    assert_eq!(share(1, 0).await, "f4");
    assert_eq!(share(0, 1).await, "n1");
    // Either takes what the other leaves.
    assert_eq!(share(6, 1).await, "f4 f3 f2 f1 n1 n2 n3");
    assert_eq!(share(0, 6).await, "f4 f3 n1 n2 n3 n4");
    assert_eq!(share(9, 9).await, "f4 f3 f2 f1 n1 n2 n3 n4");
}

pub(super) async fn a_lane_goes_on_however_its_head_leaves(backend: impl Backend) {
    let names: Vec<String> = (1..=9).map(|n| format!("a{n}")).collect();
    let events: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let store = with_events(&backend, &events).await;
    append_events(&*store, &[("b1", 2)]).await;
    let end = async |name, disposition| {
        let seq = seq(&*store, "st_1", name).await;
        let settlement = Settlement { seq, disposition, version: 1 };
        store.settle(&id("st_1"), vec![settlement], NOW).await.expect("settled")
    };
    assert!(end("a1", Disposition::Delivered).await);
    assert_eq!(heads(&*store, NOW).await, "a2 b1");
    // From within the lane, and as a poll may: the head stays.
    assert!(!end("a4", Disposition::Delivered).await);
    assert!(!end("a2", retry_at(NOW)).await);
    assert!(end("a2", dead()).await);
    assert_eq!(heads(&*store, NOW).await, "a3 b1");

    let refused = vec![(jti("a5"), SetError::new("x", "y"))];
    let acknowledgement = Acknowledgement { acked: vec![jti("a3")], refused };
    store.acknowledge(&id("st_1"), acknowledgement, NOW).await.expect("acknowledged");
    assert_eq!(heads(&*store, NOW).await, "a6 b1");

    let paused =
        turn(&*store, &push_stream("st_1"), StreamStatus::Paused, Announcement::None).await;
    store.limit_held(3, NOW, NOW).await.expect("limited");
    assert_eq!(heads(&*store, NOW).await, "", "held");
    turn(&*store, &paused, StreamStatus::Enabled, Announcement::None).await;
    assert_eq!(heads(&*store, NOW).await, "a8 b1");
    assert!(end("a8", Disposition::Delivered).await);
    assert!(!end("a9", Disposition::Delivered).await, "it was the last");
    append_events(&*store, &[("a10", 1)]).await;
    assert_eq!(heads(&*store, NOW).await, "b1 a10");
}

pub(super) async fn a_lane_of_removed_subjects_is_discarded_to_its_end(backend: impl Backend) {
    // Beyond any bound of one call.
    const SETS: usize = 2500;
    let store = backend.open().await;
    let none = StreamConfig { default_subjects: DefaultSubjects::None, ..push_stream("st_1") };
    create(&*store, vec![none]).await;
    let sets = (0..SETS).map(|n| in_lane(1, set("st_1", &format!("j{n}"))));
    append_sets(&*store, sets.collect()).await;
    let due = store.read_due(&id("st_1"), up_to(9), NOW).await.expect("readable");
    assert_eq!((due.sets.len(), due.discarded), (0, SETS));
    assert!(pending(&*store, "st_1").await.is_empty());
}

/// Any SETs may be discarded: heads and those behind them, settled and unknown ones.
pub(super) async fn a_set_that_is_discarded_gives_its_place_to_the_next(backend: impl Backend) {
    let store = with_events(&backend, &[("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2)]).await;
    let seq_of = async |name| seq(&*store, "st_1", name).await;
    let (a1, a2, b1) = (seq_of("a1").await, seq_of("a2").await, seq_of("b1").await);
    settle(&*store, "st_1", b1, Disposition::Delivered).await;
    let discard = async |unwanted: Vec<Seq>| {
        let discarded = store.discard(&id("st_1"), unwanted, Reason::NotRequested, later(1)).await;
        discarded.expect("discarded")
    };
    assert_eq!(discard(vec![a2, a1, b1, Seq(i64::MAX)]).await, 2);
    assert_eq!(discard(vec![a1, a2]).await, 0);
    assert_eq!(heads(&*store, later(1)).await, "a3");
    let kept = store.sets_of_jti(&jti("a1")).await.expect("readable");
    let discarded = SetState::Discarded { at: later(1), reason: Reason::NotRequested.into() };
    assert_eq!((&kept[0].state, &kept[0].claims), (&discarded, &None));
}

pub(super) async fn what_was_put_off_is_due_once_the_stream_is_enabled_again(
    backend: impl Backend,
) {
    let store = with_events(&backend, &[("a1", 1), ("a2", 1), ("b1", 2)]).await;
    retry(&*store, "a1", later(3600)).await;
    let paused =
        turn(&*store, &push_stream("st_1"), StreamStatus::Paused, Announcement::None).await;
    turn(&*store, &paused, StreamStatus::Enabled, Announcement::None).await;
    assert_eq!(heads(&*store, NOW).await, "a1 b1");
    let first = &pending(&*store, "st_1").await[0];
    assert_eq!((first.attempts, first.due_at), (1, NOW));
}
