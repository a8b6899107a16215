//! The keys of an authorization server (RFC 7517 §5) that can verify access tokens.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    crypto::verify,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// The largest number of keys that are read from a set.
const KEYS_MAX: usize = 64;

/// The algorithms that an RSA key may verify, unless its `alg` names one (RFC 7518 §3.1).
const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Keys by name.
///
/// Invariant: only asymmetric keys, so that a public key is never used as a shared secret.
#[derive(Debug, Default)]
pub(super) struct VerificationKeys(Vec<Key>);

#[derive(Debug)]
struct Key {
    kid: String,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl VerificationKeys {
    /// Reads a JWK Set. Keys that are malformed, of another kind, for another use or without a
    /// `kid` are skipped, as RFC 7517 §5 advises, so that one unknown key does not make all tokens
    /// invalid.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct RawJwkSet {
            keys: Vec<Value>,
        }
        let set: RawJwkSet = serde_json::from_slice(json)?;
        let jwks = set.keys.into_iter().take(KEYS_MAX);
        let jwks = jwks.filter_map(|jwk| serde_json::from_value::<Jwk>(jwk).ok());
        Ok(Self(jwks.filter_map(|jwk| Key::of(&jwk)).collect()))
    }

    pub(super) fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    /// Tells whether a key of this name made the signature with this algorithm. The key and not the
    /// token decides which algorithms are allowed (RFC 8725 §3.1).
    pub(super) fn verifies(
        &self,
        kid: &str,
        algorithm: Algorithm,
        signed: &str,
        signature: &str,
    ) -> bool {
        let named = |key: &&Key| key.kid == kid && key.algorithms.contains(&algorithm);
        self.0.iter().filter(named).any(|key| {
            verify(signature, signed.as_bytes(), &key.decoding, algorithm).unwrap_or(false)
        })
    }
}

impl Key {
    fn of(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let to_sign =
            common.public_key_use.as_ref().is_none_or(|r#use| *r#use == PublicKeyUse::Signature)
                && common
                    .key_operations
                    .as_ref()
                    .is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !to_sign {
            return None;
        }
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA.to_vec(),
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            _ => return None,
        };
        if let Some(only) = common.key_algorithm {
            algorithms.retain(|algorithm| only.to_string() == format!("{algorithm:?}"));
        }
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { kid: common.key_id.clone()?, algorithms, decoding })
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, crypto::sign};
    use serde_json::json;

    use super::*;
    use crate::signing::{
        algorithm::Algorithm as OurAlgorithm, generate::generate, keys::SigningKey,
    };

    fn pair() -> (EncodingKey, Value) {
        let pem = generate(OurAlgorithm::Es256).expect("a key");
        let key = SigningKey::from_pem(pem.as_bytes()).expect("a key of ours");
        let jwk = serde_json::to_value(key.public_jwk()).expect("JSON");
        (EncodingKey::from_ec_pem(pem.as_bytes()).expect("the same key"), jwk)
    }

    fn set(keys: Value) -> VerificationKeys {
        VerificationKeys::from_json(json!({"keys": keys}).to_string().as_bytes())
            .expect("a JWK Set")
    }

    #[test]
    fn a_key_verifies_what_it_signed_under_its_name_and_algorithm() {
        let (key, jwk) = pair();
        let kid = jwk["kid"].as_str().expect("a name").to_owned();
        let signature = sign(b"a.b", &key, Algorithm::ES256).expect("signed");
        let keys = set(json!([{"kty": "?"}, 7, jwk]));
        assert!(keys.has(&kid) && !keys.has("other"));
        assert!(keys.verifies(&kid, Algorithm::ES256, "a.b", &signature));
        assert!(!keys.verifies(&kid, Algorithm::ES256, "a.c", &signature));
        assert!(!keys.verifies(&kid, Algorithm::ES256, "a.b", "AA"));
        assert!(!keys.verifies(&kid, Algorithm::ES256, "a.b", "!"));
        assert!(!keys.verifies(&kid, Algorithm::RS256, "a.b", &signature));
        assert!(!keys.verifies("other", Algorithm::ES256, "a.b", &signature));
    }

    #[test]
    fn keys_that_are_not_for_verifying_are_skipped() {
        let passed_over = |change: &dyn Fn(&mut Value)| {
            let (_, mut jwk) = pair();
            let kid = jwk["kid"].as_str().expect("a name").to_owned();
            change(&mut jwk);
            !set(json!([jwk])).has(&kid)
        };
        assert!(!passed_over(&|_| {}));
        assert!(!passed_over(&|jwk| jwk["alg"] = Value::Null));
        assert!(passed_over(&|jwk| jwk["use"] = "enc".into()));
        assert!(passed_over(&|jwk| {
            jwk.as_object_mut().expect("an object").remove("use");
            jwk["key_ops"] = json!(["sign"]);
        }));
        assert!(passed_over(&|jwk| jwk["crv"] = "secp256k1".into()));
        assert!(passed_over(&|jwk| jwk["kid"] = Value::Null));
        let shared = json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0", "alg": "HS256"});
        assert!(!set(json!([shared])).has("s"));
        assert!(VerificationKeys::from_json(b"[]").is_err());
    }

    #[test]
    fn a_key_of_another_algorithm_verifies_nothing() {
        let (key, mut jwk) = pair();
        let kid = jwk["kid"].as_str().expect("a name").to_owned();
        jwk["alg"] = "ES384".into();
        let signature = sign(b"a.b", &key, Algorithm::ES256).expect("signed");
        assert!(!set(json!([jwk])).verifies(&kid, Algorithm::ES256, "a.b", &signature));
    }
}
