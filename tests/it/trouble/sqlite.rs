//! The database is full, locked, removed or replaced.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use rusqlite::Connection;

use super::{missing, ready, ready_for, refuses};
use crate::{
    harness::{eventually, receiver::Receiver, setup::Setup},
    scripted_server::Reply,
};

fn log_of(database: &Path) -> PathBuf {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Each of the files, gone or replaced. Nothing is accepted from then on, because it would be gone with the
/// process.
#[actix_web::test]
async fn a_database_that_is_removed_or_replaced_is_noticed_and_accepts_nothing() {
    let remove: fn(&Path) = |file| fs::remove_file(file).expect("removed");
    let replace: fn(&Path) = |file| {
        let other = file.with_extension("other");
        fs::copy(file, &other).expect("copied");
        fs::rename(&other, file).expect("replaced");
    };
    for (harm, log) in [(remove, false), (remove, true), (replace, false), (replace, true)] {
        let mut setup = Setup::polling().await;
        setup.publish(&["before"]).await;
        let database = setup.daemon.config().store.sqlite.path.clone();
        harm(&if log { log_of(&database) } else { database.clone() });
        refuses(&setup.daemon, &setup.publisher, &["after"]).await;
        let why = missing(&setup.daemon, "store").await;
        assert!(why.contains("removed or replaced"), "{why}");
        for asked in ["receivers", "publishers", "all"] {
            ready_for(&setup.daemon, asked).await.expect(503);
        }
    }
}

#[actix_web::test]
async fn a_database_that_another_program_locks_is_missing_until_it_is_free() {
    let mut setup =
        Setup::polling_with(|config| config.store.sqlite.busy_timeout = Duration::from_millis(20))
            .await;
    let other = Connection::open(&setup.daemon.config().store.sqlite.path).expect("opens");
    other.busy_timeout(Duration::from_mins(1)).expect("set");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    refuses(&setup.daemon, &setup.publisher, &["locked"]).await;
    let why = missing(&setup.daemon, "store").await;
    assert!(why.contains("locked"), "{why}");
    other.execute_batch("ROLLBACK").expect("unlocked");
    eventually("events are taken again", async || {
        let event = serde_json::json!([crate::harness::events::about("free")]);
        setup.daemon.publish(&setup.publisher, &event).await.status == 202
    })
    .await;
    ready(&setup.daemon).await;
}

/// While there is little room, it is left for the results of attempts.
#[actix_web::test]
async fn a_disk_with_little_room_takes_no_events_and_delivers_what_it_has() {
    let status = Arc::new(AtomicU16::new(503));
    let answered = Arc::clone(&status);
    let mut receiver =
        Receiver::start(move |_, _| Reply::status(answered.load(Ordering::SeqCst))).await;
    let mut setup = Setup::pushing_to(&receiver).await;
    setup.publish(&["s-1"]).await;
    receiver.next().await;
    setup.daemon.config().store.sqlite.free_bytes_min = u64::MAX;
    setup.daemon.restart().await;
    refuses(&setup.daemon, &setup.publisher, &["s-2"]).await;
    let why = missing(&setup.daemon, "events").await;
    assert!(why.contains("store.sqlite.free_bytes_min"), "{why}");
    ready_for(&setup.daemon, "publishers").await.expect(503);
    ready_for(&setup.daemon, "receivers").await.expect(200);
    status.store(202, Ordering::SeqCst);
    setup.settled().await;
}
