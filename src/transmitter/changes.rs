//! Streams change one at a time, whichever node they are changed on.

use tokio::sync::MutexGuard;

use crate::{domain::id::StreamId, store::StoreError};

use super::{RequestError, Transmitter};

/// How often a change is tried that meets those of other nodes.
const TRIES_MAX: usize = 5;

/// The tries of one change, while this node changes no other stream.
pub(super) struct Tries<'a> {
    transmitter: &'a Transmitter,
    id: &'a StreamId,
    left: usize,
    _turn: MutexGuard<'a, ()>,
}

impl Tries<'_> {
    /// Whether a change is to be tried again, from the stream as it now stands: another node changed
    /// it meanwhile, and the store has said so.
    pub(super) async fn again<T>(
        &mut self,
        changed: &Result<T, RequestError>,
    ) -> Result<bool, StoreError> {
        let conflict = matches!(changed, Err(RequestError::Store(StoreError::Conflict)));
        self.left -= 1;
        if !conflict || self.left == 0 {
            return Ok(false);
        }
        self.transmitter.refresh(self.id).await?;
        Ok(true)
    }
}

impl Transmitter {
    /// To be held while a stream is changed.
    pub(super) async fn tries<'a>(&'a self, id: &'a StreamId) -> Tries<'a> {
        let turn = self.changes.lock().await;
        Tries { transmitter: self, id, left: TRIES_MAX, _turn: turn }
    }

    /// Shows a stream as it now stands in the store. To be called where streams change one at a
    /// time, or what is shown might be older than what was.
    pub(super) async fn refresh(&self, id: &StreamId) -> Result<(), StoreError> {
        match self.store.stream(id).await? {
            Some(stream) => {
                self.directory.put(stream);
                // It may have been announced.
                self.wake_here(std::slice::from_ref(id), true);
            }
            None => self.forget(id),
        }
        Ok(())
    }

    /// Nothing is left of a stream that is deleted.
    pub(super) fn forget(&self, id: &StreamId) {
        self.directory.remove(id);
        self.verified_at().remove(id);
        self.subject_paces().remove(id);
        self.activity.forget(id);
        self.wake_here(std::slice::from_ref(id), false);
    }
}
