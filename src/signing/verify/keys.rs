//! Reads the JWK Set of a Transmitter, as its Receivers do.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, RSAKeyParameters};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    domain::set_error::excerpt,
    signing::{RSA_BITS_MIN, algorithm::Algorithm, der},
};

/// Why a JWK Set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    #[error("not a JWK Set")]
    NotAJwkSet(#[source] serde_json::Error),
    /// Anybody who reads the set could sign in the name of the Transmitter.
    #[error("the JWK Set exposes a secret: the member `{0}` of a private or symmetric key")]
    Secret(&'static str),
    #[error("the key {kid} cannot verify: {reason}")]
    BadKey { kid: String, reason: &'static str },
}

/// The members of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const SECRETS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// One key of the set that can verify a SET.
#[derive(Debug)]
pub(super) struct VerifyingKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    key: ParsedPublicKey,
}

impl VerifyingKey {
    pub(super) fn verifies(&self, input: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(input, signature).is_ok()
    }
}

/// Reads the keys that can verify a SET. Keys of other kinds or for other uses are ignored, as
/// RFC 7517 §5 advises. Keys without a `kid` are ignored too, because no SET could name them.
pub(super) fn read(json: &[u8]) -> Result<Vec<VerifyingKey>, JwksError> {
    #[derive(Deserialize)]
    struct TransmitterJwks {
        keys: Vec<Map<String, Value>>,
    }
    let set: TransmitterJwks = serde_json::from_slice(json).map_err(JwksError::NotAJwkSet)?;
    let mut keys = Vec::with_capacity(set.keys.len());
    for jwk in set.keys {
        if let Some(secret) = SECRETS.into_iter().find(|secret| jwk.contains_key(*secret)) {
            return Err(JwksError::Secret(secret));
        }
        let jwk = serde_json::from_value(jwk.into()).map_err(JwksError::NotAJwkSet)?;
        keys.extend(verifying_key(jwk)?);
    }
    Ok(keys)
}

#[derive(Deserialize)]
struct TransmitterJwk {
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    #[serde(flatten)]
    parameters: AlgorithmParameters,
}

fn verifying_key(jwk: TransmitterJwk) -> Result<Option<VerifyingKey>, JwksError> {
    let Some(kid) = jwk.kid else { return Ok(None) };
    let Some(algorithm) = algorithm_of(&jwk.parameters) else { return Ok(None) };
    let for_sets = jwk.r#use.is_none_or(|purpose| purpose == "sig")
        && jwk.alg.is_none_or(|alg| alg == algorithm.as_str());
    if !for_sets {
        return Ok(None);
    }
    match parse(&jwk.parameters) {
        Ok(key) => Ok(Some(VerifyingKey { kid, algorithm, key })),
        Err(reason) => Err(JwksError::BadKey { kid: excerpt(&kid), reason }),
    }
}

/// Returns the one algorithm that a key of this kind and curve is for.
fn algorithm_of(parameters: &AlgorithmParameters) -> Option<Algorithm> {
    match parameters {
        AlgorithmParameters::RSA(_) => Some(Algorithm::Rs256),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => Some(Algorithm::Es256),
            EllipticCurve::P384 => Some(Algorithm::Es384),
            EllipticCurve::P521 => Some(Algorithm::Es512),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(key) => {
            (key.curve == EllipticCurve::Ed25519).then_some(Algorithm::EdDsa)
        }
        _ => None,
    }
}

fn parse(parameters: &AlgorithmParameters) -> Result<ParsedPublicKey, &'static str> {
    match parameters {
        AlgorithmParameters::RSA(key) => parse_rsa(key),
        AlgorithmParameters::EllipticCurve(key) => {
            let (algorithm, field_bytes) = match key.curve {
                EllipticCurve::P256 => (&ECDSA_P256_SHA256_FIXED, 32),
                EllipticCurve::P384 => (&ECDSA_P384_SHA384_FIXED, 48),
                _ => (&ECDSA_P521_SHA512_FIXED, 66),
            };
            let (x, y) = (decode(&key.x)?, decode(&key.y)?);
            if x.len() != field_bytes || y.len() != field_bytes {
                return Err("a coordinate is not as long as the field (RFC 7518 §6.2.1.2)");
            }
            // The point is uncompressed: the byte 4, then both coordinates.
            parse_point(algorithm, &[&[4], &*x, &*y].concat())
        }
        AlgorithmParameters::OctetKeyPair(key) => parse_point(&ED25519, &decode(&key.x)?),
        _ => Err("unsupported kind"),
    }
}

fn parse_point(
    algorithm: &'static dyn VerificationAlgorithm,
    point: &[u8],
) -> Result<ParsedPublicKey, &'static str> {
    ParsedPublicKey::new(algorithm, point).map_err(|_| "the key is not a point on the curve")
}

fn parse_rsa(key: &RSAKeyParameters) -> Result<ParsedPublicKey, &'static str> {
    let (n, e) = (decode(&key.n)?, decode(&key.e)?);
    // RFC 7518 §2 forbids leading zeros, but many implementations write one.
    let (n, e) = (der::without_zeros(&n), der::without_zeros(&e));
    if der::bits(n) < RSA_BITS_MIN {
        return Err("an RSA key needs at least 2048 bits (RFC 7518 §3.3)");
    }
    let key = RsaPublicKeyComponents { n, e };
    let parsed = key.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
    parsed.map_err(|_| "modulus and exponent do not make an RSA key")
}

fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a parameter is not base64url without padding")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::signing::keys::SigningKey;

    fn jwk(algorithm: Algorithm) -> Value {
        serde_json::to_value(SigningKey::example(algorithm).public_jwk()).expect("JSON")
    }

    fn read_one(jwk: Value) -> Result<Vec<VerifyingKey>, JwksError> {
        read(json!({"keys": [jwk]}).to_string().as_bytes())
    }

    #[track_caller]
    fn check_refused(member: &str, value: Value, algorithm: Algorithm, reason: &str) {
        let mut jwk = jwk(algorithm);
        jwk[member] = value;
        let error = read_one(jwk).expect_err("an unusable set").to_string();
        assert!(error.contains(reason), "{error}");
    }

    /// KEY-02.
    #[test]
    fn a_set_that_exposes_a_secret_is_refused() {
        for secret in SECRETS {
            check_refused(secret, json!("AQAB"), Algorithm::Rs256, &format!("`{secret}`"));
        }
    }

    #[test]
    fn a_malformed_key_is_refused_with_its_reason() {
        check_refused("n", json!("AQAB"), Algorithm::Rs256, "at least 2048 bits");
        check_refused("n", json!("+/=="), Algorithm::Rs256, "base64url");
        check_refused("e", json!("AA"), Algorithm::Rs256, "do not make an RSA key");
        check_refused("x", json!("AQAB"), Algorithm::Es256, "as long as the field");
        let zeros = json!(URL_SAFE_NO_PAD.encode([0; 66]));
        check_refused("x", zeros, Algorithm::Es512, "not a point on the curve");
        check_refused("x", json!("AQAB"), Algorithm::EdDsa, "not a point on the curve");
        check_refused("kid", json!(7), Algorithm::EdDsa, "not a JWK Set");
        assert!(matches!(read(b"[]"), Err(JwksError::NotAJwkSet(_))));
    }

    #[track_caller]
    fn check_passed_over(member: &str, value: Value, algorithm: Algorithm) {
        let mut jwk = jwk(algorithm);
        jwk[member] = value;
        assert!(read_one(jwk).expect("a usable set").is_empty(), "{member}");
    }

    /// RFC 7517 §5.
    #[test]
    fn keys_of_other_kinds_and_for_other_uses_are_ignored() {
        check_passed_over("kid", Value::Null, Algorithm::Rs256);
        check_passed_over("use", json!("enc"), Algorithm::Rs256);
        check_passed_over("alg", json!("PS256"), Algorithm::Rs256);
        check_passed_over("alg", json!("ES384"), Algorithm::Es256);
        check_passed_over("crv", json!("secp256k1"), Algorithm::Es256);
        check_passed_over("crv", json!("Ed448"), Algorithm::EdDsa);
        check_passed_over("kty", json!("AKP"), Algorithm::EdDsa);
    }

    #[test]
    fn a_key_may_leave_out_its_algorithm_and_its_use() {
        for algorithm in Algorithm::ALL {
            let mut jwk = jwk(algorithm);
            let members = jwk.as_object_mut().expect("an object");
            members.remove("alg");
            members.remove("use");
            assert_eq!(read_one(jwk).expect("usable")[0].algorithm, algorithm);
        }
    }
}
