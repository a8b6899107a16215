//! A SET that a Receiver got, and how it is printed.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use humantime_serde::re::humantime;
use serde_json::{Map, Value, json};

use super::misbehave::MisbehaviourMode;
use crate::{
    cli::plain,
    domain::{set_error::SetError, time::Timestamp},
    signing::algorithm::Algorithm,
};

/// One SET that has arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: ReceiveMethod,
    pub at: Timestamp,
    /// The path of the push request, or the URL of the poll.
    pub endpoint: String,
    /// From the claims, even if they are not verified.
    pub jti: Option<String>,
    /// The URI under `events`.
    pub event_type: Option<String>,
    /// Empty if they cannot be decoded.
    pub claims: Map<String, Value>,
    pub verified: Result<SignedBy, Rejection>,
    /// Whether a SET with this `jti` was accepted before.
    pub duplicate: bool,
    /// The failure on purpose, if any.
    pub misbehaved: Option<MisbehaviourMode>,
}

/// The way by which a SET arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveMethod {
    Push,
    Poll,
}

/// The key of a verified signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    pub algorithm: Algorithm,
    pub kid: String,
}

/// Why a SET is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The SET is wrong, so a repetition would be refused too.
    #[error("{}: {}", .0.err, .0.description)]
    Refused(SetError),
    /// The keys are missing, so a repetition may succeed.
    #[error("the keys cannot be fetched: {0}")]
    NoKeys(String),
}

impl ReceiveMethod {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Poll => "poll",
        }
    }
}

impl Received {
    /// Returns the last part of the event type, such as `session-revoked`.
    pub fn event_name(&self) -> Option<&str> {
        self.event_type.as_deref()?.rsplit(['/', ':']).next()
    }

    pub fn to_json(&self) -> Value {
        let (signed_by, error) = match &self.verified {
            Ok(signed) => (Some(json!({"alg": signed.algorithm, "kid": signed.kid})), None),
            Err(rejection) => (None, Some(rejection.to_string())),
        };
        json!({
            "at": rfc3339(self.at), "method": self.method.as_str(), "endpoint": self.endpoint,
            "jti": self.jti, "event_type": self.event_type, "claims": self.claims,
            "verified": self.verified.is_ok(), "signed_by": signed_by, "error": error,
            "duplicate": self.duplicate,
            "misbehaved": self.misbehaved.as_ref().map(ToString::to_string),
        })
    }
}

/// Formats the SET as two lines for a terminal, without control characters from the SET: what it is
/// about, and its claims. A SET that cannot be decoded has the first line alone.
impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: Option<&str>| plain(text.unwrap_or("?"));
        let (event, jti) = (shown(self.event_name()), shown(self.jti.as_deref()));
        write!(f, "{}  {}  {event}  {jti}", rfc3339(self.at), self.method.as_str())?;
        write!(f, "  {}", plain(&self.endpoint))?;
        if let Some(subject) = self.claims.get("sub_id") {
            write!(f, "  sub_id={}", plain(&subject.to_string()))?;
        }
        match &self.verified {
            Ok(signed) => write!(f, "  verified {} {}", signed.algorithm, plain(&signed.kid))?,
            Err(rejection) => write!(f, "  NOT VERIFIED {rejection}")?,
        }
        if self.duplicate {
            f.write_str("  duplicate")?;
        }
        if let Some(mode) = &self.misbehaved {
            write!(f, "  misbehaved {mode}")?;
        }
        if self.claims.is_empty() {
            return Ok(());
        }
        let claims = serde_json::to_string(&self.claims).map_err(|_| fmt::Error)?;
        write!(f, "\n  {}", plain(&claims))
    }
}

fn rfc3339(at: Timestamp) -> String {
    let millis = u64::try_from(at.as_millis()).unwrap_or(0);
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    humantime::format_rfc3339_millis(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received() -> Received {
        let event_type = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        let subject = json!({"format": "email", "email": "kim\u{1b}@example.com"});
        let claims = json!({"jti": "b1", "sub_id": subject, "events": {event_type: {}}});
        let Value::Object(claims) = claims else { unreachable!("an object") };
        Received {
            method: ReceiveMethod::Push,
            at: Timestamp::from_millis(1_775_000_099_250),
            endpoint: "/in/7".into(),
            jti: Some("b1".into()),
            event_type: Some(event_type.into()),
            claims,
            verified: Ok(SignedBy { algorithm: Algorithm::Rs256, kid: "k-2026-04".into() }),
            duplicate: false,
            misbehaved: None,
        }
    }

    #[test]
    fn a_set_is_printed_with_its_subject_and_its_claims() {
        let (line, claims) = (
            r#"2026-03-31T23:34:59.250Z  push  session-revoked  b1  /in/7  sub_id={"email":"kim\u001b@example.com","format":"email"}  verified RS256 k-2026-04"#,
            r#"  {"events":{"https://schemas.openid.net/secevent/caep/event-type/session-revoked":{}},"jti":"b1","sub_id":{"email":"kim\u001b@example.com","format":"email"}}"#,
        );
        assert_eq!(received().to_string(), [line, claims].join("\n"));
        let odd = Received {
            jti: Some("b\u{1b}[31m\n1".into()),
            event_type: None,
            claims: Map::new(),
            verified: Err(Rejection::Refused(SetError::new("invalid_key", "no key k-1"))),
            duplicate: true,
            misbehaved: Some(MisbehaviourMode::Reset),
            ..received()
        };
        assert_eq!(
            odd.to_string(),
            "2026-03-31T23:34:59.250Z  push  ?  b[31m1  /in/7  NOT VERIFIED invalid_key: no key k-1  \
             duplicate  misbehaved reset"
        );
    }

    #[test]
    fn a_set_is_printed_as_one_json_object() {
        let json = received().to_json();
        assert_eq!(json["claims"]["jti"], "b1");
        assert_eq!(json["signed_by"], json!({"alg": "RS256", "kid": "k-2026-04"}));
        assert_eq!((&json["verified"], &json["error"]), (&json!(true), &Value::Null));
    }
}
