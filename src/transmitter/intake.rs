//! The intake: from the bytes of a publisher to SETs in the outboxes, the same for Redis and HTTP.
//!
//! ```text
//! bytes ─▶ admission ─▶ addressing ─▶ batch ⇄ scheduler (schedule) ─▶ steps ─▶ store::append
//! ```
//!
//! - `admission` reads an event and checks it by the definition of its type.
//! - `addressing` asks the directory for candidates and [`Judgement`] about each, and writes claims.
//! - `schedule` decides which event is appended next: the order of subjects and accounts, and a fair
//!   share for all. It is pure. `scheduler` is the lock around it, and hands out the turns.
//! - `batch` drives events that are long, or that wait for others.
//! - `steps` is the only caller of the store, and never hands it more than [`STEP_MAX`] SETs.
//!
//! The order of events rests on the schedule. Idempotency rests on the store alone: an event that is
//! brought again makes the same SETs, wherever it broke off. Batches of short events, which most are,
//! pass the schedule without being entered: one call of the store, and no task.
//!
//! [`Judgement`]: crate::domain::judgement::Judgement
//! [`STEP_MAX`]: crate::store::STEP_MAX

pub(super) mod addressing;
pub(super) mod admission;
mod batch;
mod schedule;
mod scheduler;
mod steps;

use std::{sync::Arc, time::Duration};

use self::addressing::{Work, address};
pub use self::{
    batch::Batch,
    scheduler::{Scheduler, Sequence},
};
use crate::{
    clock,
    cluster::lease::LeaseUnconfirmed,
    domain::{
        event::Event,
        provider::Provider,
        set::Origin,
        subject::{keys::SubjectKeys, list::Listed},
        time::Timestamp,
    },
    store::{Appended, Position, StoreError},
};

use super::Transmitter;

/// An event and what identifies it for good.
#[derive(Debug)]
pub struct Incoming {
    pub event: Event,
    pub origin: Origin,
    /// By how much longer than the store remembers other ids it remembers that of this event.
    pub id_kept_longer: Duration,
}

/// Events of one provider with the streams that get them.
pub struct Addressed {
    works: Vec<Work>,
    now: Timestamp,
}

impl Transmitter {
    /// Puts each event into the outbox of every stream that wants it, those about one subject in their
    /// order. Once this returns `Ok`, they are durable; after an error some may be, and to do it again
    /// completes it.
    pub async fn publish(
        self: &Arc<Self>,
        provider: &Arc<Provider>,
        events: Vec<Incoming>,
    ) -> Result<Vec<Appended>, StoreError> {
        let Addressed { works, now } = self.address(provider, events).await?;
        let works = match self.scheduler.pass(works) {
            Ok((events, _shorts)) => return self.append_short(events, None, now).await,
            Err(works) => works,
        };
        let sequence = Arc::new(self.open_sequence());
        let mut batch = Batch::new(Arc::clone(self), sequence, works, now);
        let free = batch.plan()?;
        batch.append_free(free, None).await?;
        batch.finish().await
    }

    /// Opens a sequence, within which events about one subject keep their order from batch to batch.
    pub fn open_sequence(&self) -> Sequence {
        self.scheduler.open_sequence()
    }

    /// Appends the next events of a sequence. Returns once they are durable, but for those of the
    /// returned batch, which is to be finished; `None` if there are none. The position moves with the
    /// events, unless there is such a batch: then the caller moves it later.
    pub async fn take_in(
        self: &Arc<Self>,
        sequence: &Arc<Sequence>,
        events: Addressed,
        position: Option<(String, Position)>,
    ) -> Result<Option<Batch>, StoreError> {
        let Addressed { works, now } = events;
        let works = match self.scheduler.pass(works) {
            Ok((events, _shorts)) => {
                sequence.check()?;
                self.append_short(events, position, now).await?;
                return Ok(None);
            }
            Err(works) => works,
        };
        let mut batch = Batch::new(Arc::clone(self), Arc::clone(sequence), works, now);
        let free = batch.plan()?;
        if batch.is_finished() {
            batch.append_free(free, position).await?;
            return Ok(None);
        }
        batch.append_free(free, None).await?;
        batch.enter_all().await?;
        Ok(Some(batch))
    }

    /// Moves the position of a partition: all before it is durable.
    pub async fn move_position(
        &self,
        partition: &str,
        position: Position,
    ) -> Result<(), StoreError> {
        let position = Some((partition.to_owned(), position));
        self.append_short(Vec::new(), position, clock::now()).await.map(|_| ())
    }

    /// Matches each event with the streams that want it.
    pub async fn address(
        &self,
        provider: &Arc<Provider>,
        events: Vec<Incoming>,
    ) -> Result<Addressed, StoreError> {
        if !self.sharing.lease.is_valid(clock::instant()) {
            // The events would be matched with streams as they were.
            return Err(StoreError::Unavailable(Arc::new(LeaseUnconfirmed)));
        }
        let now = clock::now();
        let listed = self.look_up(provider, &events, now).await?;
        let listed = listed.into_iter().chain(std::iter::repeat_with(Listed::default));
        let events = events.into_iter().zip(listed);
        let works = events
            .map(|(event, listed)| address(&self.directory, provider, event, &listed, now))
            .collect();
        Ok(Addressed { works, now })
    }

    /// Looks up the streams that list the subject of each event. Returns nothing where every stream
    /// gets every subject. A subject that is removed meanwhile is noticed when the SET is read to be
    /// sent.
    async fn look_up(
        &self,
        provider: &Provider,
        events: &[Incoming],
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        if !self.directory.is_selective(&provider.name) {
            return Ok(Vec::new());
        }
        let keys =
            |incoming: &Incoming| SubjectKeys::of_event(&provider.name, &incoming.event.subject);
        let subjects = events.iter().map(keys).collect();
        self.store.listed(&provider.name, subjects, now).await
    }
}
