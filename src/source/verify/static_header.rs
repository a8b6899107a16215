//! A header with a fixed value, which the sender sends with each request.

use super::{Refusal, required, secrets::SharedSecret, secrets::is_any};
use crate::source::request::SourceRequest;

/// Compares the value of a header with the secrets. Senders such as Okta and Auth0 send the configured
/// text as it is, without a scheme before it; others send a bearer token (RFC 6750 §2.1).
pub struct StaticHeader {
    pub header: String,
    /// Whether `Bearer ` stands before the secret.
    pub bearer: bool,
    pub secrets: Vec<SharedSecret>,
}

impl StaticHeader {
    pub(super) fn verify(&self, request: &SourceRequest) -> Result<(), Refusal> {
        let value = required(request, &self.header)?;
        let shown = if self.bearer { token(value)? } else { value };
        if is_any(&self.secrets, shown) { Ok(()) } else { Err(Refusal::Wrong) }
    }

    pub(super) fn sign(&self) -> Option<(String, String)> {
        let secret = self.secrets.first()?.expose();
        let value = if self.bearer { format!("Bearer {secret}") } else { secret.to_owned() };
        Some((self.header.clone(), value))
    }
}

/// Takes the token of a bearer credential. The name of the scheme may have any case.
pub(super) fn token(value: &[u8]) -> Result<&[u8], Refusal> {
    credential(value, b"bearer")
}

/// Takes the credential behind the name of a scheme (RFC 9110 §11.4).
pub(super) fn credential<'a>(value: &'a [u8], scheme: &[u8]) -> Result<&'a [u8], Refusal> {
    let (name, rest) = value.split_at_checked(scheme.len()).ok_or(Refusal::Malformed)?;
    let rest = rest.strip_prefix(b" ").map(<[u8]>::trim_ascii).unwrap_or_default();
    if name.eq_ignore_ascii_case(scheme) && !rest.is_empty() {
        Ok(rest)
    } else {
        Err(Refusal::Malformed)
    }
}
