//! Streams change one at a time, whichever node they are changed on.

use futures_util::future::try_join_all;
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
        self.transmitter.show(&[self.id]).await?;
        Ok(true)
    }
}

impl Transmitter {
    /// To be held while a stream is changed.
    pub(super) async fn tries<'a>(&'a self, id: &'a StreamId) -> Tries<'a> {
        let turn = self.changes.lock().await;
        Tries { transmitter: self, id, left: TRIES_MAX, _turn: turn }
    }

    /// Shows streams as they now stand in the store.
    pub(super) async fn refresh(&self, ids: &[&StreamId]) -> Result<(), StoreError> {
        // Streams that are read here must not be published after a change that came between.
        let _turn = self.changes.lock().await;
        self.show(ids).await
    }

    /// The same for whoever has the turn already.
    async fn show(&self, ids: &[&StreamId]) -> Result<(), StoreError> {
        let streams = try_join_all(ids.iter().map(|id| self.store.stream(id))).await?;
        for (id, stream) in ids.iter().copied().zip(streams) {
            match stream {
                Some(stream) => {
                    self.directory.put(stream);
                    // The change may have been announced, so there may be a SET to send.
                    self.wake_here(std::slice::from_ref(id), true);
                }
                None => self.forget(id),
            }
        }
        Ok(())
    }

    /// Nothing is left of a stream that is deleted.
    pub(super) fn forget(&self, id: &StreamId) {
        self.directory.remove(id);
        self.verified_at().remove(id);
        self.subject_paces().remove(id);
        self.activity.forget(id);
        self.poll_log.forget(id);
        self.wake_here(std::slice::from_ref(id), false);
    }
}
