//! SETs out: what push delivery reads and records, and what is kept for a while.

use super::*;
use ssfd::store::Backlog;

pub(super) async fn a_set_comes_back_as_it_was_appended(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let claims: Arc<str> = r#"{"b":"ü","a":["\u0000",1.50]}"#.into();
    let odd = NewSet { lane: Lane::from_i64(i64::MIN), claims, ..control("st_1", "j1") };
    append_sets(&*store, vec![odd.clone()]).await;

    let kept = pending(&*store, "st_1").await;
    let expected = PendingSet {
        seq: kept[0].seq,
        jti: odd.jti,
        lane: odd.lane,
        kind: odd.kind,
        claims: odd.claims,
        appended_at: NOW,
        attempts: 0,
        due_at: NOW,
    };
    assert_eq!(kept, [expected]);
}

pub(super) async fn a_retry_keeps_the_set_through_a_restart(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1")]).await;
    append_sets(&*store, vec![set("st_1", "j1"), set("st_1", "j2")]).await;
    let before = pending(&*store, "st_1").await;
    settle(&*store, "st_1", before[0].seq, retry_at(later(1))).await;
    settle(&*store, "st_1", before[0].seq, retry_at(later(5))).await;
    drop(store);

    // Of its numbers no more than the order need stay, as where the store was copied meanwhile.
    let after = pending(&*backend.open().await, "st_1").await;
    let [first, second] = &after[..] else { panic!("{after:?}") };
    assert!(first.seq < second.seq);
    let retried = PendingSet { attempts: 2, due_at: later(5), ..before[0].clone() };
    assert_eq!(*first, PendingSet { seq: first.seq, ..retried });
    assert_eq!(*second, PendingSet { seq: second.seq, ..before[1].clone() });
}

pub(super) async fn a_settled_set_does_not_wait(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    let sets = ["j1", "j2", "j3"].map(|name| set("st_1", name));
    append_sets(&*store, sets.to_vec()).await;
    let [one, two, three] = pending(&*store, "st_1").await.try_into().expect("three wait");

    let settlements = vec![
        Settlement { seq: one.seq, disposition: Disposition::Delivered, version: 1 },
        Settlement { seq: three.seq, disposition: dead(), version: 1 },
        // Of no SET at all.
        Settlement { seq: Seq(i64::MAX), disposition: Disposition::Delivered, version: 1 },
    ];
    store.settle(&id("st_1"), settlements, NOW).await.expect("settled");
    assert_eq!(names(&pending(&*store, "st_1").await), ["j2"]);

    // A seq means nothing in another stream.
    for stream in ["st_2", "st_unknown"] {
        settle(&*store, stream, two.seq, Disposition::Delivered).await;
    }
    assert_eq!(names(&pending(&*store, "st_1").await), ["j2"]);
}

pub(super) async fn a_settled_set_stays_as_it_is(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1")]).await;
    append_sets(&*store, vec![set("st_1", "j1"), set("st_1", "j2")]).await;
    for (name, disposition) in [("j1", Disposition::Delivered), ("j2", dead())] {
        let settled = seq(&*store, "st_1", name).await;
        settle(&*store, "st_1", settled, disposition).await;
        settle(&*store, "st_1", settled, retry_at(NOW)).await;
        settle(&*store, "st_1", settled, dead()).await;
    }
    assert!(pending(&*store, "st_1").await.is_empty());
    assert!(store.streams_with_work(later(9), SlotSet::ALL).await.expect("readable").is_empty());
}

pub(super) async fn only_enabled_push_streams_with_something_due_have_work(backend: impl Backend) {
    let store = backend.open().await;
    let paused = StreamConfig { status: StreamStatus::Paused, ..push_stream("st_paused") };
    let streams = ["st_idle", "st_due", "st_later", "st_late", "st_done"].map(push_stream);
    create(&*store, streams.to_vec()).await;
    create(&*store, vec![paused.clone(), poll_stream("st_poll")]).await;
    for stream in ["st_due", "st_later", "st_late", "st_done", "st_paused", "st_poll"] {
        append_sets(&*store, vec![set(stream, "j1")]).await;
    }
    let first = async |stream| seq(&*store, stream, "j1").await;
    settle(&*store, "st_later", first("st_later").await, retry_at(later(60))).await;
    settle(&*store, "st_late", first("st_late").await, retry_at(later(1))).await;
    settle(&*store, "st_done", first("st_done").await, Disposition::Delivered).await;

    let with_work = async |now| {
        let mut streams = store.streams_with_work(now, SlotSet::ALL).await.expect("readable");
        streams.sort();
        streams
    };
    assert_eq!(with_work(NOW).await, [id("st_due")]);
    assert_eq!(with_work(later(1)).await, [id("st_due"), id("st_late")]);

    // The held SETs of a paused stream are due once it is enabled again (SSF §8.1.2.1).
    assert!(pending(&*store, "st_paused").await.is_empty());
    turn(&*store, &paused, StreamStatus::Enabled, Announcement::None).await;
    assert_eq!(names(&pending(&*store, "st_paused").await), ["j1"]);
    assert_eq!(with_work(NOW).await, [id("st_due"), id("st_paused")]);
}

/// STAT-04, STAT-08 (SSF §8.1.2.1, §8.1.5).
pub(super) async fn a_stream_that_is_not_enabled_sends_its_announcement_alone(
    backend: impl Backend,
) {
    let store = backend.open().await;
    let (push, poll) = (push_stream("st_push"), poll_stream("st_poll"));
    create(&*store, vec![push.clone(), poll.clone()]).await;
    for stream in ["st_push", "st_poll"] {
        append_sets(&*store, vec![set(stream, "j1"), control(stream, "c1")]).await;
    }
    let announced = |stream| Announcement::New(announcement(stream, "a1"));
    let push = turn(&*store, &push, StreamStatus::Paused, announced("st_push")).await;
    let poll = turn(&*store, &poll, StreamStatus::Paused, announced("st_poll")).await;
    append_sets(&*store, vec![set("st_push", "j2"), set("st_poll", "j2")]).await;

    let read = async || {
        let due = store.read_due(&id("st_push"), up_to(9), NOW).await.expect("readable");
        (names(&due.sets).join(" "), due.next_retry)
    };
    assert_eq!(read().await, ("a1".into(), None));
    assert_eq!(
        store.streams_with_work(NOW, SlotSet::ALL).await.expect("readable"),
        [id("st_push")]
    );
    let sent = seq(&*store, "st_push", "a1").await;
    settle(&*store, "st_push", sent, retry_at(later(60))).await;
    assert!(store.streams_with_work(NOW, SlotSet::ALL).await.expect("readable").is_empty());
    assert_eq!(read().await, (String::new(), Some(later(60))));

    let taken = async |limit| {
        let polled =
            store.take_for_poll(&id("st_poll"), PollLimit::of(limit), NOW, later(30)).await;
        let polled = polled.expect("taken");
        (names(&polled.sets).join(" "), polled.more)
    };
    let next_due = async || store.next_due(&id("st_poll"), NOW).await.expect("readable");
    assert_eq!(taken(0).await, (String::new(), true));
    assert_eq!(taken(9).await, ("a1".into(), false));
    assert_eq!(taken(9).await, (String::new(), false));
    assert_eq!(next_due().await, Some(later(30)));

    // Nothing of what is held was lost, and the announcement is the first that goes out.
    assert_eq!(store.waiting(&id("st_push")).await.expect("readable").sets, 4);
    let again = Announcement::New(announcement("st_push", "a2"));
    turn(&*store, &push, StreamStatus::Enabled, again).await;
    assert_eq!(read().await, ("a2 c1 j1".into(), None));
    assert_eq!(names(&pending(&*store, "st_push").await), ["a2", "c1", "j1", "j2"]);
    turn(&*store, &poll, StreamStatus::Enabled, Announcement::None).await;
    assert_eq!(taken(9).await, ("c1 j1 j2".into(), false));
}

pub(super) async fn the_backlog_counts_what_waits_by_provider(backend: impl Backend) {
    let store = backend.open().await;
    assert!(store.backlog().await.expect("readable").is_empty());
    let other = "other".parse().expect("valid");
    let elsewhere = StreamConfig { provider: other, ..push_stream("st_3") };
    let paused = push_stream("st_2");
    create(&*store, vec![poll_stream("st_1"), paused.clone(), elsewhere.clone()]).await;

    append(&*store, vec![event(vec![set("st_2", "j1"), set("st_3", "j1")])], later(2)).await;
    append(&*store, vec![event(vec![set("st_1", "j2"), control("st_2", "j2")])], later(4)).await;
    append(&*store, vec![event(vec![set("st_1", "j3"), set("st_3", "j3")])], later(6)).await;
    let oldest = seq(&*store, "st_2", "j1").await;
    turn(&*store, &paused, StreamStatus::Paused, Announcement::None).await;
    let line = |provider: &str, sets, oldest| Backlog {
        provider: provider.parse().expect("valid"),
        sets,
        oldest: Some(oldest),
    };
    let backlog = async || {
        let mut lines = store.backlog().await.expect("readable");
        lines.sort_by(|a, b| a.provider.cmp(&b.provider));
        lines
    };
    assert_eq!(backlog().await, [line("acme", 4, later(2)), line("other", 2, later(2))]);

    settle(&*store, "st_2", oldest, Disposition::Delivered).await;
    let waiting = seq(&*store, "st_1", "j2").await;
    settle(&*store, "st_1", waiting, retry_at(later(99))).await;
    turn(&*store, &elsewhere, StreamStatus::Disabled, Announcement::None).await;
    assert_eq!(backlog().await, [line("acme", 3, later(4))]);
}

pub(super) async fn what_is_settled_expires_and_what_waits_does_not(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1")]).await;
    append_sets(&*store, ["j1", "j2", "j3"].map(|name| set("st_1", name)).to_vec()).await;
    let settle_at = async |name, disposition, now| {
        let seq = seq(&*store, "st_1", name).await;
        let settlements = vec![Settlement { seq, disposition, version: 1 }];
        store.settle(&id("st_1"), settlements, now).await.expect("settled");
    };
    settle_at("j1", Disposition::Delivered, later(10)).await;
    settle_at("j2", dead(), later(20)).await;

    // An expired SET is forgotten: the outbox does not know its `jti` any more.
    let remembered = async || {
        let sets = ["j1", "j2", "j3"].map(|name| set("st_1", name));
        append_sets(&*store, sets.to_vec()).await;
        3 - names(&pending(&*store, "st_1").await).len()
    };
    assert!(!store.expire(Expiry::of_all(later(10), NOW)).await.expect("expired"));
    assert_eq!(remembered().await, 2);
    assert!(!store.expire(Expiry::of_all(later(11), NOW)).await.expect("expired"));
    assert_eq!(remembered().await, 1);
    assert!(!store.expire(Expiry::of_all(later(21), later(99))).await.expect("expired"));
    assert_eq!(remembered().await, 0);
}

/// STAT-05, STAT-10: an enabled stream keeps all, and a control event is not what is held.
pub(super) async fn a_paused_stream_holds_the_newest_and_not_for_ever(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    let sets = |stream: &'static str| ["j1", "j2", "j3", "j4"].map(|name| set(stream, name));
    append_sets(&*store, vec![control("st_1", "c1")]).await;
    append_sets(&*store, [sets("st_1"), sets("st_2")].concat()).await;
    let stream = push_stream("st_1");
    let paused = turn(&*store, &stream, StreamStatus::Paused, Announcement::None).await;

    let limit = async |held_max, appended_before| {
        let limited = store.limit_held(held_max, appended_before, later(9)).await;
        limited.expect("limited").into_iter().map(|(_, dropped)| dropped).sum::<usize>()
    };
    let held = async |stream| names(&pending(&*store, stream).await).join(" ");
    assert_eq!(limit(4, NOW).await, 0);
    assert_eq!(limit(2, NOW).await, 2);
    let enabled = turn(&*store, &paused, StreamStatus::Enabled, Announcement::None).await;
    assert_eq!(held("st_1").await, "c1 j3 j4");
    let paused = turn(&*store, &enabled, StreamStatus::Paused, Announcement::None).await;
    assert_eq!(limit(2, later(1)).await, 2);
    turn(&*store, &paused, StreamStatus::Enabled, Announcement::None).await;
    assert_eq!(held("st_1").await, "c1");
    assert_eq!(held("st_2").await, "j1 j2 j3 j4");
}

pub(super) async fn more_than_one_call_of_expiry_is_announced(backend: impl Backend) {
    // Beyond any bound of one call.
    const EVENTS: usize = 12_000;
    let store = backend.open().await;
    let events: Vec<_> = (0..EVENTS).map(|n| event_with_id(&format!("e{n}"), vec![])).collect();
    append(&*store, events.clone(), NOW).await;
    assert!(
        store.expire(Expiry::of_all(later(1), later(1))).await.expect("expired"),
        "there is more"
    );
    while store.expire(Expiry::of_all(later(1), later(1))).await.expect("expired") {}
    let again = append(&*store, events, NOW).await;
    assert!(again.iter().all(|appended| *appended == new(&[])), "all ids were forgotten");
}
