//! The one thread that writes. A commit waits for the disk, whatever is in it: calls that arrive
//! while one is under way share the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{
    SqliteSettings,
    error::{CallError, caught},
};
use crate::store::StoreError;

/// The queue of the writing thread.
pub(super) struct Writer {
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<thread::JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

/// A call on its way: it is run within the transaction of its group, and answered when that is
/// durable.
trait Job: Send {
    /// Whether what it did is to be kept.
    fn run(&mut self, db: &Connection) -> bool;

    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Call<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F, E> Job for Call<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    E: Into<StoreError>,
{
    fn run(&mut self, db: &Connection) -> bool {
        let work = self.work.take().expect("a job is run once");
        self.result.insert(caught(|| work(db))).is_ok()
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { result, answer, .. } = *self;
        // A caller that went away has no use for it.
        answer.send(committed.and_then(|()| result.expect("a committed job was run"))).ok();
    }
}

impl Writer {
    pub(super) fn start(mut db: Connection, settings: &SqliteSettings) -> Result<Self, StoreError> {
        let (queue, mut jobs) = mpsc::channel(settings.queue_max.get());
        let group_max = settings.group_max.get();
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let serve = move || {
            let mut group = Vec::with_capacity(group_max);
            // None came once the queue is empty and the store is dropped.
            while jobs.blocking_recv_many(&mut group, group_max) != 0 {
                let committed = commit(&mut db, &mut group);
                if committed.is_ok() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                for job in group.drain(..) {
                    job.answer(committed.clone());
                }
            }
        };
        let thread = thread::Builder::new().name("store-writer".into()).spawn(serve);
        let thread = thread.map_err(|error| StoreError::Unavailable(Arc::new(error)))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), commits })
    }

    /// Does `work` in a transaction, undone if it fails, and returns once that is durable.
    pub(super) async fn run<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        E: Into<StoreError> + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().expect("there is a queue until the drop");
        let call = Box::new(Call { work: Some(work), result: None, answer });
        queue.send(call).await.map_err(|_| CallError::ThreadEnded)?;
        answered.await.map_err(|_| CallError::ThreadEnded)?
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writing thread of the store panicked");
        }
    }
}

/// Runs a group in one transaction, each job in a savepoint of its own, so that one that fails is
/// undone alone. An error means that nothing of the whole group was done.
fn commit(db: &mut Connection, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let mut transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in group {
        let savepoint = transaction.savepoint()?;
        if job.run(&savepoint) {
            savepoint.commit()?;
        } else {
            // A grave error, such as a full disk, has undone the transaction; there is no savepoint
            // then, and this fails too.
            savepoint.finish()?;
        }
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use futures_util::{FutureExt as _, future::join};
    use tempfile::TempDir;

    use super::*;
    use crate::store::sqlite::connection;

    fn start() -> (TempDir, Writer) {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ssfd.db");
        let settings = SqliteSettings { path, ..SqliteSettings::default() };
        let db = connection::open(&settings).expect("opens");
        db.execute_batch("CREATE TABLE t (x INTEGER PRIMARY KEY)").expect("runs");
        (folder, Writer::start(db, &settings).expect("starts"))
    }

    fn insert(db: &Connection, x: i64) -> rusqlite::Result<usize> {
        db.execute("INSERT INTO t VALUES (?1)", [x])
    }

    async fn stored(writer: &Writer) -> Vec<i64> {
        let select = |db: &Connection| -> rusqlite::Result<Vec<i64>> {
            db.prepare("SELECT x FROM t ORDER BY x")?.query_map([], |row| row.get(0))?.collect()
        };
        writer.run(select).await.expect("readable")
    }

    /// Runs two jobs, which share a group or not as chance has it, around one that fails after it
    /// wrote.
    async fn between_neighbours<E>(failing: fn(&Connection) -> Result<(), E>) -> StoreError
    where
        E: Into<StoreError> + 'static,
    {
        let (_folder, writer) = start();
        let before = writer.run(|db| insert(db, 1));
        let failing = writer.run(move |db| {
            insert(db, 2)?;
            failing(db).map_err(Into::into)
        });
        let after = writer.run(|db| insert(db, 3));
        let (before, (failed, after)) = join(before, join(failing, after)).await;
        assert!(before.is_ok() && after.is_ok());
        assert_eq!(stored(&writer).await, [1, 3]);
        failed.expect_err("it fails")
    }

    #[tokio::test]
    async fn a_failing_job_is_undone_alone() {
        let failed = between_neighbours(|db| insert(db, 2).map(drop)).await;
        assert!(matches!(failed, StoreError::Unavailable(_)));
        let failed = between_neighbours(|_| Err(StoreError::Conflict)).await;
        assert!(matches!(failed, StoreError::Conflict));
    }

    #[tokio::test]
    async fn a_panic_is_undone_and_the_thread_goes_on() {
        let failed =
            between_neighbours::<StoreError>(|_| resume_unwind(Box::new("an invariant broke")))
                .await;
        assert!(matches!(failed, StoreError::Unavailable(_)));
    }

    #[tokio::test]
    async fn a_failed_commit_is_everyones_failure_and_the_thread_goes_on() {
        let (_folder, writer) = start();
        let unowned = writer.run(|db| {
            insert(db, 1)?;
            // Found at the commit only: no such stream.
            db.execute_batch(
                "PRAGMA defer_foreign_keys = ON;
                 INSERT INTO outbox (stream, jti, lane, head, control, claims, appended_at, due_at)
                 VALUES (77, 'j', 0, 1, 0, '{}', 0, 0)",
            )
        });
        assert!(matches!(unowned.await, Err(StoreError::Unavailable(_))));
        assert_eq!(stored(&writer).await, [0_i64; 0]);
        writer.run(|db| insert(db, 2)).await.expect("the next is done");
        assert_eq!(stored(&writer).await, [2]);
    }

    #[tokio::test]
    async fn what_was_handed_in_is_done_before_the_thread_ends() {
        let (folder, writer) = start();
        // The caller goes away at once.
        drop(writer.run(|db| insert(db, 1)).now_or_never());
        drop(writer);
        let db = Connection::open(folder.path().join("ssfd.db")).expect("opens");
        assert_eq!(db.query_row("SELECT x FROM t", [], |row| row.get::<_, i64>(0)), Ok(1));
    }
}
