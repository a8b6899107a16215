//! A stream has one change at a time, whichever node it is changed on.

use futures_util::future::try_join_all;

use crate::{domain::id::StreamId, store::StoreError};

use super::{RequestError, Transmitter, turns::Turn};

/// How often a change is tried that meets those of other nodes.
const TRIES_MAX: usize = 5;

/// The tries of one change, while this node makes no other change of the stream.
pub(super) struct Tries<'a> {
    transmitter: &'a Transmitter,
    id: &'a StreamId,
    left: usize,
    _turn: Turn<'a>,
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
        self.transmitter.show(self.id).await?;
        Ok(true)
    }
}

impl Transmitter {
    /// To be held while a stream is changed.
    pub(super) async fn tries<'a>(&'a self, id: &'a StreamId) -> Tries<'a> {
        let turn = self.turns.take(id).await;
        Tries { transmitter: self, id, left: TRIES_MAX, _turn: turn }
    }

    /// Shows streams as they now stand in the store.
    pub(super) async fn refresh(&self, ids: &[&StreamId]) -> Result<(), StoreError> {
        try_join_all(ids.iter().map(|id| async {
            // A stream that is read here must not be published after a change that came between.
            let _turn = self.turns.take(id).await;
            self.show(id).await
        }))
        .await
        .map(drop)
    }

    /// Does the same for a caller who has the turn already.
    async fn show(&self, id: &StreamId) -> Result<(), StoreError> {
        match self.store.stream(id).await? {
            Some(stream) => {
                self.directory.put(stream);
                // The change may have been announced, so there may be a SET to send.
                self.wake_here(std::slice::from_ref(id), true);
            }
            None => self.forget(id),
        }
        Ok(())
    }

    /// Nothing is left of a stream that is deleted.
    pub(super) fn forget(&self, id: &StreamId) {
        self.directory.remove(id);
        self.verification_pace.forget(id);
        self.subject_paces().remove(id);
        self.activity.forget(id);
        self.poll_log.forget(id);
        self.poll_keys.forget(id);
        self.wake_here(std::slice::from_ref(id), false);
    }
}
