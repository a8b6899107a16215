//! The only thread that writes. A commit waits for the disk, however small it is. So the calls that arrive
//! while a commit is under way share the next one, and calls that can wait do so for a while.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::{
    runtime,
    sync::mpsc::{self, Receiver},
    time::{Instant, timeout_at},
};

use super::{
    SqliteSettings,
    error::CallError,
    job::{Call, Job, Manner},
    log_mark,
    watch::{DiskWatch, FileWatch},
};
use crate::{
    clock,
    store::{
        Condition, StoreError,
        condition::{CallKind, Outcomes},
    },
    telemetry::causes::with_causes,
};

/// The queue of the writing thread.
pub(super) struct Writer {
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<thread::JoinHandle<()>>,
    commits: Arc<AtomicU64>,
    outcomes: Arc<Outcomes>,
    disk: Arc<DiskWatch>,
}

impl Writer {
    pub(super) fn start(mut db: Connection, settings: &SqliteSettings) -> Result<Self, StoreError> {
        let failed = |error: io::Error| StoreError::Unavailable(Arc::new(error));
        let (queue, jobs) = mpsc::channel(settings.queue_max.get());
        let mut groups = Groups {
            jobs,
            size_max: settings.group_max.get(),
            patience: settings.settle_delay,
            waiting: Vec::new(),
        };
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let outcomes = Arc::new(Outcomes::default());
        let disk = Arc::new(DiskWatch::over(settings));
        let mut files = FileWatch::over(settings);
        let (noted, room) = (Arc::clone(&outcomes), Arc::clone(&disk));
        // For nothing but waiting with a deadline.
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(failed)?;
        let serve = move || {
            // None came once the queue is empty and the store is dropped.
            while let Some(mut group) = runtime.block_on(groups.next()) {
                let under_way = noted.begin(clock::instant());
                let committed = commit(&mut db, &mut group);
                // Before anybody learns of the commit, because in a file without a name it is not durable.
                let committed = committed.and_then(|()| {
                    files.check().map_err(|gone| {
                        noted.lost(gone.to_string());
                        StoreError::Unavailable(Arc::new(gone))
                    })
                });
                drop(under_way);
                match &committed {
                    Ok(()) => {
                        counter.fetch_add(1, Ordering::Relaxed);
                        noted.succeeded(CallKind::Write, clock::instant());
                    }
                    Err(error) => {
                        noted.failed(CallKind::Write, with_causes(error), clock::instant());
                    }
                }
                room.look();
                for job in group {
                    job.answer(committed.clone());
                }
            }
        };
        let thread = thread::Builder::new().name("store-writer".into()).spawn(serve);
        let thread = Some(thread.map_err(failed)?);
        Ok(Self { queue: Some(queue), thread, commits, outcomes, disk })
    }

    /// Does `work` in a transaction, and returns once the transaction is durable. The changes are undone if
    /// the work fails.
    pub(super) async fn run<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        E: Into<StoreError> + 'static,
    {
        self.call(Manner::Careful, work).await
    }

    /// Does work that never refuses.
    pub(super) async fn run_often<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call(Manner::Often, work).await
    }

    /// Does work that waits a while for other calls to share its commit.
    pub(super) async fn run_patiently<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call(Manner::Patient, work).await
    }

    async fn call<T, E>(
        &self,
        manner: Manner,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        E: Into<StoreError> + 'static,
    {
        let (call, answered) = Call::new(manner, work);
        let queue = self.queue.as_ref().expect("there is a queue until the drop");
        queue.send(Box::new(call)).await.map_err(|_| CallError::ThreadEnded)?;
        answered.await.map_err(|_| CallError::ThreadEnded)?
    }

    /// Returns an error while the disk has too little room for new events.
    pub(super) fn check_room(&self) -> Result<(), StoreError> {
        self.disk.check().map_err(|short| StoreError::Unavailable(Arc::new(short)))
    }

    pub(super) fn outcomes(&self) -> Arc<Outcomes> {
        Arc::clone(&self.outcomes)
    }

    pub(super) fn condition(&self, now: std::time::Instant) -> Condition {
        let ended = self.thread.as_ref().is_none_or(thread::JoinHandle::is_finished);
        let condition = self.outcomes.condition(now);
        let thread_ended = ended.then(|| CallError::ThreadEnded.to_string());
        Condition {
            failing: thread_ended.or(condition.failing),
            refuses_events: self.disk.check().err().map(|short| short.to_string()),
            ended,
            ..condition
        }
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

/// Groups the calls that share commits.
struct Groups {
    jobs: Receiver<Box<dyn Job>>,
    size_max: usize,
    /// How long a patient call waits.
    patience: Duration,
    waiting: Vec<Box<dyn Job>>,
}

impl Groups {
    /// `None` once there is none and nobody can bring one.
    async fn next(&mut self) -> Option<Vec<Box<dyn Job>>> {
        if self.jobs.recv_many(&mut self.waiting, self.size_max).await == 0 {
            return None;
        }
        let deadline = Instant::now() + self.patience;
        let mut seen = 0;
        while self.waiting[seen..].iter().all(|job| job.manner() == Manner::Patient)
            && self.waiting.len() < self.size_max
        {
            seen = self.waiting.len();
            let more = self.jobs.recv_many(&mut self.waiting, self.size_max - seen);
            // Not one more after a while, or ever.
            if timeout_at(deadline, more).await.unwrap_or(0) == 0 {
                break;
            }
        }
        Some(std::mem::take(&mut self.waiting))
    }
}

/// Runs a group in one transaction. After an error, nothing of the whole group was done.
fn commit(db: &mut Connection, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let changes_before = db.total_changes();
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let execute = |sql| transaction.prepare_cached(sql)?.execute([]);
    for job in group {
        match job.manner() {
            Manner::Careful => {
                execute("SAVEPOINT job")?;
                if job.run(&transaction).is_err() {
                    // A grave error, such as a full disk, has undone the transaction; there is no
                    // savepoint then, and this fails too.
                    execute("ROLLBACK TO job")?;
                }
                execute("RELEASE job")?;
            }
            Manner::Often | Manner::Patient => job.run(&transaction)?,
        }
    }
    if transaction.total_changes() != changes_before {
        log_mark::raise(&transaction)?;
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use futures_util::{FutureExt as _, future::join};
    use tempfile::TempDir;
    use tokio::task::yield_now;

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
    async fn a_job_that_comes_often_fails_with_its_group() {
        let (_folder, writer) = start();
        let failed = writer.run_often(|db| insert(db, 1).and_then(|_| insert(db, 1)));
        assert!(matches!(failed.await, Err(StoreError::Unavailable(_))));
        let panics = writer.run_often::<()>(|_| resume_unwind(Box::new("an invariant broke")));
        assert!(matches!(panics.await, Err(StoreError::Unavailable(_))));
        assert_eq!(stored(&writer).await, [0_i64; 0]);
        writer.run_often(|db| insert(db, 2)).await.expect("the next is done");
        assert_eq!(stored(&writer).await, [2]);
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
                 INSERT INTO activity (stream, at) VALUES (77, 0)",
            )
        });
        assert!(matches!(unowned.await, Err(StoreError::Unavailable(_))));
        assert_eq!(stored(&writer).await, [0_i64; 0]);
        writer.run(|db| insert(db, 2)).await.expect("the next is done");
        assert_eq!(stored(&writer).await, [2]);
    }

    #[tokio::test]
    async fn a_patient_call_waits_for_others_until_one_cannot_or_its_time_is_up() {
        fn job(manner: Manner) -> Box<dyn Job> {
            Box::new(Call::new(manner, |_: &Connection| Ok::<_, StoreError>(())).0)
        }
        let (send, jobs) = mpsc::channel(16);
        // For ever, or this would take as long.
        let patience = Duration::from_hours(1);
        let mut groups = Groups { jobs, size_max: 4, patience, waiting: Vec::new() };
        let bring = |manner| send.try_send(job(manner)).expect("there is room");

        bring(Manner::Patient);
        let later = async {
            yield_now().await;
            bring(Manner::Patient);
            yield_now().await;
            bring(Manner::Often);
        };
        let (group, ()) = join(groups.next(), later).await;
        assert_eq!(group.expect("some").len(), 3, "the last cannot wait");

        (0..5).for_each(|_| bring(Manner::Patient));
        assert_eq!(groups.next().await.expect("some").len(), 4, "as many as share a commit");
        groups.patience = Duration::from_millis(1);
        assert_eq!(groups.next().await.expect("some").len(), 1, "nobody came");
        groups.patience = patience;
        bring(Manner::Patient);
        drop(send);
        assert_eq!(groups.next().await.expect("some").len(), 1, "nobody can come");
        assert!(groups.next().await.is_none());
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
