//! A store that has something of everything, and what it answers.

use serde_json::json;
use ssfd::{
    domain::{
        client::Client,
        grant::{Grant, Holder, Scope},
        id::{ClientId, ProviderName},
        opt_out::OptOut,
        set_error::SetError,
        subject::{Subject, SubjectId, keys::SubjectKeys},
    },
    store::{
        Due,
        ledger::EventRecord,
        records::{
            device::{DeviceStore as _, DevicesOf},
            device_token::{DeviceToken, DeviceTokenStore as _},
            poll_position::{NextPage, PollPosition, PollPositionStore as _},
        },
    },
};

use super::*;
use crate::store_contract::devices;

fn acme() -> ProviderName {
    "acme".parse().expect("a valid name")
}

fn opaque(name: &str) -> SubjectId {
    SubjectId::try_from(json!({"format": "opaque", "id": name})).expect("valid")
}

fn of_tenant(name: &str) -> SubjectId {
    let member = |id: &str| json!({"format": "opaque", "id": id});
    let subject = json!({"format": "complex", "user": member(name), "tenant": member("t")});
    SubjectId::try_from(subject).expect("valid")
}

fn keys(subject: &SubjectId) -> SubjectKeys {
    SubjectKeys::of(&acme(), subject)
}

const TYPE: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

fn about(stream: &str, name: &str, subject: &SubjectId) -> NewSet {
    let claims = json!({"jti": name, "sub_id": subject, "events": {TYPE: {}}});
    let lane = Lane::of(subject);
    NewSet { claims: claims.to_string().into(), lane, ..set(stream, name) }
}

/// An event that is recorded, with its publisher's id.
fn recorded(event_id: &str, sets: Vec<NewSet>) -> Append {
    let record = EventRecord {
        event_type: TYPE.parse().expect("valid"),
        txn: Some("t-1".into()),
        stream_ids: Some(vec![id("st_push")]),
        withheld: vec![(id("st_none"), "subject".into())],
    };
    Append { record: Some(record), ..event_with_id(event_id, sets) }
}

fn risc(event_type: &str, identifiers: &[&str]) -> Append {
    let event_type = event_type.parse().expect("a known type");
    let subject: Vec<_> =
        identifiers.iter().map(|id| json!({"format": "opaque", "id": id})).collect();
    let subject = Subject::try_from(subject).expect("valid");
    Append { opt_out: OptOut::of(&event_type, &acme(), &subject), ..event(vec![]) }
}

fn grant(head: &str, holder: Holder) -> Grant {
    let hash = TokenHash::from_hex(format!("{head:0<64}"));
    Grant { hash, holder: holder.into(), created_at: NOW, expires_at: Some(later(86_400)) }
}

fn client_id() -> ClientId {
    "client_1".parse().expect("valid")
}

fn client() -> Client {
    Client {
        id: client_id(),
        secret: TokenHash::from_hex("c".repeat(64)),
        provider: acme(),
        receiver: "rx".parse().expect("valid"),
        audience: Audience::one("https://rx.example").expect("not empty"),
        scopes: vec![Scope::Manage],
        created_at: NOW,
    }
}

async fn end(store: &dyn Store, stream: &str, name: &str, disposition: Disposition, at: Timestamp) {
    let seq = seq(store, stream, name).await;
    let settlements = vec![judged_now(store, stream, seq, disposition).await];
    store.settle(&id(stream), settlements, at).await.expect("settled");
}

async fn list(store: &dyn Store, stream: &str, default: DefaultSubjects, subject: &SubjectId) {
    let (entry, change) = match default {
        DefaultSubjects::None => default.add(&keys(subject), NOW),
        DefaultSubjects::All => default.remove(&keys(subject), NOW, Duration::from_mins(1)),
    };
    store.change_list(&id(stream), entry, change, 1000, NOW).await.expect("listed");
}

async fn unlist(store: &dyn Store, stream: &str, subject: &SubjectId, grace: u64) {
    let none = DefaultSubjects::None;
    let (entry, change) = none.remove(&keys(subject), NOW, Duration::from_secs(grace));
    store.change_list(&id(stream), entry, change, 1000, NOW).await.expect("unlisted");
}

async fn stand(store: &dyn Store, millis: u64) {
    let entry = EntryId { millis, number: 3 };
    let position = Some(("ssf:events:acme".to_owned(), Position { epoch: 1, entry }));
    store
        .append(AppendBatch { events: vec![], position, now: later(2) }, &|_| ())
        .await
        .expect("moved");
}

async fn history(store: &dyn Store, stream: &str) -> Vec<Seq> {
    let page = store.retained(&id(stream), Since::default(), None, 1000).await.expect("readable");
    page.sets.into_iter().map(|set| set.seq).collect()
}

/// Streams of each sort, SETs in each state.
pub(super) async fn fill(store: &dyn Store) {
    let described = StreamConfig {
        description: Some("all of it: ü".into()),
        events_requested: Some(vec![TYPE.into(), "urn:x".into()]),
        subject_format: SubjectFormat::Email,
        ..push_stream("st_push")
    };
    let choosing =
        StreamConfig { default_subjects: DefaultSubjects::None, ..push_stream("st_none") };
    let (held, off) = (push_stream("st_paused"), push_stream("st_disabled"));
    let streams = vec![described, choosing, held.clone(), off.clone(), poll_stream("st_poll")];
    create(store, streams).await;

    for (n, subject) in [opaque("kim"), of_tenant("lee"), opaque("sam")].iter().enumerate() {
        list(store, "st_none", DefaultSubjects::None, subject).await;
        let name = format!("chosen-{n}");
        let sets = vec![about("st_none", &name, subject), about("st_push", &name, subject)];
        append(store, vec![recorded(&format!("e{n}"), sets)], later(1)).await;
    }
    list(store, "st_push", DefaultSubjects::All, &opaque("max")).await;
    unlist(store, "st_none", &opaque("sam"), 700).await;
    // Its claims go, and so do its identifiers.
    list(store, "st_none", DefaultSubjects::None, &opaque("gone")).await;
    let identifiers = Some(json!([opaque("gone"), opaque("too")]).to_string().into());
    let gone = NewSet { identifiers, ..about("st_none", "gone", &opaque("gone")) };
    append(store, vec![event(vec![gone])], later(1)).await;
    unlist(store, "st_none", &opaque("gone"), 0).await;
    store.read_due(&id("st_none"), up_to(10), later(2)).await.expect("readable");

    let every = |prefix: &str| {
        let event = |n: i64| in_lane(n % 3, set("st_push", &format!("{prefix}{n}")));
        (0..9).map(event).collect::<Vec<_>>()
    };
    append_sets(store, every("j")).await;
    append_sets(store, vec![control("st_push", "c1"), control("st_push", "c2")]).await;
    end(store, "st_push", "j0", Disposition::Delivered, later(1)).await;
    end(store, "st_push", "j3", retry_at(later(40)), later(2)).await;
    end(store, "st_push", "j1", retry_at(later(5)), later(2)).await;
    end(store, "st_push", "j1", dead(), later(6)).await;
    end(store, "st_push", "c1", Disposition::Delivered, later(3)).await;
    append(store, every("k").into_iter().map(|set| event(vec![set])).collect(), later(2)).await;
    for name in ["k0", "k1", "k2"] {
        end(store, "st_push", name, Disposition::Delivered, later(7)).await;
    }
    let kept = history(store, "st_push").await;
    let claims = r#"{"jti":"repeated"}"#.into();
    let copy = Requeue::Copy { of: kept[2], jti: jti("repeated"), claims };
    let again = vec![Requeue::Same(kept[0]), copy];
    store.requeue(&id("st_push"), again, later(2)).await.expect("requeued");

    append_sets(store, ["handed-out", "refused", "acked"].map(|name| set("st_poll", name)).into())
        .await;
    let taken =
        store.take_for_poll(&id("st_poll"), PollLimit::of(3), NOW, later(30)).await.expect("taken");
    assert_eq!(taken.sets.len(), 3);
    let refused = vec![(jti("refused"), SetError::new("x", "y"))];
    let said = Acknowledgement { acked: vec![jti("acked")], refused };
    store.acknowledge(&id("st_poll"), said, later(3)).await.expect("acknowledged");
    append_sets(store, vec![set("st_poll", "behind"), in_lane(2, set("st_poll", "free"))]).await;

    append_sets(store, vec![set("st_paused", "h1"), set("st_disabled", "d1")]).await;
    let announced = Announcement::New(announcement("st_paused", "a1"));
    let paused = turn(store, &held, StreamStatus::Paused, announced).await;
    let reasoned = paused.with_status(StreamStatus::Paused, Some("upgrade".into()));
    let announced = Announcement::New(announcement("st_paused", "a2"));
    store.change_status(reasoned, announced, NOW).await.expect("changed");
    turn(store, &off, StreamStatus::Disabled, Announcement::None).await;

    append(store, vec![risc("risc:opt-out-effective", &["kim", "k"])], NOW).await;
    append(store, vec![risc("risc:opt-out-effective", &["ann"])], NOW).await;
    let id_kept_longer = Duration::from_hours(100);
    let unrecorded = Append { id_kept_longer, ..event_with_id("unrecorded", vec![]) };
    append(store, vec![unrecorded], NOW).await;
    let expiry = Expiry { ids_before: NOW - Duration::from_secs(5), ..Expiry::of_all(NOW, NOW) };
    store.expire(expiry).await.expect("expired");
    let active = vec![(id("st_poll"), later(2)), (id("st_push"), later(3))];
    store.record_activity(active, Some(later(4))).await.expect("recorded");
    stand(store, 17).await;

    store.put_grant(grant("0a", Holder::Operator)).await.expect("kept");
    store.put_grant(grant("0b", Holder::Publisher { provider: acme() })).await.expect("kept");
    store.create_client(client()).await.expect("created");
    let issued = grant("0c", Holder::Operator);
    store.issue_grant(&client_id(), issued, 3).await.expect("issued");
    for device in ["dev-1", "dev-2"] {
        let device = devices::full(devices::key("acme", "laptops", device));
        store.create_device(&device, "fill".to_owned()).await.expect("created");
        store.put_device_token(&device.key, &device_token()).await.expect("kept");
    }
    store.move_poll(&polled(100), None).await.expect("begun");
}

fn device_token() -> DeviceToken {
    let hash = TokenHash::from_hex("a".repeat(64));
    DeviceToken { hash, token: Secret::new("the token of a device"), made_at: NOW }
}

/// The position of a poll.
fn polled(newest: i64) -> PollPosition {
    let cursor = format!("cursor-{newest}");
    PollPosition {
        provider: acme(),
        source: "kc".parse().expect("a valid name"),
        url: "https://kc.example/events".into(),
        newest,
        base: newest,
        begun: None,
        next: Some(NextPage::Cursor { cursor }),
        moved_at: NOW.as_millis() + newest,
    }
}

async fn position_of_poll(store: &dyn Store) -> Option<PollPosition> {
    let PollPosition { provider, source, url, .. } = polled(0);
    let found = store.poll_position(&provider, &source, &url).await.expect("readable");
    found.map(|found| found.record)
}

/// Something of everything changes, and `st_none` stays as it is.
pub(super) async fn change(store: &dyn Store) {
    end(store, "st_push", "j3", Disposition::Delivered, later(50)).await;
    end(store, "st_push", "j6", retry_at(later(70)), later(50)).await;
    let again = history(store, "st_push").await.into_iter().take(2).map(Requeue::Same).collect();
    store.requeue(&id("st_push"), again, later(51)).await.expect("requeued");
    append(
        store,
        vec![recorded("e9", vec![set("st_push", "new"), set("st_poll", "new")])],
        later(52),
    )
    .await;
    list(store, "st_push", DefaultSubjects::All, &opaque("ida")).await;
    let streams = store.streams().await.expect("readable");
    let paused = streams.iter().find(|stream| stream.id == id("st_paused")).expect("there");
    turn(store, paused, StreamStatus::Enabled, Announcement::None).await;
    append(store, vec![risc("risc:opt-in", &["k"])], later(53)).await;
    store.revoke_grant(&grant("0a", Holder::Operator).hash).await.expect("revoked");
    store.put_grant(grant("0d", Holder::Operator)).await.expect("kept");
    store.delete_client(&client_id()).await.expect("removed");
    let gone = devices::key("acme", "laptops", "dev-1");
    let version = store.device(&gone).await.expect("readable").expect("there").version;
    store.remove_device(&gone, version).await.expect("removed");
    let device = devices::full(devices::key("acme", "laptops", "dev-3"));
    store.create_device(&device, "change".to_owned()).await.expect("created");
    store
        .record_activity(vec![(id("st_poll"), later(9))], Some(later(60)))
        .await
        .expect("recorded");
    create(store, vec![poll_stream("st_late")]).await;
    append(store, vec![event(vec![set("st_late", "late")])], later(54)).await;
    stand(store, 18).await;
    let PollPosition { provider, source, url, .. } = polled(0);
    let found = store.poll_position(&provider, &source, &url).await.expect("readable");
    let version = found.map(|found| found.version);
    store.move_poll(&polled(200), version).await.expect("moved");
}

/// Returns all answers of a store, one after the other, without the numbers that the store assigns.
pub(super) async fn answers(store: &dyn Store) -> Vec<String> {
    let mut said = Vec::new();
    let mut streams = store.streams().await.expect("readable");
    streams.sort_by(|a, b| a.id.cmp(&b.id));
    for stream in &streams {
        let id = &stream.id;
        let header = stream.endpoint().and_then(PushEndpoint::authorization_header);
        said.push(format!("{stream:?} {:?}", header.map(Secret::expose)));
        let pending = pending(store, id.as_str()).await;
        let due = if stream.endpoint().is_some() {
            store.read_due(id, up_to(100), later(400)).await.expect("readable")
        } else {
            said.push(format!("{:?}", store.next_due(id, later(4)).await));
            Due::default()
        };
        for mut set in pending.into_iter().chain(due.sets) {
            set.seq = Seq(0);
            said.push(format!("{set:?}"));
        }
        said.push(format!("{:?} {:?}", due.next_retry, store.waiting(id).await));
        let kept = store.retained(id, Since::default(), None, 1000).await.expect("readable");
        let of_stream = DeadFilter { stream: Some(id.clone()), ..DeadFilter::default() };
        let dead = store.dead_letters(of_stream, None, 1000).await.expect("readable");
        let jtis =
            ["gone", "repeated", "d1", "c1", "j0", "a1", "a2"].map(|name| (id.clone(), jti(name)));
        let named = store.kept_sets(jtis.into()).await.expect("readable");
        for mut set in kept.sets.into_iter().chain(dead.sets).chain(named) {
            set.seq = Seq(0);
            said.push(format!("{set:?}"));
        }
    }
    let subjects = ["kim", "sam", "max", "gone", "ida"].map(|name| keys(&opaque(name)));
    let subjects: Vec<_> = subjects.into_iter().chain([keys(&of_tenant("lee"))]).collect();
    for at in [NOW, later(100), later(800)] {
        said.push(format!("{:?}", store.listed(&acme(), subjects.clone(), at).await));
    }
    let mut with_list = store.streams_with_list().await.expect("readable");
    with_list.sort();
    let mut with_work = store.streams_with_work(later(30), SlotSet::ALL).await.expect("readable");
    with_work.sort();
    let mut activity = store.activity().await.expect("readable");
    activity.last.sort();
    said.push(format!("{with_list:?} {with_work:?} {activity:?}"));
    said.push(format!("{:?} {:?}", store.backlog().await, store.dead_counts().await));
    said.push(format!("{:?}", store.position("ssf:events:acme").await));
    for event_id in ["e0", "e9", "unrecorded", "x"] {
        said.push(format!("{:?}", store.event_with_id(&acme(), event_id).await));
    }
    said.push(format!("{:?}", store.events_accepted_at(&acme(), later(1)).await.map(sorted)));
    for name in ["kim", "k", "ann", "lee"] {
        let account = keys(&opaque(name)).account();
        said.push(format!("{name} {:?}", store.opted_out(account).await));
    }
    said.push(format!("{:?}", position_of_poll(store).await));
    said.push(format!("{:?} {:?}", store.grants().await, store.clients().await));
    let all = store.devices(&DevicesOf::default(), None, 100).await.expect("readable").0;
    said.extend(all.into_iter().map(|device| format!("{:?}", device.record)));
    let (provider, agents) = (acme(), "laptops".parse().expect("a name"));
    let token = store.device_token(&provider, &agents, &device_token().hash).await;
    let token = token.expect("readable");
    said.push(format!("{:?}", token.map(|(device, token)| (device, token.expose().to_owned()))));
    for head in ["0a", "0b", "0c", "0d"] {
        let hash = TokenHash::from_hex(format!("{head:0<64}"));
        said.push(format!("{:?}", store.grant(&hash).await));
    }
    said
}

fn sorted<T: std::fmt::Debug>(mut values: Vec<T>) -> Vec<T> {
    values.sort_by_key(|value| format!("{value:?}"));
    values
}
