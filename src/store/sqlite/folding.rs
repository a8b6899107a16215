//! Folds SQLite's write-ahead log into the database on a thread of its own. No commit waits for this,
//! unless the log has grown too long.

use std::{
    ffi::c_int,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use rusqlite::{Connection, hooks::Wal, wal::CheckpointMode};

use super::{SqliteSettings, connection};
use crate::{
    store::StoreError,
    telemetry::{causes::with_causes, supervision::keep_running},
};

/// The log is folded when it has this many pages (16 MiB). That is seldom enough that a page which is
/// written again and again is folded once.
const FOLD_PAGES: c_int = 4096;
/// At this many pages (64 MiB) a commit folds the rest itself, once the thread has paused. The log can
/// begin anew only when all of it is folded, which never happens beside commits without a pause.
const PAGES_MAX: c_int = 4 * FOLD_PAGES;

/// The folding thread. The thread ends once the writing connection is closed.
pub(super) struct Folding {
    thread: Option<thread::JoinHandle<()>>,
}

impl Folding {
    pub(super) fn start(
        writer: &mut Connection,
        settings: &SqliteSettings,
    ) -> Result<Self, StoreError> {
        let db = connection::open_to_fold(settings)?;
        // One that waits is enough: it takes all that there is.
        let (ask, asked) = sync_channel(1);
        writer.wal_hook(Some(move |log: &mut Wal, pages| {
            on_commit(log, pages, &ask);
            Ok(())
        }))?;
        let thread = thread::Builder::new().name("store-folding".into());
        let thread = thread.spawn(move || keep_running("store-folding", || serve(&db, &asked)));
        Ok(Self { thread: Some(thread.map_err(|error| StoreError::Unavailable(Arc::new(error)))?) })
    }
}

impl Drop for Folding {
    fn drop(&mut self) {
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the folding thread of the store panicked");
        }
    }
}

fn on_commit(log: &mut Wal, pages: c_int, ask: &SyncSender<()>) {
    if PAGES_MAX <= pages {
        // The checkpoint fails while another thread makes one. That is ignored, because a later
        // commit finds it done.
        log.checkpoint().ok();
    } else if FOLD_PAGES <= pages {
        // If it was asked already, that is enough.
        match ask.try_send(()) {
            Ok(()) | Err(TrySendError::Full(())) => {}
            // The thread is gone, so the commit does its work.
            Err(TrySendError::Disconnected(())) => _ = log.checkpoint().ok(),
        }
    }
}

fn serve(db: &Connection, asked: &Receiver<()>) {
    let mut failing = false;
    while let Ok(()) = asked.recv() {
        let folded = db.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE);
        // One line for each change of state.
        if let Err(error) = &folded
            && !failing
        {
            let error = with_causes(error);
            tracing::warn!(error, "the log cannot be folded into the database");
        }
        failing = folded.is_err();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// A commit takes over from a thread that is gone.
    #[test]
    fn the_log_is_folded_without_the_thread() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ssfd.db");
        let settings = SqliteSettings { path: path.clone(), ..SqliteSettings::default() };
        let mut db = connection::open(&settings).expect("opens");
        let folding = Folding::start(&mut db, &settings).expect("starts");
        let (ask, asked) = sync_channel(1);
        drop(asked);
        let on_commit = move |log: &mut Wal, pages| {
            on_commit(log, pages, &ask);
            Ok(())
        };
        db.wal_hook(Some(on_commit)).expect("set");
        db.execute_batch("CREATE TABLE t (x BLOB)").expect("runs");
        for _ in 0..20 {
            db.execute("INSERT INTO t VALUES (zeroblob(1048576))", []).expect("inserted");
        }
        let bytes = fs::metadata(&path).expect("metadata").len();
        assert!(16 << 20 <= bytes, "{bytes}");
        drop(db);
        drop(folding);
    }

    /// Enough that the log outgrows its bound twice, if nobody folds it.
    #[test]
    fn whoever_folds_the_log_all_of_it_comes_into_the_database() {
        const COMMITS: i64 = 128;
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ssfd.db");
        let settings = SqliteSettings { path, ..SqliteSettings::default() };
        let mut db = connection::open(&settings).expect("opens");
        let folding = Folding::start(&mut db, &settings).expect("starts");
        db.execute_batch("CREATE TABLE t (x BLOB)").expect("runs");
        for _ in 0..COMMITS {
            db.execute("INSERT INTO t VALUES (zeroblob(1048576))", []).expect("inserted");
        }
        // In this order: the thread ends once nobody can ask it.
        drop(db);
        drop(folding);
        let db = connection::open_read_only(&settings).expect("opens");
        let count = |what: &str| -> i64 {
            db.query_row(&format!("SELECT {what} FROM t"), [], |row| row.get(0)).expect("a number")
        };
        assert_eq!((count("count(*)"), count("sum(length(x))")), (COMMITS, COMMITS << 20));
    }
}
