//! Tokens, and clients of the built-in authorization server.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{
    client::Client,
    grant::{Grant, TokenHash},
    id::ClientId,
    time::Timestamp,
};

#[async_trait]
pub trait Credentials: Send + Sync {
    async fn put_grant(&self, grant: Grant) -> Result<(), StoreError>;

    async fn grant(&self, hash: &TokenHash) -> Result<Option<Grant>, StoreError>;

    /// Those that an operator made; those of clients are not among them.
    async fn grants(&self) -> Result<Vec<Grant>, StoreError>;

    /// `false` if there was no such token.
    async fn revoke_grant(&self, hash: &TokenHash) -> Result<bool, StoreError>;

    /// Removes tokens that have expired, a bounded number in one call; `true` if there may be more.
    async fn expire_grants(&self, now: Timestamp) -> Result<bool, StoreError>;

    /// Keeps a new client. [`StoreError::Conflict`] if there is one of this id.
    async fn create_client(&self, client: Client) -> Result<(), StoreError>;

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError>;

    async fn clients(&self) -> Result<Vec<Client>, StoreError>;

    /// Removes a client and every token that it was issued. `false` if there was none.
    async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError>;

    /// Keeps a token that a client was issued; of its tokens the youngest `live_max` stay.
    /// [`StoreError::Conflict`] if there is no such client.
    async fn issue_grant(
        &self,
        client: &ClientId,
        grant: Grant,
        live_max: usize,
    ) -> Result<(), StoreError>;
}
