//! Publishes the change of a device that is pending, and notes that on the device.
//!
//! A crash in between leaves the change pending. Whoever finds it publishes it again: the event has the
//! same id and the same origin, so each stream gets one SET.

use std::time::Duration;

use super::{Agents, TRIES};
use crate::{
    clock,
    domain::{
        posture::{self, Change, Device, PostureEvent},
        set::Origin,
    },
    store::{
        Appended, StoreError,
        records::{Versioned, device::DeviceStore as _},
    },
    telemetry::{causes::with_causes, metrics},
    transmitter::{intake::Incoming, pressure::Taken},
};

/// By how much longer than others the ids of these events are remembered: a change may be pending for as
/// long as the daemon is down.
const ID_KEPT_LONGER: Duration = Duration::from_hours(30 * 24);

/// Too many SETs wait for the Receivers of the provider.
#[derive(Debug, thiserror::Error)]
#[error("too many SETs wait for this provider's Receivers")]
struct Backlog;

impl Agents {
    /// Publishes the pending change of a device, if there is one. Returns the device without it.
    pub(super) async fn publish_pending(
        &self,
        mut device: Versioned<Device>,
    ) -> Result<Versioned<Device>, StoreError> {
        let Some(change) = device.record.pending.clone() else { return Ok(device) };
        self.publish(&device.record, &change).await?;
        for _ in 0..TRIES {
            let next = Device { pending: None, ..device.record.clone() };
            match self
                .services
                .store
                .replace_device(&next, device.version, Self::written_by())
                .await
            {
                Ok(version) => return Ok(Versioned { version, record: next }),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
            let found = self.services.store.device(&device.record.key).await?;
            device = found.ok_or(StoreError::Conflict)?;
            if device.record.pending.as_ref().is_none_or(|pending| pending.seq != change.seq) {
                // Another request has noted it, and perhaps made the next change.
                return Ok(device);
            }
        }
        Err(StoreError::Conflict)
    }

    /// Publishes the pending change of a device. If that fails, the sweep does it later.
    pub(super) async fn publish_soon(&self, device: Versioned<Device>) {
        if let Err(error) = self.publish_pending(device).await {
            metrics::store_error("agents");
            if self.log.admit("publish", clock::instant()).is_some() {
                let (agents, error) = (self.label(), with_causes(&error));
                tracing::warn!(agents, error, "the change of a device is published later");
            }
        }
    }

    async fn publish(&self, device: &Device, change: &Change) -> Result<(), StoreError> {
        let provider = &self.parts.provider;
        if self.services.transmitter.pressure().taken(&provider.name) != Taken::All {
            return Err(StoreError::Unavailable(std::sync::Arc::new(Backlog)));
        }
        let events = posture::events(device, change, self.parts.config.session_revoked);
        let incoming = events.into_iter().filter_map(|event| self.incoming(event)).collect();
        let published = self.services.transmitter.publish(provider, incoming).await?;
        if published.iter().any(|one| !matches!(one, Appended::Duplicate)) {
            self.count_change(change.to.as_str(), 1);
        }
        Ok(())
    }

    /// Admits an event as every publisher's event is admitted.
    fn incoming(&self, event: PostureEvent) -> Option<Incoming> {
        let provider = &self.parts.provider;
        let json = event.json.to_string();
        match self.services.transmitter.admit(provider, json.as_bytes()) {
            Ok(admitted) => Some(Incoming {
                event: admitted,
                origin: Origin::of_place(&provider.name, &event.id, event.at),
                id_kept_longer: ID_KEPT_LONGER,
            }),
            // The configuration was checked for the types, and our events keep to their definitions.
            Err(error) => {
                let agents = self.label();
                tracing::error!(agents, id = event.id, %error, "an event of a device is no valid one");
                None
            }
        }
    }
}
