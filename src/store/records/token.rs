//! Bearer tokens: those that operators made, and those that the token endpoint issued to clients.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    Record, RecordFilter, RecordName, Records, Versioned, client::ClientRecord, delete, get, list,
    put, put_owned,
};
use crate::{
    domain::{
        grant::{Grant, NamedHolder, TokenHash},
        id::ClientId,
        time::Timestamp,
    },
    store::StoreError,
};

/// A token as JSON. The hash of the token is its key. A token that was issued to a client belongs to
/// that client.
#[derive(Serialize, Deserialize)]
pub(super) struct TokenRecord {
    hash: String,
    holder: NamedHolder,
    created_at: i64,
    expires_at: Option<i64>,
}

impl Record for TokenRecord {
    const KIND: &'static str = "tokens";

    fn key(&self) -> String {
        self.hash.clone()
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.created_at)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at.map(Timestamp::from_millis)
    }
}

impl From<Grant> for TokenRecord {
    fn from(grant: Grant) -> Self {
        Self {
            hash: grant.hash.as_str().to_owned(),
            holder: grant.holder,
            created_at: grant.created_at.as_millis(),
            expires_at: grant.expires_at.map(Timestamp::as_millis),
        }
    }
}

impl From<TokenRecord> for Grant {
    fn from(record: TokenRecord) -> Self {
        let (created_at, expires_at) = (record.made_at(), record.expires_at());
        Self {
            hash: TokenHash::from_hex(record.hash),
            holder: record.holder,
            created_at,
            expires_at,
        }
    }
}

/// The tokens in a store.
#[async_trait]
pub trait TokenStore: Records {
    /// Stores a token that an operator made, in place of one with the same hash.
    async fn put_grant(&self, grant: Grant) -> Result<(), StoreError> {
        put(self, &TokenRecord::from(grant)).await.map(|_| ())
    }

    /// Looks up a token by its hash. Each authenticated request makes this call.
    async fn grant(&self, hash: &TokenHash) -> Result<Option<Grant>, StoreError> {
        let found = get::<TokenRecord>(self, hash.as_str()).await?;
        Ok(found.map(|found| found.record.into()))
    }

    /// Returns the tokens that operators made, the oldest first. Tokens of clients are not among them.
    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        let all =
            list::<TokenRecord>(self, RecordFilter::Unowned { prefix: String::new() }).await?;
        let all = all.into_iter().map(|Versioned { record, .. }| Grant::from(record));
        let mut grants: Vec<_> = all.collect();
        grants.sort_by(|a, b| (a.created_at, &a.hash).cmp(&(b.created_at, &b.hash)));
        Ok(grants)
    }

    /// Deletes a token. Returns `false` if there is none.
    async fn revoke_grant(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        delete::<TokenRecord>(self, hash.as_str()).await
    }

    /// Stores a token that a client was issued. Of the client's tokens, the youngest `live_max` stay.
    /// Returns [`StoreError::Conflict`] if there is no such client.
    async fn issue_grant(
        &self,
        client: &ClientId,
        grant: Grant,
        live_max: usize,
    ) -> Result<(), StoreError> {
        let client = RecordName::new(ClientRecord::KIND, client.as_str());
        put_owned(self, &TokenRecord::from(grant), client, Some(live_max)).await.map(|_| ())
    }
}

impl<T: Records + ?Sized> TokenStore for T {}
