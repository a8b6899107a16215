//! Events of one partition on their way into the store. Their order counts for those about one
//! subject. An event for many streams takes long to be appended, and so it is appended aside: events
//! behind it that are about other subjects go on meanwhile.

use std::{mem::take, panic::resume_unwind, sync::Arc};

use tokio::task::{JoinError, JoinSet};

use crate::{
    delivery::lane::Lane,
    domain::time::Timestamp,
    store::{Append, AppendBatch, Position, STEP_MAX, StoreError},
    transmitter::Transmitter,
};

/// What of a partition was read, and what of that is kept.
pub(super) struct Sequence {
    transmitter: Arc<Transmitter>,
    partition: String,
    read: Position,
    kept: Position,
    aside: Option<Aside>,
}

/// The event that is being appended aside; at most one, so that memory is bounded.
struct Aside {
    lane: Lane,
    /// One task, which ends with this.
    task: JoinSet<Result<(), StoreError>>,
}

impl Sequence {
    pub(super) fn new(transmitter: Arc<Transmitter>, partition: String, start: Position) -> Self {
        Self { transmitter, partition, read: start.clone(), kept: start, aside: None }
    }

    /// All entries up to it were read.
    pub(super) fn read(&self) -> &Position {
        &self.read
    }

    /// All entries up to it are kept, and so is this position. It is behind the other only while an
    /// event is appended aside; whoever begins anew reads from here, and doubles nothing.
    pub(super) fn kept(&self) -> &Position {
        &self.kept
    }

    /// Whether one is appended aside.
    pub(super) fn has_aside(&self) -> bool {
        self.aside.is_some()
    }

    /// Appends the events that were read next, and what comes with them, up to this position.
    pub(super) async fn append(
        &mut self,
        batch: AppendBatch,
        up_to: Position,
    ) -> Result<(), StoreError> {
        let now = batch.now;
        let mut together = Vec::new();
        for event in batch.events {
            let waits = self.aside.as_ref().is_some_and(|aside| aside.is_before(&event));
            if waits || is_long(&event) {
                self.keep(take(&mut together), None, now).await?;
            }
            if waits {
                self.end_aside().await?;
            }
            if is_long(&event) {
                self.aside = Some(self.begin_aside(event, now));
            } else {
                together.push(event);
            }
        }
        self.read = up_to;
        self.go_on(together, now).await
    }

    /// Nothing more was read: an event that was appended aside may be done.
    pub(super) async fn rest(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.has_aside() { self.go_on(Vec::new(), now).await } else { Ok(()) }
    }

    /// The position moves with the last of the events before it.
    async fn go_on(&mut self, events: Vec<Append>, now: Timestamp) -> Result<(), StoreError> {
        let ended = self.aside.as_mut().and_then(|aside| aside.task.try_join_next());
        if let Some(ended) = ended {
            self.aside = None;
            if let Err(error) = result_of(ended) {
                // What is behind it does not wait until it can be appended.
                self.keep(events, None, now).await?;
                return Err(error);
            }
        }
        if self.has_aside() {
            return self.keep(events, None, now).await;
        }
        self.keep(events, Some(self.read.clone()), now).await?;
        self.kept = self.read.clone();
        Ok(())
    }

    async fn keep(
        &self,
        events: Vec<Append>,
        position: Option<Position>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if events.is_empty() && position.is_none() {
            return Ok(());
        }
        let position = position.map(|position| (self.partition.clone(), position));
        self.transmitter.append(AppendBatch { events, position, now }).await.map(|_| ())
    }

    fn begin_aside(&self, event: Append, now: Timestamp) -> Aside {
        let lane = event.sets[0].lane;
        let transmitter = Arc::clone(&self.transmitter);
        let batch = AppendBatch { events: vec![event], position: None, now };
        let mut task = JoinSet::new();
        task.spawn(async move { transmitter.append(batch).await.map(|_| ()) });
        Aside { lane, task }
    }

    async fn end_aside(&mut self) -> Result<(), StoreError> {
        let Some(mut aside) = self.aside.take() else { return Ok(()) };
        result_of(aside.task.join_next().await.expect("there is one task"))
    }
}

impl Aside {
    /// Whether this event waits for it: one about the same subject, and the next long one.
    fn is_before(&self, event: &Append) -> bool {
        is_long(event) || event.sets.first().is_some_and(|set| set.lane == self.lane)
    }
}

/// What a task came to. A panic in it is one here.
fn result_of(ended: Result<Result<(), StoreError>, JoinError>) -> Result<(), StoreError> {
    ended.unwrap_or_else(|panicked| resume_unwind(panicked.into_panic()))
}

/// Whether it is appended aside, as it is more than one step of the store. One that speaks of an account is judged by the choices before it, and
/// so has its turn.
fn is_long(event: &Append) -> bool {
    STEP_MAX < event.sets.len() && event.opt_out.is_none()
}
