//! Remembers how each stream was polled on this node, for operators. Nothing else depends on it, so
//! it is kept in memory alone.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::{id::StreamId, time::Timestamp};

/// The last polls of each stream.
#[derive(Debug, Default)]
pub(super) struct PollLog(Mutex<HashMap<StreamId, PollMarks>>);

/// The last polls of one stream on this node, since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PollMarks {
    pub last_poll: Option<Timestamp>,
    /// When SETs were last handed out, and how many.
    pub handed_out: Option<(Timestamp, usize)>,
    /// When the Receiver last acknowledged or refused SETs.
    pub last_acknowledged: Option<Timestamp>,
}

impl PollLog {
    pub(super) fn polled(&self, id: &StreamId, now: Timestamp) {
        self.mark(id, |marks| marks.last_poll = Some(now));
    }

    pub(super) fn handed_out(&self, id: &StreamId, sets: usize, now: Timestamp) {
        self.mark(id, |marks| marks.handed_out = Some((now, sets)));
    }

    pub(super) fn acknowledged(&self, id: &StreamId, now: Timestamp) {
        self.mark(id, |marks| marks.last_acknowledged = Some(now));
    }

    pub(super) fn marks(&self, id: &StreamId) -> PollMarks {
        self.lock().get(id).copied().unwrap_or_default()
    }

    pub(super) fn forget(&self, id: &StreamId) {
        self.lock().remove(id);
    }

    fn mark(&self, id: &StreamId, mark: impl FnOnce(&mut PollMarks)) {
        let mut log = self.lock();
        match log.get_mut(id) {
            Some(marks) => mark(marks),
            None => mark(log.entry(id.clone()).or_default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, PollMarks>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PollMarks {
    /// Returns how many SETs of the last answer the Receiver has not acknowledged, as far as this node
    /// knows: all of them, or none.
    pub(super) fn unacknowledged(&self) -> Option<(Timestamp, usize)> {
        self.handed_out.filter(|(at, _)| self.last_acknowledged.is_none_or(|acked| acked <= *at))
    }
}
