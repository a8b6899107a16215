//! Devices that register themselves, with a secret that the table has for that.
//!
//! The device brings its own token, so the request can be repeated: a device that is registered with the
//! same token already is told that all is well. Nobody can take over a device in this way, and a revoked
//! device stays revoked.

use std::{net::IpAddr, time::Duration};

use super::{
    Agents,
    devices::{InvalidToken, check_token},
    settings::UnknownDevices,
};
use crate::{
    auth, clock,
    domain::{
        id::DeviceId,
        posture::{Admission, Device, Standing},
        secret::Secret,
        time::Timestamp,
    },
    source::verify::secrets,
    store::{
        StoreError,
        records::{
            device::DeviceStore as _,
            device_token::{DeviceToken, DeviceTokenStore as _},
        },
    },
};

/// The values of the label `outcome` of enrolments.
pub(super) const OUTCOMES: [&str; 6] =
    ["enrolled", "known", "refused", "taken", "too_many", "unavailable"];
/// How long a device should wait if too many have registered themselves in the last minute.
const WAIT: Duration = Duration::from_mins(1);

/// A device that wants to be registered.
pub struct Enrolment {
    pub device: DeviceId,
    pub name: Option<String>,
    pub platform: Option<String>,
    pub token: Secret,
    /// The enrolment secret that the device shows.
    pub shown: Vec<u8>,
    pub from: IpAddr,
}

/// Why a device was not registered.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The table takes no unknown devices.
    #[error("devices cannot register themselves here")]
    Closed,
    #[error("the enrolment secret is wrong")]
    Refused,
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error("the device is registered with another token, or is revoked")]
    Taken,
    #[error("too many devices have registered themselves in the last minute")]
    TooMany { wait: Duration },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EnrolError {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Closed | Self::Refused | Self::Token(_) => "refused",
            Self::Taken => "taken",
            Self::TooMany { .. } => "too_many",
            Self::Store(_) => "unavailable",
        }
    }
}

impl Agents {
    /// Registers a device that knows the enrolment secret.
    pub async fn enrol(&self, enrolment: Enrolment, now: Timestamp) -> Result<(), EnrolError> {
        let result = self.take_enrolment(enrolment, now).await;
        let outcome = match &result {
            Ok(true) => "enrolled",
            Ok(false) => "known",
            Err(error) => error.outcome(),
        };
        self.count_request("enrol", outcome, 1);
        result.map(drop)
    }

    /// Returns whether the device is new.
    async fn take_enrolment(
        &self,
        enrolment: Enrolment,
        now: Timestamp,
    ) -> Result<bool, EnrolError> {
        let admission = match self.parts.config.unknown_devices {
            UnknownDevices::Drop => return Err(EnrolError::Closed),
            UnknownDevices::Quarantine => Admission::Quarantined,
            UnknownDevices::Accept => Admission::Registered,
        };
        if !secrets::is_any(&self.parts.enrolment, &enrolment.shown) {
            if self.log.admit("enrolment", clock::instant()).is_some() {
                let agents = self.label();
                tracing::warn!(agents, "a device showed a wrong enrolment secret");
            }
            return Err(EnrolError::Refused);
        }
        check_token(&enrolment.token)?;
        let key = self.key(&enrolment.device);
        let hash = auth::hash(&enrolment.token);
        let token = DeviceToken { hash: hash.clone(), token: enrolment.token, made_at: now };
        let store = &self.services.store;
        for _ in 0..2 {
            if let Some(known) = store.device(&key).await? {
                let is_same = known.record.token.as_ref() == Some(&hash)
                    && !matches!(known.record.admission, Admission::Revoked { .. });
                if !is_same {
                    return Err(EnrolError::Taken);
                }
                // The first request may have ended between its two writes.
                store.put_device_token(&key, &token).await?;
                return Ok(false);
            }
            if !self.enrolments().take(clock::instant()) {
                return Err(EnrolError::TooMany { wait: WAIT });
            }
            let device = Device {
                key: key.clone(),
                name: enrolment.name.clone(),
                platform: enrolment.platform.clone(),
                user: None,
                admission,
                registered_at: now,
                token: Some(hash.clone()),
                standing: Standing::registered(now),
                pending: None,
                clock_off: None,
                spent: Vec::new(),
            };
            match store.create_device(&device, Self::written_by()).await {
                Ok(()) => {
                    store.put_device_token(&key, &token).await?;
                    let (agents, device) = (self.label(), &key.device);
                    let admission = admission.as_str();
                    tracing::info!(agents, %device, admission, "a device has registered itself");
                    return Ok(true);
                }
                // Another request was faster.
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EnrolError::Taken)
    }
}
