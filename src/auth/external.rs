//! An authorization server that is not ours: what its access tokens open.

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
    grant::Scope,
    id::{ProviderName, ReceiverId},
    secret::Secret,
    time::Timestamp,
};

/// How its tokens are found to be valid.
pub enum TokenCheck {
    /// They are JWTs, and its keys are known (RFC 9068).
    Keys(Arc<JwksSource>),
    /// It is asked (RFC 7662).
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

    /// Who the bearer is to us (SSF §8). `None` if nobody: the token is good, and another one would
    /// not help.
    fn entitled(&self, provider: &ProviderName, bearer: Bearer) -> Option<Principal> {
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
        Some(Principal { provider: provider.clone(), receiver, audience, scopes })
    }

    /// Fetches the keys, so that they are there before the first token is.
    pub(super) fn warm_up(&self) {
        if let TokenCheck::Keys(keys) = &self.check {
            drop(keys.fetch());
        }
    }
}

/// The Receiver that an unlisted client is. Apart from those that operators name: whoever registers
/// clients at the server chooses their ids, and must not choose whose streams they own.
fn unlisted(client: &str) -> Option<ReceiverId> {
    format!("client~{client}").parse().ok()
}

/// What both lists allow.
fn narrowed(token: &[Scope], client: &[Scope]) -> Vec<Scope> {
    let allows = |list: &[Scope], needed| list.iter().any(|scope| scope.covers(needed));
    Scope::ALL.into_iter().filter(|scope| allows(token, *scope) && allows(client, *scope)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Scope::*;

    #[test]
    fn a_scope_opens_what_both_the_token_and_the_client_may() {
        assert_eq!(narrowed(&[Manage], &[Read]), [Read]);
        assert_eq!(narrowed(&[Read], &[Manage]), [Read]);
        assert_eq!(narrowed(&[Manage], &[Manage]), Scope::ALL);
        assert_eq!(narrowed(&[Create, Read], &[Create, Delete]), [Create]);
        assert!(narrowed(&[], &[Manage]).is_empty());
    }

    #[test]
    fn an_unlisted_client_is_no_receiver_that_an_operator_would_name() {
        assert_eq!(unlisted("acme").expect("an id").as_str(), "client~acme");
        assert!(unlisted("https://rx.example").is_none());
    }
}
