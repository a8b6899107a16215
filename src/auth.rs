//! Who is asking. A credential becomes a [`Principal`], and only a principal opens anything.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

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
    #[error("the bearer token lacks the scope `{0}`")]
    InsufficientScope(Scope),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Principal {
    pub fn require(&self, needed: Scope) -> Result<(), AuthError> {
        let covered = self.scopes.iter().any(|scope| scope.covers(needed));
        if covered { Ok(()) } else { Err(AuthError::InsufficientScope(needed)) }
    }
}

/// The longest token that is looked at; a longer one is invalid.
const TOKEN_LENGTH_MAX: usize = 4096;

/// A new static bearer token of 244 random bits. It is shown once; the store keeps its hash.
pub fn new_token() -> Secret {
    let (one, two) = (clock::random_uuid().simple(), clock::random_uuid().simple());
    Secret::new(format!("ssfd_{one}{two}"))
}

/// A plain hash is enough for a token: it is random, so there is nothing to guess.
pub fn hash(token: &Secret) -> TokenHash {
    let digest = digest(&SHA256, token.expose().as_bytes());
    let hex = digest.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    TokenHash::from_hex(hex)
}

/// Turns the value of an `Authorization` header into a grant. Tokens are looked up in the store at
/// each request, so that a revoked one is refused from then on.
#[derive(Clone)]
pub struct Authenticator {
    store: Arc<dyn Store>,
}

impl Authenticator {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The Receiver that holds this credential, if it is one of this provider's.
    pub async fn receiver(
        &self,
        provider: &ProviderName,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        match self.holder(authorization, now).await? {
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
        match self.holder(authorization, now).await? {
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
        match self.holder(authorization, now).await? {
            Holder::Operator => Ok(()),
            Holder::Receiver { .. } | Holder::Publisher { .. } => Err(AuthError::InvalidToken),
        }
    }

    async fn holder(
        &self,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Holder, AuthError> {
        let token = bearer(authorization)?;
        let grant = self.store.grant(&hash(&token)).await?;
        let valid = |grant: &Grant| grant.expires_at.is_none_or(|at| now < at);
        grant.filter(valid).map(|grant| grant.holder).ok_or(AuthError::InvalidToken)
    }
}

/// The token of a bearer credential (RFC 6750 §2.1). Another scheme, or bytes that are no text, is
/// a bad credential (401) and not a bad request.
fn bearer(authorization: Option<&[u8]>) -> Result<Secret, AuthError> {
    let value = authorization.ok_or(AuthError::NoCredential)?;
    let text = std::str::from_utf8(value).map_err(|_| AuthError::InvalidToken)?;
    let (scheme, token) = text.trim().split_once(' ').ok_or(AuthError::InvalidToken)?;
    let token = token.trim_start();
    let plausible = !token.is_empty() && token.len() <= TOKEN_LENGTH_MAX;
    if scheme.eq_ignore_ascii_case("bearer") && plausible {
        Ok(Secret::new(token))
    } else {
        Err(AuthError::InvalidToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: Option<&[u8]>, token: Result<&str, &str>) {
        let found = bearer(header).map_err(|error| error.to_string());
        match token {
            Ok(token) => assert_eq!(found, Ok(Secret::new(token))),
            Err(text) => assert!(found.expect_err("no token").contains(text)),
        }
    }

    #[test]
    fn a_bearer_token_is_read_from_the_header_alone() {
        check(Some(b"Bearer abc"), Ok("abc"));
        check(Some(b"bearer  abc"), Ok("abc"));
        check(None, Err("is required"));
        check(Some(b"Bearer"), Err("malformed"));
        check(Some(b"Bearer "), Err("malformed"));
        check(Some(b"Basic YTpi"), Err("malformed"));
        check(Some(b"\xff\xfe"), Err("malformed"));
    }

    #[test]
    fn a_token_is_kept_as_its_hash() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hash(&Secret::new("")).as_str(), empty);
        assert_ne!(new_token(), new_token());
    }
}
