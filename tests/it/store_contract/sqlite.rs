//! The suite on SQLite, and what only SQLite promises.

use futures_util::future::{join, join_all};
use proptest::prelude::*;
use rusqlite::Connection;
use ssfd::{
    domain::{grant::TokenHash, set_error::SetError},
    store::{
        Acknowledgement, EntryId, Position,
        sqlite::{SqliteSettings, SqliteStore},
    },
};
use tempfile::TempDir;

use super::{
    model::{replay, steps},
    *,
};

pub(super) struct Sqlite {
    folder: TempDir,
}

impl Default for Sqlite {
    fn default() -> Self {
        Self::new()
    }
}

impl Sqlite {
    pub(super) fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder") }
    }

    fn settings(&self) -> SqliteSettings {
        let path = self.folder.path().join("ssfd.db");
        SqliteSettings { path, ..SqliteSettings::default() }
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.settings()).expect("opens")
    }
}

impl Backend for Sqlite {
    async fn try_open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(SqliteStore::open(&self.settings())?))
    }

    async fn open_to_fill(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open_to_fill(&self.settings()).expect("opens"))
    }
}

run_contract_on!(Sqlite::new());

/// An event for so many streams, with the `jti`s that derive from its origin.
fn for_streams(count: usize, event_id: &str, number: u128) -> Append {
    let origin = Origin::recorded(Uuid::from_u128(number), None);
    let sets = (0..count).map(|n| {
        let stream = format!("st_{n}");
        let jti = origin.jti(&id(&stream));
        let claims = format!(r#"{{"iat":1,"jti":"{jti}"}}"#).into();
        NewSet { jti, claims, ..set(&stream, "x") }
    });
    let sets = sets.collect();
    Append { origin, ..event_with_id(event_id, sets) }
}

/// A process that is killed between two steps leaves the same.
#[tokio::test]
async fn a_long_event_that_broke_off_goes_on_under_the_origin_that_began_it() {
    const STREAMS: usize = 1100;
    let backend = Sqlite::new();
    let store = backend.store();
    for n in 0..STREAMS {
        let stream = poll_stream(&format!("st_{n}"));
        store.create_stream(stream, STREAMS).await.expect("created");
    }
    let position = Position { epoch: 0, entry: EntryId { millis: 7, number: 0 } };
    let append = async |number, range: std::ops::Range<usize>, step, now| {
        let mut event = for_streams(STREAMS, "evt-1", number);
        event.sets = event.sets[range].to_vec();
        let position = Some(("acme:0".to_owned(), position.clone()));
        let position = position.filter(|_| step == Step::Last);
        let events = vec![Append { step, ..event }];
        store.append(AppendBatch { events, position, now }, &|_| ()).await
    };
    let appended = append(1, 0..500, Step::First, NOW).await.expect("appended");
    assert!(matches!(&appended[..], [Appended::New(streams)] if streams.len() == 500));

    // Brought anew, with another origin; and once more, now that it is done.
    let steps = [(0..500, Step::First), (500..1000, Step::Middle), (1000..1100, Step::Last)];
    for (range, step) in steps {
        assert_eq!(store.position("acme:0").await.expect("readable"), None);
        let appended = append(2, range.clone(), step, later(5)).await.expect("appended");
        assert!(matches!(&appended[..], [Appended::New(streams)] if streams.len() == range.len()));
    }
    let again = append(3, 0..500, Step::First, later(6)).await.expect("appended");
    assert_eq!(again, [Appended::Duplicate]);
    let first = |stream: &str| Origin::recorded(Uuid::from_u128(1), None).jti(&id(stream));
    for (stream, at) in [("st_0", NOW), ("st_700", later(5)), ("st_1099", later(5))] {
        let [set] = &pending(&store, stream).await[..] else { panic!("one SET of {stream}") };
        assert_eq!((&set.jti, set.appended_at), (&first(stream), at));
        assert!(set.claims.contains(first(stream).as_str()), "{}", set.claims);
    }
    assert!(store.position("acme:0").await.expect("readable").is_some());
}

/// Runs `calls` while another process writes, so that all but the first are queued together.
async fn behind_another_writer<F: Future>(backend: &Sqlite, calls: Vec<F>) -> Vec<F::Output> {
    let other = Connection::open(backend.settings().path).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    // Polled in this order: the lock goes once every call is in the queue.
    let unlock = async { other.execute_batch("COMMIT").expect("unlocked") };
    join(join_all(calls), unlock).await.0
}

#[tokio::test]
async fn appends_that_wait_together_share_a_commit() {
    let backend = Sqlite::new();
    let store = backend.store();
    create(&store, vec![poll_stream("st_1")]).await;
    let before = store.commits();
    let calls = (0..100).map(|n| {
        let events = vec![event(vec![set("st_1", &format!("j{n}"))])];
        append(&store, events, NOW)
    });
    let appended = behind_another_writer(&backend, calls.collect()).await;
    assert!(appended.iter().all(|appended| *appended == [new(&["st_1"])]));
    assert_eq!(pending(&store, "st_1").await.len(), 100);
    assert!(store.commits() - before <= 2, "{} commits", store.commits() - before);
}

#[tokio::test]
async fn a_call_that_fails_does_not_spoil_its_neighbours() {
    let backend = Sqlite::new();
    let store = backend.store();
    create(&store, vec![poll_stream("st_1")]).await;
    let calls = (0..30).map(|n| {
        let store = &store;
        async move {
            match n % 3 {
                0 => store.create_stream(poll_stream(&format!("st_{n}")), 100).await.is_ok(),
                1 => store.create_stream(poll_stream("st_beyond"), 0).await.is_err(),
                _ => store.update_stream(poll_stream("st_1")).await.is_err(),
            }
        }
    });
    let as_expected = behind_another_writer(&backend, calls.collect()).await;
    assert!(as_expected.iter().all(|expected| *expected));
    assert_eq!(store.streams().await.expect("readable").len(), 11);
}

#[tokio::test]
async fn another_process_may_write_into_the_same_file() {
    let backend = Sqlite::new();
    let (daemon, command) = (backend.store(), backend.store());
    create(&daemon, vec![poll_stream("st_1")]).await;
    let name = |n| format!("j{n}");
    let by = async |store: &SqliteStore, names: std::ops::Range<u32>| {
        for n in names {
            append_sets(store, vec![set("st_1", &name(n))]).await;
        }
    };
    join(by(&daemon, 0..20), by(&command, 20..40)).await;
    for store in [&daemon, &command] {
        let sets = pending(store, "st_1").await;
        assert_eq!(sets.len(), 40);
        assert!(sets.is_sorted_by(|a, b| a.seq < b.seq));
    }
}

#[tokio::test]
async fn a_number_is_not_used_again_once_its_set_is_gone() {
    let backend = Sqlite::new();
    let store = backend.store();
    create(&store, vec![poll_stream("st_1")]).await;
    append_sets(&store, vec![set("st_1", "j1")]).await;
    let first = seq(&store, "st_1", "j1").await;
    settle(&store, "st_1", first, Disposition::Delivered).await;
    store.expire(Expiry::of_all(later(1), NOW)).await.expect("expired");
    drop(store);
    let store = backend.store();
    append_sets(&store, vec![set("st_1", "j2")]).await;
    assert!(first < seq(&store, "st_1", "j2").await);
}

#[tokio::test]
async fn it_is_kept_why_a_set_is_dead() {
    let backend = Sqlite::new();
    let store = backend.store();
    create(&store, vec![poll_stream("st_1")]).await;
    append_sets(&store, ["j1", "j2", "j3"].map(|name| set("st_1", name)).to_vec()).await;
    let first = seq(&store, "st_1", "j1").await;
    settle(&store, "st_1", first, retry_at(later(1))).await;
    settle(&store, "st_1", first, dead()).await;
    let error = SetError::new("jwtAudience", "not for us");
    let refused = Acknowledgement { acked: vec![jti("j3")], refused: vec![(jti("j2"), error)] };
    store.acknowledge(&id("st_1"), refused, NOW).await.expect("acknowledged");

    let db = Connection::open(backend.settings().path).expect("opens");
    let mut select =
        db.prepare("SELECT jti || coalesce(' ' || reason || ' ' || detail, '') FROM outbox");
    let rows = select.as_mut().expect("valid").query_map([], |row| row.get(0)).expect("runs");
    let rows: Vec<String> = rows.collect::<Result<_, _>>().expect("text");
    assert_eq!(rows, ["j1 invalid_key unknown kid", "j2 other jwtAudience: not for us", "j3"]);
}

#[tokio::test]
async fn a_stop_leaves_one_file() {
    let backend = Sqlite::new();
    let store = backend.store();
    create(&store, vec![poll_stream("st_1")]).await;
    drop(store);
    let files = std::fs::read_dir(backend.folder.path()).expect("a folder");
    let files: Vec<_> = files.map(|file| file.expect("an entry").file_name()).collect();
    assert_eq!(files, ["ssfd.db"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

    #[test]
    fn an_outbox_behaves_like_its_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(replay(Sqlite::new(), steps));
    }
}

/// The tables of schema version 2 that became records, with a row or two in each.
const OF_VERSION_2: &str = r#"
    DROP INDEX event_ids_at; ALTER TABLE event_ids DROP COLUMN longer;
    CREATE INDEX event_ids_at ON event_ids (at);
    DROP TABLE records; DROP TABLE record_versions;
    CREATE TABLE activity (
        stream INTEGER PRIMARY KEY REFERENCES streams (key) ON DELETE CASCADE, at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE activity_recorded (
        one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE clients (
        id TEXT PRIMARY KEY, secret TEXT NOT NULL, provider TEXT NOT NULL, receiver TEXT NOT NULL,
        audience TEXT NOT NULL, scopes TEXT NOT NULL, created_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE grants (
        hash TEXT PRIMARY KEY, holder TEXT NOT NULL, created_at INTEGER NOT NULL,
        expires_at INTEGER, client TEXT REFERENCES clients (id) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    INSERT INTO activity SELECT key, 7000 FROM streams WHERE id = 'st_1';
    INSERT INTO activity SELECT key, 9223372036854775807 FROM streams WHERE id = 'st_2';
    INSERT INTO activity_recorded VALUES (1, 8000);
    INSERT INTO clients VALUES
        ('client_1', 'c0', 'acme', 'rx', '"https://rx.example"', '["ssf.read"]', 5000);
    INSERT INTO grants VALUES
        ('a0', '{"kind":"operator"}', 6000, NULL, NULL),
        ('b0', '{"kind":"publisher","provider":"acme"}', 6001, 9000, 'client_1');
    PRAGMA user_version = 2;
"#;

/// Takes away the column that schema version 3 did not have.
const OF_VERSION_3: &str = "
    DROP INDEX event_ids_at; ALTER TABLE event_ids DROP COLUMN longer;
    CREATE INDEX event_ids_at ON event_ids (at);
    PRAGMA user_version = 3;
";

#[tokio::test]
async fn event_ids_of_an_earlier_version_are_remembered_as_long_as_before() {
    let backend = Sqlite::new();
    let store = backend.store();
    create(&store, vec![poll_stream("st_1")]).await;
    let event = |jti: &str| vec![event_with_id("evt-1", vec![set("st_1", jti)])];
    append(&store, event("j1"), NOW).await;
    drop(store);
    let db = Connection::open(backend.settings().path).expect("opens");
    db.execute_batch(OF_VERSION_3).expect("runs");
    drop(db);
    let refused = SqliteStore::open_read_only(&backend.settings()).err().expect("not up to date");
    assert!(refused.to_string().contains("schema version 3"), "{refused}");

    let store = backend.store();
    assert_eq!(append(&store, event("j2"), later(1)).await, [Appended::Duplicate]);
    store.expire(Expiry::of_all(NOW, later(1))).await.expect("expired");
    assert_eq!(append(&store, event("j3"), later(1)).await, [new(&["st_1"])]);
}

#[tokio::test]
async fn credentials_and_activity_of_an_earlier_version_are_brought_along() {
    let backend = Sqlite::new();
    let store = backend.store();
    create(&store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    drop(store);
    let db = Connection::open(backend.settings().path).expect("opens");
    db.execute_batch(OF_VERSION_2).expect("runs");
    drop(db);
    let refused = SqliteStore::open_read_only(&backend.settings()).err().expect("not up to date");
    assert!(refused.to_string().contains("`ssfd serve` brings it up to date"), "{refused}");

    let store = backend.store();
    let at = Timestamp::from_millis;
    let clients = store.clients().await.expect("readable");
    assert_eq!((clients.len(), clients[0].created_at), (1, at(5000)));
    assert_eq!(clients[0].secret.as_str(), "c0");
    let grants = store.grants().await.expect("readable");
    assert_eq!((grants.len(), grants[0].hash.as_str()), (1, "a0"));
    let issued = store.grant(&TokenHash::from_hex("b0".into())).await.expect("readable");
    assert_eq!(issued.and_then(|grant| grant.expires_at), Some(at(9000)));
    let mut activity = store.activity().await.expect("readable");
    activity.last.sort();
    assert_eq!(activity.recorded_at, Some(at(8000)));
    assert_eq!(activity.last, [(id("st_1"), at(7000)), (id("st_2"), at(i64::MAX))]);
    assert!(store.delete_client(&clients[0].id).await.expect("deleted"));
    let gone = store.grant(&TokenHash::from_hex("b0".into())).await.expect("readable");
    assert_eq!(gone, None);
}
