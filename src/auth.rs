//! Who is asking. A credential becomes a [`Principal`], and only a principal opens anything.

mod access_token;
mod bearer;
pub mod external;
mod fetch;
mod introspection;
mod jwks_source;
mod key_cache;
pub mod settings;
pub mod token_endpoint;
mod verification_keys;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};

pub use self::{
    access_token::{Expectations, TokenFault},
    fetch::Fetcher,
    introspection::Introspection,
    jwks_source::{JwksLocation, JwksSource, JwksSourceError},
    key_cache::KeyLimits,
};
use self::{
    external::External,
    token_endpoint::{ClientCredentialsRequest, Issued, TokenEndpoint, TokenError},
};
use crate::{
    clock,
    domain::{
        audience::Audience,
        grant::{Grant, Holder, Scope, TokenHash},
        id::{ProviderName, ReceiverId},
        secret::Secret,
        time::Timestamp,
    },
    store::{Store, StoreError},
};

/// A Receiver that showed a valid credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub provider: ProviderName,
    pub receiver: ReceiverId,
    /// The `aud` of the streams it creates (SSF §8).
    pub audience: Audience,
    pub scopes: Vec<Scope>,
}

/// Why a request is refused before anything else is looked at (RFC 6750 §3.1).
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("a bearer token is required")]
    NoCredential,
    /// Which of them counted would be a matter of luck (RFC 6750 §3.1).
    #[error("there is more than one `Authorization` header")]
    SeveralCredentials,
    #[error("the bearer token is malformed, unknown, expired or of another kind or provider")]
    InvalidToken,
    /// As [`Self::InvalidToken`], with the rule that a token of an authorization server breaks.
    #[error("the access token is refused: {0}")]
    InvalidAccessToken(#[from] TokenFault),
    /// 403 and not 401: the token is good, and a new one would open no more.
    #[error("the client of this access token is no Receiver here")]
    UnknownClient,
    /// What it takes to ask for is named, which may be more than the one operation needs.
    #[error("the bearer token lacks the scope `{}`", .0.standard())]
    InsufficientScope(Scope),
    /// Nobody can say at present whether the token is good.
    #[error("the authorization server cannot be reached")]
    Unavailable { retry_after: Duration },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Principal {
    pub fn require(&self, needed: Scope) -> Result<(), AuthError> {
        let covered = self.scopes.iter().any(|scope| scope.covers(needed));
        if covered { Ok(()) } else { Err(AuthError::InsufficientScope(needed)) }
    }
}

/// What every token begins with that is ours.
const TOKEN_PREFIX: &str = "ssfd_";

/// A new bearer token, or a client's secret, of 244 random bits. It is shown once; the store keeps its
/// hash.
pub fn new_token() -> Secret {
    let (one, two) = (clock::random_uuid().simple(), clock::random_uuid().simple());
    Secret::new(format!("{TOKEN_PREFIX}{one}{two}"))
}

/// A plain hash is enough for a token: it is random, so there is nothing to guess.
pub fn hash(token: &Secret) -> TokenHash {
    let digest = digest(&SHA256, token.expose().as_bytes());
    let hex = digest.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    TokenHash::from_hex(hex)
}

/// Where the access tokens of a provider come from, besides those that operators make.
pub enum TokenIssuer {
    /// The provider's own.
    BuiltIn(TokenEndpoint),
    External(Box<External>),
}

/// Turns the value of an `Authorization` header into a principal. Tokens of ours are looked up in the
/// store at each request, so that a revoked one is refused from then on.
#[derive(Clone)]
pub struct Authenticator {
    store: Arc<dyn Store>,
    servers: Arc<BTreeMap<ProviderName, TokenIssuer>>,
}

impl Authenticator {
    pub fn new(store: Arc<dyn Store>, servers: BTreeMap<ProviderName, TokenIssuer>) -> Self {
        Self { store, servers: Arc::new(servers) }
    }

    /// Fetches what the first request would have to wait for.
    pub fn warm_up(&self) {
        self.servers.values().filter_map(TokenIssuer::external).for_each(External::warm_up);
    }

    /// The issuer of a provider's access tokens, if it is not the provider itself.
    pub fn external_issuer(&self, provider: &ProviderName) -> Option<&str> {
        let external = self.servers.get(provider)?.external()?;
        Some(&external.expected.issuer)
    }

    /// A token of the provider's own token endpoint; `None` if it has none.
    pub async fn issue(
        &self,
        provider: &ProviderName,
        request: ClientCredentialsRequest,
        now: Timestamp,
    ) -> Option<Result<Issued, TokenError>> {
        match self.servers.get(provider)? {
            TokenIssuer::BuiltIn(endpoint) => {
                Some(endpoint.issue(&*self.store, provider, request, now).await)
            }
            TokenIssuer::External(_) => None,
        }
    }

    /// The Receiver that holds this credential, if it is one of this provider's.
    pub async fn receiver(
        &self,
        provider: &ProviderName,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        let token = bearer::token(authorization)?;
        if let Some(external) = self.servers.get(provider).and_then(TokenIssuer::external)
            && !token.expose().starts_with(TOKEN_PREFIX)
        {
            return external.principal(provider, &token, now).await;
        }
        match self.holder(&token, now).await? {
            Holder::Receiver { provider: own, receiver, audience, scopes } if own == *provider => {
                Ok(Principal { provider: own, receiver, audience, scopes })
            }
            Holder::Receiver { .. } | Holder::Publisher { .. } | Holder::Operator => {
                Err(AuthError::InvalidToken)
            }
        }
    }

    /// The provider for which the holder of this credential may publish.
    pub async fn publisher(
        &self,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<ProviderName, AuthError> {
        match self.holder(&bearer::token(authorization)?, now).await? {
            Holder::Publisher { provider } => Ok(provider),
            Holder::Receiver { .. } | Holder::Operator => Err(AuthError::InvalidToken),
        }
    }

    /// Whether an operator holds this credential.
    pub async fn operator(
        &self,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(), AuthError> {
        match self.holder(&bearer::token(authorization)?, now).await? {
            Holder::Operator => Ok(()),
            Holder::Receiver { .. } | Holder::Publisher { .. } => Err(AuthError::InvalidToken),
        }
    }

    async fn holder(&self, token: &Secret, now: Timestamp) -> Result<Holder, AuthError> {
        let grant = self.store.grant(&hash(token)).await?;
        let valid = |grant: &Grant| grant.expires_at.is_none_or(|at| now < at);
        grant.filter(valid).map(|grant| grant.holder).ok_or(AuthError::InvalidToken)
    }
}

impl TokenIssuer {
    fn external(&self) -> Option<&External> {
        match self {
            Self::External(external) => Some(external),
            Self::BuiltIn(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_as_its_hash() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hash(&Secret::new("")).as_str(), empty);
        assert_ne!(new_token(), new_token());
    }
}
