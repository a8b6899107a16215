//! The threads that read. They wait for no write. All that one call reads is of the same commit, the last
//! one when the call began.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    SqliteSettings, connection,
    error::{CallError, caught},
};
use crate::{
    clock,
    store::{
        StoreError,
        condition::{CallKind, Outcomes},
    },
    telemetry::{causes::with_causes, supervision::keep_running},
};

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// The queue that the reading threads share.
pub(super) struct Readers {
    /// `None` only while the readers are dropped.
    queue: Option<mpsc::Sender<Job>>,
    outcomes: Arc<Outcomes>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(
        settings: &SqliteSettings,
        outcomes: Arc<Outcomes>,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel::<Job>(settings.queue_max.get());
        let jobs = Arc::new(Mutex::new(jobs));
        let mut readers = Self { queue: Some(queue), outcomes, threads: Vec::new() };
        for _ in 0..settings.readers.get() {
            let db = connection::open_read_only(settings)?;
            let jobs = Arc::clone(&jobs);
            let serve = move || {
                // One waits for the queue and the others for its lock, which is free again before
                // the job is done.
                let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
                keep_running("store-reader", || {
                    while let Some(job) = next() {
                        job(&db);
                    }
                });
            };
            let thread = thread::Builder::new().name("store-reader".into()).spawn(serve);
            readers.threads.push(thread.map_err(|error| StoreError::Unavailable(Arc::new(error)))?);
        }
        Ok(readers)
    }

    pub(super) async fn run<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        E: Into<StoreError>,
    {
        let (answer, answered) = oneshot::channel();
        let job = move |db: &Connection| {
            // A caller that went away has no use for it.
            if !answer.is_closed() {
                answer.send(caught(|| in_snapshot(db, work))).ok();
            }
        };
        let queue = self.queue.as_ref().expect("there is a queue until the drop");
        queue.send(Box::new(job)).await.map_err(|_| CallError::ThreadEnded)?;
        let answer = answered.await.map_err(|_| CallError::ThreadEnded)?;
        match &answer {
            Err(error @ (StoreError::Corrupt(_) | StoreError::Unavailable(_))) => {
                self.outcomes.failed(CallKind::Read, with_causes(error), clock::instant());
            }
            _ => self.outcomes.succeeded(CallKind::Read, clock::instant()),
        }
        answer
    }
}

/// Runs the call in one transaction and not in one for each statement, also because a transaction that
/// finds new commits begins with an empty cache.
fn in_snapshot<T, E: Into<StoreError>>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, StoreError> {
    let snapshot = db.unchecked_transaction()?;
    let read = work(db).map_err(Into::into)?;
    snapshot.commit()?;
    Ok(read)
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reading thread of the store panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn a_reader_outlives_a_panic_and_cannot_write() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ssfd.db");
        let settings = SqliteSettings { path, ..SqliteSettings::default() };
        let _writer = connection::open(&settings).expect("opens");
        let readers = Readers::start(&settings, Arc::default()).expect("starts");
        for _ in 0..4 {
            let broken =
                readers.run::<(), StoreError>(|_| resume_unwind(Box::new("an invariant broke")));
            assert!(matches!(broken.await, Err(StoreError::Unavailable(_))));
        }
        let write = readers.run(|db| db.execute("DELETE FROM outbox", []));
        assert!(matches!(write.await, Err(StoreError::Unavailable(_))));
    }

    #[tokio::test]
    async fn all_that_one_call_reads_is_of_one_commit() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ssfd.db");
        let settings = SqliteSettings { path, ..SqliteSettings::default() };
        let writer = connection::open(&settings).expect("opens");
        let readers = Readers::start(&settings, Arc::default()).expect("starts");
        let count = |db: &Connection| {
            db.query_row("SELECT count(*) FROM positions", [], |row| row.get::<_, i64>(0))
        };
        let read = readers.run(move |db| {
            let before = count(db)?;
            writer.execute("INSERT INTO positions VALUES ('p', 0, '1-1')", [])?;
            Ok::<_, rusqlite::Error>((before, count(db)?))
        });
        assert_eq!(read.await.expect("read"), (0, 0));
        assert_eq!(readers.run(count).await.expect("read"), 1);
    }
}
