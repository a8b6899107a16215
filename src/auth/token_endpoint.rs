//! The built-in authorization server. It issues access tokens for client credentials (RFC 6749
//! §4.4), for providers without an external authorization server.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::{hash, new_token, settings::TokenEndpointSettings};
use crate::{
    domain::{
        client::Client,
        grant::{Grant, Holder, NamedHolder, Scope},
        id::{ClientId, ProviderName},
        pace::Pace,
        secret::Secret,
        time::Timestamp,
    },
    store::{ClientStore as _, Records, StoreError, TokenStore as _},
};

/// The credentials that a client presents.
#[derive(Debug)]
pub struct Credentials {
    pub client_id: String,
    pub client_secret: Secret,
}

/// The parameters of a token request.
#[derive(Debug)]
pub struct ClientCredentialsRequest {
    pub credentials: Credentials,
    pub grant_type: Option<String>,
    pub scope: Option<String>,
}

/// An issued token, as the response describes it.
#[derive(Debug)]
pub struct Issued {
    pub token: Secret,
    pub lifetime: Duration,
    pub scopes: Vec<Scope>,
}

/// The reason why no token is issued (RFC 6749 §5.2).
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the client is unknown, or its secret is wrong")]
    InvalidClient,
    #[error("`grant_type` is required")]
    NoGrantType,
    #[error("`grant_type` must be `client_credentials`")]
    UnsupportedGrantType,
    #[error("`scope` names one that this client may not have")]
    InvalidScope,
    #[error("too many requests")]
    TooMany { wait: Duration },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The token endpoint of one provider.
#[derive(Debug)]
pub struct TokenEndpoint {
    settings: TokenEndpointSettings,
    /// How fast clients get tokens. It has only clients that exist, so their number limits its size.
    paces: Mutex<HashMap<ClientId, Pace>>,
}

impl TokenEndpoint {
    pub fn new(settings: TokenEndpointSettings) -> Self {
        Self { settings, paces: Mutex::default() }
    }

    /// Issues a token. The client is authenticated before the request is checked.
    pub(super) async fn issue(
        &self,
        store: &dyn Records,
        provider: &ProviderName,
        request: ClientCredentialsRequest,
        now: Timestamp,
    ) -> Result<Issued, TokenError> {
        let client = authenticated(store, provider, &request.credentials).await?;
        match request.grant_type.as_deref() {
            Some("client_credentials") => {}
            Some(_) => return Err(TokenError::UnsupportedGrantType),
            None => return Err(TokenError::NoGrantType),
        }
        let scopes = granted(&client.scopes, request.scope.as_deref())?;
        // Each token costs a commit, so their rate is limited.
        self.admit(&client.id, now)?;
        let lifetime = self.settings.token_lifetime;
        let token = new_token();
        let grant = Grant {
            hash: hash(&token),
            holder: NamedHolder {
                name: None,
                client: Some(client.id.clone()),
                role: Holder::Receiver {
                    provider: client.provider,
                    receiver: client.receiver,
                    audience: client.audience,
                    scopes: scopes.clone(),
                },
            },
            created_at: now,
            expires_at: Some(now + lifetime),
        };
        let live_max = self.settings.tokens_per_client_max;
        match store.issue_grant(&client.id, grant, live_max).await {
            Ok(()) => Ok(Issued { token, lifetime, scopes }),
            // The client was removed in the meantime.
            Err(StoreError::Conflict) => Err(TokenError::InvalidClient),
            Err(error) => Err(error.into()),
        }
    }

    fn admit(&self, client: &ClientId, now: Timestamp) -> Result<(), TokenError> {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = paces.entry(client.clone()).or_default();
        let admitted = pace.admit(now, self.settings.requests_per_second_max);
        admitted.map_err(|wait| TokenError::TooMany { wait })
    }
}

/// Returns the client of this provider that has these credentials. The right secret always counts,
/// however many wrong ones came before it: a secret has 244 random bits and cannot be guessed, and a
/// stranger who knows a client's id must not lock the client out.
async fn authenticated(
    store: &dyn Records,
    provider: &ProviderName,
    credentials: &Credentials,
) -> Result<Client, TokenError> {
    let id = credentials.client_id.parse().map_err(|_| TokenError::InvalidClient)?;
    let found = store.client(&id).await?.filter(|client| client.provider == *provider);
    let client = found.ok_or(TokenError::InvalidClient)?;
    let shown = hash(&credentials.client_secret);
    let (shown, kept) = (shown.as_str().as_bytes(), client.secret.as_str().as_bytes());
    verify_slices_are_equal(shown, kept).map_err(|_| TokenError::InvalidClient)?;
    Ok(client)
}

/// Returns the scopes of a token: the requested ones, or all that the client may have. A scope that
/// the client may not have is an error (RFC 6749 §3.3).
fn granted(allowed: &[Scope], asked: Option<&str>) -> Result<Vec<Scope>, TokenError> {
    let Some(asked) = asked else { return Ok(allowed.to_vec()) };
    let mut scopes = Vec::new();
    for raw in asked.split(' ') {
        let scope: Scope = raw.parse().map_err(|_| TokenError::InvalidScope)?;
        if !allowed.iter().any(|held| held.covers(scope)) {
            return Err(TokenError::InvalidScope);
        }
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(allowed: &[Scope], asked: Option<&str>, expected: Option<&[Scope]>) {
        assert_eq!(granted(allowed, asked).ok().as_deref(), expected);
    }

    #[test]
    fn a_client_gets_the_scopes_it_asks_for_if_it_may_have_them() {
        use Scope::*;
        check(&[Manage], None, Some(&[Manage]));
        check(&[Manage], Some("ssf.read"), Some(&[Read]));
        check(&[Manage], Some("ssf.read ssf.manage ssf.read"), Some(&[Read, Manage]));
        check(&[Read], Some("ssf.manage"), None);
        check(&[Read], Some("ssf.read ssf.manage"), None);
        check(&[Manage], Some("openid"), None);
        check(&[Manage], Some("ssf.read  ssf.manage"), None);
    }
}
