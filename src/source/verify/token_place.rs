//! The places of a request that may have a token.

use url::form_urlencoded;

use super::{Refusal, required, static_header};
use crate::source::request::SourceRequest;

/// Where the token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenPlace {
    /// `Authorization: Bearer …` (RFC 6750 §2.1).
    Authorization,
    /// The whole value of a header.
    Header(String),
    /// A field of a form (`application/x-www-form-urlencoded`).
    Form(String),
    /// The body is the token.
    Body,
}

impl TokenPlace {
    /// Takes the token of a request. Its length is bounded by that of a head or of a body.
    pub(super) fn token(&self, request: &SourceRequest) -> Result<String, Refusal> {
        let bytes = match self {
            Self::Authorization => static_header::token(required(request, "authorization")?)?,
            Self::Header(name) => required(request, name)?.trim_ascii(),
            Self::Body => request.body.trim_ascii(),
            Self::Form(field) => {
                let mut fields = form_urlencoded::parse(&request.body);
                let mut values = fields.by_ref().filter(|(name, _)| name == field);
                return match (values.next(), values.next()) {
                    (None, _) => Err(Refusal::Missing),
                    (Some(_), Some(_)) => Err(Refusal::Repeated),
                    (Some((_, token)), None) if token.is_empty() => Err(Refusal::Missing),
                    (Some((_, token)), None) => Ok(token.into_owned()),
                };
            }
        };
        match std::str::from_utf8(bytes) {
            Ok("") => Err(Refusal::Missing),
            Ok(token) => Ok(token.to_owned()),
            Err(_) => Err(Refusal::Malformed),
        }
    }

    pub(super) fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            Self::Authorization | Self::Form(_) | Self::Body => None,
        }
    }

    /// Tells whether the token is in the body, so that its claims are the record.
    pub fn is_in_body(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Body)
    }
}
