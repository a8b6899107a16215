//! The position of one partition, behind the events that the intake took in. Several batches may be
//! under way, because an event for many streams does not hold up those behind it; the position moves
//! once all before it is durable.

use std::{collections::VecDeque, panic::resume_unwind, sync::Arc};

use tokio::task::{JoinError, JoinSet};

use crate::{
    store::{Position, StoreError},
    transmitter::{
        Transmitter,
        intake::{Addressed, Batch, Sequence},
    },
};

/// The most batches of a partition that are under way. Reading waits beyond.
const BATCHES_MAX: usize = 16;

/// How far a partition was read, and how far that is durable.
pub(super) struct Progress {
    transmitter: Arc<Transmitter>,
    sequence: Arc<Sequence>,
    partition: String,
    read: Position,
    kept: Position,
    /// Batches that were read and are not known to be durable together with all before them: up to
    /// where each goes, and whether it is durable itself.
    open: VecDeque<OpenBatch>,
    /// Ends with this, so that nothing is appended for a partition that another node reads.
    tasks: JoinSet<(u64, Result<(), StoreError>)>,
    batches: u64,
}

struct OpenBatch {
    number: u64,
    up_to: Position,
    done: bool,
}

impl Progress {
    pub(super) fn new(transmitter: Arc<Transmitter>, partition: String, start: Position) -> Self {
        Self {
            sequence: Arc::new(transmitter.open_sequence()),
            transmitter,
            partition,
            read: start.clone(),
            kept: start,
            open: VecDeque::new(),
            tasks: JoinSet::new(),
            batches: 0,
        }
    }

    /// All entries up to it were read.
    pub(super) fn read(&self) -> &Position {
        &self.read
    }

    /// All entries up to it are durable, and so is this position. A reader that begins anew begins here,
    /// and doubles nothing.
    pub(super) fn kept(&self) -> &Position {
        &self.kept
    }

    /// Whether something that was read is not durable yet.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Has the events appended that were read next, up to this position.
    pub(super) async fn append(
        &mut self,
        events: Addressed,
        up_to: Position,
    ) -> Result<(), StoreError> {
        self.catch_up().await?;
        while BATCHES_MAX <= self.open.len() {
            self.wait().await?;
        }
        let alone = self.open.is_empty();
        let position = alone.then(|| (self.partition.clone(), up_to.clone()));
        let batch = self.transmitter.take_in(&self.sequence, events, position).await?;
        self.read = up_to.clone();
        match batch {
            None if alone => self.kept = up_to,
            None => self.opened(up_to, None),
            Some(batch) => self.opened(up_to, Some(batch)),
        }
        Ok(())
    }

    /// Moves the position as far as all is durable. To be called when nothing more was read, too.
    pub(super) async fn catch_up(&mut self) -> Result<(), StoreError> {
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended(ended)?;
        }
        self.move_position().await
    }

    fn opened(&mut self, up_to: Position, batch: Option<Batch>) {
        self.batches += 1;
        let number = self.batches;
        self.open.push_back(OpenBatch { number, up_to, done: batch.is_none() });
        if let Some(batch) = batch {
            self.tasks.spawn(async move { (number, batch.finish().await.map(|_| ())) });
        }
    }

    /// Waits until one more batch is durable.
    async fn wait(&mut self) -> Result<(), StoreError> {
        if let Some(ended) = self.tasks.join_next().await {
            self.ended(ended)?;
        }
        self.move_position().await
    }

    fn ended(
        &mut self,
        ended: Result<(u64, Result<(), StoreError>), JoinError>,
    ) -> Result<(), StoreError> {
        // A panic in a task is one here.
        let (number, result) =
            ended.unwrap_or_else(|panicked| resume_unwind(panicked.into_panic()));
        result?;
        for batch in self.open.iter_mut().filter(|batch| batch.number == number) {
            batch.done = true;
        }
        Ok(())
    }

    async fn move_position(&mut self) -> Result<(), StoreError> {
        let mut up_to = None;
        while self.open.front().is_some_and(|batch| batch.done) {
            up_to = self.open.pop_front().map(|batch| batch.up_to);
        }
        let Some(up_to) = up_to else { return Ok(()) };
        self.transmitter.move_position(&self.partition, up_to.clone()).await?;
        self.kept = up_to;
        Ok(())
    }
}
