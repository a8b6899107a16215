//! Verifies that a request comes from the identity provider that a source is configured for.
//!
//! [`Verifier`] holds one [`Scheme`]. Each scheme is a file of its own, and a pure function of the
//! request, the secrets and the time; only the keys of `jwt` may have to be fetched. A scheme looks at
//! the raw bytes of the body, never at parsed JSON. `client_state` alone looks at the records of the
//! body as well, because its senders repeat a shared text in each of them.
//!
//! Rules for all schemes:
//!
//! - Several secrets may be valid at once, so that they can be changed. Each of them is tried.
//! - Secrets, signatures and tokens are compared in constant time and never printed ([`secrets`]).
//! - A request that is refused has a [`Refusal`], which is counted by its label. The kind of the source
//!   words the answer. A native sender learns nothing: it gets 401 with an empty body.
//! - A replayed request is refused as too old by the schemes that sign a time. With the others it gives
//!   the same event ids, which are duplicates.

mod basic;
mod certificate;
mod client_state;
mod foreign_set;
mod hmac;
mod jwt;
mod jwt_algorithm;
mod logout_token;
mod open;
pub mod secrets;
mod standard_webhooks;
mod static_header;
mod token_place;

use std::time::Duration;

use serde_json::{Map, Value};

pub(super) use self::foreign_set::normalize as normalize_set;
pub use self::{
    basic::Basic,
    certificate::{Certificate, CertificateShown},
    client_state::{ClientState, StatePlace},
    foreign_set::ForeignSet,
    hmac::{Encoding, Hash, Hmac, TimeUnit, Timestamped},
    jwt::{BodyHash, Jwt, JwtKeys, JwtProfile},
    jwt_algorithm::JwtAlgorithm,
    logout_token::LogoutToken,
    open::{VerifierContext, VerifierError},
    standard_webhooks::{StandardWebhooks, WebhookKey, WebhookKeyError},
    static_header::StaticHeader,
    token_place::TokenPlace,
};
use super::request::SourceRequest;
use crate::domain::time::Timestamp;

/// The reason why a request is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the credential is missing")]
    Missing,
    #[error("the credential is there more than once")]
    Repeated,
    #[error("the credential does not have the form of its scheme")]
    Malformed,
    #[error("the credential is wrong")]
    Wrong,
    #[error("the signature is older than the tolerance")]
    Old,
    #[error("the signature is of a time ahead")]
    Future,
    #[error("the algorithm is not allowed")]
    Algorithm,
    #[error("the key is not known")]
    UnknownKey,
    #[error("the issuer is another one")]
    Issuer,
    #[error("the audience is another one")]
    Audience,
    #[error("the token has expired, or has no `exp`")]
    Expired,
    #[error("the token is about another body")]
    Body,
    #[error("the `typ` of the token is another one")]
    Type,
    #[error("the claim {0} is missing, or is not of its type")]
    Claim(&'static str),
    #[error("the claim {0} must not be there")]
    Forbidden(&'static str),
    #[error("the media type is not that of a SET (RFC 8935 §2.1)")]
    MediaType,
    #[error("the header `Authorization` does not have the agreed value")]
    Authorization,
    #[error("the issuer is one of this daemon, so that its SETs would come back")]
    OwnIssuer,
    #[error("the peer is no trusted proxy")]
    UntrustedProxy,
    /// The sender is not at fault. The answer is 503.
    #[error("the keys cannot be fetched at present")]
    Unavailable { retry_after: Duration },
}

impl Refusal {
    /// Every label, for metrics that begin at 0.
    pub const LABELS: [&'static str; 20] = [
        "missing",
        "repeated",
        "malformed",
        "wrong",
        "old",
        "future",
        "algorithm",
        "unknown_key",
        "issuer",
        "audience",
        "expired",
        "body",
        "type",
        "claim",
        "forbidden",
        "media_type",
        "authorization",
        "own_issuer",
        "untrusted_proxy",
        "unavailable",
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::Malformed => "malformed",
            Self::Wrong => "wrong",
            Self::Old => "old",
            Self::Future => "future",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::Body => "body",
            Self::Type => "type",
            Self::Claim(_) => "claim",
            Self::Forbidden(_) => "forbidden",
            Self::MediaType => "media_type",
            Self::Authorization => "authorization",
            Self::OwnIssuer => "own_issuer",
            Self::UntrustedProxy => "untrusted_proxy",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

/// How a source knows its sender.
pub enum Scheme {
    StaticHeader(StaticHeader),
    Basic(Basic),
    Hmac(Hmac),
    StandardWebhooks(StandardWebhooks),
    Jwt(Box<Jwt>),
    ClientState(ClientState),
    Certificate(Certificate),
    /// Anybody is believed. The configuration allows this on a loopback listener only, unless the operator
    /// insists.
    None,
}

/// The facts that a request has proved.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verified {
    /// The claims of the token, if the scheme is a token.
    pub claims: Option<Map<String, Value>>,
}

/// Verifies the requests of one source.
pub struct Verifier {
    scheme: Scheme,
}

impl Verifier {
    pub fn new(scheme: Scheme) -> Self {
        Self { scheme }
    }

    /// Judges the raw request.
    pub async fn verify(
        &self,
        request: &SourceRequest,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        match &self.scheme {
            Scheme::StaticHeader(scheme) => scheme.verify(request)?,
            Scheme::Basic(scheme) => scheme.verify(request)?,
            Scheme::Hmac(scheme) => scheme.verify(request, now)?,
            Scheme::StandardWebhooks(scheme) => scheme.verify(request, now)?,
            Scheme::ClientState(scheme) => scheme.verify_request(request)?,
            Scheme::Certificate(scheme) => scheme.verify(request)?,
            Scheme::Jwt(scheme) => {
                let claims = Some(scheme.verify(request, now).await?);
                return Ok(Verified { claims });
            }
            Scheme::None => {}
        }
        Ok(Verified::default())
    }

    /// Judges a token that came in no request. Fails if the scheme has no tokens.
    pub async fn verify_token(&self, token: &str, now: Timestamp) -> Result<Verified, Refusal> {
        match &self.scheme {
            Scheme::Jwt(scheme) => {
                let claims = Some(scheme.verify_token(token, now).await?);
                Ok(Verified { claims })
            }
            _ => Err(Refusal::Missing),
        }
    }

    /// Judges one record of the body. Most schemes have judged the whole body before.
    pub fn verify_record(&self, record: &Value) -> Result<(), Refusal> {
        match &self.scheme {
            Scheme::ClientState(scheme) => scheme.verify_record(record),
            _ => Ok(()),
        }
    }

    /// Tells whether each record is judged as well.
    pub fn judges_records(&self) -> bool {
        matches!(&self.scheme, Scheme::ClientState(scheme) if scheme.judges_records())
    }

    /// Returns the headers by which a sender of this source would be believed, for a trial. `id` names the
    /// request. Fails with the reason if only the sender can sign.
    pub fn sign(
        &self,
        body: &[u8],
        id: &str,
        now: Timestamp,
    ) -> Result<Vec<(String, String)>, &'static str> {
        const PUBLIC: &str = "only the sender has the private key; send a request that it signed";
        let one = |header: Option<(String, String)>| header.map(|header| vec![header]);
        let headers = match &self.scheme {
            Scheme::StaticHeader(scheme) => one(scheme.sign()),
            Scheme::Basic(scheme) => one(scheme.sign()),
            Scheme::Hmac(scheme) => one(scheme.sign(body, now)),
            Scheme::StandardWebhooks(scheme) => scheme.sign(id, body, now),
            Scheme::Jwt(scheme) => scheme.sign(body, id, now),
            Scheme::ClientState(scheme) => Some(scheme.sign().into_iter().collect()),
            Scheme::Certificate(scheme) => return Err(scheme.cannot_sign()),
            Scheme::None => Some(Vec::new()),
        };
        headers.ok_or(PUBLIC)
    }

    /// Returns the name of the header that has the credential, if it is one that only this source uses.
    pub(super) fn header(&self) -> Option<&str> {
        match &self.scheme {
            Scheme::StaticHeader(scheme) => Some(&scheme.header),
            Scheme::ClientState(scheme) => scheme.header(),
            Scheme::Jwt(scheme) => scheme.place.header(),
            _ => None,
        }
    }

    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }
}

/// Judges the time of a signature.
fn judge_time(signed: Timestamp, now: Timestamp, tolerance: Duration) -> Result<(), Refusal> {
    if signed + tolerance < now {
        Err(Refusal::Old)
    } else if now + tolerance < signed {
        Err(Refusal::Future)
    } else {
        Ok(())
    }
}

/// Returns the value of a header that must be there once.
fn required<'a>(request: &'a SourceRequest, name: &str) -> Result<&'a [u8], Refusal> {
    request.headers.one(name).map_err(|_| Refusal::Repeated)?.ok_or(Refusal::Missing)
}

/// Returns the value of a header that must be there once and be text.
fn required_text<'a>(request: &'a SourceRequest, name: &str) -> Result<&'a str, Refusal> {
    std::str::from_utf8(required(request, name)?).map_err(|_| Refusal::Malformed)
}

#[cfg(test)]
mod tests;
