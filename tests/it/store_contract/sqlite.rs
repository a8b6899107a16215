//! The suite on SQLite, and what only SQLite promises.

use futures_util::future::{join, join_all};
use proptest::prelude::*;
use rusqlite::Connection;
use ssfd::{
    domain::set_error::SetError,
    store::{
        Acknowledgement,
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
    async fn try_open(&self) -> Result<Arc<dyn Portable>, StoreError> {
        Ok(Arc::new(SqliteStore::open(&self.settings())?))
    }

    async fn open_to_fill(&self) -> Arc<dyn Portable> {
        Arc::new(SqliteStore::open_to_fill(&self.settings()).expect("opens"))
    }
}

run_contract_on!(Sqlite::new());

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
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_outbox_behaves_like_its_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(replay(Sqlite::new(), steps));
    }
}
