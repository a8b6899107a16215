//! The kinds of sources, by the contents of their requests and the answers that their senders expect.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{self, Part, UnreadableBody},
    request::{Reply, SourceRequest},
    verify::{Refusal, Verified},
};

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
}

impl Kind {
    /// Returns the name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::LogoutToken => "logout-token",
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
            Some(claims) if self == Self::LogoutToken || is_token_in_body => {
                Ok(vec![Ok(Value::Object(claims))])
            }
            _ => {
                let is_lines = body::says_lines(request.headers.text("content-type"));
                body::parts(&request.body, is_lines, records_max)
            }
        }
    }

    /// Returns the status of the answer to a request that was taken in, if the protocol fixes it.
    pub(super) fn answer(self) -> Option<u16> {
        match self {
            Self::Native => None,
            // OpenID Connect Back-Channel Logout 1.0 §2.8.
            Self::LogoutToken => Some(200),
        }
    }

    /// Answers a request that is not believed. A native sender learns nothing. A token names its own fault
    /// to everybody who can read it, so the protocols of tokens tell the reason, in texts of ours.
    pub(super) fn refused(self, refusal: Refusal) -> Reply {
        match self {
            Self::Native => Reply::empty(401),
            // OpenID Connect Back-Channel Logout 1.0 §2.8, in the form of RFC 6749 §5.2.
            Self::LogoutToken => {
                let description = refusal.to_string();
                let body = json!({"error": "invalid_request", "error_description": description});
                Reply::with_body(400, "application/json", body.to_string())
            }
        }
    }
}
