//! A Receiver manages its streams (SSF §8.1.1).

use std::sync::Arc;

use crate::{
    auth::Principal,
    clock,
    cluster::change_feed::notice::Notice,
    domain::{
        id::StreamId,
        provider::Provider,
        status::StreamStatus,
        stream::{Delivery, ReceiverMembers, StreamConfig},
    },
};

use super::{RequestError, Transmitter};

/// One of the two ways to change a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// PATCH: absent members stay (SSF §8.1.1.3).
    Update,
    /// PUT: absent members are deleted (SSF §8.1.1.4).
    Replace,
}

impl Transmitter {
    /// A new stream, enabled. Without `delivery` it is a poll stream (SSF §8.1.1.1).
    pub async fn create_stream(
        &self,
        principal: &Principal,
        provider: &Provider,
        given: ReceiverMembers,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let given = given.bounded()?;
        let stream = StreamConfig {
            id: new_stream_id(),
            provider: provider.name.clone(),
            receiver: principal.receiver.clone(),
            audience: principal.audience.clone(),
            events_requested: given.events_requested,
            delivery: given.delivery.unwrap_or(Delivery::Poll),
            description: given.description,
            default_subjects: provider.default_subjects,
            subject_format: provider.subject_format,
            status: StreamStatus::Enabled,
            reason: None,
            version: 1,
            created_at: clock::now(),
        };
        self.add(stream, provider.streams_per_receiver_max).await
    }

    /// Stores a new stream and shows it, unless its Receiver has `limit` streams.
    pub(super) async fn add(
        &self,
        stream: StreamConfig,
        limit: usize,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let _turn = self.turns.take(&stream.id).await;
        self.store.create_stream(stream.clone(), limit).await?;
        self.activity.touch(&stream, stream.created_at);
        self.tell_if_in_vain(None, &stream);
        Ok(self.reflect(stream))
    }

    pub fn stream(
        &self,
        principal: &Principal,
        id: &StreamId,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        self.owned(principal, id)
    }

    pub fn streams(&self, principal: &Principal) -> Vec<Arc<StreamConfig>> {
        self.directory.owned_by(&principal.provider, &principal.receiver)
    }

    /// Changes a stream. `allowed` judges the change by the stream as it stands, in the same step.
    pub async fn change_stream(
        &self,
        principal: &Principal,
        id: &StreamId,
        change: Change,
        given: ReceiverMembers,
        allowed: impl Fn(&StreamConfig) -> Result<(), RequestError>,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let given = given.bounded()?;
        let mut tries = self.tries(id).await;
        loop {
            let before = self.owned(principal, id)?;
            allowed(&before)?;
            let after = match change {
                Change::Update => before.patched(given.clone()),
                Change::Replace => before.replaced(given.clone()),
            };
            let changed = self.update(after).await;
            if !tries.again(&changed).await? {
                if let Ok(after) = &changed {
                    self.tell_if_in_vain(Some(&before), after);
                }
                return changed;
            }
        }
    }

    /// Tells the operator that a stream begins to ask for nothing but types that its provider does not
    /// support. The Receiver is not refused (SSF §8.1.1), and would wait for events in vain.
    fn tell_if_in_vain(&self, before: Option<&StreamConfig>, after: &StreamConfig) {
        let Some(provider) = self.directory.provider(&after.provider) else { return };
        let in_vain = |stream: &StreamConfig| stream.asks_in_vain(provider);
        if in_vain(after) && !before.is_some_and(in_vain) {
            tracing::info!(
                stream_id = %after.id,
                receiver = %after.receiver,
                provider = %after.provider,
                "the stream asks for no event type that its provider supports, so it gets no events"
            );
        }
    }

    /// Deletes a stream and what waits on it: nothing is sent any more (SSF §8.1.1.5).
    pub async fn delete_stream(
        &self,
        principal: &Principal,
        id: &StreamId,
    ) -> Result<(), RequestError> {
        let _turn = self.turns.take(id).await;
        self.owned(principal, id)?;
        self.remove(id).await
    }

    /// The same for an operator, whose stream ever it is.
    pub async fn delete_any_stream(&self, id: &StreamId) -> Result<(), RequestError> {
        let _turn = self.turns.take(id).await;
        self.known(id)?;
        self.remove(id).await
    }

    /// The same stream with other members than its status.
    pub(super) async fn update(
        &self,
        after: StreamConfig,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        self.store.update_stream(after.clone()).await?;
        Ok(self.reflect(after))
    }

    async fn remove(&self, id: &StreamId) -> Result<(), RequestError> {
        self.store.delete_stream(id).await?;
        self.forget(id);
        self.sharing.change_feed.send(Notice::changed(id));
        Ok(())
    }

    /// Shows a stream as the store now has it, and tells whoever delivers.
    pub(super) fn reflect(&self, stream: StreamConfig) -> Arc<StreamConfig> {
        let id = stream.id.clone();
        let shown = Arc::new(stream.clone());
        self.directory.put(stream);
        // The change may have been announced, so there may be a SET to send.
        self.wake_here(std::slice::from_ref(&id), true);
        self.sharing.change_feed.send(Notice::changed(&id));
        shown
    }
}

/// Draws the id of a stream.
pub(super) fn new_stream_id() -> StreamId {
    let drawn = clock::random_uuid().simple().to_string();
    format!("st_{drawn}").parse().expect("hexadecimal digits are unreserved")
}
