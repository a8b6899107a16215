//! Clients of the built-in authorization server (RFC 6749 §2).

use super::{
    audience::Audience,
    grant::{Scope, TokenHash},
    id::{ClientId, ProviderName, ReceiverId},
    time::Timestamp,
};

/// Who may have access tokens of a provider's own token endpoint, and what they are good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub id: ClientId,
    /// The hash of its secret, made as that of a token is.
    pub secret: TokenHash,
    pub provider: ProviderName,
    /// Who owns the streams that are made with its tokens.
    pub receiver: ReceiverId,
    /// The `aud` of those streams (SSF §8).
    pub audience: Audience,
    /// The most that its tokens may allow.
    pub scopes: Vec<Scope>,
    pub created_at: Timestamp,
}
