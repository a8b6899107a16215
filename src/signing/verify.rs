//! Verifies a SET as a Receiver does: its signature, its header and its claims.

use serde_json::{Map, Value};

use crate::{
    domain::set_error::{ErrCode, excerpt},
    signing::{
        SET_TYPE,
        algorithm::Algorithm,
        jws_algorithm::JwsAlgorithm,
        jwt::{CompactJws, NotAJws, numeric_date},
        verification_keys::{KeyFault, NotAJwkSet, VerificationKey, VerificationKeys},
    },
};

/// Verifies SETs with the keys of one Transmitter.
#[derive(Debug)]
pub struct Verifier {
    keys: VerificationKeys,
}

/// Why a JWK Set cannot be used. A Transmitter must publish no unusable key, so one is enough.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    #[error("not a JWK Set")]
    NotAJwkSet(#[source] NotAJwkSet),
    #[error(transparent)]
    Key(KeyFault),
}

/// A SET whose signature, header and claims are valid.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedSet {
    pub algorithm: Algorithm,
    pub kid: String,
    pub claims: Map<String, Value>,
}

/// Why a SET is refused. Texts that come from the SET are cut to excerpts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("not a compact JWS: three parts in base64url, separated by dots")]
    NotCompact,
    #[error("the {0} is not a JSON object")]
    NotAnObject(&'static str),
    #[error("`typ` must be `{SET_TYPE}`, not {0} (SSF §4.1.1)")]
    Type(String),
    #[error("`alg` must be a supported asymmetric algorithm, not {0}")]
    Algorithm(String),
    #[error("the header has no `kid`")]
    NoKeyId,
    #[error("the header asks for extensions in `crit`, and none is supported (RFC 7515 §4.1.11)")]
    Critical,
    #[error("no key {0} for SETs in the JWK Set")]
    UnknownKey(String),
    #[error("several keys {0} in the JWK Set")]
    AmbiguousKey(String),
    #[error("the SET names {named}, but its key is for {key}")]
    AlgorithmMismatch { named: Algorithm, key: Algorithm },
    #[error("the signature does not verify with the key {0}")]
    BadSignature(String),
    #[error("the claim `{0}` is forbidden (SSF §4.1)")]
    ForbiddenClaim(&'static str),
    #[error("the claim `{0}` is missing, or is not of its type")]
    BadClaim(&'static str),
    #[error("`events` must have one member, not {0} (SSF §4.2.1)")]
    EventCount(usize),
}

impl VerifyError {
    /// Returns the error code that a Receiver answers with (RFC 8935 §2.4).
    pub fn err_code(&self) -> ErrCode {
        match self {
            Self::UnknownKey(_) | Self::AmbiguousKey(_) | Self::BadSignature(_) => {
                ErrCode::InvalidKey
            }
            _ => ErrCode::InvalidRequest,
        }
    }
}

impl Verifier {
    /// Reads the keys. `json` is the document behind the Transmitter's `jwks_uri`.
    pub fn from_jwks(json: &[u8]) -> Result<Self, JwksError> {
        let keys = VerificationKeys::from_json(json).map_err(JwksError::NotAJwkSet)?;
        match keys.faults().first() {
            Some(fault) => Err(JwksError::Key(fault.clone())),
            None => Ok(Self { keys }),
        }
    }

    pub fn verify(&self, jws: &str) -> Result<VerifiedSet, VerifyError> {
        let jws = CompactJws::parse(jws)?;
        let (algorithm, kid) = read_header(&jws)?;
        let (key, fits) = self.key(kid)?;
        // The key decides which algorithm is used, and not the SET (RFC 8725 §3.1).
        if fits != algorithm {
            return Err(VerifyError::AlgorithmMismatch { named: algorithm, key: fits });
        }
        if !jws.is_signed_by(key, algorithm.into()) {
            return Err(VerifyError::BadSignature(excerpt(kid)));
        }
        let claims = jws.claims().ok_or(VerifyError::NotAnObject("payload"))?;
        check_claims(&claims)?;
        Ok(VerifiedSet { algorithm, kid: kid.to_owned(), claims })
    }

    /// Finds the one key that a `kid` names (SET-03), and the algorithm of SETs that it is for.
    fn key(&self, kid: &str) -> Result<(&VerificationKey, Algorithm), VerifyError> {
        let mut named = self.keys.named(kid).filter_map(|key| {
            let mut algorithms = key.algorithms().filter_map(JwsAlgorithm::for_sets);
            algorithms.next().map(|algorithm| (key, algorithm))
        });
        match (named.next(), named.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => Err(VerifyError::UnknownKey(excerpt(kid))),
            (Some(_), Some(_)) => Err(VerifyError::AmbiguousKey(excerpt(kid))),
        }
    }
}

impl From<NotAJws> for VerifyError {
    fn from(error: NotAJws) -> Self {
        match error {
            NotAJws::NotCompact => Self::NotCompact,
            NotAJws::Header => Self::NotAnObject("header"),
        }
    }
}

fn read_header<'a>(jws: &'a CompactJws<'_>) -> Result<(Algorithm, &'a str), VerifyError> {
    if !jws.is_of_type(SET_TYPE) {
        return Err(VerifyError::Type(excerpt(&jws.member("typ").to_string())));
    }
    if jws.requires_extensions() {
        return Err(VerifyError::Critical);
    }
    let algorithm = jws.algorithm().and_then(JwsAlgorithm::for_sets);
    let unsupported = || VerifyError::Algorithm(excerpt(&jws.member("alg").to_string()));
    Ok((algorithm.ok_or_else(unsupported)?, jws.kid().ok_or(VerifyError::NoKeyId)?))
}

/// Checks the claims that every SET must have and those that no SET may have (SSF §4.1, RFC 8417
/// §2.2).
fn check_claims(claims: &Map<String, Value>) -> Result<(), VerifyError> {
    for forbidden in ["sub", "exp"] {
        if claims.contains_key(forbidden) {
            return Err(VerifyError::ForbiddenClaim(forbidden));
        }
    }
    let text = |claim: &Value| claim.as_str().is_some_and(|text| !text.is_empty());
    let texts = |claim: &Value| {
        text(claim) || claim.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(text))
    };
    let check = |name, valid: &dyn Fn(&Value) -> bool| {
        let found = claims.get(name).is_some_and(valid);
        if found { Ok(()) } else { Err(VerifyError::BadClaim(name)) }
    };
    check("iss", &text)?;
    check("iat", &|time| numeric_date(time).is_some())?;
    check("jti", &text)?;
    check("aud", &texts)?;
    check("sub_id", &|subject| text(&subject["format"]))?;
    let events = claims.get("events").and_then(Value::as_object);
    let events = events.ok_or(VerifyError::BadClaim("events"))?;
    if events.len() != 1 {
        return Err(VerifyError::EventCount(events.len()));
    }
    check("events", &|_| events.values().all(Value::is_object))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::{DecodingKey, Validation, jwk::Jwk};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::signing::{key_ring::KeyRing, keys::SigningKey};

    fn claims() -> Value {
        json!({
            "iss": "https://tx.example", "iat": 1_775_000_099, "jti": "b1",
            "aud": "https://rx.example", "sub_id": {"format": "opaque", "id": "s-88"},
            "events": {"https://schemas.openid.net/secevent/ssf/event-type/verification": {}},
        })
    }

    fn ring(algorithm: Algorithm) -> KeyRing {
        KeyRing::new(vec![SigningKey::example(algorithm)]).expect("one key")
    }

    fn sign(ring: &KeyRing, claims: &Value) -> String {
        let set = ring.signer().sign_set(&claims.to_string()).expect("signed");
        String::from_utf8(set.to_vec()).expect("base64url")
    }

    fn verify(ring: &KeyRing, jws: &str) -> Result<VerifiedSet, VerifyError> {
        Verifier::from_jwks(ring.jwks_json().as_bytes()).expect("our own set").verify(jws)
    }

    /// SET-01, SET-03.
    #[test]
    fn a_set_that_we_sign_verifies_with_the_keys_that_we_publish() {
        for algorithm in Algorithm::ALL {
            let ring = ring(algorithm);
            let set = verify(&ring, &sign(&ring, &claims())).expect("valid");
            assert_eq!(set.algorithm, algorithm);
            assert_eq!(set.kid, ring.signer().kid().as_str());
            assert_eq!(Value::Object(set.claims), claims());
        }
    }

    proptest! {
        /// Encoding and decoding leave the bytes of every claim as they are.
        #[test]
        fn a_set_has_the_claims_that_were_signed(
            id in any::<String>(), txn in any::<String>(), number in any::<f64>(),
        ) {
            let ring = ring(Algorithm::EdDsa);
            let mut claims = claims();
            claims["sub_id"]["id"] = id.into();
            claims["txn"] = txn.into();
            claims["events"] = json!({"urn:example:badge-lost": {"number": number}});
            let set = verify(&ring, &sign(&ring, &claims)).expect("valid");
            prop_assert_eq!(Value::Object(set.claims), claims);
        }
    }

    /// An independent verifier accepts our SETs and reads our JWKs. It does not know ES512.
    #[test]
    fn jsonwebtoken_verifies_what_we_sign() {
        for (ours, theirs) in [
            (Algorithm::Rs256, jsonwebtoken::Algorithm::RS256),
            (Algorithm::Es256, jsonwebtoken::Algorithm::ES256),
            (Algorithm::Es384, jsonwebtoken::Algorithm::ES384),
            (Algorithm::EdDsa, jsonwebtoken::Algorithm::EdDSA),
        ] {
            let ring = ring(ours);
            let jwk = serde_json::to_value(ring.signer().public_jwk()).expect("JSON");
            let jwk: Jwk = serde_json::from_value(jwk).expect("a JWK");
            assert_eq!(jwk.common.key_id.as_deref(), Some(ring.signer().kid().as_str()));
            let mut validation = Validation::new(theirs);
            validation.required_spec_claims.clear();
            validation.validate_aud = false;
            let key = DecodingKey::from_jwk(&jwk).expect("a usable key");
            let set = jsonwebtoken::decode::<Value>(sign(&ring, &claims()), &key, &validation);
            assert_eq!(set.expect("valid").claims, claims());
        }
    }

    /// Changes one character in the middle of each part, where no bits are left over.
    #[test]
    fn a_set_that_was_tampered_with_is_refused() {
        for algorithm in Algorithm::ALL {
            let ring = ring(algorithm);
            let jws = sign(&ring, &claims());
            let mut start = 0;
            for part in jws.split('.') {
                let mut bytes = jws.clone().into_bytes();
                let middle = &mut bytes[start + part.len() / 2];
                *middle = if *middle == b'A' { b'B' } else { b'A' };
                let tampered = String::from_utf8(bytes).expect("base64url");
                assert!(verify(&ring, &tampered).is_err(), "{algorithm}: {tampered}");
                start += part.len() + 1;
            }
            let claims_changed = claims().to_string().replace("s-88", "s-89");
            let mut parts: Vec<&str> = jws.split('.').collect();
            let claims_changed = URL_SAFE_NO_PAD.encode(claims_changed);
            parts[1] = &claims_changed;
            let error = verify(&ring, &parts.join(".")).expect_err("changed claims");
            assert!(matches!(error, VerifyError::BadSignature(_)), "{error}");
            assert_eq!(error.err_code(), ErrCode::InvalidKey);
        }
    }

    /// Signs with another header, as a faulty Transmitter would.
    #[track_caller]
    fn check_header(header: &Value, reason: &str, code: ErrCode) {
        let ring = ring(Algorithm::Es256);
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(header), encode(&claims()));
        let signature = ring.signer().sign(signed.as_bytes()).expect("signed");
        let jws = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        let error = verify(&ring, &jws).expect_err("a bad header");
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(error.err_code(), code);
    }

    /// RFC 8725 §3.1, §3.2, §3.11.
    #[test]
    fn a_header_must_be_that_of_a_set_and_of_its_key() {
        use ErrCode::{InvalidKey, InvalidRequest};
        let kid = ring(Algorithm::Es256).signer().kid().as_str().to_owned();
        let header = |typ: &str, alg: &str, kid: &str| json!({"typ": typ, "alg": alg, "kid": kid});
        check_header(&header("JWT", "ES256", &kid), "not \"JWT\"", InvalidRequest);
        let other = header("application/jwt", "ES256", &kid);
        check_header(&other, "`typ` must be `secevent+jwt`", InvalidRequest);
        check_header(&json!({"alg": "ES256", "kid": kid}), "not null", InvalidRequest);
        check_header(&header(SET_TYPE, "none", &kid), "not \"none\"", InvalidRequest);
        check_header(&header(SET_TYPE, "HS256", &kid), "not \"HS256\"", InvalidRequest);
        check_header(&header(SET_TYPE, "es256", &kid), "not \"es256\"", InvalidRequest);
        let mismatch = "names RS256, but its key is for ES256";
        check_header(&header(SET_TYPE, "RS256", &kid), mismatch, InvalidRequest);
        check_header(&header(SET_TYPE, "ES256", "other"), "no key other", InvalidKey);
        check_header(&json!({"typ": SET_TYPE, "alg": "ES256"}), "no `kid`", InvalidRequest);
        let mut critical = header(SET_TYPE, "ES256", &kid);
        critical["crit"] = json!(["b64"]);
        check_header(&critical, "`crit`", InvalidRequest);
        check_header(&json!([]), "the header is not a JSON object", InvalidRequest);
    }

    #[track_caller]
    fn check_claim(name: &str, value: Option<Value>, expected: &VerifyError) {
        let mut claims = claims();
        let members = claims.as_object_mut().expect("an object");
        match value {
            Some(value) => members.insert(name.to_owned(), value),
            None => members.remove(name),
        };
        let ring = ring(Algorithm::EdDsa);
        let error = verify(&ring, &sign(&ring, &claims)).expect_err("bad claims");
        assert_eq!(&error, expected);
        assert_eq!(error.err_code(), ErrCode::InvalidRequest);
    }

    /// SET-04 to SET-13.
    #[test]
    fn claims_that_are_missing_or_malformed_or_forbidden_are_named() {
        for name in ["iss", "iat", "jti", "aud", "sub_id", "events"] {
            check_claim(name, None, &VerifyError::BadClaim(name));
            check_claim(name, Some(json!(true)), &VerifyError::BadClaim(name));
        }
        check_claim("iat", Some(json!("1775000099")), &VerifyError::BadClaim("iat"));
        check_claim("jti", Some(json!("")), &VerifyError::BadClaim("jti"));
        check_claim("aud", Some(json!([])), &VerifyError::BadClaim("aud"));
        check_claim("events", Some(json!({"a:b": 1})), &VerifyError::BadClaim("events"));
        check_claim("events", Some(json!({})), &VerifyError::EventCount(0));
        let two = json!({"a:b": {}, "a:c": {}});
        check_claim("events", Some(two), &VerifyError::EventCount(2));
        check_claim("sub", Some(json!("kim")), &VerifyError::ForbiddenClaim("sub"));
        check_claim("exp", Some(json!(1)), &VerifyError::ForbiddenClaim("exp"));
    }

    #[test]
    fn a_text_that_is_not_a_compact_jws_is_refused() {
        let ring = ring(Algorithm::EdDsa);
        let jws = sign(&ring, &claims());
        for text in ["", ".", "..", "a.b", "a.b.c.d", &format!("{jws}="), &format!("{jws}\n")] {
            assert!(verify(&ring, text).is_err(), "{text:?}");
        }
        assert_eq!(verify(&ring, &format!("{jws}\n")), Err(VerifyError::NotCompact));
    }

    /// RFC 7515 §4.1.9, RFC 9864 §2.2, RFC 7519 §2.
    #[test]
    fn other_spellings_of_the_same_header_and_time_are_accepted() {
        let ring = ring(Algorithm::EdDsa);
        let kid = ring.signer().kid().as_str();
        for (typ, alg, iat) in [
            ("secevent+jwt", "EdDSA", json!(1_775_000_099)),
            ("application/secevent+jwt", "EdDSA", json!(1_775_000_099.25)),
            ("SecEvent+JWT", "Ed25519", json!(1.775e9)),
        ] {
            let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
            let mut claims = claims();
            claims["iat"] = iat;
            let header = json!({"typ": typ, "alg": alg, "kid": kid});
            let signed = format!("{}.{}", encode(&header), encode(&claims));
            let signature = ring.signer().sign(signed.as_bytes()).expect("signed");
            let jws = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            let set = verify(&ring, &jws).expect("valid");
            assert_eq!(set.algorithm, Algorithm::EdDsa);
        }
    }

    /// A Transmitter that publishes a key which nobody can use is told so.
    #[test]
    fn a_set_with_an_unusable_key_is_refused() {
        let ring = ring(Algorithm::Es256);
        for (member, why) in [("d", "exposes a secret"), ("x", "as long as the field")] {
            let mut set: Value = serde_json::from_str(ring.jwks_json()).expect("JSON");
            set["keys"][0][member] = "AQAB".into();
            let error = Verifier::from_jwks(set.to_string().as_bytes()).expect_err("unusable");
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(matches!(Verifier::from_jwks(b"[]"), Err(JwksError::NotAJwkSet(_))));
    }

    #[test]
    fn a_kid_that_two_keys_share_is_refused() {
        let ring = ring(Algorithm::EdDsa);
        let mut set: Value = serde_json::from_str(ring.jwks_json()).expect("JSON");
        let key = set["keys"][0].clone();
        set["keys"].as_array_mut().expect("an array").push(key);
        let verifier = Verifier::from_jwks(set.to_string().as_bytes()).expect("a JWK Set");
        let kid = ring.signer().kid().to_string();
        let result = verifier.verify(&sign(&ring, &claims()));
        assert_eq!(result, Err(VerifyError::AmbiguousKey(kid)));
    }
}
