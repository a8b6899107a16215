//! The rules of SETs of another Transmitter (RFC 8417 §2.2), besides those of every JWT.

use serde_json::{Map, Value, json};

use super::{Refusal, jwt::text};
use crate::{
    signing::{SET_TYPE, jwt::CompactJws},
    source::request::SourceRequest,
};

/// The media type of a pushed SET (RFC 8935 §2.1).
const MEDIA_TYPE: &str = "application/secevent+jwt";

/// Judges what makes a JWT a SET that may be relayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForeignSet {
    /// The issuers of this daemon. A SET of theirs that were relayed would come back again and again.
    pub own_issuers: Vec<String>,
}

impl ForeignSet {
    pub(super) fn judge_request(request: &SourceRequest) -> Result<(), Refusal> {
        let media_type = request.headers.text("content-type").unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(MEDIA_TYPE) { Ok(()) } else { Err(Refusal::MediaType) }
    }

    /// Judges `typ`, and whether the SET is one of ours. Nothing is verified yet, and a refusal needs no
    /// proof. A SET of ours would otherwise be refused for its key, which the other Transmitter does not
    /// have, and not for its issuer.
    pub(super) fn judge_header(&self, jws: &CompactJws<'_>) -> Result<(), Refusal> {
        if !jws.is_of_type(SET_TYPE) {
            return Err(Refusal::Type);
        }
        let claims = jws.claims().ok_or(Refusal::Malformed)?;
        let issuer = text(&claims, "iss")?.unwrap_or_default();
        let is_ours = self.own_issuers.iter().any(|own| own == issuer);
        if is_ours { Err(Refusal::OwnIssuer) } else { Ok(()) }
    }

    /// Judges the claims and puts them into the form that mappings read: `sub_id` is there, and the
    /// payload of each event is an object.
    pub(super) fn judge_claims(claims: &mut Map<String, Value>) -> Result<(), Refusal> {
        if claims.get("iat").is_none_or(Value::is_null) {
            return Err(Refusal::Claim("iat"));
        }
        text(claims, "jti")?.ok_or(Refusal::Claim("jti"))?;
        normalize(claims);
        let format = claims.get("sub_id").and_then(|subject| subject.get("format"));
        if format.and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(Refusal::Claim("sub_id or sub"));
        }
        let events = claims.get("events").and_then(Value::as_object);
        let events = events.filter(|events| !events.is_empty()).ok_or(Refusal::Claim("events"))?;
        let is_good =
            |(uri, payload): (&String, &Value)| url::Url::parse(uri).is_ok() && payload.is_object();
        if events.iter().all(is_good) { Ok(()) } else { Err(Refusal::Claim("events")) }
    }
}

/// Names the subject by `sub_id` also if the SET has it in `sub` alone, which is a name that the issuer
/// gives (RFC 7519 §4.1.2), and makes an object of a payload that is `null`.
pub(in crate::source) fn normalize(claims: &mut Map<String, Value>) {
    if claims.get("sub_id").is_none_or(Value::is_null)
        && let (Ok(Some(issuer)), Ok(Some(subject))) = (text(claims, "iss"), text(claims, "sub"))
    {
        let subject = json!({"format": "iss_sub", "iss": issuer, "sub": subject});
        claims.insert("sub_id".to_owned(), subject);
    }
    let events = claims.get_mut("events").and_then(Value::as_object_mut);
    for payload in events.into_iter().flat_map(Map::values_mut).filter(|one| one.is_null()) {
        *payload = json!({});
    }
}
