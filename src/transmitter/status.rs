//! The status of a stream is changed: by its Receiver, or by us (SSF §8.1.2).

use std::sync::Arc;

use crate::{
    auth::Principal,
    clock,
    delivery::{
        lane::Lane,
        outbox::{Kind, NewSet},
    },
    domain::{
        event_type::EventType,
        id::StreamId,
        provider::Provider,
        set::Origin,
        set_error::excerpt,
        status::{Announce, Initiator, StreamStatus, stream_updated},
        stream::StreamConfig,
        subject::SubjectId,
        time::Timestamp,
    },
    store::Announcement,
    telemetry::metrics,
};

use super::{RequestError, Transmitter, publish::SetOf};

impl Transmitter {
    /// Its Receiver wants it so. Once this returns, no further attempt starts on a stream that is
    /// not enabled; one that is under way ends as it does.
    pub async fn change_status(
        &self,
        principal: &Principal,
        id: &StreamId,
        status: StreamStatus,
        reason: Option<String>,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let _one_at_a_time = self.changes.lock().await;
        let before = self.owned(principal, id)?;
        self.turn(&before, status, reason, Initiator::Receiver).await
    }

    /// An operator wants it so. The Receiver is told by a stream-updated event, which is the last
    /// that a stopped stream sends.
    pub async fn set_status(
        &self,
        id: &StreamId,
        status: StreamStatus,
        reason: Option<String>,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let _one_at_a_time = self.changes.lock().await;
        let before = self.known(id)?;
        // It begins anew, and has the whole time before it.
        self.activity.touch(&before, clock::now());
        self.turn(&before, status, reason, Initiator::Transmitter).await
    }

    /// Pauses a stream for a reason of our own, and tells its Receiver. `still` judges the stream as
    /// it stands by then. `false` if that says no, or if it is not enabled.
    pub async fn suspend(
        &self,
        id: &StreamId,
        reason: &str,
        still: impl FnOnce(&StreamConfig) -> bool,
    ) -> Result<bool, RequestError> {
        let _one_at_a_time = self.changes.lock().await;
        let before = self.known(id)?;
        if before.status != StreamStatus::Enabled || !still(&before) {
            return Ok(false);
        }
        let reason = Some(reason.to_owned());
        self.turn(&before, StreamStatus::Paused, reason, Initiator::Transmitter).await?;
        Ok(true)
    }

    /// The change and its announcement are durable in one step, so that neither is without the
    /// other.
    async fn turn(
        &self,
        before: &StreamConfig,
        status: StreamStatus,
        reason: Option<String>,
        by: Initiator,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let provider = self.directory.provider(&before.provider);
        let provider = provider.ok_or(RequestError::StreamNotFound)?;
        let now = clock::now();
        let after = before.with_status(status, reason.map(|text| excerpt(&text)));
        let announcement = match before.status.announced(status, by) {
            Announce::Never => Announcement::None,
            Announce::Instead => Announcement::Instead(announcement(provider, &after, now)),
            Announce::Always => Announcement::New(announcement(provider, &after, now)),
        };
        self.store.change_status(after.clone(), announcement, now).await?;
        metrics::status_change(&provider.name, status.as_str(), by.as_str());
        let (by, reason) = (by.as_str(), after.reason.as_deref());
        tracing::info!(stream_id = %after.id, status = status.as_str(), by, reason, "status changed");
        // Resuming takes no step of its own: to reflect is to wake whoever delivers.
        Ok(self.reflect(after))
    }
}

/// The stream-updated event that tells of a stream's status (SSF §8.1.5).
fn announcement(provider: &Provider, stream: &StreamConfig, now: Timestamp) -> NewSet {
    let subject = SubjectId::of_stream(&stream.id);
    SetOf {
        provider,
        event_type: &EventType::stream_updated(),
        payload: &stream_updated(stream.status, stream.reason.as_deref()),
        subject: &subject,
        identifiers: None,
        lane: Lane::of(&subject),
        txn: None,
        origin: &Origin::drawn(clock::random_uuid(), now),
        kind: Kind::Announcement,
        now,
    }
    .addressed_to(stream)
}
