//! An operator looks at streams, whose ever they are, and says what is not for Receivers to say.

use std::sync::Arc;

use crate::{
    clock,
    domain::{
        id::{ProviderName, ReceiverId, StreamId},
        status::StreamStatus,
        stream::{Delivery, StreamConfig},
        subject::format::SubjectFormat,
    },
};

use super::{
    RequestError, Transmitter,
    delivery_state::{DeliveryState, Here},
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
