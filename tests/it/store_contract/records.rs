//! Records of all kinds, as the backends keep them.

use ssfd::store::{
    StoreError,
    records::{
        BelongsTo, Condition, RawRecord, Record, RecordFilter, RecordName, RecordWrite,
        StoredRecord, create, get, page,
        poll_position::{NextPage, PollPosition, PollPositionStore as _},
        put, put_owned, replace,
    },
};

use super::*;

/// A kind of record that no version of the daemon knows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Lamp {
    name: String,
    colour: String,
    lit_at: i64,
    until: Option<i64>,
}

impl Record for Lamp {
    const KIND: &'static str = "lamps";

    fn key(&self) -> String {
        self.name.clone()
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.lit_at)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        self.until.map(Timestamp::from_millis)
    }
}

fn lamp(name: &str, colour: &str) -> Lamp {
    Lamp { name: name.into(), colour: colour.into(), lit_at: NOW.as_millis(), until: None }
}

fn name(key: &str) -> RecordName {
    RecordName::new(Lamp::KIND, key)
}

fn of_all(prefix: &str) -> RecordFilter {
    RecordFilter::All { prefix: prefix.into() }
}

async fn colour(store: &dyn Store, key: &str) -> Option<String> {
    let found = get::<Lamp>(store, key).await.expect("readable");
    found.map(|found| found.record.colour)
}

/// Returns the keys that are listed, read in pages of two.
async fn keys(store: &dyn Store, filter: RecordFilter) -> Vec<String> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let (lamps, next) = page::<Lamp>(store, filter.clone(), after, 2).await.expect("readable");
        keys.extend(lamps.into_iter().map(|lamp| lamp.record.name));
        after = next;
        if after.is_none() {
            return keys;
        }
    }
}

pub(super) async fn a_record_is_written_over_the_version_that_was_read(backend: impl Backend) {
    let store = backend.open().await;
    let first = create(&*store, &lamp("a", "red")).await.expect("created");
    let second = create(&*store, &lamp("a", "blue")).await;
    assert!(matches!(second, Err(StoreError::Conflict)), "{second:?}");
    let next = replace(&*store, &lamp("a", "green"), first).await.expect("replaced");
    assert_ne!(next, first);
    let late = replace(&*store, &lamp("a", "grey"), first).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    drop(store);

    let store = backend.open().await;
    assert_eq!(colour(&*store, "a").await.as_deref(), Some("green"));
    put(&*store, &lamp("a", "white")).await.expect("written");
    assert_eq!(colour(&*store, "a").await.as_deref(), Some("white"));
    assert_eq!(colour(&*store, "b").await, None);
    let none = replace(&*store, &lamp("b", "red"), next).await;
    assert!(matches!(none, Err(StoreError::Conflict)), "{none:?}");
}

/// An answer may be lost, and the call is made again.
pub(super) async fn a_write_that_is_repeated_changes_nothing(backend: impl Backend) {
    let store = backend.open().await;
    let first = create(&*store, &lamp("a", "red")).await.expect("created");
    assert_eq!(create(&*store, &lamp("a", "red")).await.expect("it is there"), first);
    let next = replace(&*store, &lamp("a", "green"), first).await.expect("replaced");
    let again = replace(&*store, &lamp("a", "green"), first).await;
    assert_eq!(again.expect("it is there"), next);
}

pub(super) async fn a_version_is_never_given_twice(backend: impl Backend) {
    let store = backend.open().await;
    let first = create(&*store, &lamp("a", "red")).await.expect("created");
    assert!(store.delete_record(name("a"), None).await.expect("deleted"));
    let second = create(&*store, &lamp("a", "red")).await.expect("created");
    assert_ne!(second, first);
    let stale = store.delete_record(name("a"), Some(first)).await;
    assert!(matches!(stale, Err(StoreError::Conflict)), "{stale:?}");
    assert!(store.delete_record(name("a"), Some(second)).await.expect("deleted"));
    assert!(!store.delete_record(name("a"), Some(second)).await.expect("asked"));
}

/// Two nodes may poll side by side for a moment.
pub(super) async fn the_position_of_a_poll_is_moved_by_one_node(backend: impl Backend) {
    let store = backend.open().await;
    let position = |source: &str, url: &str, newest: i64| PollPosition {
        provider: "acme".parse().expect("a name"),
        source: source.parse().expect("a name"),
        url: url.to_owned(),
        newest,
        base: newest - 1,
        begun: Some(newest + 1),
        next: Some(NextPage::Time { since: newest - 2, first: 3 }),
        moved_at: NOW.as_millis(),
    };
    let find = async |store: &dyn Store, source: &str, url: &str| {
        let (provider, source) = ("acme".parse().expect("a name"), source.parse().expect("a name"));
        store.poll_position(&provider, &source, url).await.expect("readable")
    };
    let url = "https://kc.example/admin/realms/a/events";
    assert_eq!(find(&*store, "kc", url).await, None);
    let first = store.move_poll(&position("kc", url, 10), None).await.expect("begun");
    let late = store.move_poll(&position("kc", url, 11), None).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    let second = store.move_poll(&position("kc", url, 20), Some(first)).await.expect("moved");
    let late = store.move_poll(&position("kc", url, 12), Some(first)).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    let other = "https://kc.example/admin/realms/a/admin-events";
    store.move_poll(&position("kc", other, 30), None).await.expect("begun");
    store.move_poll(&position("kc-2", url, 40), None).await.expect("begun");
    drop(store);

    let store = backend.open().await;
    let found = find(&*store, "kc", url).await.expect("it is there");
    assert_eq!(found.record, position("kc", url, 20));
    let third = store.move_poll(&position("kc", url, 25), Some(found.version)).await;
    assert!(third.is_ok_and(|third| third != second));
    let (provider, source) = ("acme".parse().expect("a name"), "kc".parse().expect("a name"));
    let all = store.poll_positions(&provider, &source).await.expect("readable");
    assert_eq!(all, [position("kc", other, 30), position("kc", url, 25)]);
    assert!(!store.expire_records(later(1_000_000_000)).await.expect("expired"));
    assert!(find(&*store, "kc", url).await.is_some(), "a position does not expire");
}

pub(super) async fn of_several_writers_one_wins(backend: impl Backend) {
    let store = backend.open().await;
    let first = create(&*store, &lamp("a", "red")).await.expect("created");
    let lamps = ["c1", "c2", "c3", "c4"].map(|colour| lamp("a", colour));
    let writes = lamps.iter().map(|lamp| replace(&*store, lamp, first));
    let written = futures_util::future::join_all(writes).await;
    assert_eq!(written.iter().filter(|one| one.is_ok()).count(), 1, "{written:?}");
    let won = written.iter().position(Result::is_ok).expect("one won");
    assert_eq!(colour(&*store, "a").await, Some(lamps[won].colour.clone()));
}

pub(super) async fn the_newer_record_stays(backend: impl Backend) {
    let store = backend.open().await;
    let write = async |colour: &str, at: Timestamp| {
        let value = Lamp { lit_at: at.as_millis(), ..lamp("a", colour) };
        let record = RawRecord {
            name: name("a"),
            belongs_to: BelongsTo::Nothing,
            format: 1,
            made_at: at,
            expires_at: None,
            value: serde_json::to_string(&value).expect("JSON").into(),
        };
        let write = RecordWrite { record, condition: Condition::Newer, keep_youngest: None };
        store.write_records(vec![write]).await.expect("asked")[0].is_some()
    };
    assert!(write("red", later(2)).await);
    assert!(!write("blue", later(1)).await);
    assert!(!write("grey", later(2)).await);
    assert!(write("green", later(3)).await);
    assert_eq!(colour(&*store, "a").await.as_deref(), Some("green"));
}

pub(super) async fn records_are_listed_by_kind_and_prefix_in_pages(backend: impl Backend) {
    let store = backend.open().await;
    for key in ["b/2", "a", "b/1", "b/3", "b", "c", "ü/1"] {
        put(&*store, &lamp(key, "red")).await.expect("written");
    }
    put_owned(&*store, &lamp("b/4", "red"), name("a"), None).await.expect("written");
    assert_eq!(keys(&*store, of_all("")).await, ["a", "b", "b/1", "b/2", "b/3", "b/4", "c", "ü/1"]);
    assert_eq!(keys(&*store, of_all("b/")).await, ["b/1", "b/2", "b/3", "b/4"]);
    let unowned = RecordFilter::Unowned { prefix: "b/".into() };
    assert_eq!(keys(&*store, unowned).await, ["b/1", "b/2", "b/3"]);
    assert_eq!(keys(&*store, of_all("ü")).await, ["ü/1"]);
    assert!(keys(&*store, of_all("d")).await.is_empty());
}

pub(super) async fn a_record_expires(backend: impl Backend) {
    let store = backend.open().await;
    for (key, secs) in [("a", 10), ("b", 20)] {
        let until = Some(later(secs).as_millis());
        put(&*store, &Lamp { until, ..lamp(key, "red") }).await.expect("written");
    }
    put(&*store, &lamp("c", "red")).await.expect("written");
    assert!(!store.expire_records(later(9)).await.expect("expired"));
    assert_eq!(keys(&*store, of_all("")).await, ["a", "b", "c"]);
    // The expiry was prolonged.
    let until = Some(later(30).as_millis());
    put(&*store, &Lamp { until, ..lamp("a", "red") }).await.expect("written");
    assert!(!store.expire_records(later(20)).await.expect("expired"));
    assert_eq!(keys(&*store, of_all("")).await, ["a", "c"]);
}

/// A part that relies on records asks for their state, because nobody tells it of changes.
pub(super) async fn every_write_and_deletion_changes_the_state_of_the_records(
    backend: impl Backend,
) {
    let store = backend.open().await;
    let state = async || store.records_state().await.expect("readable");
    let mut seen = vec![state().await];
    let mut changed = async |what: &str, is_changed: bool| {
        let now = store.records_state().await.expect("readable");
        assert_eq!(!seen.contains(&now), is_changed, "{what}");
        seen.push(now);
    };
    create(&*store, &lamp("post", "red")).await.expect("created");
    changed("a new record", true).await;
    put(&*store, &lamp("post", "blue")).await.expect("written");
    changed("another value", true).await;
    put(&*store, &lamp("post", "blue")).await.expect("written");
    changed("the same value", false).await;
    let hang = async |key: &str, secs| {
        let lit_at = later(secs).as_millis();
        let until = Some(later(100).as_millis());
        let lamp = Lamp { lit_at, until, ..lamp(key, "red") };
        put_owned(&*store, &lamp, name("post"), Some(2)).await.expect("written");
    };
    for (key, secs) in [("1", 1), ("2", 2), ("3", 3)] {
        hang(key, secs).await;
        changed("a record in place of an older one", true).await;
    }
    assert!(!store.delete_record(name("nobody"), None).await.expect("asked"));
    changed("a deletion of nothing", false).await;
    assert!(!store.expire_records(later(99)).await.expect("expired"));
    changed("an expiry of nothing", false).await;
    assert!(!store.expire_records(later(100)).await.expect("expired"));
    changed("an expiry", true).await;
    hang("4", 4).await;
    changed("a record", true).await;
    assert!(store.delete_record(name("post"), None).await.expect("deleted"));
    changed("a deletion with what belongs to it", true).await;
    put(&*store, &lamp("post", "blue")).await.expect("written");
    changed("a record that was there before", true).await;
}

pub(super) async fn a_record_goes_with_its_owner_and_the_youngest_stay(backend: impl Backend) {
    let store = backend.open().await;
    for key in ["post", "other"] {
        put(&*store, &lamp(key, "black")).await.expect("written");
    }
    let hang = async |key: &str, secs, owner: &str, most| {
        let lit_at = later(secs).as_millis();
        put_owned(&*store, &Lamp { lit_at, ..lamp(key, "red") }, name(owner), most).await
    };
    hang("1", 3, "post", Some(2)).await.expect("written");
    hang("2", 1, "post", Some(2)).await.expect("written");
    hang("3", 2, "post", Some(2)).await.expect("written");
    hang("4", 0, "other", Some(2)).await.expect("written");
    assert_eq!(keys(&*store, of_all("")).await, ["1", "3", "4", "other", "post"]);
    let nowhere = hang("5", 0, "nowhere", None).await;
    assert!(matches!(nowhere, Err(StoreError::Conflict)), "{nowhere:?}");
    // A record that changes hands belongs to the last owner alone.
    hang("1", 3, "other", None).await.expect("written");
    // An owner that is written anew keeps what belongs to it.
    put(&*store, &lamp("post", "white")).await.expect("written");
    assert!(store.delete_record(name("post"), None).await.expect("deleted"));
    assert_eq!(keys(&*store, of_all("")).await, ["1", "4", "other"]);
}

pub(super) async fn a_record_of_a_stream_goes_with_it(backend: impl Backend) {
    let store = backend.open().await;
    create_streams(&*store).await;
    let hang = async |stream: &str| {
        let record = RawRecord {
            name: name(stream),
            belongs_to: BelongsTo::Stream(id(stream)),
            format: 1,
            made_at: NOW,
            expires_at: None,
            value: serde_json::to_string(&lamp(stream, "red")).expect("JSON").into(),
        };
        let write = RecordWrite { record, condition: Condition::Always, keep_youngest: None };
        store.write_records(vec![write]).await.expect("asked")[0].is_some()
    };
    assert!(hang("st_1").await && hang("st_2").await && hang("st_3").await);
    assert!(!hang("st_4").await, "there is no such stream");
    assert_eq!(store.records_of_stream(&id("st_2")).await.expect("readable").len(), 1);
    store.delete_stream(&id("st_2")).await.expect("deleted");
    assert!(store.records_of_stream(&id("st_2")).await.expect("readable").is_empty());
    let mut left = keys(&*store, RecordFilter::OfStreams).await;
    left.sort();
    assert_eq!(left, ["st_1", "st_3"]);
}

async fn create_streams(store: &dyn Store) {
    super::create(store, ["st_1", "st_2", "st_3"].map(push_stream).into()).await;
}

/// Reopening the store may move it into another one.
pub(super) async fn a_kind_that_is_not_known_is_kept_as_it_is(backend: impl Backend) {
    let store = backend.open().await;
    create_streams(&*store).await;
    let record = |key: &str, belongs_to| RawRecord {
        name: RecordName::new("of_a_later_version", key),
        belongs_to,
        format: 77,
        made_at: later(1),
        expires_at: Some(later(1_000_000)),
        value: r#"{"deep": [1, {"ü": null}],   "spaced": 1.50}"#.into(),
    };
    let records = [
        record("owner", BelongsTo::Nothing),
        record("its", BelongsTo::Record(RecordName::new("of_a_later_version", "owner"))),
        record("st_1", BelongsTo::Stream(id("st_1"))),
    ];
    for record in records.clone() {
        let write = RecordWrite { record, condition: Condition::Absent, keep_youngest: None };
        assert!(store.write_records(vec![write]).await.expect("asked")[0].is_some());
    }
    drop(store);
    for _ in 0..2 {
        let store = backend.open().await;
        for record in &records[..2] {
            let found = store.record(record.name.clone()).await.expect("readable");
            assert_eq!(found.map(|StoredRecord { record, .. }| record).as_ref(), Some(record));
        }
        let of_stream = store.records_of_stream(&id("st_1")).await.expect("readable");
        assert_eq!(of_stream, [records[2].clone()]);
    }
}

pub(super) async fn a_format_of_a_later_version_is_refused_by_name(backend: impl Backend) {
    let store = backend.open().await;
    let record = RawRecord {
        name: name("a"),
        belongs_to: BelongsTo::Nothing,
        format: 2,
        made_at: NOW,
        expires_at: None,
        value: "{}".into(),
    };
    let write = RecordWrite { record, condition: Condition::Always, keep_youngest: None };
    store.write_records(vec![write]).await.expect("written");
    let refused = get::<Lamp>(&*store, "a").await.expect_err("of a later version");
    let text = refused.to_string();
    assert!(text.contains("lamps was written by a newer ssfd: format 2"), "{text}");
}
