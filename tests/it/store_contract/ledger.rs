//! The ledger of events.

use ssfd::{
    domain::set::Origin,
    store::{
        archive::SetState,
        ledger::{EventRecord, RecordedEvent, WITHHELD_MAX},
    },
};
use uuid::Uuid;

use super::*;

fn numbered(number: u128) -> Origin {
    Origin::recorded(Uuid::from_u128(number), None)
}

fn record() -> EventRecord {
    EventRecord {
        event_type: "caep:session-revoked".parse().expect("valid"),
        txn: None,
        stream_ids: None,
        withheld: vec![],
    }
}

/// An event of this number, which is recorded.
fn recorded(number: u128, event: Append, record: EventRecord) -> Append {
    Append { origin: numbered(number), record: Some(record), ..event }
}

async fn at(store: &dyn Store, at: Timestamp) -> Vec<RecordedEvent> {
    let provider = "acme".parse().expect("valid");
    store.events_accepted_at(&provider, at).await.expect("readable")
}

async fn with_id(store: &dyn Store, event_id: &str) -> Option<RecordedEvent> {
    let provider = "acme".parse().expect("valid");
    store.event_with_id(&provider, event_id).await.expect("readable")
}

pub(super) async fn a_record_comes_back_as_it_was_given(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let origin = Origin::recorded(Uuid::from_u128(7), Some("ssf:events:acme/0/17-0".into()));
    let full = EventRecord {
        event_type: "urn:example:badge-lost".parse().expect("valid"),
        txn: Some("c-991".into()),
        stream_ids: Some(vec![id("st_1")]),
        withheld: vec![(id("st_2"), Reason::Subject.into())],
    };
    let events = vec![
        Append {
            origin: origin.clone(),
            ..recorded(7, event_with_id("e-1", vec![set("st_1", "j1")]), full.clone())
        },
        recorded(8, event(vec![]), record()),
        event_with_id("unrecorded", vec![]),
    ];
    append(&*store, events.clone(), NOW).await;
    // A duplicate is no event.
    append(&*store, events[..1].to_vec(), later(1)).await;
    drop(store);

    let store = backend.open().await;
    let mut found = at(&*store, NOW).await;
    found.sort_by_key(|event| event.origin.id());
    let expected = RecordedEvent {
        provider: "acme".parse().expect("valid"),
        accepted_at: NOW,
        origin,
        event_id: Some("e-1".into()),
        record: full,
    };
    let (origin, record) = (numbered(8), record());
    let other = RecordedEvent { origin, event_id: None, record, ..expected.clone() };
    assert_eq!(found, [expected.clone(), other]);
    assert_eq!(with_id(&*store, "e-1").await, Some(expected));
    assert_eq!(with_id(&*store, "unrecorded").await, None);
    assert!(at(&*store, later(1)).await.is_empty());
    let elsewhere = "other".parse().expect("valid");
    assert_eq!(store.event_with_id(&elsewhere, "e-1").await.expect("readable"), None);
}

/// Long after the id is no sign of a duplicate any more.
pub(super) async fn the_last_event_of_an_id_is_found(backend: impl Backend) {
    let store = backend.open().await;
    for n in 0..3_u64 {
        let event = recorded(n.into(), event_with_id("e-1", vec![]), record());
        assert_eq!(append(&*store, vec![event.clone()], later(n)).await, [new(&[])]);
        assert_eq!(append(&*store, vec![event], later(n)).await, [Appended::Duplicate]);
        store.expire(Expiry::of_all(NOW, later(n + 1))).await.expect("expired");
        let found = with_id(&*store, "e-1").await.expect("it is recorded");
        assert_eq!(found.accepted_at, later(n));
    }
    // With the record it goes.
    store.expire(Expiry::of_all(later(3), later(3))).await.expect("expired");
    assert_eq!(with_id(&*store, "e-1").await, None);
}

pub(super) async fn a_disabled_stream_is_recorded_as_one(backend: impl Backend) {
    let store = backend.open().await;
    let disabled = StreamConfig { status: StreamStatus::Disabled, ..poll_stream("st_1") };
    create(&*store, vec![disabled, poll_stream("st_2")]).await;
    let sets = vec![set("st_1", "j1"), set("st_2", "j1")];
    append(&*store, vec![recorded(1, event(sets), record())], NOW).await;
    assert_eq!(at(&*store, NOW).await[0].record.withheld, [(id("st_1"), Reason::Disabled.into())]);

    // However many there are.
    let sets = (0..=WITHHELD_MAX).map(|n| set(&format!("gone_{n}"), "j1")).collect();
    append(&*store, vec![recorded(1, event(sets), record())], later(1)).await;
    assert_eq!(at(&*store, later(1)).await[0].record.withheld.len(), WITHHELD_MAX);
}

pub(super) async fn a_record_stays_for_longer_than_the_sets(backend: impl Backend) {
    let store = backend.open().await;
    append(&*store, vec![recorded(1, event(vec![]), record())], NOW).await;
    let records_stay = Duration::from_mins(1);
    let expire = async |settled_before| {
        let expiry = Expiry { records_stay, ..Expiry::of_all(settled_before, NOW) };
        assert!(!store.expire(expiry).await.expect("expired"));
        at(&*store, NOW).await.len()
    };
    assert_eq!(expire(later(60)).await, 1);
    assert_eq!(expire(later(61)).await, 0);
}

pub(super) async fn a_set_is_found_in_each_state(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    append_sets(&*store, ["j1", "j2", "j3"].map(|name| set("st_1", name)).to_vec()).await;
    append_sets(&*store, vec![set("st_2", "j1")]).await;
    for (name, end) in [("j1", retry_at(later(9))), ("j2", Disposition::Delivered), ("j3", dead())]
    {
        let seq = seq(&*store, "st_1", name).await;
        settle(&*store, "st_1", seq, end).await;
    }
    let asked = [("st_1", "j1"), ("st_1", "j2"), ("st_x", "j2"), ("st_1", "jx"), ("st_1", "j3")];
    let asked = asked.map(|(stream, name)| (id(stream), jti(name)));
    let found = store.kept_sets(asked.to_vec()).await.expect("readable");
    let states: Vec<_> = found.iter().map(|set| (set.attempts, set.state.clone())).collect();
    let error = Some("unavailable: status 503".to_owned());
    let dead =
        SetState::Dead { at: NOW, reason: "invalid_key".into(), detail: "unknown kid".into() };
    let waiting = SetState::Waiting { due_at: later(9), error };
    assert_eq!(states, [(1, waiting), (1, SetState::Sent { at: NOW }), (1, dead)]);
    let of_jti = store.sets_of_jti(&jti("j1")).await.expect("readable");
    assert_eq!(of_jti.iter().map(|set| set.stream.as_str()).collect::<Vec<_>>(), ["st_1", "st_2"]);
    assert!(store.sets_of_jti(&jti("jx")).await.expect("readable").is_empty());
}
