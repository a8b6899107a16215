//! Access tokens of an external authorization server, and the Receivers that they stand for.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    AuthError, Principal, Source,
    access_token::{Bearer, Expectations, Unverified, claimed_client},
    fetch::FetchError,
    hash,
    introspection::Introspection,
    jwks_source::{JwksSource, JwksSourceError},
    key_cache::Shown,
    settings::{ClientSettings, UnlistedClients},
};
use crate::domain::{
    audience::Audience,
    grant::{Credential, Scope},
    id::{ProviderName, ReceiverId},
    secret::Secret,
    time::Timestamp,
};

/// The way in which the tokens are checked.
pub enum TokenCheck {
    /// The tokens are JWTs, and the keys of the server are known (RFC 9068).
    Keys(Arc<JwksSource>),
    /// The server is asked about each token (RFC 7662).
    Introspection(Arc<Introspection>),
}

pub struct External {
    pub expected: Expectations,
    pub check: TokenCheck,
    pub clients: BTreeMap<String, ClientSettings>,
    pub unlisted: UnlistedClients,
}

/// The reason why an authorization server cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("its keys cannot be read")]
    Keys(#[source] JwksSourceError),
    #[error("it publishes no key that can verify access tokens")]
    NoKeys,
    #[error("it does not answer whether a token is active")]
    Introspection(#[source] FetchError),
}

impl ProbeError {
    /// Returns what the operator should do, where that is known.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Keys(error) => error.remedy(),
            Self::NoKeys => Some("check the URL or the file in `oauth.jwks`"),
            Self::Introspection(error) => error.remedy(),
        }
    }
}

impl External {
    pub(super) async fn principal(
        &self,
        provider: &ProviderName,
        token: &Secret,
        source: Source<'_>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        let (bearer, holds_until) = match &self.check {
            TokenCheck::Keys(keys) => {
                let judged = self.judge(keys, token, now).await;
                if let Err(AuthError::InvalidAccessToken(_)) = judged {
                    source.rates.admit_refused(source.address)?;
                }
                let bearer = judged?;
                let until = bearer.expires_at.map(|at| at + self.expected.leeway);
                (bearer, until)
            }
            TokenCheck::Introspection(server) => {
                let (bearer, until) = server.judge(token, &self.expected, source, now).await?;
                (bearer, Some(until))
            }
        };
        let client = bearer.client.clone();
        let entitled = self.entitled(provider, bearer, holds_until);
        entitled.ok_or(AuthError::UnknownClient { client })
    }

    /// Judges a JWT by the keys of the server.
    async fn judge(
        &self,
        keys: &Arc<JwksSource>,
        token: &Secret,
        now: Timestamp,
    ) -> Result<Bearer, AuthError> {
        let jwt = Unverified::parse(token.expose(), &self.expected.algorithms)?;
        let shown = Shown { kid: &jwt.kid, token: &hash(token) };
        let keys = keys.keys_for(shown).await;
        let keys = keys.map_err(|none| AuthError::Unavailable { retry_after: none.0 })?;
        Ok(self.expected.judge(&jwt.verify(&keys)?, now)?)
    }

    /// Returns the client that a refused token names, for the log. Nothing of it was verified.
    pub(super) fn claimed_client(&self, token: &Secret) -> Option<String> {
        claimed_client(token.expose(), &self.expected.client_claim)
    }

    /// Tries the server once: reads its keys, or asks about a token that was just made up. Tells an
    /// operator whether URLs, certificates and our own credentials are right.
    pub async fn probe(&self) -> Result<(), ProbeError> {
        match &self.check {
            TokenCheck::Keys(keys) => match keys.probe().await {
                Ok(0) => Err(ProbeError::NoKeys),
                Ok(_) => Ok(()),
                Err(error) => Err(ProbeError::Keys(error)),
            },
            TokenCheck::Introspection(server) => {
                server.probe().await.map_err(ProbeError::Introspection)
            }
        }
    }

    /// Returns the Receiver that the bearer stands for (SSF §8). `None` means that the token is
    /// valid but its client is not a Receiver here, so another token would not help.
    fn entitled(
        &self,
        provider: &ProviderName,
        bearer: Bearer,
        holds_until: Option<Timestamp>,
    ) -> Option<Principal> {
        let credential = Credential::ExternalClient(bearer.client.clone());
        let (receiver, audience, scopes) = match self.clients.get(&bearer.client) {
            Some(client) => {
                let scopes = narrowed(&bearer.scopes, &client.scopes);
                (client.receiver.clone(), client.audience.clone(), scopes)
            }
            None if self.unlisted == UnlistedClients::Admit => {
                (unlisted(&bearer.client)?, Audience::one(bearer.client).ok()?, bearer.scopes)
            }
            None => return None,
        };
        Some(Principal {
            provider: provider.clone(),
            receiver,
            audience,
            scopes,
            credential,
            holds_until,
        })
    }

    /// Fetches the keys, so that they are known before the first token arrives.
    pub(super) fn warm_up(&self) {
        if let TokenCheck::Keys(keys) = &self.check {
            drop(keys.fetch());
        }
    }
}

/// Returns the Receiver that an unlisted client becomes. Its name differs from all names that
/// operators give, because anybody who can register a client at the server chooses the client's id
/// and must not thereby choose whose streams it owns.
fn unlisted(client: &str) -> Option<ReceiverId> {
    format!("client~{client}").parse().ok()
}

/// Returns the scopes that both lists allow.
fn narrowed(token: &[Scope], client: &[Scope]) -> Vec<Scope> {
    let allows = |list: &[Scope], needed| list.iter().any(|scope| scope.covers(needed));
    Scope::ALL.into_iter().filter(|scope| allows(token, *scope) && allows(client, *scope)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Scope::*;

    #[test]
    fn a_scope_needs_both_the_token_and_the_client() {
        assert_eq!(narrowed(&[Manage], &[Read]), [Read]);
        assert_eq!(narrowed(&[Read], &[Manage]), [Read]);
        assert_eq!(narrowed(&[Manage], &[Manage]), Scope::ALL);
        assert_eq!(narrowed(&[Create, Read], &[Create, Delete]), [Create]);
        assert!(narrowed(&[], &[Manage]).is_empty());
    }

    #[test]
    fn an_unlisted_client_never_gets_the_name_of_a_listed_receiver() {
        assert_eq!(unlisted("acme").expect("an id").as_str(), "client~acme");
        assert!(unlisted("https://rx.example").is_none());
    }
}
