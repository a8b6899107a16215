//! Calls of several steps that break off between two of them: what holds then, and that they are
//! completed. A key of another type makes a slot fail.

use ssfd::{
    domain::{
        opt_out::OptOut,
        subject::{Subject, SubjectId, keys::SubjectKeys},
    },
    store::{EntryId, Position, StoreError, archive::SetState, slot::Slot},
};

use super::*;

fn key_of(stream: &str, name: &str) -> String {
    format!("{{ssf:{}}}:{name}", Slot::of(&[stream]))
}

/// From now on nothing can be appended to what is in this stream's slot.
async fn break_slot(server: &Redis, stream: &str) {
    let () = server.run(&["LPUSH", &key_of(stream, "seq"), "x"]).await;
}

async fn mend_slot(server: &Redis, stream: &str) {
    let () = server.run(&["DEL", &key_of(stream, "seq")]).await;
}

fn is_unavailable<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

fn at(millis: u64) -> Position {
    Position { epoch: 0, entry: EntryId { millis, number: 0 } }
}

/// An event for both streams, with the `jti`s that derive from its origin.
fn for_both(event_id: &str, number: u128) -> Append {
    let origin = Origin::recorded(Uuid::from_u128(number), None);
    let sets = ["st_1", "st_2"].map(|stream| {
        let jti = origin.jti(&id(stream));
        let claims = format!(r#"{{"iat":1,"jti":"{jti}"}}"#).into();
        NewSet { jti, claims, ..set(stream, "x") }
    });
    Append { origin, ..event_with_id(event_id, sets.to_vec()) }
}

#[tokio::test]
async fn a_batch_that_broke_off_is_completed_by_appending_it_again() {
    let server = Redis::start().await;
    let store = store_on(&server).await;
    create(&store, vec![poll_stream("st_1"), poll_stream("st_2")]).await;
    let append = async |now| {
        let events = vec![for_both("evt-1", 1), for_both("evt-1", 2), for_both("evt-2", 3)];
        let position = Some(("acme:0".to_owned(), at(7)));
        store.append(AppendBatch { events, position, now }, &|_| ()).await
    };
    break_slot(&server, "st_2").await;
    assert!(is_unavailable(&append(NOW).await));
    assert_eq!(pending(&store, "st_1").await.len(), 2, "some of it was done");
    assert_eq!(store.position("acme:0").await.expect("readable"), None);

    mend_slot(&server, "st_2").await;
    let both = new(&["st_1", "st_2"]);
    let expected = [both.clone(), Appended::Duplicate, both];
    assert_eq!(append(later(1)).await.expect("appended"), expected);
    for stream in ["st_1", "st_2"] {
        let origins = [1, 3].map(|number| Origin::recorded(Uuid::from_u128(number), None));
        let jtis = origins.map(|origin| origin.jti(&id(stream)).to_string());
        assert_eq!(names(&pending(&store, stream).await), jtis);
    }
    assert_eq!(store.position("acme:0").await.expect("readable"), Some(at(7)));
    // Now that it is done.
    let again = append(later(2)).await.expect("appended");
    assert!(again.iter().all(|one| *one == Appended::Duplicate), "{again:?}");
}

/// Its publisher had no answer, and brings it once more.
#[tokio::test]
async fn an_event_that_is_brought_anew_goes_on_under_the_origin_that_began_it() {
    let server = Redis::start().await;
    let store = store_on(&server).await;
    create(&store, vec![poll_stream("st_1"), poll_stream("st_2")]).await;
    let append = async |number, now| {
        let events = vec![for_both("evt-1", number)];
        store.append(AppendBatch { events, position: None, now }, &|_| ()).await
    };
    break_slot(&server, "st_2").await;
    assert!(is_unavailable(&append(1, NOW).await));
    mend_slot(&server, "st_2").await;
    assert_eq!(append(2, later(5)).await.expect("appended"), [new(&["st_1", "st_2"])]);

    let first = Origin::recorded(Uuid::from_u128(1), None);
    let [one] = &pending(&store, "st_1").await[..] else { panic!("one SET, and no second one") };
    assert_eq!((&one.jti, one.appended_at), (&first.jti(&id("st_1")), NOW));
    let [other] = &pending(&store, "st_2").await[..] else { panic!("one SET") };
    let jti = first.jti(&id("st_2"));
    let claims = format!(r#"{{"iat":{},"jti":"{jti}"}}"#, later(5).as_secs());
    assert_eq!((&other.jti, &*other.claims), (&jti, &*claims));
    assert_eq!(append(3, later(6)).await.expect("appended"), [Appended::Duplicate]);
}

/// RISC-05: an event is judged by the choices before it, however often its batch is appended.
#[tokio::test]
async fn a_choice_holds_once_the_sets_of_its_batch_do() {
    let server = Redis::start().await;
    let store = store_on(&server).await;
    create(&store, vec![poll_stream("st_1"), poll_stream("st_2")]).await;
    let kim = Subject::from(
        SubjectId::try_from(serde_json::json!({"format": "opaque", "id": "kim"})).expect("valid"),
    );
    let acme = "acme".parse().expect("a valid name");
    let risc = |event_type: &str, stream: &str, jti: &str| {
        let event_type = format!("risc:{event_type}").parse().expect("a known type");
        let opt_out = OptOut::of(&event_type, &acme, &kim);
        Append { opt_out, ..event(vec![set(stream, jti)]) }
    };
    let batch = || {
        let events = vec![
            risc("account-disabled", "st_1", "j1"),
            risc("account-disabled", "st_2", "j2"),
            risc("opt-out-effective", "st_1", "j3"),
            risc("account-disabled", "st_1", "j4"),
        ];
        AppendBatch { events, position: None, now: NOW }
    };
    let accounts = SubjectKeys::of_event(&acme, &kim).accounts();
    break_slot(&server, "st_2").await;
    assert!(is_unavailable(&store.append(batch(), &|_| ()).await));
    assert!(!store.opted_out(accounts.clone()).await.expect("readable"));
    mend_slot(&server, "st_2").await;
    let appended = store.append(batch(), &|_| ()).await.expect("appended");
    let kept = Appended::OptedOut { streams: 1 };
    assert_eq!(appended, [new(&["st_1"]), new(&["st_2"]), new(&["st_1"]), kept]);
    assert_eq!(names(&pending(&store, "st_1").await), ["j1", "j3"]);
    assert!(store.opted_out(accounts).await.expect("readable"));
}

#[tokio::test]
async fn a_position_never_moves_back_within_its_epoch() {
    let server = Redis::start().await;
    let store = store_on(&server).await;
    let shift = async |position: Position| {
        let position = Some(("acme:0".to_owned(), position));
        store
            .append(AppendBatch { events: vec![], position, now: NOW }, &|_| ())
            .await
            .expect("appended");
        store.position("acme:0").await.expect("readable").expect("it stands somewhere")
    };
    assert_eq!(shift(at(9)).await, at(9));
    assert_eq!(shift(at(8)).await, at(9));
    let anew = Position { epoch: 1, ..at(2) };
    assert_eq!(shift(anew.clone()).await, anew);
    assert_eq!(shift(at(99)).await, anew);
}

#[tokio::test]
async fn a_stream_whose_creation_broke_off_does_not_count() {
    let server = Redis::start().await;
    let store = store_on(&server).await;
    // Any key of the stream's slot would do.
    let () = server.run(&["LPUSH", &key_of("st_1", "streams"), "x"]).await;
    assert!(is_unavailable(&store.create_stream(poll_stream("st_1"), 1).await));
    let () = server.run(&["DEL", &key_of("st_1", "streams")]).await;
    store.create_stream(poll_stream("st_2"), 1).await.expect("there is room");
    let beyond = store.create_stream(poll_stream("st_1"), 1).await;
    assert!(matches!(beyond, Err(StoreError::StreamLimit(1))), "{beyond:?}");
}

#[tokio::test]
async fn a_deletion_that_broke_off_is_completed_by_the_next_expiry() {
    let server = Redis::start().await;
    let store = store_on(&server).await;
    create(&store, vec![poll_stream("st_1")]).await;
    let owned = Slot::of(&["owner", "acme", "rx"]);
    let owned = format!("{{ssf:{owned}}}:owned:acme:rx");
    let () = server.run(&["RENAME", &owned, "elsewhere"]).await;
    let () = server.run(&["LPUSH", &owned, "x"]).await;
    assert!(is_unavailable(&store.delete_stream(&id("st_1")).await));
    // The stream is gone for every reader, but its id is not free yet.
    assert_eq!(store.stream(&id("st_1")).await.expect("readable"), None);
    let () = server.run(&["DEL", &owned]).await;
    let early = store.create_stream(poll_stream("st_1"), 9).await;
    assert!(matches!(early, Err(StoreError::Conflict)), "{early:?}");
    store.expire(Expiry::of_all(NOW, NOW)).await.expect("expired");
    create(&store, vec![poll_stream("st_1")]).await;
}

/// The test stops where a daemon would be that crashed after disabling the stream.
#[tokio::test]
async fn what_a_disabled_stream_has_left_is_discarded_all_the_same() {
    let server = Redis::start().await;
    let store = store_on(&server).await;
    for name in ["st_1", "st_2"] {
        create(&store, vec![poll_stream(name)]).await;
        append_sets(&store, vec![set(name, "j1")]).await;
        let streams = key_of(name, "streams");
        let record: String = server.run(&["HGET", &streams, name]).await;
        let () = server.run(&["HSET", &streams, name, &format!("d{}", &record[1..])]).await;
    }
    let state = async |stream: &str| {
        let kept = store.kept_sets(vec![(id(stream), jti("j1"))]).await.expect("readable");
        kept.into_iter().next().expect("it is there").state
    };
    let discarded = |at| SetState::Discarded { at, reason: Reason::Disabled.into() };
    // By the next change, before it takes effect.
    let disabled = StreamConfig { status: StreamStatus::Disabled, ..poll_stream("st_1") };
    turn(&store, &disabled, StreamStatus::Enabled, Announcement::None).await;
    assert_eq!(state("st_1").await, discarded(NOW));
    // Or once what is held is bounded.
    store.limit_held(9, NOW, later(1)).await.expect("limited");
    assert_eq!(state("st_2").await, discarded(later(1)));
}
