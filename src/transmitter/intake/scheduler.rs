//! The lock around the schedule, through which all events pass on their way into the store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc::UnboundedSender;

use super::{
    addressing::Work,
    schedule::{Broken, Grant, Round, Schedule, SequenceId, Ticket},
};
use crate::store::{Append, StoreError};

/// One for the whole daemon.
#[derive(Debug, Default)]
pub struct Scheduler(Mutex<State>);

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) schedule: Schedule,
    /// To whom the turn of each entered event is told. The schedule grants an event at most once before
    /// it hears of it again, so a channel holds no more than its batch has entered.
    pub(super) batches: HashMap<Ticket, UnboundedSender<Grant>>,
}

/// A partition or a request: its events about one subject keep their order.
#[derive(Debug)]
pub struct Sequence {
    pub(super) id: SequenceId,
    scheduler: Arc<Scheduler>,
}

/// Stands for short events that are being appended. The next step of a long one may wait for them.
pub(super) struct Shorts {
    round: Round,
    scheduler: Arc<Scheduler>,
}

#[derive(Debug, thiserror::Error)]
#[error("an earlier event was not appended")]
struct EarlierFailed;

impl From<Broken> for StoreError {
    fn from(_: Broken) -> Self {
        Self::Unavailable(Arc::new(EarlierFailed))
    }
}

impl Scheduler {
    /// Lets events pass at once if all are short and none is entered, which most batches are.
    pub(super) fn pass(
        self: &Arc<Self>,
        works: Vec<Work>,
    ) -> Result<(Vec<Append>, Shorts), Vec<Work>> {
        if works.iter().any(|work| matches!(work, Work::Long(_))) {
            return Err(works);
        }
        let round = self
            .change(|state| state.schedule.is_empty().then(|| state.schedule.on_shorts_began()));
        let Some(round) = round else { return Err(works) };
        let events = works.into_iter().filter_map(|work| match work {
            Work::Short(append) => Some(append),
            Work::Long(_) => None,
        });
        Ok((events.collect(), Shorts { round, scheduler: Arc::clone(self) }))
    }

    pub(super) fn begin_shorts(self: &Arc<Self>) -> Shorts {
        let round = self.change(|state| state.schedule.on_shorts_began());
        Shorts { round, scheduler: Arc::clone(self) }
    }

    pub(super) fn open_sequence(self: &Arc<Self>) -> Sequence {
        let id = self.change(|state| state.schedule.open_sequence());
        Sequence { id, scheduler: Arc::clone(self) }
    }

    /// Changes the schedule, and tells of the turns that follow.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // A panic under this lock is a broken invariant of the schedule, and the process will not be
        // ready for long; until then the others go on.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut state);
        for grant in state.schedule.next() {
            if let Some(batch) = state.batches.get(&grant.ticket) {
                // A batch that is gone takes its events out of the schedule.
                batch.send(grant).ok();
            }
        }
        result
    }
}

impl Sequence {
    /// Fails if one of its events failed.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let broken = self.scheduler.change(|state| state.schedule.is_broken(self.id));
        if broken { Err(Broken.into()) } else { Ok(()) }
    }
}

impl Drop for Sequence {
    fn drop(&mut self) {
        self.scheduler.change(|state| state.schedule.close_sequence(self.id));
    }
}

impl Drop for Shorts {
    fn drop(&mut self) {
        self.scheduler.change(|state| state.schedule.on_shorts_ended(self.round));
    }
}
