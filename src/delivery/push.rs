//! Push delivery (RFC 8935) as plain values: what a response says of the SET.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    delivery::outcome::{FailureClass, Outcome},
    domain::set_error::{ErrCode, SetError, excerpt},
};

/// `Content-Type` of the request (RFC 8935 §2.1).
pub const CONTENT_TYPE: &str = "application/secevent+jwt";
/// `Accept` of the request (RFC 8935 §2.1).
pub const ACCEPT: &str = "application/json";

#[derive(Deserialize)]
struct ErrorBody {
    err: String,
    /// For people to read; `err` counts whatever this is.
    #[serde(default)]
    description: Value,
}

/// Judges a response by its status, `Retry-After` and the head of its body. The body is a
/// stranger's: it may be of any kind, and only `err` and `description` are read from it.
pub fn classify(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Outcome {
    let error = || serde_json::from_slice::<ErrorBody>(body).ok();
    let class = match status {
        200..=299 => return Outcome::Accepted { status },
        400 => return refused(error()),
        401 | 403 => FailureClass::Credentials,
        429 => FailureClass::Throttled,
        408 | 425 | 500..=599 => FailureClass::Unavailable,
        _ => FailureClass::Misconfigured,
    };
    let said = error().map(|e| format!(" {}", excerpt(&e.err))).unwrap_or_default();
    Outcome::Failed { class, retry_after, detail: format!("status {status}{said}") }
}

fn refused(body: Option<ErrorBody>) -> Outcome {
    // An empty or unreadable body says no less than "refused" (RFC 8935 §2.3).
    let error = match body {
        Some(body) => SetError::new(&body.err, body.description.as_str().unwrap_or_default()),
        None => SetError::new("", "status 400 without a readable `err`"),
    };
    match error.code {
        // These blame our credentials, not the SET (RFC 8935 §2.4).
        ErrCode::AuthenticationFailed | ErrCode::AccessDenied => {
            Outcome::failed(FailureClass::Credentials, format!("status 400 {}", error.err))
        }
        _ => Outcome::Refused(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, class: &str) {
        assert_eq!(classify(status, None, body.as_bytes()).class(), class, "{status} {body}");
    }

    #[test]
    fn every_status_has_a_class() {
        check(202, "", "accepted");
        check(200, "", "accepted_other_2xx");
        check(204, "{}", "accepted_other_2xx");
        check(301, "", "misconfigured");
        check(307, "", "misconfigured");
        check(401, "", "credentials");
        check(403, "", "credentials");
        check(404, "", "misconfigured");
        check(408, "", "unavailable");
        check(410, "", "misconfigured");
        check(413, "", "misconfigured");
        check(425, "", "unavailable");
        check(429, "", "throttled");
        check(500, "<html>", "unavailable");
        check(503, "", "unavailable");
        check(600, "", "misconfigured");
    }

    #[test]
    fn a_400_refuses_the_set_unless_it_blames_our_credentials() {
        for (code, _) in ErrCode::REGISTERED {
            let class = match code {
                "authentication_failed" | "access_denied" => "credentials".to_owned(),
                _ => format!("refused_{code}"),
            };
            check(400, &format!(r#"{{"err":"{code}","description":"x"}}"#), &class);
        }
    }

    #[test]
    fn a_400_with_any_body_is_a_refusal() {
        for body in ["", "null", "[]", "<html>", r#"{"err":7}"#, r#"{"err":"jwtCrypto"}"#, "\u{0}"]
        {
            check(400, body, "refused_other");
        }
    }
}
