//! Streams: one change at a time.

use super::*;
use ssfd::{domain::stream::ReceiverMembers, store::StoreError};

pub(super) async fn a_stream_comes_back_as_it_was_given(backend: impl Backend) {
    let store = backend.open().await;
    let full = StreamConfig {
        audience: serde_json::from_str(r#"["https://rx.example/a","b"]"#).expect("valid"),
        events_requested: Some(vec!["urn:x:1".into(), "not a URI".into()]),
        description: Some("Größe ’prod’".into()),
        default_subjects: DefaultSubjects::None,
        subject_format: SubjectFormat::PhoneNumber,
        status: StreamStatus::Paused,
        reason: Some("maintenance".into()),
        version: 7,
        ..push_stream("st_full")
    };
    let none_requested = StreamConfig { events_requested: Some(vec![]), ..poll_stream("st_none") };
    let plain_http = PushEndpoint::new("http://127.0.0.1:9/in", None, true).expect("valid");
    let plain_http =
        StreamConfig { delivery: Delivery::Push(plain_http), ..poll_stream("st_http") };
    let mut given = vec![full, none_requested, plain_http, poll_stream("st_poll")];
    create(&*store, given.clone()).await;
    drop(store);

    let store = backend.open().await;
    let mut kept = store.streams().await.expect("readable");
    kept.sort_by(|a, b| a.id.cmp(&b.id));
    for stream in &given {
        let found = store.stream(&stream.id).await.expect("readable");
        assert_eq!(found.as_ref(), Some(stream));
    }
    assert_eq!(store.stream(&id("st_x")).await.expect("readable"), None);
    given.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(kept, given);
}

pub(super) async fn a_receiver_has_no_more_streams_than_the_limit(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let elsewhere = StreamConfig {
        provider: "other".parse().expect("valid"),
        ..poll_stream("st_other_provider")
    };
    store.create_stream(elsewhere, 1).await.expect("another provider's limit");
    let another =
        StreamConfig { receiver: "rx2".parse().expect("valid"), ..poll_stream("st_other_rx") };
    store.create_stream(another, 1).await.expect("another Receiver's limit");

    let beyond = store.create_stream(poll_stream("st_2"), 1).await;
    assert!(matches!(beyond, Err(StoreError::StreamLimit(1))), "{beyond:?}");
    assert_eq!(store.streams().await.expect("readable").len(), 3);

    store.delete_stream(&id("st_1")).await.expect("deleted");
    store.create_stream(poll_stream("st_2"), 1).await.expect("there is room again");
}

pub(super) async fn an_id_is_given_once(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let again = store.create_stream(push_stream("st_1"), 100).await;
    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    assert_eq!(store.streams().await.expect("readable"), [poll_stream("st_1")]);
}

pub(super) async fn a_change_from_an_older_version_is_a_conflict(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1")]).await;
    append_sets(&*store, vec![set("st_1", "j1")]).await;

    let second = push_stream("st_1").with_status(StreamStatus::Paused, Some("a rest".into()));
    store.update_stream(second.clone()).await.expect("updated");

    // Made from the first version, as by a request that came at the same time.
    let stale = push_stream("st_1").with_status(StreamStatus::Disabled, None);
    for lost in [stale, second.clone(), poll_stream("st_unknown")] {
        let refused = store.update_stream(lost.clone()).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
        let announcement = Announcement::New(announcement("st_1", "a1"));
        let refused = store.change_status(lost, announcement, NOW).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    }
    assert_eq!(store.streams().await.expect("readable"), [second]);
    assert_eq!(store.waiting(&id("st_1")).await.expect("readable").sets, 1);
}

pub(super) async fn a_discarding_change_empties_the_outbox(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1"), poll_stream("st_2")]).await;
    append_sets(&*store, vec![set("st_1", "j1"), set("st_1", "j2"), set("st_2", "j3")]).await;
    append_sets(&*store, vec![control("st_1", "j4")]).await;
    let sent = seq(&*store, "st_1", "j1").await;
    settle(&*store, "st_1", sent, Disposition::Delivered).await;

    let disabled = poll_stream("st_1").with_status(StreamStatus::Disabled, None);
    let discarded = store.change_status(disabled.clone(), Announcement::None, NOW).await;
    assert_eq!(discarded.expect("changed"), 2);
    assert_eq!(store.waiting(&id("st_1")).await.expect("readable").sets, 0);
    assert_eq!(names(&pending(&*store, "st_2").await), ["j3"]);

    turn(&*store, &disabled, StreamStatus::Enabled, Announcement::None).await;
    assert!(pending(&*store, "st_1").await.is_empty(), "what was discarded stays so");
}

/// STAT-08, STAT-11: at most one announcement waits, that of the status as it is.
pub(super) async fn a_change_of_status_takes_the_place_of_the_announcement_before(
    backend: impl Backend,
) {
    use StreamStatus::*;
    let store = backend.open().await;
    let stream = push_stream("st_1");
    create(&*store, vec![stream.clone(), push_stream("st_2")]).await;
    append_sets(&*store, vec![announcement("st_2", "a0"), set("st_1", "j1")]).await;
    let instead = |name| Announcement::Instead(announcement("st_1", name));
    let new = |name| Announcement::New(announcement("st_1", name));
    let announced = async || names(&pending(&*store, "st_1").await).join(" ");

    let stream = turn(&*store, &stream, Paused, instead("a1")).await;
    assert_eq!(announced().await, "", "none waited");
    let stream = turn(&*store, &stream, Paused, new("a2")).await;
    assert_eq!(announced().await, "a2");
    let stream = turn(&*store, &stream, Paused, instead("a3")).await;
    assert_eq!(announced().await, "a3");
    let stream = turn(&*store, &stream, Disabled, instead("a4")).await;
    assert_eq!(announced().await, "a4", "what a disabled stream discards is all else");
    let stream = turn(&*store, &stream, Enabled, new("a5")).await;
    assert_eq!(announced().await, "a5");
    let stream = turn(&*store, &stream, Paused, Announcement::None).await;
    assert_eq!(announced().await, "");

    let stream = turn(&*store, &stream, Enabled, new("a6")).await;
    let sent = seq(&*store, "st_1", "a6").await;
    settle(&*store, "st_1", sent, Disposition::Delivered).await;
    turn(&*store, &stream, Enabled, instead("a7")).await;
    assert_eq!(announced().await, "", "none waited any more");
    assert_eq!(names(&pending(&*store, "st_2").await), ["a0"]);
}

pub(super) async fn a_change_of_delivery_makes_what_waits_due(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    append_sets(&*store, vec![set("st_1", "j1"), set("st_2", "j2")]).await;
    for (stream, jti) in [("st_1", "j1"), ("st_2", "j2")] {
        let failed = seq(&*store, stream, jti).await;
        settle(&*store, stream, failed, retry_at(later(60))).await;
    }
    let due = async || store.streams_with_work(NOW, SlotSet::ALL).await.expect("readable");

    let given = ReceiverMembers { description: Some("eu".into()), ..ReceiverMembers::default() };
    let unmoved = push_stream("st_1").patched(given);
    store.update_stream(unmoved.clone()).await.expect("updated");
    assert!(due().await.is_empty(), "another change has no say in it");

    let elsewhere = PushEndpoint::new("https://rx.example/elsewhere", None, false);
    let delivery = Delivery::Push(elsewhere.expect("valid"));
    let moved = StreamConfig { delivery, version: unmoved.version + 1, ..unmoved };
    store.update_stream(moved.clone()).await.expect("updated");
    assert_eq!(due().await, [id("st_1")]);

    let polled = StreamConfig { delivery: Delivery::Poll, version: moved.version + 1, ..moved };
    let failed = seq(&*store, "st_1", "j1").await;
    settle(&*store, "st_1", failed, retry_at(later(60))).await;
    store.update_stream(polled).await.expect("updated");
    let taken =
        store.take_for_poll(&id("st_1"), PollLimit::of(10), NOW, later(1)).await.expect("taken");
    assert_eq!(names(&taken.sets), ["j1"]);
}

/// A result may be recorded after a change that was not known when the result was judged.
pub(super) async fn a_retry_judged_before_a_change_is_due_at_once(backend: impl Backend) {
    let store = backend.open().await;
    let elsewhere = PushEndpoint::new("https://rx.example/elsewhere", None, false);
    let moves =
        [("st_endpoint", Delivery::Push(elsewhere.expect("valid"))), ("st_poll", Delivery::Poll)];
    for name in ["st_endpoint", "st_poll", "st_resumed"] {
        let stream = push_stream(name);
        create(&*store, vec![stream.clone()]).await;
        append_sets(&*store, vec![set(name, "j1"), set(name, "j2")]).await;
        let [one, two] = pending(&*store, name).await.try_into().expect("two wait");

        let to = moves.iter().find(|(moved, _)| *moved == name).map(|(_, delivery)| delivery);
        let changed = if let Some(delivery) = to.cloned() {
            let version = stream.version + 1;
            let elsewhere = StreamConfig { delivery, version, ..stream.clone() };
            store.update_stream(elsewhere.clone()).await.expect("updated");
            elsewhere
        } else {
            let paused = turn(&*store, &stream, StreamStatus::Paused, Announcement::None).await;
            turn(&*store, &paused, StreamStatus::Enabled, Announcement::None).await
        };
        let judged_by = [(one.seq, stream.version), (two.seq, changed.version)];
        let settlements = judged_by.map(|(seq, version)| Settlement {
            seq,
            disposition: retry_at(later(60)),
            version,
        });
        store.settle(&id(name), settlements.to_vec(), NOW).await.expect("settled");

        let waiting = pending(&*store, name).await;
        let due: Vec<_> = waiting.iter().map(|set| (set.attempts, set.due_at)).collect();
        assert_eq!(due, [(1, NOW), (1, later(60))], "{name}");
    }
    // The SETs that are due at once are read at once.
    assert_eq!(
        store.streams_with_work(NOW, SlotSet::ALL).await.expect("readable").len(),
        2,
        "the push streams have work"
    );
    let limit = PollLimit::of(10);
    let taken = store.take_for_poll(&id("st_poll"), limit, NOW, later(1)).await.expect("taken");
    assert_eq!(names(&taken.sets), ["j1"]);
}

pub(super) async fn a_deleted_stream_leaves_nothing(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    append_sets(&*store, vec![set("st_1", "j1"), set("st_2", "j2")]).await;
    let gone = seq(&*store, "st_1", "j1").await;

    assert!(store.delete_stream(&id("st_1")).await.expect("deleted"));
    assert!(!store.delete_stream(&id("st_1")).await.expect("asked"), "there is none any more");

    assert_eq!(store.streams().await.expect("readable"), [push_stream("st_2")]);
    assert!(pending(&*store, "st_1").await.is_empty());
    assert_eq!(store.streams_with_work(NOW, SlotSet::ALL).await.expect("readable"), [id("st_2")]);
    assert_eq!(store.backlog().await.expect("readable")[0].sets, 1);
    assert_eq!(store.next_due(&id("st_1"), NOW).await.expect("readable"), None);
    // The result of an attempt that was under way meets nothing.
    settle(&*store, "st_1", gone, retry_at(later(1))).await;

    // A stream made anew under the id has nothing of the old one's.
    create(&*store, vec![push_stream("st_1")]).await;
    assert!(pending(&*store, "st_1").await.is_empty());
    append_sets(&*store, vec![set("st_1", "j1")]).await;
    assert_eq!(names(&pending(&*store, "st_1").await), ["j1"]);
}
