//! The status of a stream is changed: by its Receiver, or by us (SSF §8.1.2).

use std::sync::Arc;

use crate::{
    auth::Principal,
    clock,
    delivery::{
        lane::Lane,
        outbox::{NewSet, SetKind},
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

use super::{RequestError, Transmitter, intake::addressing::SetOf};

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
        // A change may wait for long, and should hold no more than what it needs.
        let reason = reason.map(|reason| excerpt(&reason));
        let mut tries = self.tries(id).await;
        loop {
            let before = self.owned(principal, id)?;
            let changed = self.turn(&before, status, reason.as_deref(), Initiator::Receiver).await;
            if !tries.again(&changed).await? {
                return changed;
            }
        }
    }

    /// An operator wants it so. The Receiver is told by a stream-updated event, which is the last
    /// that a stopped stream sends.
    pub async fn set_status(
        &self,
        id: &StreamId,
        status: StreamStatus,
        reason: Option<String>,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let mut tries = self.tries(id).await;
        loop {
            let before = self.known(id)?;
            // The enabled stream has the whole inactivity timeout before it.
            self.activity.touch(&before, clock::now());
            let by = Initiator::Transmitter;
            let changed = self.turn(&before, status, reason.as_deref(), by).await;
            if !tries.again(&changed).await? {
                return changed;
            }
        }
    }

    /// Pauses a stream for a reason of our own, and tells its Receiver. `still` judges the stream as
    /// it stands by then. `false` if that says no, or if it is not enabled.
    pub async fn suspend(
        &self,
        id: &StreamId,
        reason: &str,
        still: impl Fn(&StreamConfig) -> bool,
    ) -> Result<bool, RequestError> {
        let mut tries = self.tries(id).await;
        loop {
            let before = self.known(id)?;
            if before.status != StreamStatus::Enabled || !still(&before) {
                return Ok(false);
            }
            let (status, by) = (StreamStatus::Paused, Initiator::Transmitter);
            let changed = self.turn(&before, status, Some(reason), by).await;
            if !tries.again(&changed).await? {
                return changed.map(|_| true);
            }
        }
    }

    /// The change and its announcement are durable in one step, so that neither is without the
    /// other.
    async fn turn(
        &self,
        before: &StreamConfig,
        status: StreamStatus,
        reason: Option<&str>,
        by: Initiator,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let provider = self.directory.provider(&before.provider);
        let provider = provider.ok_or(RequestError::StreamNotFound)?;
        let now = clock::now();
        let after = before.with_status(status, reason.map(excerpt));
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
        kind: SetKind::Announcement,
        now,
    }
    .addressed_to(stream)
}
