//! A call on its way to the writing thread.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::caught;
use crate::store::StoreError;

/// A job runs within the transaction of its group. Its answer is sent once the transaction is
/// durable.
pub(super) trait Job: Send {
    fn manner(&self) -> Manner;

    /// Runs the job. After an error, its changes must not be kept.
    fn run(&mut self, db: &Connection) -> Result<(), StoreError>;

    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// How a call shares a group with other calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// The job may refuse and is then rolled back alone. That costs a savepoint, which copies each
    /// page that the job changes.
    Careful,
    /// The job is frequent and never refuses. It fails only if the database fails, together with
    /// its group.
    Often,
    /// The job is like `Often`, and nobody needs its answer at once.
    Patient,
}

pub(super) struct Call<T, F> {
    manner: Manner,
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

/// The answer to a call, sent once it is durable.
pub(super) type Answered<T> = oneshot::Receiver<Result<T, StoreError>>;

impl<T, F> Call<T, F> {
    pub(super) fn new(manner: Manner, work: F) -> (Self, Answered<T>) {
        let (answer, answered) = oneshot::channel();
        (Self { manner, work: Some(work), result: None, answer }, answered)
    }
}

impl<T, F, E> Job for Call<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    E: Into<StoreError>,
{
    fn manner(&self) -> Manner {
        self.manner
    }

    fn run(&mut self, db: &Connection) -> Result<(), StoreError> {
        let work = self.work.take().expect("a job is run once");
        let result = self.result.insert(caught(|| work(db)));
        result.as_ref().map(drop).map_err(Clone::clone)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { result, answer, .. } = *self;
        // The caller may have gone away.
        answer.send(committed.and_then(|()| result.expect("a committed job was run"))).ok();
    }
}
