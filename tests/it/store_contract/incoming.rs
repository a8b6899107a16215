//! Events in.

use std::sync::Mutex;

use futures_util::future::join_all;
use ssfd::store::{EntryId, Position, STEP_MAX};

use super::*;

pub(super) async fn a_set_is_appended_once_by_its_jti(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1"), poll_stream("st_2")]).await;
    append_sets(&*store, vec![set("st_1", "j1")]).await;
    let first = seq(&*store, "st_1", "j1").await;

    let other_claims = NewSet { claims: r#"{"jti":"j1","x":2}"#.into(), ..set("st_1", "j1") };
    let again = append(&*store, vec![event(vec![other_claims.clone()])], later(9)).await;
    // Named again, so that it is woken: the crash that led here may have lost the hint.
    assert_eq!(again, [new(&["st_1"])]);
    let kept = pending(&*store, "st_1").await;
    assert_eq!((kept.len(), kept[0].seq, kept[0].appended_at), (1, first, NOW));
    assert_eq!(kept[0].claims, set("st_1", "j1").claims);

    // Nor does one that is settled come back; another stream's `jti` is its own.
    settle(&*store, "st_1", first, Disposition::Delivered).await;
    append_sets(&*store, vec![other_claims, set("st_2", "j1")]).await;
    assert!(pending(&*store, "st_1").await.is_empty());
    assert_eq!(names(&pending(&*store, "st_2").await), ["j1"]);
}

pub(super) async fn an_event_is_appended_once_by_its_publishers_id(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let batch = vec![
        event_with_id("evt-1", vec![set("st_1", "j1")]),
        event_with_id("evt-1", vec![set("st_1", "j2")]),
        event_with_id("evt-2", vec![set("st_1", "j3")]),
    ];
    let first = append(&*store, batch, NOW).await;
    assert_eq!(first, [new(&["st_1"]), Appended::Duplicate, new(&["st_1"])]);

    let evt_1 = || vec![event_with_id("evt-1", vec![set("st_1", "j4")])];
    assert_eq!(append(&*store, evt_1(), later(9)).await, [Appended::Duplicate]);
    assert_eq!(names(&pending(&*store, "st_1").await), ["j1", "j3"]);

    // Another provider's ids are its own.
    let elsewhere = Append {
        provider: "other".parse().expect("valid"),
        ..event_with_id("evt-1", vec![set("st_1", "j5")])
    };
    assert_eq!(append(&*store, vec![elsewhere], NOW).await, [new(&["st_1"])]);

    // An id is older than its own time only.
    store.expire(Expiry::of_all(NOW, NOW)).await.expect("expired");
    assert_eq!(append(&*store, evt_1(), later(9)).await, [Appended::Duplicate]);
    store.expire(Expiry::of_all(NOW, later(1))).await.expect("expired");
    assert_eq!(append(&*store, evt_1(), later(9)).await, [new(&["st_1"])]);
}

/// The id of one event may be remembered for longer than those of others, until the same call of expiry
/// as theirs has gone so much further.
pub(super) async fn an_id_may_be_remembered_for_longer_than_others(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let (longer, hour) = (Duration::from_hours(3), Duration::from_hours(1));
    let short = |jti: &str| event_with_id("short", vec![set("st_1", jti)]);
    let kept = |jti: &str| Append {
        id_kept_longer: longer,
        ..event_with_id("kept", vec![set("st_1", jti)])
    };
    let first = append(&*store, vec![short("s1"), kept("k1")], NOW).await;
    assert_eq!(first, [new(&["st_1"]), new(&["st_1"])]);

    store.expire(Expiry::of_all(NOW, NOW + hour)).await.expect("expired");
    let again = append(&*store, vec![short("s2"), kept("k2")], NOW + hour).await;
    assert_eq!(again, [new(&["st_1"]), Appended::Duplicate]);

    store.expire(Expiry::of_all(NOW, NOW + longer)).await.expect("expired");
    assert_eq!(append(&*store, vec![kept("k3")], NOW + longer).await, [Appended::Duplicate]);
    let over = NOW + longer + Duration::from_millis(1);
    store.expire(Expiry::of_all(NOW, over)).await.expect("expired");
    assert_eq!(append(&*store, vec![kept("k4")], over).await, [new(&["st_1"])]);
    assert_eq!(names(&pending(&*store, "st_1").await), ["s1", "k1", "s2", "k4"]);

    // An event of several steps keeps its id as long.
    let part = |step, jti: &str| {
        let origin = Origin::recorded(Uuid::from_u128(7), None);
        Append {
            step,
            origin,
            id_kept_longer: longer,
            ..event_with_id("parts", vec![set("st_1", jti)])
        }
    };
    append(&*store, vec![part(Step::First, "p1")], over).await;
    append(&*store, vec![part(Step::Last, "p2")], over).await;
    store.expire(Expiry::of_all(NOW, over + hour)).await.expect("expired");
    let whole =
        Append { id_kept_longer: longer, ..event_with_id("parts", vec![set("st_1", "p3")]) };
    assert_eq!(append(&*store, vec![whole], over + hour).await, [Appended::Duplicate]);
}

pub(super) async fn a_stream_that_takes_nothing_is_left_out(backend: impl Backend) {
    let store = backend.open().await;
    let with_status = |name, status| StreamConfig { status, ..poll_stream(name) };
    create(
        &*store,
        vec![
            with_status("st_enabled", StreamStatus::Enabled),
            with_status("st_paused", StreamStatus::Paused),
            with_status("st_disabled", StreamStatus::Disabled),
        ],
    )
    .await;
    let sets =
        ["st_disabled", "st_enabled", "st_unknown", "st_paused"].map(|stream| set(stream, "j1"));
    let appended = append(&*store, vec![event(sets.to_vec())], NOW).await;
    assert_eq!(appended, [new(&["st_enabled", "st_paused"])]);
    assert_eq!(names(&pending(&*store, "st_enabled").await), ["j1"]);
    let waiting = async |name| store.waiting(&id(name)).await.expect("readable").sets;
    assert_eq!((waiting("st_paused").await, waiting("st_disabled").await), (1, 0));
}

pub(super) async fn an_event_without_sets_is_new(backend: impl Backend) {
    let store = backend.open().await;
    let batch = vec![event(vec![]), event_with_id("evt-1", vec![]), event_with_id("evt-1", vec![])];
    assert_eq!(append(&*store, batch, NOW).await, [new(&[]), new(&[]), Appended::Duplicate]);
    assert!(append(&*store, vec![], NOW).await.is_empty());
}

pub(super) async fn an_event_of_several_steps_is_one_event(backend: impl Backend) {
    const SETS: usize = 1300;
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1"), poll_stream("st_2")]).await;
    let all = |prefix: &'static str| (0..SETS / 2).map(move |n| format!("{prefix}{n:04}"));
    let sets = |prefix: &'static str| {
        let both = all(prefix).flat_map(|name| ["st_1", "st_2"].map(|stream| set(stream, &name)));
        both.collect::<Vec<_>>()
    };
    let told = Mutex::new(Vec::new());
    let tell = |streams: &[StreamId]| told.lock().expect("no panic").push(streams.to_vec());
    let append = async |events| {
        let batch = AppendBatch { events, position: None, now: NOW };
        store.append(batch, &tell).await.expect("appended").remove(0)
    };
    append(vec![event(vec![set("st_1", "before")])]).await;
    let whole = sets("a");
    let origin = origin(&whole);
    let steps = whole.chunks(STEP_MAX).collect::<Vec<_>>();
    for (n, sets) in steps.iter().enumerate() {
        let step = match n {
            0 => Step::First,
            n if n + 1 == steps.len() => Step::Last,
            _ => Step::Middle,
        };
        let origin = origin.clone();
        let part = Append { step, origin, ..event_with_id("evt-1", sets.to_vec()) };
        let Appended::New(streams) = append(vec![part.clone()]).await else { panic!("step {n}") };
        assert_eq!(streams.len(), sets.len());
        if !step.ends() {
            // A step that was not answered is made again.
            assert!(matches!(append(vec![part]).await, Appended::New(_)));
        }
    }
    let again = event_with_id("evt-1", sets("x"));
    assert_eq!(append(vec![again]).await, Appended::Duplicate);
    append(vec![event(vec![set("st_1", "behind"), set("st_unknown", "nowhere")])]).await;

    let told = told.into_inner().expect("no panic");
    assert!(told.iter().flatten().all(|stream| [id("st_1"), id("st_2")].contains(stream)));
    let found = async |stream: &str| {
        let waiting = pending(&*store, stream).await;
        waiting.into_iter().map(|set| set.jti.to_string()).collect::<Vec<_>>()
    };
    assert!(found("st_2").await.into_iter().eq(all("a")));
    let named = |name: &str| std::iter::once(name.to_owned());
    let expected = named("before").chain(all("a")).chain(named("behind"));
    assert!(found("st_1").await.into_iter().eq(expected));
}

pub(super) async fn a_position_moves_with_its_batch_only(backend: impl Backend) {
    let store = backend.open().await;
    assert_eq!(store.position("acme:0").await.expect("readable"), None);

    let at = |epoch, millis, number| Position { epoch, entry: EntryId { millis, number } };
    let moves = [at(0, 17, 3), at(0, u64::MAX, u64::MAX), at(1, 2, 0)];
    for position in moves {
        let position = Some(("acme:0".to_owned(), position));
        let batch = AppendBatch { events: vec![], position: position.clone(), now: NOW };
        store.append(batch, &|_| ()).await.expect("appended");
        let kept = store.position("acme:0").await.expect("readable");
        assert_eq!(kept, position.map(|(_, position)| position));
    }
    append(&*store, vec![event_with_id("evt-1", vec![])], NOW).await;
    assert_eq!(store.position("acme:1").await.expect("readable"), None);
    drop(store);
    let kept = backend.open().await.position("acme:0").await.expect("readable");
    assert_eq!(kept, Some(at(1, 2, 0)));
}

pub(super) async fn concurrent_appends_are_all_durable_in_order(backend: impl Backend) {
    const TASKS: usize = 20;
    const EACH: usize = 10;
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1"), poll_stream("st_2")]).await;
    let tasks = (0..TASKS).map(|task| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..EACH {
                let name = format!("j{task}-{n}");
                let sets = vec![set("st_1", &name), set("st_2", &name)];
                append(&*store, vec![event(sets)], NOW).await;
            }
        })
    });
    for task in join_all(tasks).await {
        task.expect("no task panics");
    }
    drop(store);

    let store = backend.open().await;
    for stream in ["st_1", "st_2"] {
        let sets = pending(&*store, stream).await;
        assert_eq!(sets.len(), TASKS * EACH);
        // SETs that a task appends later come after those that it appended earlier.
        for task in 0..TASKS {
            let own = format!("j{task}-");
            let own = names(&sets).into_iter().filter(|name| name.starts_with(&own));
            assert!(own.eq((0..EACH).map(|n| format!("j{task}-{n}"))));
        }
        assert!(sets.is_sorted_by(|a, b| a.seq < b.seq));
        assert!(Seq::default() < sets[0].seq, "the default lies before every SET");
    }
}
