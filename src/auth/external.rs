//! Access tokens of an external authorization server, and the Receivers that they stand for.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    AuthError, Principal,
    access_token::{Bearer, Expectations, Unverified},
    introspection::Introspection,
    jwks_source::JwksSource,
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

impl External {
    pub(super) async fn principal(
        &self,
        provider: &ProviderName,
        token: &Secret,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        let bearer = match &self.check {
            TokenCheck::Keys(keys) => {
                let token = Unverified::parse(token.expose(), &self.expected.algorithms)?;
                let keys = keys.keys_for(&token.kid).await;
                let keys = keys.map_err(|none| AuthError::Unavailable { retry_after: none.0 })?;
                self.expected.judge(&token.verify(&keys)?, now)?
            }
            TokenCheck::Introspection(server) => server.judge(token, &self.expected, now).await?,
        };
        self.entitled(provider, bearer).ok_or(AuthError::UnknownClient)
    }

    /// Returns the Receiver that the bearer stands for (SSF §8). `None` means that the token is
    /// valid but its client is not a Receiver here, so another token would not help.
    fn entitled(&self, provider: &ProviderName, bearer: Bearer) -> Option<Principal> {
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
        Some(Principal { provider: provider.clone(), receiver, audience, scopes, credential })
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
