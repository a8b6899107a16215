//! The kinds of sources, by the contents of their requests and the answers that their senders expect.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{
    body::{self, Part, UnreadableBody},
    request::{Reply, SourceRequest},
    set::{self, SetFault},
    verify::{Refusal, Verified, normalize_set},
};
use crate::{domain::set_error::SetError, signing::jwt::CompactJws};

/// The kind of a source. Each kind turns a verified request into records for the mapping, and refuses a
/// request in the words of its protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Native events as JSON: one document, an array, or lines. If the credential is a token in the body,
    /// its claims are the record.
    #[default]
    Native,
    /// A logout token (OpenID Connect Back-Channel Logout 1.0 §2.4). Its claims are the record.
    LogoutToken,
    /// A SET of another Transmitter (RFC 8417). Each of its events is a record.
    Set,
}

impl Kind {
    /// Returns the name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::LogoutToken => "logout-token",
            Self::Set => "set",
        }
    }

    /// Takes the documents out of a verified request.
    pub(super) fn documents(
        self,
        request: &SourceRequest,
        verified: Verified,
        is_token_in_body: bool,
        records_max: usize,
    ) -> Result<Vec<Part>, UnreadableBody> {
        match verified.claims {
            Some(claims) if self != Self::Native || is_token_in_body => Ok(self.parts(claims)),
            _ => {
                let is_lines = body::says_lines(request.headers.text("content-type"));
                body::parts(&request.body, is_lines, records_max)
            }
        }
    }

    /// Takes the documents out of a body of which nothing is verified, for an explanation. A token may be
    /// there as it is sent, or as its claims.
    pub(super) fn unverified(
        self,
        body: &[u8],
        records_max: usize,
    ) -> Result<Vec<Part>, UnreadableBody> {
        let parts = match claims_of_token(body) {
            Some(claims) => vec![Ok(Value::Object(claims))],
            None => body::parts(body, false, records_max)?,
        };
        let apart = |part| match part {
            Ok(Value::Object(mut claims)) if self == Self::Set => {
                normalize_set(&mut claims);
                self.parts(claims)
            }
            part => vec![part],
        };
        Ok(parts.into_iter().flat_map(apart).collect())
    }

    fn parts(self, claims: Map<String, Value>) -> Vec<Part> {
        match self {
            Self::Set => set::records(&claims).into_iter().map(Ok).collect(),
            Self::Native | Self::LogoutToken => vec![Ok(Value::Object(claims))],
        }
    }

    /// Returns the status of the answer to a request that was taken in, if the protocol fixes it.
    pub(super) fn answer(self) -> Option<u16> {
        match self {
            Self::Native => None,
            // OpenID Connect Back-Channel Logout 1.0 §2.8.
            Self::LogoutToken => Some(200),
            // RFC 8935 §2.2.
            Self::Set => Some(202),
        }
    }

    /// Returns the media type in which a sender sends, for a trial.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Native => "application/json",
            Self::LogoutToken => "application/x-www-form-urlencoded",
            Self::Set => "application/secevent+jwt",
        }
    }

    /// Answers a request that is not believed. A native sender learns nothing. A token names its own fault
    /// to everybody who can read it, so the protocols of tokens tell the reason, in texts of ours.
    pub(super) fn refused(self, refusal: Refusal) -> Reply {
        let json = |body: Value| Reply::with_body(400, "application/json", body.to_string());
        match self {
            Self::Native => Reply::empty(401),
            // OpenID Connect Back-Channel Logout 1.0 §2.8, in the form of RFC 6749 §5.2.
            Self::LogoutToken => {
                let description = refusal.to_string();
                json(json!({"error": "invalid_request", "error_description": description}))
            }
            // RFC 8935 §2.3.
            Self::Set => match SetFault(refusal).error() {
                Some(SetError { err, description, .. }) => {
                    let reply = json(json!({"err": err, "description": description}));
                    reply.header("content-language", "en")
                }
                None => Reply::empty(503),
            },
        }
    }
}

/// Returns the claims of a token that is the body, or the value of a field of a form.
fn claims_of_token(body: &[u8]) -> Option<Map<String, Value>> {
    let text = std::str::from_utf8(body).ok()?.trim();
    if text.starts_with(['{', '[']) {
        return None;
    }
    let claims = |token: &str| CompactJws::parse(token).ok()?.claims();
    let in_form = || form_urlencoded::parse(text.as_bytes()).find_map(|(_, token)| claims(&token));
    claims(text).or_else(in_form)
}
