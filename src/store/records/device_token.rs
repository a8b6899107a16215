//! The tokens of devices. Each is kept as it is, because an HMAC needs the token itself. No other part of
//! the store holds one.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Record, RecordName, Records, delete, device::DeviceRecord, get, put_owned};
use crate::{
    domain::{
        grant::TokenHash,
        id::{AgentsName, DeviceId, ProviderName},
        posture::DeviceKey,
        secret::Secret,
        time::Timestamp,
    },
    store::StoreError,
};

/// The token of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceToken {
    /// The hash by which the token is found.
    pub hash: TokenHash,
    pub token: Secret,
    pub made_at: Timestamp,
}

/// A token as JSON. The record belongs to the device, so it goes with it.
#[derive(Serialize, Deserialize)]
struct DeviceTokenRecord {
    provider: ProviderName,
    agents: AgentsName,
    hash: String,
    device: DeviceId,
    token: String,
    made_at: i64,
}

/// No name has a slash, so the tokens of each table of agents are apart from all others.
fn key(provider: &ProviderName, agents: &AgentsName, hash: &TokenHash) -> String {
    format!("{provider}/{agents}/{}", hash.as_str())
}

impl Record for DeviceTokenRecord {
    const KIND: &'static str = "device_tokens";

    fn key(&self) -> String {
        format!("{}/{}/{}", self.provider, self.agents, self.hash)
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.made_at)
    }
}

/// The tokens of devices in a store.
#[async_trait]
pub trait DeviceTokenStore: Records {
    /// Stores the token of a device that is stored. Returns [`StoreError::Conflict`] if the device is gone.
    async fn put_device_token(
        &self,
        device: &DeviceKey,
        token: &DeviceToken,
    ) -> Result<(), StoreError> {
        let record = DeviceTokenRecord {
            provider: device.provider.clone(),
            agents: device.agents.clone(),
            hash: token.hash.as_str().to_owned(),
            device: device.device.clone(),
            token: token.token.expose().to_owned(),
            made_at: token.made_at.as_millis(),
        };
        let owner = RecordName::new(DeviceRecord::KIND, &device.to_string());
        put_owned(self, &record, owner, None).await.map(|_| ())
    }

    /// Looks up a token by its hash, and the device that it belongs to.
    async fn device_token(
        &self,
        provider: &ProviderName,
        agents: &AgentsName,
        hash: &TokenHash,
    ) -> Result<Option<(DeviceId, Secret)>, StoreError> {
        let found = get::<DeviceTokenRecord>(self, &key(provider, agents, hash)).await?;
        Ok(found.map(|found| (found.record.device, Secret::new(found.record.token))))
    }

    /// Deletes a token. Returns `false` if there is none.
    async fn delete_device_token(
        &self,
        device: &DeviceKey,
        hash: &TokenHash,
    ) -> Result<bool, StoreError> {
        delete::<DeviceTokenRecord>(self, &key(&device.provider, &device.agents, hash)).await
    }
}

impl<T: Records + ?Sized> DeviceTokenStore for T {}
