//! SETs of another Transmitter: whether one is taken, what it holds, and in which words it is refused.
//!
//! A SET comes in a request (RFC 8935) or in the answer to a poll (RFC 8936). Both ways judge it by the same
//! rules ([`judge`]), and both report a [`SetFault`] to the other Transmitter: in a body with the status
//! 400, or in `setErrs`.

use serde_json::{Map, Value};

use super::{
    Source,
    verify::{Refusal, Verifier},
};
use crate::{
    clock,
    domain::{
        event_type::EventType,
        set_error::{ErrCode, SetError, excerpt},
        time::Timestamp,
    },
};

/// The reason why a SET is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct SetFault(pub Refusal);

/// Judges one SET that came in no request: its form, its signature by a key of the other Transmitter, `iss`,
/// `aud` and the times, and all that RFC 8417 §2.2 asks for. Returns its claims, of which `sub_id` is there
/// and each payload is an object.
pub async fn judge(
    token: &str,
    verifier: &Verifier,
    now: Timestamp,
) -> Result<Map<String, Value>, SetFault> {
    let judged = verifier.verify_token(token, now).await.map_err(SetFault)?;
    judged.claims.ok_or(SetFault(Refusal::Missing))
}

/// Returns a record for each event that may be relayed: the claims with this event alone. A SET may have
/// several events (RFC 8417 §2.2), and ours have one (SSF §4.2.1).
pub fn records(claims: &Map<String, Value>) -> Vec<Value> {
    let record = |(uri, payload): (&String, &Value)| {
        let mut claims = claims.clone();
        let events = Map::from_iter([(uri.clone(), payload.clone())]);
        claims.insert("events".to_owned(), Value::Object(events));
        Value::Object(claims)
    };
    events(claims).filter(|(uri, _)| !is_control(uri)).map(record).collect()
}

/// Returns the events about the stream itself, which are never relayed (SSF §8.1.4, §8.1.5).
pub fn control_events(claims: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    events(claims).filter(|(uri, _)| is_control(uri))
}

fn events(claims: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    claims.get("events").and_then(Value::as_object).into_iter().flatten()
}

fn is_control(uri: &str) -> bool {
    uri.parse::<EventType>().is_ok_and(|event_type| event_type.is_control())
}

impl SetFault {
    /// Returns the words for the other Transmitter (RFC 8935 §2.4). `None` if the SET is not at fault, and
    /// should come again.
    pub fn error(self) -> Option<SetError> {
        let code = match self.0 {
            Refusal::Unavailable { .. } => return None,
            Refusal::Wrong | Refusal::UnknownKey | Refusal::Algorithm => ErrCode::InvalidKey,
            Refusal::Issuer | Refusal::OwnIssuer => ErrCode::InvalidIssuer,
            Refusal::Audience => ErrCode::InvalidAudience,
            Refusal::Authorization | Refusal::UntrustedProxy => ErrCode::AuthenticationFailed,
            Refusal::Missing
            | Refusal::Repeated
            | Refusal::Malformed
            | Refusal::Old
            | Refusal::Future
            | Refusal::Expired
            | Refusal::Body
            | Refusal::Type
            | Refusal::MediaType
            | Refusal::Claim(_)
            | Refusal::Forbidden(_) => ErrCode::InvalidRequest,
        };
        Some(SetError::new(code.as_str(), &self.to_string()))
    }
}

impl Source {
    /// Takes note of the events about the stream itself.
    pub(super) fn note_control(&self, claims: &Map<String, Value>) {
        for (uri, payload) in control_events(claims) {
            self.count_record("control", 1);
            // Keycloak puts the status into an object of this name.
            let status = payload.pointer("/status/status").or_else(|| payload.get("status"));
            let Some(status) = status.and_then(Value::as_str).map(excerpt) else { continue };
            let reason = payload.get("reason").and_then(Value::as_str).map(excerpt);
            if self.log.admit("control", clock::instant()).is_some() {
                let source = self.label();
                tracing::warn!(
                    source,
                    uri,
                    status,
                    reason,
                    "the other Transmitter changed its stream"
                );
            }
        }
    }
}
