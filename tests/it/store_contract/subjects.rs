//! Lists of subjects (SSF §8.1.3), and what they do to the SETs that wait.

use std::collections::BTreeSet;

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    strategy::ValueTree,
    test_runner::TestRunner,
};
use serde_json::{Value, json};
use ssfd::{
    domain::{
        id::ProviderName,
        subject::{Subject, SubjectId, keys::SubjectKeys},
    },
    store::{SHAPES_PER_STREAM_MAX, StoreError},
};

use super::*;

fn provider(name: &str) -> ProviderName {
    name.parse().expect("a valid name")
}

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// A complex subject, its members named as in `user=u tenant=t`.
fn complex(members: &str) -> SubjectId {
    let members = members.split(' ').map(|member| {
        let (name, id) = member.split_once('=').expect("a name and a value");
        (name.to_owned(), opaque(id))
    });
    let format = ("format".to_owned(), json!("complex"));
    SubjectId::try_from(Value::Object(members.chain([format]).collect())).expect("valid")
}

fn simple(id: &str) -> SubjectId {
    SubjectId::try_from(opaque(id)).expect("valid")
}

fn keys(subject: &SubjectId) -> SubjectKeys {
    SubjectKeys::of(&provider("acme"), subject)
}

/// A stream that gets only what is added to it.
fn choosing(name: &str) -> StreamConfig {
    StreamConfig { default_subjects: DefaultSubjects::None, ..push_stream(name) }
}

const LIMIT: usize = 1000;
const NONE: DefaultSubjects = DefaultSubjects::None;
const ALL: DefaultSubjects = DefaultSubjects::All;

/// Adds a subject to a stream with this default, at [`NOW`].
async fn add(
    store: &dyn Store,
    default: DefaultSubjects,
    stream: &str,
    subject: &SubjectId,
) -> Result<(), StoreError> {
    let (entry, change) = default.add(&keys(subject), NOW);
    store.change_list(&id(stream), entry, change, LIMIT, NOW).await
}

/// Removes a subject from a stream with this default at [`NOW`], with a grace in seconds.
async fn remove(
    store: &dyn Store,
    default: DefaultSubjects,
    stream: &str,
    subject: &SubjectId,
    grace: u64,
) {
    let (entry, change) = default.remove(&keys(subject), NOW, Duration::from_secs(grace));
    store.change_list(&id(stream), entry, change, LIMIT, NOW).await.expect("removed");
}

/// Adds a subject to a stream of default `NONE`.
async fn choose(store: &dyn Store, stream: &str, subject: &SubjectId) {
    add(store, NONE, stream, subject).await.expect("added");
}

/// The streams that list a subject, as `added|removed`.
async fn listed_at(store: &dyn Store, subject: &SubjectId, now: Timestamp) -> String {
    let listed = store.listed(&provider("acme"), vec![keys(subject)], now).await;
    let [listed] = listed.expect("readable").try_into().expect("one answer for one subject");
    let names = |streams: &BTreeSet<StreamId>| {
        streams.iter().map(StreamId::as_str).collect::<Vec<_>>().join(" ")
    };
    format!("{}|{}", names(&listed.added), names(&listed.removed))
}

async fn listed(store: &dyn Store, subject: &SubjectId) -> String {
    listed_at(store, subject, NOW).await
}

fn some_subject() -> impl Strategy<Value = SubjectId> {
    let name = prop::sample::select(vec!["user", "device", "session", "tenant"]);
    let value = prop::sample::select(vec!["a", "b", "c"]);
    let members = btree_map(name, value.clone(), 1..4).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(name, id)| format!("{name}={id}")).collect();
        complex(&members.join(" "))
    });
    prop_oneof![1 => value.prop_map(simple), 5 => members]
}

/// SID-07, SID-08, SID-09, SID-11 (SSF §8.1.3.1): as [`SubjectId::matches`] says, for whatever is
/// on the lists.
pub(super) async fn a_subject_is_listed_for_the_streams_that_it_matches(backend: impl Backend) {
    const STREAMS: usize = 12;
    let store = backend.open().await;
    create(&*store, (0..STREAMS).map(|n| choosing(&format!("st_{n:02}"))).collect()).await;
    let mut runner = TestRunner::default();
    let lists = vec(vec(some_subject(), 0..6), STREAMS).new_tree(&mut runner);
    let lists = lists.expect("subjects").current();
    for (n, list) in lists.iter().enumerate() {
        for subject in list {
            choose(&*store, &format!("st_{n:02}"), subject).await;
        }
    }
    let events = vec(some_subject(), 200).new_tree(&mut runner).expect("subjects").current();
    let subjects = events.iter().map(keys).collect();
    let found = store.listed(&provider("acme"), subjects, NOW).await.expect("readable");
    assert_eq!(found.len(), events.len());
    for (event, found) in events.iter().zip(found) {
        let matching = lists
            .iter()
            .enumerate()
            .filter(|(_, list)| list.iter().any(|subject| subject.matches(event)));
        let expected: BTreeSet<_> = matching.map(|(n, _)| id(&format!("st_{n:02}"))).collect();
        assert_eq!(found.added, expected, "{event:?} in {lists:?}");
        assert!(found.removed.is_empty());
    }
}

pub(super) async fn a_subject_is_listed_for_its_provider_alone(backend: impl Backend) {
    let store = backend.open().await;
    let elsewhere = StreamConfig { provider: provider("globex"), ..choosing("st_globex") };
    create(&*store, vec![choosing("st_1"), elsewhere]).await;
    for subject in [simple("u"), complex("user=u")] {
        choose(&*store, "st_1", &subject).await;
        let there = SubjectKeys::of(&provider("globex"), &subject);
        let (entry, change) = NONE.add(&there, NOW);
        let stream = id("st_globex");
        store.change_list(&stream, entry, change, LIMIT, NOW).await.expect("added");
    }
    assert_eq!(listed(&*store, &simple("u")).await, "st_1|");
    // Nothing in common, which matches by the letter, and only here.
    assert_eq!(listed(&*store, &complex("device=d")).await, "st_1|");
}

/// SUBJ-05: what an `ALL` stream does not get is told by identity.
pub(super) async fn an_identical_subject_is_found_on_the_lists_of_those_who_removed_it(
    backend: impl Backend,
) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1"), poll_stream("st_2"), choosing("st_3")]).await;
    choose(&*store, "st_3", &complex("tenant=t")).await;
    for subject in [simple("u"), complex("tenant=t")] {
        remove(&*store, ALL, "st_1", &subject, 0).await;
    }
    remove(&*store, ALL, "st_2", &complex("tenant=t user=u"), 0).await;
    assert_eq!(listed(&*store, &simple("u")).await, "|st_1");
    assert_eq!(listed(&*store, &complex("tenant=t")).await, "st_3|st_1");
    assert_eq!(listed(&*store, &complex("tenant=t user=u")).await, "st_3|st_2");

    add(&*store, ALL, "st_1", &simple("u")).await.expect("added");
    assert_eq!(listed(&*store, &simple("u")).await, "|");
}

/// SUBJ-08
pub(super) async fn an_entry_holds_from_its_beginning_to_its_end(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_all"), choosing("st_none")]).await;
    for subject in [simple("u"), complex("user=u tenant=t")] {
        choose(&*store, "st_none", &subject).await;
        remove(&*store, NONE, "st_none", &subject, 60).await;
        remove(&*store, ALL, "st_all", &subject, 60).await;
    }
    let (one, part, apart) = (simple("u"), complex("user=u"), complex("device=d"));
    for subject in [&one, &part, &apart] {
        assert!(listed_at(&*store, subject, later(59)).await.starts_with("st_none|"));
        assert!(listed_at(&*store, subject, later(60)).await.starts_with('|'));
    }
    assert_eq!(listed_at(&*store, &one, later(59)).await, "st_none|");
    assert_eq!(listed_at(&*store, &one, later(60)).await, "|st_all");

    // Another removal does not put off the first one, and an addition takes it back.
    remove(&*store, NONE, "st_none", &one, 99).await;
    remove(&*store, ALL, "st_all", &one, 99).await;
    assert_eq!(listed_at(&*store, &one, later(60)).await, "|st_all");
    choose(&*store, "st_none", &one).await;
    add(&*store, ALL, "st_all", &one).await.expect("added");
    assert_eq!(listed_at(&*store, &one, later(60)).await, "st_none|");
}

/// SUBJ-07
pub(super) async fn a_change_is_made_once(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![choosing("st_1")]).await;
    for subject in [simple("u"), complex("user=u tenant=t")] {
        for _ in 0..3 {
            choose(&*store, "st_1", &subject).await;
        }
        assert_eq!(listed(&*store, &subject).await, "st_1|");
        for _ in 0..3 {
            remove(&*store, NONE, "st_1", &subject, 0).await;
            assert_eq!(listed(&*store, &subject).await, "|");
        }
    }
    assert!(store.streams_with_list().await.expect("readable").is_empty());
    let unknown = add(&*store, NONE, "st_x", &simple("u")).await;
    assert!(matches!(unknown, Err(StoreError::Conflict)));
}

pub(super) async fn a_list_has_no_more_subjects_than_the_limit(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![choosing("st_1"), choosing("st_2")]).await;
    let add = async |stream: &str, subject: SubjectId| {
        let (entry, change) = NONE.add(&keys(&subject), NOW);
        store.change_list(&id(stream), entry, change, 2, NOW).await
    };
    for subject in [simple("a"), complex("user=u tenant=t")] {
        add("st_1", subject).await.expect("added");
    }
    let refused = add("st_1", simple("b")).await;
    assert!(matches!(refused, Err(StoreError::SubjectLimit)));
    assert_eq!(listed(&*store, &simple("b")).await, "|");
    add("st_1", simple("a")).await.expect("it is there already");
    add("st_2", simple("b")).await.expect("another list");
    remove(&*store, NONE, "st_1", &simple("a"), 0).await;
    add("st_1", simple("b")).await.expect("there is room again");
}

pub(super) async fn a_list_has_no_more_shapes_than_the_limit(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![choosing("st_1"), choosing("st_2")]).await;
    for n in 0..SHAPES_PER_STREAM_MAX {
        choose(&*store, "st_1", &complex(&format!("m{n}=x"))).await;
    }
    let refused = add(&*store, NONE, "st_1", &complex("other=x")).await;
    assert!(matches!(refused, Err(StoreError::SubjectLimit)));
    choose(&*store, "st_1", &complex("m0=y")).await;
    choose(&*store, "st_2", &complex("other=x")).await;
}

pub(super) async fn a_list_survives_a_restart_and_goes_with_its_stream(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![choosing("st_1"), poll_stream("st_2"), poll_stream("st_3")]).await;
    let user = complex("user=u tenant=t");
    choose(&*store, "st_1", &user).await;
    remove(&*store, ALL, "st_2", &user, 0).await;
    drop(store);

    let store = backend.open().await;
    let with_list = async || {
        let mut streams = store.streams_with_list().await.expect("readable");
        streams.sort();
        streams
    };
    assert_eq!(listed(&*store, &user).await, "st_1|st_2");
    assert_eq!(with_list().await, [id("st_1"), id("st_2")]);
    // A change of the stream leaves its list as it is.
    let paused = choosing("st_1").with_status(StreamStatus::Paused, None);
    store.update_stream(paused).await.expect("updated");
    assert_eq!(with_list().await, [id("st_1"), id("st_2")]);
    assert!(store.delete_stream(&id("st_1")).await.expect("deleted"));
    assert_eq!(listed(&*store, &user).await, "|st_2");
    assert_eq!(with_list().await, [id("st_2")]);
}

pub(super) async fn an_entry_that_has_ended_expires(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![choosing("st_1"), poll_stream("st_2")]).await;
    let user = complex("user=u tenant=t");
    choose(&*store, "st_1", &user).await;
    remove(&*store, NONE, "st_1", &user, 60).await;
    remove(&*store, ALL, "st_2", &user, 60).await;
    let kept = async || store.streams_with_list().await.expect("readable").len();
    assert!(!store.expire_lists(later(59)).await.expect("expired"));
    assert_eq!(kept().await, 2);
    assert!(!store.expire_lists(later(60)).await.expect("expired"));
    assert_eq!(kept().await, 1);
    // The subjects that an `ALL` stream does not get stay removed.
    assert!(!store.expire_lists(later(999)).await.expect("expired"));
    assert_eq!(listed_at(&*store, &user, later(999)).await, "|st_2");
    choose(&*store, "st_1", &user).await;
    assert_eq!(listed(&*store, &complex("user=u")).await, "st_1|");
}

/// Several identifiers of one subject, as `aliases`.
fn aliases(ids: &[&str]) -> SubjectId {
    let identifiers: Vec<_> = ids.iter().map(|id| opaque(id)).collect();
    let aliases = json!({"format": "aliases", "identifiers": identifiers});
    SubjectId::try_from(aliases).expect("valid")
}

/// Several identifiers of one subject, as an event has them.
fn named(ids: &[&str]) -> Subject {
    Subject::try_from(ids.iter().map(|id| opaque(id)).collect::<Vec<_>>()).expect("valid")
}

pub(super) async fn a_subject_is_listed_by_each_of_its_identifiers(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![choosing("st_1"), choosing("st_2"), poll_stream("st_3")]).await;
    choose(&*store, "st_1", &simple("kim")).await;
    choose(&*store, "st_2", &aliases(&["lee", "l"])).await;
    remove(&*store, ALL, "st_3", &aliases(&["kim", "k"]), 0).await;
    let event = async |ids: &[&str]| {
        let keys = SubjectKeys::of_event(&provider("acme"), &named(ids));
        let listed = store.listed(&provider("acme"), vec![keys], NOW).await.expect("readable");
        let names = |streams: &BTreeSet<StreamId>| {
            streams.iter().map(StreamId::as_str).collect::<Vec<_>>().join(" ")
        };
        format!("{}|{}", names(&listed[0].added), names(&listed[0].removed))
    };
    assert_eq!(event(&["x", "kim"]).await, "st_1|st_3");
    assert_eq!(event(&["k", "l"]).await, "st_2|st_3");
    assert_eq!(event(&["x", "y"]).await, "|");
    assert_eq!(listed(&*store, &aliases(&["x", "lee", "kim"])).await, "st_1 st_2|st_3");
    // A subject with several identifiers is removed with all of them.
    remove(&*store, NONE, "st_2", &aliases(&["lee", "l"]), 0).await;
    add(&*store, ALL, "st_3", &aliases(&["kim", "k"])).await.expect("added");
    assert_eq!(event(&["k", "l", "lee"]).await, "|");
    assert_eq!(store.streams_with_list().await.expect("readable"), [id("st_1")]);
}

pub(super) async fn entries_with_an_identifier_in_common_come_and_go_apart(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![choosing("st_1")]).await;
    let (both, kim) = (aliases(&["kim", "k"]), simple("kim"));
    choose(&*store, "st_1", &both).await;
    choose(&*store, "st_1", &kim).await;
    remove(&*store, NONE, "st_1", &both, 0).await;
    assert_eq!(listed(&*store, &simple("k")).await, "|");
    assert_eq!(listed(&*store, &kim).await, "st_1|");
    remove(&*store, NONE, "st_1", &kim, 0).await;
    assert_eq!(listed(&*store, &kim).await, "|");
    assert!(store.streams_with_list().await.expect("readable").is_empty());
}

/// A SET carries one identifier, and is on the stream by another.
pub(super) async fn a_set_is_judged_by_each_identifier_of_its_event(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_all"), choosing("st_none")]).await;
    let carrying = |stream: &str| {
        let identifiers = serde_json::to_string(&named(&["kim", "k"])).expect("JSON");
        let set = about(stream, "j1", &simple("k"));
        vec![
            NewSet { identifiers: Some(identifiers.into()), ..set },
            about(stream, "j2", &aliases(&["kim", "k"])),
            about(stream, "j3", &simple("lee")),
        ]
    };
    choose(&*store, "st_none", &simple("kim")).await;
    choose(&*store, "st_none", &simple("lee")).await;
    append_sets(&*store, [carrying("st_all"), carrying("st_none")].concat()).await;
    for stream in ["st_all", "st_none"] {
        assert_eq!(read(&*store, stream, 9, NOW).await, ("j1 j2 j3".into(), 0));
    }
    remove(&*store, ALL, "st_all", &simple("kim"), 0).await;
    remove(&*store, NONE, "st_none", &simple("kim"), 0).await;
    for stream in ["st_all", "st_none"] {
        assert_eq!(read(&*store, stream, 9, NOW).await, ("j3".into(), 2));
    }
}

/// A SET about a subject, in a lane of its own.
fn about(stream: &str, name: &str, subject: &SubjectId) -> NewSet {
    let claims = json!({"jti": name, "sub_id": subject}).to_string();
    NewSet { claims: claims.into(), lane: Lane::of(&simple(name)), ..set(stream, name) }
}

/// Reads SETs. Returns their names and the number of discarded ones.
async fn read(store: &dyn Store, stream: &str, limit: usize, now: Timestamp) -> (String, usize) {
    let read = store.read_due(&id(stream), up_to(limit), now).await;
    let read = read.expect("readable");
    (names(&read.sets).join(" "), read.discarded)
}

pub(super) async fn a_set_about_a_removed_subject_is_discarded_instead_of_read(
    backend: impl Backend,
) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    let (kim, lee) = (simple("kim"), simple("lee"));
    let sets = |stream: &str| {
        vec![
            about(stream, "k1", &kim),
            about(stream, "k2", &kim),
            about(stream, "l1", &lee),
            about(stream, "k3", &kim),
            about(stream, "l2", &lee),
            about(stream, "own", &simple(stream)),
            control(stream, "c1"),
        ]
    };
    append_sets(&*store, [sets("st_1"), sets("st_2")].concat()).await;
    remove(&*store, ALL, "st_1", &kim, 0).await;
    // The read returns as many SETs as requested, although some before them must not be sent.
    assert_eq!(read(&*store, "st_1", 2, NOW).await, ("c1 l1 l2".into(), 3));
    assert_eq!(read(&*store, "st_1", 9, NOW).await, ("c1 l1 l2 own".into(), 0));
    assert_eq!(read(&*store, "st_2", 9, NOW).await, ("c1 k1 k2 l1 k3 l2 own".into(), 0));

    // Gone for good: to be on the stream again brings back nothing.
    add(&*store, ALL, "st_1", &kim).await.expect("added");
    assert_eq!(read(&*store, "st_1", 9, NOW).await, ("c1 l1 l2 own".into(), 0));
}

pub(super) async fn a_set_about_a_removed_subject_is_discarded_instead_of_polled(
    backend: impl Backend,
) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let (kim, lee) = (simple("kim"), simple("lee"));
    let sets = ["k1", "k2", "l1", "k3", "l2"];
    let subject = |name: &str| if name.starts_with('k') { &kim } else { &lee };
    append_sets(&*store, sets.map(|name| about("st_1", name, subject(name))).to_vec()).await;
    append_sets(&*store, vec![control("st_1", "c1")]).await;
    remove(&*store, ALL, "st_1", &kim, 0).await;
    let poll = async |limit, now| {
        let hidden_until = now + Duration::from_secs(9);
        let polled =
            store.take_for_poll(&id("st_1"), PollLimit::of(limit), now, hidden_until).await;
        let polled = polled.expect("taken");
        (names(&polled.sets).join(" "), polled.more, polled.discarded)
    };
    assert_eq!(poll(2, NOW).await, ("c1 l1".into(), true, 3));
    assert_eq!(poll(2, NOW).await, ("l2".into(), false, 0));
    // Handed out, and removed before it was acknowledged.
    remove(&*store, ALL, "st_1", &lee, 0).await;
    assert_eq!(poll(9, later(9)).await, ("c1".into(), false, 2));
}

pub(super) async fn many_sets_about_removed_subjects_hold_no_poll_back(backend: impl Backend) {
    // Beyond any bound of one call.
    const SETS: usize = 3000;
    let store = backend.open().await;
    let stream = StreamConfig { delivery: Delivery::Poll, ..choosing("st_1") };
    create(&*store, vec![stream]).await;
    let gone = simple("gone");
    let mut sets: Vec<_> = (0..SETS).map(|n| about("st_1", &format!("j{n}"), &gone)).collect();
    sets.push(about("st_1", "kept", &simple("kim")));
    append_sets(&*store, sets).await;
    choose(&*store, "st_1", &simple("kim")).await;
    let (mut polls, mut discarded) = (0, 0);
    loop {
        let polled = store
            .take_for_poll(&id("st_1"), PollLimit::of(5), NOW, later(30))
            .await
            .expect("taken");
        polls += 1;
        discarded += polled.discarded;
        if !polled.sets.is_empty() {
            assert_eq!((names(&polled.sets), polled.more), (vec!["kept"], false));
            break;
        }
        assert!(polled.more && 0 < polled.discarded, "each poll gets further");
    }
    assert_eq!(discarded, SETS);
    assert!(polls < SETS / 10, "{polls} polls");
}

/// SUBJ-08: a SET that waits when the grace ends is not sent.
pub(super) async fn a_set_about_an_added_subject_is_read_until_its_removal_takes_effect(
    backend: impl Backend,
) {
    let store = backend.open().await;
    create(&*store, vec![choosing("st_1")]).await;
    choose(&*store, "st_1", &complex("tenant=t")).await;
    choose(&*store, "st_1", &simple("kim")).await;
    append_sets(
        &*store,
        vec![
            about("st_1", "j1", &complex("tenant=t user=u")),
            about("st_1", "j2", &simple("kim")),
            // The event was addressed just before a removal.
            about("st_1", "j3", &simple("lee")),
            set("st_1", "unreadable"),
            about("st_1", "own", &simple("st_1")),
        ],
    )
    .await;
    remove(&*store, NONE, "st_1", &complex("tenant=t"), 60).await;
    assert_eq!(read(&*store, "st_1", 9, later(59)).await, ("j1 j2 own".into(), 2));
    assert_eq!(read(&*store, "st_1", 9, later(60)).await, ("j2 own".into(), 1));
    remove(&*store, NONE, "st_1", &simple("kim"), 0).await;
    assert_eq!(read(&*store, "st_1", 9, NOW).await, ("own".into(), 1));
}
