//! Answers the requests by which a sender checks that an endpoint is willing to get its events.
//!
//! Okta and Microsoft Graph ask before they show any credential, so these two are answered before a
//! request is verified. Their text comes from anybody, therefore it is repeated only if it is short and
//! printable, with a fixed media type that browsers must not guess anew. Google's first message on a channel shows
//! its token, and is answered once that is verified.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::request::{Method, Reply, SourceRequest};

/// The longest text that is repeated, in bytes.
pub const CHALLENGE_LENGTH_MAX: usize = 1024;

/// The handshake of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Handshake {
    #[default]
    None,
    /// Event hooks of Okta: a GET with a challenge in a header.
    Okta,
    /// Subscriptions of Microsoft Graph: a POST with a token in the query.
    Graph,
    /// Channels of Google: a POST that says `sync`.
    Google,
}

const OKTA_CHALLENGE: &str = "x-okta-verification-challenge";
const GRAPH_TOKEN: &str = "validationToken";
const GOOGLE_STATE: &str = "x-goog-resource-state";

impl Handshake {
    /// Answers a handshake that comes without a credential. Returns `None` if the request is none.
    pub fn answer_to_anybody(self, request: &SourceRequest) -> Option<Reply> {
        match self {
            Self::Okta if request.method == Method::Get => {
                let challenge = request.headers.text(OKTA_CHALLENGE);
                Some(challenge.filter(|text| is_plain(text)).map_or_else(refused, |challenge| {
                    let body = json!({"verification": challenge}).to_string();
                    answer("application/json", body)
                }))
            }
            Self::Graph if request.method == Method::Post => {
                let token = request.parameter(GRAPH_TOKEN)?;
                Some(if is_plain(&token) {
                    answer("text/plain", token.into_owned())
                } else {
                    refused()
                })
            }
            _ => None,
        }
    }

    /// Tells whether a verified request is a handshake, which has no record.
    pub fn is_verified_handshake(self, request: &SourceRequest) -> bool {
        self == Self::Google && request.headers.text(GOOGLE_STATE) == Some("sync")
    }

    /// Tells whether requests with this method may come.
    pub fn takes(self, method: Method) -> bool {
        method != Method::Get || self == Self::Okta
    }
}

/// Tells whether a text may be repeated: printable ASCII, of bounded length.
fn is_plain(text: &str) -> bool {
    let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    !text.is_empty() && text.len() <= CHALLENGE_LENGTH_MAX && printable
}

fn answer(content_type: &'static str, body: String) -> Reply {
    Reply::with_body(200, content_type, body).header("x-content-type-options", "nosniff")
}

fn refused() -> Reply {
    Reply::empty(400)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::source::request::Headers;

    fn request(method: Method, header: Option<(&str, &str)>, query: &str) -> SourceRequest {
        let headers = header.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        SourceRequest {
            method,
            headers: Headers::new(headers),
            query: query.to_owned(),
            body: Bytes::new(),
            peer: None,
            certificate: None,
        }
    }

    /// Checks the status, the media type and the body of the answer, or that the request is no handshake.
    #[track_caller]
    fn check(
        handshake: Handshake,
        request: &SourceRequest,
        expected: Option<(u16, Option<&str>, &str)>,
    ) {
        let reply = handshake.answer_to_anybody(request);
        let found =
            reply.as_ref().map(|reply| (reply.status, reply.content_type, reply.body.as_str()));
        assert_eq!(found, expected);
        if let Some(Reply { status: 200, headers, .. }) = &reply {
            assert!(headers.contains(&("x-content-type-options", "nosniff".to_owned())));
        }
    }

    #[test]
    fn the_challenge_of_okta_is_repeated_as_json() {
        let ask = |challenge: &str| {
            request(Method::Get, Some(("X-Okta-Verification-Challenge", challenge)), "")
        };
        let json = Some("application/json");
        check(Handshake::Okta, &ask("abc\"<"), Some((200, json, r#"{"verification":"abc\"<"}"#)));
        check(Handshake::Okta, &request(Method::Get, None, ""), Some((400, None, "")));
        check(Handshake::Okta, &request(Method::Post, None, ""), None);
        check(Handshake::None, &ask("abc"), None);
        for bad in ["", "a\nb", "größer", &"a".repeat(CHALLENGE_LENGTH_MAX + 1)] {
            check(Handshake::Okta, &ask(bad), Some((400, None, "")));
        }
    }

    #[test]
    fn the_token_of_graph_is_repeated_decoded_as_plain_text() {
        let ask = |query: &str| request(Method::Post, None, query);
        let text = Some("text/plain");
        check(
            Handshake::Graph,
            &ask("validationToken=Validation%3a+Testing%20client"),
            Some((200, text, "Validation: Testing client")),
        );
        check(Handshake::Graph, &ask("other=1"), None);
        for bad in ["validationToken=", "validationToken=a%0Ab", "validationToken=%C3%A9"] {
            check(Handshake::Graph, &ask(bad), Some((400, None, "")));
        }
        check(Handshake::Graph, &request(Method::Get, None, "validationToken=a"), None);
    }

    #[test]
    fn the_first_message_of_google_has_no_record() {
        let sync = request(Method::Post, Some(("X-Goog-Resource-State", "sync")), "");
        let event = request(Method::Post, Some(("X-Goog-Resource-State", "update")), "");
        assert!(Handshake::Google.is_verified_handshake(&sync));
        assert!(!Handshake::Google.is_verified_handshake(&event));
        assert!(!Handshake::None.is_verified_handshake(&sync));
        check(Handshake::Google, &sync, None);
    }
}
