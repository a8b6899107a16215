//! The calls of operators: they register devices, look at them, approve and revoke them, and decide about
//! losses.

use super::{Agents, AgentsSet, TRIES};
use crate::{
    auth, clock,
    domain::{
        id::{AgentsName, DeviceId, ProviderName},
        posture::{Admission, Device, DeviceKey, Standing, Status},
        secret::Secret,
        subject::SubjectId,
        time::Timestamp,
    },
    store::{
        StoreError,
        archive::PageToken,
        records::{
            Versioned,
            device::{DeviceStore as _, DevicesOf},
            device_token::{DeviceToken, DeviceTokenStore as _},
            held_losses::HeldLossesStore as _,
        },
    },
};

/// The length of a token that a device brings along, in bytes. HS512 asks for as many as its hash has, and
/// fewer than half of them could be guessed.
pub const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 32..=512;
/// The most pages that are read for one page of a list, most of whose devices the filter leaves out.
const PAGES_PER_PAGE: usize = 10;

/// A token that no device may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have {} to {} bytes", TOKEN_BYTES.start(), TOKEN_BYTES.end())]
pub struct InvalidToken;

pub(super) fn check_token(token: &Secret) -> Result<(), InvalidToken> {
    if TOKEN_BYTES.contains(&token.expose().len()) { Ok(()) } else { Err(InvalidToken) }
}

/// A device that an operator registers.
#[derive(Debug, Default)]
pub struct Registration {
    /// `None` stands for a random id.
    pub device: Option<DeviceId>,
    pub name: Option<String>,
    pub platform: Option<String>,
    pub user: Option<SubjectId>,
    /// The token that the device has already. `None` stands for a new one.
    pub token: Option<Secret>,
}

/// Why an operator's call was not done.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("there is no such device")]
    NoDevice,
    #[error("there is a device with this id already")]
    Taken,
    #[error("the device is {}, and only a quarantined one can be approved", .0.as_str())]
    NotQuarantined(Admission),
    #[error("no losses of these agents are held")]
    NothingHeld,
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The devices that are asked for. An absent member does not restrict them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceFilter {
    pub of: DevicesOf,
    pub status: Option<Status>,
    /// `registered`, `quarantined` or `revoked`.
    pub admission: Option<String>,
    /// Only devices that have not checked in for too long.
    pub overdue: bool,
}

/// Devices by their keys, some of those that were asked for. There may be none although there are more.
#[derive(Debug)]
pub struct DevicePage {
    pub devices: Vec<Device>,
    pub next: Option<String>,
}

impl Agents {
    /// Registers a device. Returns it with its token, which nobody can look up afterwards.
    pub async fn register(
        &self,
        registration: Registration,
        now: Timestamp,
    ) -> Result<(Device, Secret), DeviceError> {
        let random = || {
            let id = format!("dev_{}", clock::random_uuid().simple());
            id.parse().expect("a valid id")
        };
        let token = registration.token.unwrap_or_else(auth::new_token);
        check_token(&token)?;
        let hash = auth::hash(&token);
        let device = Device {
            key: self.key(&registration.device.unwrap_or_else(random)),
            name: registration.name,
            platform: registration.platform,
            user: registration.user,
            admission: Admission::Registered,
            registered_at: now,
            token: Some(hash.clone()),
            standing: Standing::registered(now),
            pending: None,
            clock_off: None,
            spent: Vec::new(),
        };
        let store = &self.services.store;
        store.create_device(&device, Self::written_by()).await.map_err(|error| match error {
            StoreError::Conflict => DeviceError::Taken,
            error => error.into(),
        })?;
        let kept = DeviceToken { hash, token: token.clone(), made_at: now };
        store.put_device_token(&device.key, &kept).await?;
        tracing::info!(agents = self.label(), device = %device.key.device, "a device was registered");
        Ok((device, token))
    }

    pub async fn device(&self, device: &DeviceId) -> Result<Device, DeviceError> {
        Ok(self.stored(device).await?.record)
    }

    async fn stored(&self, device: &DeviceId) -> Result<Versioned<Device>, DeviceError> {
        let found = self.services.store.device(&self.key(device)).await?;
        found.ok_or(DeviceError::NoDevice)
    }

    /// Revokes a device: its token is deleted, and it cannot register itself again. A change that is
    /// pending is published first.
    pub async fn revoke(&self, device: &DeviceId, now: Timestamp) -> Result<Device, DeviceError> {
        let revoked = self.change(device, |device| {
            let is_revoked = matches!(device.admission, Admission::Revoked { .. });
            let admission =
                if is_revoked { device.admission } else { Admission::Revoked { at: now } };
            Ok(Device { admission, ..device.clone() })
        });
        let revoked = revoked.await?;
        if let Some(hash) = &revoked.token {
            self.services.store.delete_device_token(&revoked.key, hash).await?;
        }
        tracing::info!(agents = self.label(), %device, "a device was revoked");
        Ok(revoked)
    }

    /// Approves a quarantined device. Its status is not known until it checks in again, so that its next
    /// check-in tells how it stands.
    pub async fn approve(&self, device: &DeviceId) -> Result<Device, DeviceError> {
        let approved = self.change(device, |device| match device.admission {
            Admission::Quarantined => Ok(Device {
                admission: Admission::Registered,
                standing: Standing { status: Status::Unknown, ..device.standing.clone() },
                ..device.clone()
            }),
            other => Err(DeviceError::NotQuarantined(other)),
        });
        let approved = approved.await?;
        tracing::info!(agents = self.label(), %device, "a device was approved");
        Ok(approved)
    }

    /// Removes a device with its token. Nothing of it is kept.
    pub async fn remove(&self, device: &DeviceId) -> Result<(), DeviceError> {
        for _ in 0..TRIES {
            // A change that is pending is not lost.
            let stored = self.publish_pending(self.stored(device).await?).await?;
            match self.services.store.remove_device(&stored.record.key, stored.version).await {
                Ok(true) => {
                    tracing::info!(agents = self.label(), %device, "a device was removed");
                    return Ok(());
                }
                Ok(false) => return Err(DeviceError::NoDevice),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Changes a device over the version that was read, after its pending change was published.
    async fn change(
        &self,
        device: &DeviceId,
        change: impl Fn(&Device) -> Result<Device, DeviceError>,
    ) -> Result<Device, DeviceError> {
        for _ in 0..TRIES {
            let stored = self.publish_pending(self.stored(device).await?).await?;
            let next = change(&stored.record)?;
            let store = &self.services.store;
            match store.replace_device(&next, stored.version, Self::written_by()).await {
                Ok(_) => return Ok(next),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Says that the devices whose losses are held are lost. The next sweep tells it.
    pub async fn release_losses(&self, now: Timestamp) -> Result<usize, DeviceError> {
        let (provider, agents) = (&self.parts.provider.name, &self.parts.name);
        let store = &self.services.store;
        let held = store.held_losses(provider, agents).await?;
        let held = held.filter(|held| held.record.released_at.is_none());
        let held = held.ok_or(DeviceError::NothingHeld)?;
        store.release_losses(&held, now).await?;
        let devices = held.record.devices;
        tracing::info!(agents = self.label(), devices, "held losses were released");
        Ok(devices)
    }

    /// Tells whether a device has not checked in for too long.
    pub fn is_overdue(&self, device: &Device, now: Timestamp) -> bool {
        let last = device.standing.last_check_in;
        last.is_some_and(|last| self.parts.config.losses.is_overdue(last, now))
    }
}

impl AgentsSet {
    /// Lists devices, about `limit` of them.
    pub async fn devices(
        &self,
        filter: &DeviceFilter,
        after: Option<String>,
        limit: usize,
        now: Timestamp,
    ) -> Result<DevicePage, StoreError> {
        let Some(store) = self.iter().next().map(|agents| &agents.services.store) else {
            return Ok(DevicePage { devices: Vec::new(), next: None });
        };
        let (mut found, mut after) = (Vec::new(), after.map(PageToken::from));
        for _ in 0..PAGES_PER_PAGE {
            let wanted = limit - found.len();
            let (page, next) = store.devices(&filter.of, after, wanted).await?;
            let page = page.into_iter().map(|device| device.record);
            found.extend(page.filter(|device| self.is_meant(filter, device, now)));
            after = next;
            if after.is_none() || limit <= found.len() {
                break;
            }
        }
        Ok(DevicePage { devices: found, next: after.map(|after| after.as_str().to_owned()) })
    }

    fn is_meant(&self, filter: &DeviceFilter, device: &Device, now: Timestamp) -> bool {
        let DeviceKey { provider, agents, .. } = &device.key;
        let overdue = || self.get(provider, agents).is_some_and(|a| a.is_overdue(device, now));
        filter.status.is_none_or(|status| status == device.standing.status)
            && filter.admission.as_deref().is_none_or(|one| one == device.admission.as_str())
            && (!filter.overdue || overdue())
    }
}

impl DeviceFilter {
    pub fn of(provider: Option<ProviderName>, agents: Option<AgentsName>) -> Self {
        Self { of: DevicesOf { provider, agents }, ..Self::default() }
    }
}
