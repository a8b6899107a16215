//! The rules of logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.6), besides those of every JWT.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Refusal, judge_time, jwt::text};
use crate::{
    domain::time::Timestamp,
    signing::jwt::{CompactJws, numeric_date},
};

/// The event that makes a JWT a logout token. The URI begins with `http`.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The values of `typ`. Many providers call the token a `JWT`, as they call each of theirs.
const TYPES: [&str; 2] = ["logout+jwt", "jwt"];

/// Judges what makes a JWT a logout token, so that no other token of the provider passes as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogoutToken {
    /// The largest age of a token. A provider makes a new one for each attempt to send it.
    pub tolerance: Duration,
}

impl LogoutToken {
    pub(super) fn judge_header(jws: &CompactJws<'_>) -> Result<(), Refusal> {
        let is_known = TYPES.iter().any(|known| jws.is_of_type(known));
        if is_known || jws.member("typ").is_null() { Ok(()) } else { Err(Refusal::Type) }
    }

    pub(super) fn judge_claims(
        self,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        // An ID token has the nonce of its sign-in. Even a `null` shows that this is none of ours.
        if claims.contains_key("nonce") {
            return Err(Refusal::Forbidden("nonce"));
        }
        let event = claims.get("events").and_then(|events| events.get(EVENT));
        if !event.is_some_and(Value::is_object) {
            return Err(Refusal::Claim("events"));
        }
        text(claims, "jti")?.ok_or(Refusal::Claim("jti"))?;
        let named = [text(claims, "sub")?, text(claims, "sid")?];
        if named.iter().all(Option::is_none) {
            return Err(Refusal::Claim("sub or sid"));
        }
        let issued = claims.get("iat").and_then(numeric_date).ok_or(Refusal::Claim("iat"))?;
        judge_time(issued, now, self.tolerance)
    }
}
