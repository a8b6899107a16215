//! Authentication: turns a credential into a [`Principal`]. Only a principal opens anything.
//!
//! [`Authenticator`] is the entry. It reads the token from the header (`bearer`) and looks up
//! tokens of this daemon in the store. All other tokens belong to the authorization server of the
//! provider, a [`TokenIssuer`]:
//!
//! - [`token_endpoint`] is the built-in one. It issues tokens to clients, and its tokens are looked
//!   up in the store as well.
//! - [`external`] is one that the configuration names. Its tokens are JWTs (`access_token` judges
//!   them, pure) whose keys come from a [`JwksSource`] (`key_cache` decides when to fetch, pure), or it
//!   is asked about each token ([`Introspection`]). `fetch` makes the requests, and `server_answers`
//!   counts what came of them.
//!
//! [`rates`] bounds how often callers may ask. `refusals` counts and logs the credentials that are
//! refused. [`settings`] is the configuration of both servers.

mod access_token;
mod bearer;
pub mod external;
mod fetch;
mod introspection;
mod jwks_source;
mod key_cache;
mod last_use;
mod pattern;
pub mod rates;
mod refusals;
mod server_answers;
pub mod settings;
pub mod token_endpoint;
mod token_fault;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};

pub use self::{
    access_token::{Expectations, Requirements},
    fetch::Fetcher,
    introspection::Introspection,
    jwks_source::{JwksLocation, JwksSource, JwksSourceError, NoKeys},
    key_cache::KeyLimits,
    pattern::Pattern,
    token_fault::TokenFault,
};
use self::{
    external::External,
    last_use::UseNotes,
    rates::{Rates, ReceiverKey, TooMany},
    refusals::Refusals,
    token_endpoint::{ClientCredentialsRequest, Issued, TokenEndpoint, TokenError},
};
use crate::{
    clock,
    domain::{
        audience::Audience,
        grant::{Credential, Grant, Holder, Scope, TokenHash},
        id::{ProviderName, ReceiverId},
        secret::Secret,
        time::Timestamp,
    },
    store::{Records, StoreError, TokenStore as _, records::last_use::LastUseStore as _},
};

/// A Receiver that presented a valid credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub provider: ProviderName,
    pub receiver: ReceiverId,
    /// The `aud` of the streams that the Receiver creates (SSF §8).
    pub audience: Audience,
    pub scopes: Vec<Scope>,
    /// The credential that the Receiver presented.
    pub credential: Credential,
    /// When the credential has to be judged again, by a request that waits for so long: it expires, or
    /// the answer of its authorization server no longer counts. `None` if time alone does not end it.
    pub holds_until: Option<Timestamp>,
}

/// A publisher that presented a valid credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherPrincipal {
    pub provider: ProviderName,
    pub credential: Credential,
}

/// An operator that presented a valid credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorPrincipal {
    pub credential: Credential,
}

/// The reason why a request is refused before anything else is checked (RFC 6750 §3.1).
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("a bearer token is required")]
    NoCredential,
    /// The request does not say which of them counts (RFC 6750 §3.1).
    #[error("there is more than one `Authorization` header")]
    SeveralCredentials,
    #[error("the bearer token is malformed, unknown, expired or of another kind or provider")]
    InvalidToken,
    /// Like [`Self::InvalidToken`], with the rule that a token of an authorization server breaks.
    #[error("the access token is refused: {0}")]
    InvalidAccessToken(#[from] TokenFault),
    /// The answer is 403 and not 401, because the token is valid and a new one would not help.
    #[error("the client of this access token is not a Receiver of this provider")]
    UnknownClient { client: String },
    /// The text names the scope to ask for, which may allow more than this operation needs.
    #[error("the bearer token lacks the scope `{}`", .0.standard())]
    InsufficientScope(Scope),
    /// Nobody can say at the moment whether the token is valid.
    #[error("the authorization server gives no answer, or has not told its new keys yet")]
    Unavailable { retry_after: Duration },
    /// The Receiver asks too often, or somebody at its address shows too many bad credentials.
    #[error("too many requests")]
    TooMany { retry_after: Duration },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TooMany> for AuthError {
    fn from(TooMany(retry_after): TooMany) -> Self {
        Self::TooMany { retry_after }
    }
}

impl Principal {
    pub fn require(&self, needed: Scope) -> Result<(), AuthError> {
        let covered = self.scopes.iter().any(|scope| scope.covers(needed));
        if covered { Ok(()) } else { Err(AuthError::InsufficientScope(needed)) }
    }
}

/// The number of last uses that go in one write, so that an append behind it hardly waits.
const RECORDED_AT_ONCE: usize = 500;

/// The beginning of every token that this daemon makes.
const TOKEN_PREFIX: &str = "ssfd_";

/// Makes a bearer token or a client's secret of 244 random bits. It is shown once, and the store
/// keeps only its hash.
pub fn new_token() -> Secret {
    let (one, two) = (clock::random_uuid().simple(), clock::random_uuid().simple());
    Secret::new(format!("{TOKEN_PREFIX}{one}{two}"))
}

/// Hashes a token. A plain hash is enough, because tokens are random and cannot be guessed.
pub fn hash(token: &Secret) -> TokenHash {
    let digest = digest(&SHA256, token.expose().as_bytes());
    let hex = digest.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    TokenHash::from_hex(hex)
}

/// The issuer of a provider's access tokens. Tokens that operators make are accepted besides.
pub enum TokenIssuer {
    /// The provider's own token endpoint.
    BuiltIn(TokenEndpoint),
    External(Box<External>),
}

/// The caller of a request, as far as it is known before its credential.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    /// `None` if the request counts against no rate.
    address: Option<IpAddr>,
    rates: &'a Rates,
}

/// Turns the value of an `Authorization` header into a principal. Tokens of this daemon are looked
/// up in the store at each request, so that a revoked one is refused at once.
#[derive(Clone)]
pub struct Authenticator {
    store: Arc<dyn Records>,
    servers: Arc<BTreeMap<ProviderName, TokenIssuer>>,
    uses: Arc<UseNotes>,
    rates: Arc<Rates>,
    refusals: Arc<Refusals>,
}

impl Authenticator {
    pub fn new(
        store: Arc<dyn Records>,
        servers: BTreeMap<ProviderName, TokenIssuer>,
        rates: Rates,
    ) -> Self {
        Self {
            store,
            refusals: Arc::new(Refusals::new(servers.keys())),
            servers: Arc::new(servers),
            uses: Arc::default(),
            rates: Arc::new(rates),
        }
    }

    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Fetches keys in advance, so that the first request does not wait for them.
    pub fn warm_up(&self) {
        self.servers.values().filter_map(TokenIssuer::external).for_each(External::warm_up);
    }

    /// Returns a number that is another one once a token of this daemon may have been revoked or ended,
    /// on any node or by the command line.
    pub async fn own_tokens_state(&self) -> Result<u64, StoreError> {
        self.store.records_state().await
    }

    /// Records the uses of credentials that were noted since the last call, and returns their number.
    /// Requests only note them, because they must not wait for a write.
    pub async fn record_last_uses(&self, now: Timestamp) -> Result<usize, StoreError> {
        let uses = self.uses.take(now);
        for chunk in uses.chunks(RECORDED_AT_ONCE) {
            self.store.record_last_uses(chunk.to_vec()).await?;
        }
        Ok(uses.len())
    }

    /// Returns the issuer of a provider's access tokens, if it is an external authorization server.
    pub fn external_issuer(&self, provider: &ProviderName) -> Option<&str> {
        let external = self.servers.get(provider)?.external()?;
        Some(&external.expected.issuer)
    }

    /// Issues a token at the provider's token endpoint, or returns `None` if the provider has none.
    /// Wrong secrets count for the address that they come from, and not for the client that they name,
    /// because anybody may know its id.
    pub async fn issue(
        &self,
        provider: &ProviderName,
        request: ClientCredentialsRequest,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Option<Result<Issued, TokenError>> {
        match self.servers.get(provider)? {
            TokenIssuer::BuiltIn(endpoint) => {
                let named = request.credentials.client_id.clone();
                let issued = endpoint.issue(&*self.store, provider, request, now).await;
                match (&issued, named.parse()) {
                    (Ok(_), Ok(client)) => self.uses.note(&Credential::Client(client), now),
                    (Err(TokenError::InvalidClient), client) => {
                        // A text that is no id may be anything, perhaps a secret.
                        let client = client.is_ok().then_some(&*named);
                        self.refusals.note(provider, None, client, refusals::WRONG_SECRET);
                        if let Err(TooMany(wait)) = self.rates.admit_refused(from) {
                            return Some(Err(TokenError::TooMany { wait }));
                        }
                    }
                    _ => {}
                }
                Some(issued)
            }
            TokenIssuer::External(_) => None,
        }
    }

    /// Returns the Receiver that holds this credential, if the Receiver belongs to this provider. The
    /// request counts against the Receiver's rate, and a refused credential against that of its
    /// address.
    pub async fn receiver_from(
        &self,
        from: IpAddr,
        provider: &ProviderName,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        let principal = self.judge(Some(from), provider, authorization, now).await?;
        self.rates.admit_receiver(&ReceiverKey::from(&principal))?;
        Ok(principal)
    }

    /// Does the same for a request that was admitted before. It counts against no rate.
    pub async fn receiver(
        &self,
        provider: &ProviderName,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        self.judge(None, provider, authorization, now).await
    }

    async fn judge(
        &self,
        from: Option<IpAddr>,
        provider: &ProviderName,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        let token = bearer::token(authorization)?;
        let external = self.servers.get(provider).and_then(TokenIssuer::external);
        let external = external.filter(|_| !token.expose().starts_with(TOKEN_PREFIX));
        let source = Source { address: from, rates: &self.rates };
        let judged = match external {
            Some(external) => external.principal(provider, &token, source, now).await,
            None => self.own_receiver(provider, &token, now).await,
        };
        if let Err(error) = &judged
            && let Some(reason) = refusals::reason(error)
        {
            let issuer = external.map(|external| &*external.expected.issuer);
            let claimed = || external?.claimed_client(&token);
            let client = match error {
                AuthError::UnknownClient { client } => Some(client.clone()),
                _ => claimed(),
            };
            self.refusals.note(provider, issuer, client.as_deref(), reason);
        }
        match judged {
            // The other kinds of refusals were counted where they were found.
            Err(AuthError::InvalidToken) => {
                self.rates.admit_refused(from)?;
                Err(AuthError::InvalidToken)
            }
            judged => judged,
        }
    }

    /// Looks up a token of this daemon.
    async fn own_receiver(
        &self,
        provider: &ProviderName,
        token: &Secret,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        let grant = self.grant(token, now).await?;
        let (credential, holds_until) = (grant.credential(), grant.expires_at);
        match grant.holder.role {
            Holder::Receiver { provider: own, receiver, audience, scopes } if own == *provider => {
                Ok(Principal { provider: own, receiver, audience, scopes, credential, holds_until })
            }
            Holder::Receiver { .. } | Holder::Publisher { .. } | Holder::Operator => {
                Err(AuthError::InvalidToken)
            }
        }
    }

    /// Returns the publisher that holds this credential.
    pub async fn publisher(
        &self,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<PublisherPrincipal, AuthError> {
        let grant = self.grant(&bearer::token(authorization)?, now).await?;
        let credential = grant.credential();
        match grant.holder.role {
            Holder::Publisher { provider } => Ok(PublisherPrincipal { provider, credential }),
            Holder::Receiver { .. } | Holder::Operator => Err(AuthError::InvalidToken),
        }
    }

    /// Returns the operator that holds this credential.
    pub async fn operator(
        &self,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<OperatorPrincipal, AuthError> {
        let grant = self.grant(&bearer::token(authorization)?, now).await?;
        match &grant.holder.role {
            Holder::Operator => Ok(OperatorPrincipal { credential: grant.credential() }),
            Holder::Receiver { .. } | Holder::Publisher { .. } => Err(AuthError::InvalidToken),
        }
    }

    async fn grant(&self, token: &Secret, now: Timestamp) -> Result<Grant, AuthError> {
        let grant = self.store.grant(&hash(token)).await?;
        let valid = |grant: &Grant| grant.expires_at.is_none_or(|at| now < at);
        let grant = grant.filter(valid).ok_or(AuthError::InvalidToken)?;
        self.uses.note(&grant.credential(), now);
        Ok(grant)
    }
}

impl TokenIssuer {
    pub fn external(&self) -> Option<&External> {
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
