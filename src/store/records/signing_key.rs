//! Since when a key signs, so that a start knows whether its key follows another one.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Record, Records, create, get, replace};
use crate::{
    domain::{id::ProviderName, time::Timestamp},
    store::StoreError,
};

/// The key that signs the SETs of a provider.
#[derive(Serialize, Deserialize)]
struct SigningKeyRecord {
    provider: ProviderName,
    kid: String,
    first_used_at: i64,
    /// Another key signed before.
    follows: bool,
}

impl Record for SigningKeyRecord {
    const KIND: &'static str = "signing_keys";

    fn key(&self) -> String {
        self.provider.to_string()
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.first_used_at)
    }
}

impl SigningKeyRecord {
    fn follower_since(&self) -> Option<Timestamp> {
        self.follows.then(|| self.made_at())
    }
}

/// The signing keys of the providers, as far as their Receivers have to know them.
#[async_trait]
pub trait SigningKeyStore: Records {
    /// Notes that the key `kid` signs the SETs of a provider from `now` on, unless that is noted already.
    /// Returns since when it signs if it followed another key, and `None` if it is the provider's first.
    async fn key_in_use(
        &self,
        provider: &ProviderName,
        kid: &str,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        loop {
            let noted = get::<SigningKeyRecord>(self, provider.as_str()).await?;
            if let Some(noted) = noted.as_ref().filter(|noted| noted.record.kid == kid) {
                return Ok(noted.record.follower_since());
            }
            let record = SigningKeyRecord {
                provider: provider.clone(),
                kid: kid.to_owned(),
                first_used_at: now.as_millis(),
                follows: noted.is_some(),
            };
            let written = match noted {
                Some(noted) => replace(self, &record, noted.version).await,
                None => create(self, &record).await,
            };
            match written {
                Ok(_) => return Ok(record.follower_since()),
                // Another node has noted it meanwhile.
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<T: Records + ?Sized> SigningKeyStore for T {}
