//! Reads the JWTs of other parties: the compact form, the header and times (RFC 7515, RFC 7519).
//! SETs and access tokens are read alike. The rules of either kind are with its verifier:
//! [`super::verify`] for SETs, `auth` for access tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{jws_algorithm::JwsAlgorithm, verification_keys::VerificationKey};
use crate::domain::{json, time::Timestamp};

/// A compact JWS (RFC 7515 §7.1) of which only the header was read. Nothing in it is trusted yet.
#[derive(Debug)]
pub struct CompactJws<'a> {
    header: Map<String, Value>,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// The reason why a text is not a compact JWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAJws {
    #[error("not a compact JWS: three parts in base64url, separated by dots")]
    NotCompact,
    #[error("the header is not a JSON object")]
    Header,
}

impl<'a> CompactJws<'a> {
    pub fn parse(text: &'a str) -> Result<Self, NotAJws> {
        let (signed, signature) = text.rsplit_once('.').ok_or(NotAJws::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(NotAJws::NotCompact)?;
        let decode = |part| URL_SAFE_NO_PAD.decode(part).map_err(|_| NotAJws::NotCompact);
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let header = object(&header).ok_or(NotAJws::Header)?;
        Ok(Self { header, signed, payload, signature })
    }

    /// Returns a member of the header, or `null` if it has no such member.
    pub fn member(&self, name: &str) -> &Value {
        self.header.get(name).unwrap_or(&Value::Null)
    }

    /// Tells whether `typ` is this media type, which is given in lower case and without the prefix
    /// `application/`. A header may have it with the prefix, and case does not matter (RFC 7515
    /// §4.1.9).
    pub fn is_of_type(&self, media_type: &str) -> bool {
        let Some(typ) = self.member("typ").as_str() else { return false };
        let typ = typ.to_ascii_lowercase();
        typ.strip_prefix("application/").unwrap_or(&typ) == media_type
    }

    /// Tells whether the header requires extensions, of which none is supported (RFC 7515 §4.1.11).
    pub fn requires_extensions(&self) -> bool {
        self.header.contains_key("crit")
    }

    pub fn algorithm(&self) -> Option<JwsAlgorithm> {
        self.member("alg").as_str()?.parse().ok()
    }

    pub fn kid(&self) -> Option<&str> {
        self.member("kid").as_str()
    }

    /// Tells whether this key made the signature with this algorithm. Keys in the header, and URLs of
    /// keys, are never looked at (RFC 8725 §3.10).
    pub fn is_signed_by(&self, key: &VerificationKey, algorithm: JwsAlgorithm) -> bool {
        key.verifies(algorithm, self.signed.as_bytes(), &self.signature)
    }

    /// Returns what is signed, and the signature, for those who share a secret with the signer.
    pub fn signed_parts(&self) -> (&[u8], &[u8]) {
        (self.signed.as_bytes(), &self.signature)
    }

    /// Returns the claims, or `None` if the payload is not a JSON object or has a member twice.
    pub fn claims(&self) -> Option<Map<String, Value>> {
        object(&self.payload)
    }
}

/// Reads an object. One that has a member twice is refused (RFC 7515 §4, RFC 7519 §4), because two
/// readers may disagree about which of the two counts.
fn object(text: &[u8]) -> Option<Map<String, Value>> {
    match json::read(text).ok()?.value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// Reads a `NumericDate` (RFC 7519 §2): seconds, perhaps with a fraction. Returns `None` if the value
/// is not a number. A time that is too far off for a [`Timestamp`] becomes the farthest one.
pub fn numeric_date(value: &Value) -> Option<Timestamp> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, as far off as it gets"
    )]
    let millis = |seconds: f64| (seconds * 1000.0).floor() as i64;
    let whole = |seconds: i64| seconds.saturating_mul(1000);
    let found = value.as_i64().map(whole).or_else(|| value.as_f64().map(millis));
    found.map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jws(header: &Value, payload: &str) -> String {
        let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", encode(header.to_string()), encode(payload.to_owned()))
    }

    #[test]
    fn the_type_is_a_media_type() {
        for (typ, is_at_jwt) in [
            (json!("at+jwt"), true),
            (json!("AT+JWT"), true),
            (json!("application/at+jwt"), true),
            (json!("Application/At+Jwt"), true),
            (json!("text/at+jwt"), false),
            (json!("at+jwt "), false),
            (json!("jwt"), false),
            (json!(["at+jwt"]), false),
            (Value::Null, false),
        ] {
            let text = jws(&json!({"typ": typ}), "{}");
            let found = CompactJws::parse(&text).expect("a JWS").is_of_type("at+jwt");
            assert_eq!(found, is_at_jwt, "{typ}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_compact_jws_is_refused() {
        let good = jws(&json!({}), "{}");
        for text in ["", ".", "..", "a.b", "a.b.c.d", &format!("{good}="), &format!("{good}\n")] {
            assert!(CompactJws::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(CompactJws::parse(&jws(&json!([]), "{}")).err(), Some(NotAJws::Header));
        let twice = format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(r#"{"kid":"a","kid":"b"}"#));
        assert_eq!(CompactJws::parse(&twice).err(), Some(NotAJws::Header));
        for payload in ["", "[]", "7", "{", r#"{"aud":"a","aud":"b"}"#] {
            let text = jws(&json!({}), payload);
            assert_eq!(CompactJws::parse(&text).expect("a JWS").claims(), None, "{payload}");
        }
    }

    #[test]
    fn a_time_is_a_number_of_seconds() {
        for (value, millis) in [
            (json!(1_775_000_000), Some(1_775_000_000_000)),
            (json!(1_775_000_000.5), Some(1_775_000_000_500)),
            (json!(1.775e9), Some(1_775_000_000_000)),
            (json!(-1), Some(-1000)),
            (json!(i64::MAX), Some(i64::MAX)),
            (json!(u64::MAX), Some(i64::MAX)),
            (json!(1e300), Some(i64::MAX)),
            (json!("1775000000"), None),
            (json!(true), None),
            (json!([1]), None),
            (Value::Null, None),
        ] {
            assert_eq!(numeric_date(&value), millis.map(Timestamp::from_millis), "{value}");
        }
    }
}
