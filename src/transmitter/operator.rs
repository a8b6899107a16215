//! An operator looks at streams, whose ever they are, and says what is not for Receivers to say.

use std::sync::Arc;

use crate::{
    clock,
    domain::{
        audience::Audience,
        id::{ProviderName, ReceiverId, StreamId},
        provider::Provider,
        set_error::excerpt,
        status::StreamStatus,
        stream::{Delivery, ReceiverMembers, StreamConfig},
        subject::format::SubjectFormat,
    },
    store::StoreError,
};

use super::{
    RequestError, Transmitter,
    delivery_state::{DeliveryState, Here},
    streams::new_stream_id,
};

/// The streams that are asked for. An absent member does not restrict them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamFilter {
    pub provider: Option<ProviderName>,
    pub receiver: Option<ReceiverId>,
    pub status: Option<StreamStatus>,
    /// Only those behind it.
    pub after: Option<StreamId>,
}

/// Streams by id, the first of those that were asked for.
#[derive(Debug)]
pub struct StreamPage {
    pub streams: Vec<Arc<StreamConfig>>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// A stream that an operator makes for a Receiver: what the Receiver could ask for, and what only an
/// operator chooses.
#[derive(Debug, Clone)]
pub struct OperatedStream {
    /// `None` for a random id.
    pub id: Option<StreamId>,
    /// The owner, which needs no credential.
    pub receiver: ReceiverId,
    pub audience: Audience,
    pub given: ReceiverMembers,
    /// `None` for that of the provider.
    pub subject_format: Option<SubjectFormat>,
    pub status: StreamStatus,
    pub reason: Option<String>,
}

impl StreamFilter {
    fn takes(&self, stream: &StreamConfig) -> bool {
        self.provider.as_ref().is_none_or(|provider| *provider == stream.provider)
            && self.receiver.as_ref().is_none_or(|receiver| *receiver == stream.receiver)
            && self.status.is_none_or(|status| status == stream.status)
            && self.after.as_ref().is_none_or(|after| *after < stream.id)
    }
}

impl Transmitter {
    /// Up to `limit` streams, from the memory of this node.
    pub fn list_streams(&self, filter: &StreamFilter, limit: usize) -> StreamPage {
        let mut streams = self.directory.all(|stream| filter.takes(stream));
        let more = limit < streams.len();
        if more {
            // Only the page is sorted, and not all that lies behind it.
            streams.select_nth_unstable_by(limit, |a, b| a.id.cmp(&b.id));
            streams.truncate(limit);
        }
        streams.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        StreamPage { streams, more }
    }

    /// Returns the stream that [`Self::make_stream`] would make, as far as this node can tell.
    pub fn plan_stream(
        &self,
        provider: &Provider,
        stream: OperatedStream,
    ) -> Result<StreamConfig, RequestError> {
        let given = stream.given.bounded()?;
        let id = stream.id.unwrap_or_else(new_stream_id);
        if self.directory.stream(&id).is_some() {
            return Err(RequestError::StreamExists(id));
        }
        Ok(StreamConfig {
            id,
            provider: provider.name.clone(),
            receiver: stream.receiver,
            audience: stream.audience,
            events_requested: given.events_requested,
            delivery: given.delivery.unwrap_or(Delivery::Poll),
            description: given.description,
            default_subjects: provider.default_subjects,
            subject_format: stream.subject_format.unwrap_or(provider.subject_format),
            status: stream.status,
            reason: stream.reason.map(|reason| excerpt(&reason)),
            version: 1,
            created_at: clock::now(),
        })
    }

    /// Makes a stream as it was planned. `streams_per_receiver_max` does not count, because it bounds what
    /// Receivers ask for. No verification event is sent, because nobody asked for one.
    pub async fn make_stream(
        &self,
        planned: StreamConfig,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let id = planned.id.clone();
        match self.add(planned, usize::MAX).await {
            Err(RequestError::Store(StoreError::Conflict)) => Err(RequestError::StreamExists(id)),
            made => made,
        }
    }

    /// Returns one stream, and how its delivery stands on this node.
    pub async fn show_stream(
        &self,
        id: &StreamId,
    ) -> Result<(Arc<StreamConfig>, DeliveryState), RequestError> {
        let stream = self.known(id)?;
        let waiting = self.store.waiting(id).await?;
        let here = match stream.delivery {
            Delivery::Poll => {
                let (marks, long_polls) = (self.poll_log.marks(id), self.waiters.count(id));
                Here::Polled { marks, long_polls }
            }
            Delivery::Push(_) if self.sharing.lease.serves(id, clock::instant()) => {
                Here::Pushed(self.registry.report(id).await)
            }
            Delivery::Push(_) => Here::ElsewherePushed,
        };
        let provider = self.directory.provider(&stream.provider);
        let in_vain = provider.is_some_and(|provider| stream.asks_in_vain(provider));
        Ok((stream, DeliveryState { waiting, here, in_vain }))
    }

    /// SETs of events that come from now on carry an identifier in this form; those that wait stay
    /// as they are.
    pub async fn set_subject_format(
        &self,
        id: &StreamId,
        format: SubjectFormat,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let mut tries = self.tries(id).await;
        loop {
            let before = self.known(id)?;
            if before.subject_format == format {
                return Ok(before);
            }
            let changed = self.update(before.with_subject_format(format)).await;
            if !tries.again(&changed).await? {
                return changed;
            }
        }
    }
}
