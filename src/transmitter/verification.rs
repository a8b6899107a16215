//! Does a stream work? Its Receiver asks, or we do (SSF §8.1.4).

use std::time::Duration;

use crate::{
    auth::Principal,
    clock,
    delivery::{lane::Lane, outbox::SetKind},
    domain::{
        event_type::EventType, id::StreamId, provider::Provider, set::Origin, status::StreamStatus,
        stream::StreamConfig, subject::SubjectId, time::Timestamp, verification,
    },
    store::{Append, AppendBatch, Step},
};

use super::{RequestError, Transmitter, intake::addressing::SetOf};

impl Transmitter {
    /// One accepted request, one verification SET, durable once this returns.
    pub async fn verify_stream(
        &self,
        principal: &Principal,
        provider: &Provider,
        id: &StreamId,
        state: Option<&str>,
    ) -> Result<(), RequestError> {
        let stream = self.owned(principal, id)?;
        let stream = enabled(&stream)?;
        let now = clock::now();
        let admitted =
            self.verification_pace.admit(stream, now, provider.min_verification_interval);
        admitted.map_err(|wait| RequestError::TooSoon { wait })?;
        let sent = self.send_verification(provider, stream, state, now).await;
        if sent.is_err() {
            // Nothing will come of this request, so the Receiver may ask again at once.
            self.verification_pace.undo(id);
        }
        sent
    }

    /// The same unasked, and so without `state` (SSF §8.1.4.2). The interval is for Receivers.
    pub async fn verify_unasked(&self, id: &StreamId) -> Result<(), RequestError> {
        let stream = self.known(id)?;
        let provider = self.directory.provider(&stream.provider);
        let provider = provider.ok_or(RequestError::StreamNotFound)?;
        self.send_verification(provider, enabled(&stream)?, None, clock::now()).await
    }

    async fn send_verification(
        &self,
        provider: &Provider,
        stream: &StreamConfig,
        state: Option<&str>,
        now: Timestamp,
    ) -> Result<(), RequestError> {
        let subject = SubjectId::of_stream(&stream.id);
        let drawn = clock::random_uuid();
        let origin = Origin::drawn(drawn, now);
        let set = SetOf {
            provider,
            event_type: &EventType::verification(),
            payload: &verification::payload(state),
            subject: &subject,
            identifiers: None,
            lane: Lane::alone(drawn.as_u64_pair().1),
            txn: None,
            origin: &origin,
            kind: SetKind::Control,
            now,
        };
        let append = Append {
            provider: provider.name.clone(),
            event_id: None,
            id_kept_longer: Duration::ZERO,
            opt_out: None,
            sets: vec![set.addressed_to(stream)],
            record: None,
            origin,
            step: Step::Whole,
        };
        let batch = AppendBatch { events: vec![append], position: None, now };
        self.store.append(batch, &|streams| self.wake(streams, true)).await?;
        Ok(())
    }
}

fn enabled(stream: &StreamConfig) -> Result<&StreamConfig, RequestError> {
    match stream.status {
        StreamStatus::Enabled => Ok(stream),
        StreamStatus::Paused | StreamStatus::Disabled => Err(RequestError::NotEnabled),
    }
}
