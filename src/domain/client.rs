//! Clients of the built-in authorization server (RFC 6749 §2).

use super::{
    audience::Audience,
    grant::{Scope, TokenHash},
    id::{ClientId, ProviderName, ReceiverId},
    time::Timestamp,
};

/// A client that may get access tokens from the token endpoint of its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub id: ClientId,
    /// The hash of the client's secret, made like the hash of a token.
    pub secret: TokenHash,
    pub provider: ProviderName,
    /// The Receiver that owns the streams made with the client's tokens.
    pub receiver: ReceiverId,
    /// The `aud` of these streams (SSF §8).
    pub audience: Audience,
    /// The scopes that a token of this client may have at most.
    pub scopes: Vec<Scope>,
    pub created_at: Timestamp,
}
