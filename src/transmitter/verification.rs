//! A Receiver asks whether its stream works (SSF §8.1.4).

use std::time::Duration;

use crate::{
    auth::Principal,
    clock,
    delivery::outbox::Kind,
    domain::{
        event_type::EventType, id::StreamId, provider::Provider, set::Origin, status::StreamStatus,
        subject::SubjectId, time::Timestamp, verification,
    },
    store::{Append, AppendBatch},
};

use super::{RequestError, Transmitter, publish::SetOf};

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
        if stream.status != StreamStatus::Enabled {
            return Err(RequestError::NotEnabled);
        }
        let now = clock::now();
        self.admit_verification(id, now, provider.min_verification_interval)?;
        let set = SetOf {
            provider,
            event_type: &EventType::verification(),
            payload: &verification::payload(state),
            subject: &SubjectId::of_stream(id),
            txn: None,
            origin: &Origin::drawn(clock::random_uuid()),
            kind: Kind::Control,
            now,
        };
        let append = Append {
            provider: provider.name.clone(),
            event_id: None,
            sets: vec![set.addressed_to(&stream)],
        };
        let batch = AppendBatch { events: vec![append], position: None, now };
        if let Err(error) = self.store.append(batch).await {
            // Nothing will come of this request, so the Receiver may ask again at once.
            self.verified_at().remove(id);
            return Err(error.into());
        }
        self.wake(std::slice::from_ref(id), true);
        Ok(())
    }

    /// The interval runs from the last request that was admitted.
    fn admit_verification(
        &self,
        id: &StreamId,
        now: Timestamp,
        interval: Duration,
    ) -> Result<(), RequestError> {
        let mut verified_at = self.verified_at();
        let last = verified_at.get(id).copied();
        if let Some(wait) = verification::wait_before(last, now, interval) {
            return Err(RequestError::TooSoon { wait });
        }
        verified_at.insert(id.clone(), now);
        Ok(())
    }
}
