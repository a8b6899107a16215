//! Clients of the built-in authorization server.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Record, RecordFilter, Records, Versioned, create, delete, get, list};
use crate::{
    domain::{
        audience::Audience,
        client::Client,
        grant::{Scope, TokenHash},
        id::{ClientId, ProviderName, ReceiverId},
        time::Timestamp,
    },
    store::StoreError,
};

/// A client as JSON. Of the secret, the hash is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct ClientRecord {
    id: ClientId,
    secret: String,
    provider: ProviderName,
    receiver: ReceiverId,
    audience: Audience,
    scopes: Vec<Scope>,
    created_at: i64,
}

impl Record for ClientRecord {
    const KIND: &'static str = "clients";

    fn key(&self) -> String {
        self.id.to_string()
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.created_at)
    }
}

impl From<Client> for ClientRecord {
    fn from(client: Client) -> Self {
        Self {
            id: client.id,
            secret: client.secret.as_str().to_owned(),
            provider: client.provider,
            receiver: client.receiver,
            audience: client.audience,
            scopes: client.scopes,
            created_at: client.created_at.as_millis(),
        }
    }
}

impl From<ClientRecord> for Client {
    fn from(record: ClientRecord) -> Self {
        let created_at = record.made_at();
        Self {
            id: record.id,
            secret: TokenHash::from_hex(record.secret),
            provider: record.provider,
            receiver: record.receiver,
            audience: record.audience,
            scopes: record.scopes,
            created_at,
        }
    }
}

/// The clients in a store.
#[async_trait]
pub trait ClientStore: Records {
    /// Stores a new client. Returns [`StoreError::Conflict`] if there is another one of this id.
    async fn create_client(&self, client: Client) -> Result<(), StoreError> {
        create(self, &ClientRecord::from(client)).await.map(|_| ())
    }

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let found = get::<ClientRecord>(self, id.as_str()).await?;
        Ok(found.map(|found| found.record.into()))
    }

    /// Returns all clients, the oldest first.
    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        let all = list::<ClientRecord>(self, RecordFilter::All { prefix: String::new() }).await?;
        let all = all.into_iter().map(|Versioned { record, .. }| Client::from(record));
        let mut clients: Vec<_> = all.collect();
        clients.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(clients)
    }

    /// Deletes a client and every token that it was issued. Returns `false` if there is none.
    async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        delete::<ClientRecord>(self, id.as_str()).await
    }
}

impl<T: Records + ?Sized> ClientStore for T {}
