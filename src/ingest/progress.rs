//! The position of one partition, behind the events that the intake took in. Several batches may be
//! under way, because an event for many streams does not hold up those behind it; the position moves
//! once all before it is durable.

use std::{collections::VecDeque, panic::resume_unwind, sync::Arc};

use tokio::task::{JoinError, JoinSet};

use crate::{
    store::{Position, StoreError},
    transmitter::{
        Transmitter,
        intake::{Addressed, Sequence},
    },
};

/// The most batches of a partition that are under way. Reading waits beyond. A batch of short events is
/// under way only if it waits for a long event.
const BATCHES_MAX: usize = 16;

/// How far a partition was read, and how far that is durable.
pub(super) struct Progress {
    transmitter: Arc<Transmitter>,
    sequence: Arc<Sequence>,
    partition: String,
    read: Position,
    kept: Position,
    open: OpenBatches,
    /// Ends with this, so that nothing is appended for a partition that another node reads.
    tasks: JoinSet<(u64, Result<(), StoreError>)>,
}

/// Batches that were read and are not known to be durable together with all before them, in order.
///
/// Invariant: no two neighbours are both durable, so the length is bounded by the batches under way.
#[derive(Default)]
struct OpenBatches {
    batches: VecDeque<OpenBatch>,
    opened: u64,
}

struct OpenBatch {
    number: u64,
    /// The position behind the batch.
    up_to: Position,
    durable: bool,
}

impl Progress {
    pub(super) fn new(transmitter: Arc<Transmitter>, partition: String, start: Position) -> Self {
        Self {
            sequence: Arc::new(transmitter.open_sequence()),
            transmitter,
            partition,
            read: start.clone(),
            kept: start,
            open: OpenBatches::default(),
            tasks: JoinSet::new(),
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
        while BATCHES_MAX <= self.tasks.len() {
            self.wait().await?;
        }
        let alone = self.open.is_empty();
        let position = alone.then(|| (self.partition.clone(), up_to.clone()));
        let batch = self.transmitter.take_in(&self.sequence, events, position).await?;
        self.read = up_to.clone();
        match batch {
            None if alone => self.kept = up_to,
            None => _ = self.open.push(up_to, true),
            Some(batch) => {
                let number = self.open.push(up_to, false);
                self.tasks.spawn(async move { (number, batch.finish().await.map(|_| ())) });
            }
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
        self.open.ended(number);
        Ok(())
    }

    async fn move_position(&mut self) -> Result<(), StoreError> {
        let Some(up_to) = self.open.take_durable() else { return Ok(()) };
        self.transmitter.move_position(&self.partition, up_to.clone()).await?;
        self.kept = up_to;
        Ok(())
    }
}

impl OpenBatches {
    fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Adds the batch that was read last. Returns its number.
    fn push(&mut self, up_to: Position, durable: bool) -> u64 {
        self.opened += 1;
        self.batches.push_back(OpenBatch { number: self.opened, up_to, durable });
        self.merge();
        self.opened
    }

    /// Notes that a batch is durable.
    fn ended(&mut self, number: u64) {
        for batch in self.batches.iter_mut().filter(|batch| batch.number == number) {
            batch.durable = true;
        }
        self.merge();
    }

    /// Takes the durable batches at the front. Returns the position behind them, if there are any.
    fn take_durable(&mut self) -> Option<Position> {
        // Neighbours that are durable were merged.
        self.batches.pop_front_if(|batch| batch.durable).map(|batch| batch.up_to)
    }

    fn merge(&mut self) {
        let mut merged: VecDeque<OpenBatch> = VecDeque::with_capacity(self.batches.len());
        for batch in self.batches.drain(..) {
            match merged.back_mut() {
                Some(last) if last.durable && batch.durable => last.up_to = batch.up_to,
                _ => merged.push_back(batch),
            }
        }
        self.batches = merged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EntryId;

    fn up_to(millis: u64) -> Position {
        Position { epoch: 0, entry: EntryId { millis, number: 0 } }
    }

    #[test]
    fn the_position_moves_once_all_before_it_is_durable() {
        let mut open = OpenBatches::default();
        let first = open.push(up_to(1), false);
        let second = open.push(up_to(2), false);
        open.push(up_to(3), true);
        assert_eq!(open.take_durable(), None);
        open.ended(second);
        assert_eq!(open.take_durable(), None);
        open.ended(first);
        assert_eq!(open.take_durable(), Some(up_to(3)));
        assert!(open.is_empty() && open.take_durable().is_none());
    }

    /// Any number of batches may pass a long event, and none of them takes a place.
    #[test]
    fn durable_batches_behind_an_open_one_take_no_room() {
        let mut open = OpenBatches::default();
        let long = open.push(up_to(0), false);
        for n in 1..=1000 {
            let number = open.push(up_to(n), n % 2 == 0);
            open.ended(number);
        }
        assert_eq!(open.batches.len(), 2);
        open.ended(long);
        assert_eq!(open.take_durable(), Some(up_to(1000)));
    }
}
