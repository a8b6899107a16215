//! Reads the JWK Set of another party (RFC 7517 §5): the keys of a Transmitter, as its Receivers do,
//! and those of an authorization server.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{RSA_BITS_MIN, der, jws_algorithm::JwsAlgorithm};
use crate::domain::{
    json::{self, JsonError},
    set_error::excerpt,
};

/// The largest number of keys that are read from a set.
const KEYS_MAX: usize = 64;

/// The members of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const SECRETS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The keys of one set that can verify a signature, and the keys that should but cannot.
///
/// Invariant: only asymmetric keys, so that a public key is never used as a shared secret.
#[derive(Debug, Default)]
pub struct VerificationKeys {
    keys: Vec<VerificationKey>,
    faults: Vec<KeyFault>,
}

/// One public key, parsed once for each algorithm that it may verify.
#[derive(Debug)]
pub struct VerificationKey {
    kid: String,
    by_algorithm: Vec<(JwsAlgorithm, ParsedPublicKey)>,
}

/// The reason why a key of a set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Anybody who reads the set could sign in the name of its owner.
    #[error("the JWK Set exposes a secret: the member `{0}` of a private or symmetric key")]
    Secret(&'static str),
    #[error("the key {kid} cannot verify: {reason}")]
    Unusable { kid: String, reason: &'static str },
}

/// Why a document is no JWK Set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAJwkSet {
    #[error("it {0}")]
    Json(#[from] JsonError),
    #[error("it has no array `keys` (RFC 7517 §5)")]
    NoKeys,
}

impl VerificationKeys {
    /// Reads a JWK Set. Keys of other kinds or for other uses are ignored, as RFC 7517 §5 advises, so
    /// that one unknown key does not make the whole set useless. Keys without a `kid` are ignored too,
    /// because no signature could name them.
    pub fn from_json(json: &[u8]) -> Result<Self, NotAJwkSet> {
        let set = json::read(json)?.value;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(NotAJwkSet::NoKeys)?;
        let mut read = Self::default();
        for jwk in keys.iter().filter_map(Value::as_object).take(KEYS_MAX) {
            match VerificationKey::read(jwk) {
                Ok(key) => read.keys.extend(key),
                Err(fault) => read.faults.push(fault),
            }
        }
        Ok(read)
    }

    /// Returns the keys of this name. A careless server may give one name to several keys.
    pub fn named(&self, kid: &str) -> impl Iterator<Item = &VerificationKey> {
        self.keys.iter().filter(move |key| key.kid == kid)
    }

    pub fn has(&self, kid: &str) -> bool {
        self.named(kid).next().is_some()
    }

    /// Returns the reasons why some keys of the set cannot be used.
    pub fn faults(&self) -> &[KeyFault] {
        &self.faults
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl VerificationKey {
    /// Returns the algorithms that the key may verify. The key and not the signature decides them
    /// (RFC 8725 §3.1).
    pub fn algorithms(&self) -> impl Iterator<Item = JwsAlgorithm> {
        self.by_algorithm.iter().map(|(algorithm, _)| *algorithm)
    }

    pub fn verifies(&self, algorithm: JwsAlgorithm, input: &[u8], signature: &[u8]) -> bool {
        let mut parsed = self.by_algorithm.iter().filter(|(known, _)| *known == algorithm);
        parsed.any(|(_, key)| key.verify_sig(input, signature).is_ok())
    }

    fn read(jwk: &Map<String, Value>) -> Result<Option<Self>, KeyFault> {
        // A member that is `null` is absent.
        let member = |name: &str| jwk.get(name).filter(|value| !value.is_null());
        let text = |name: &str| member(name).and_then(Value::as_str);
        if let Some(secret) = SECRETS.into_iter().find(|secret| member(secret).is_some()) {
            return Err(KeyFault::Secret(secret));
        }
        let Some(kid) = text("kid") else { return Ok(None) };
        let to_verify = member("use").is_none_or(|purpose| *purpose == "sig")
            && member("key_ops").is_none_or(|operations| {
                operations.as_array().is_some_and(|all| all.iter().any(|one| *one == "verify"))
            });
        let Some(family) = Kind::of(text("kty"), text("crv")) else { return Ok(None) };
        let mut algorithms = family.algorithms();
        if let Some(only) = member("alg") {
            let only = only.as_str().and_then(|alg| alg.parse().ok());
            algorithms.retain(|algorithm| Some(*algorithm) == only);
        }
        if !to_verify || algorithms.is_empty() {
            return Ok(None);
        }
        let parse = |algorithm| Ok((algorithm, family.parse(algorithm, &text)?));
        let by_algorithm = algorithms.into_iter().map(parse).collect::<Result<_, _>>();
        let unusable = |reason| KeyFault::Unusable { kid: excerpt(kid), reason };
        Ok(Some(Self { kid: kid.to_owned(), by_algorithm: by_algorithm.map_err(unusable)? }))
    }
}

/// The kinds of keys that we can use (RFC 7518 §6.1, RFC 8037 §2).
#[derive(Debug, Clone, Copy)]
enum Kind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

impl Kind {
    fn of(kty: Option<&str>, crv: Option<&str>) -> Option<Self> {
        match (kty?, crv) {
            ("RSA", _) => Some(Self::Rsa),
            ("EC", Some("P-256")) => Some(Self::P256),
            ("EC", Some("P-384")) => Some(Self::P384),
            ("EC", Some("P-521")) => Some(Self::P521),
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519),
            _ => None,
        }
    }

    fn algorithms(self) -> Vec<JwsAlgorithm> {
        match self {
            Self::Rsa => JwsAlgorithm::RSA.to_vec(),
            Self::P256 => vec![JwsAlgorithm::Es256],
            Self::P384 => vec![JwsAlgorithm::Es384],
            Self::P521 => vec![JwsAlgorithm::Es512],
            Self::Ed25519 => vec![JwsAlgorithm::EdDsa],
        }
    }

    fn parse<'a>(
        self,
        algorithm: JwsAlgorithm,
        text: &impl Fn(&str) -> Option<&'a str>,
    ) -> Result<ParsedPublicKey, &'static str> {
        let number = |name| {
            let text = text(name).ok_or("a parameter is missing")?;
            let number = URL_SAFE_NO_PAD.decode(text);
            number.map_err(|_| "a parameter is not base64url without padding")
        };
        match self {
            Self::Rsa => parse_rsa(rsa_parameters(algorithm), &number("n")?, &number("e")?),
            Self::P256 => parse_ec(&ECDSA_P256_SHA256_FIXED, 32, &number("x")?, &number("y")?),
            Self::P384 => parse_ec(&ECDSA_P384_SHA384_FIXED, 48, &number("x")?, &number("y")?),
            Self::P521 => parse_ec(&ECDSA_P521_SHA512_FIXED, 66, &number("x")?, &number("y")?),
            Self::Ed25519 => parse_point(&ED25519, &number("x")?),
        }
    }
}

fn rsa_parameters(algorithm: JwsAlgorithm) -> &'static RsaParameters {
    match algorithm {
        JwsAlgorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        JwsAlgorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        JwsAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        JwsAlgorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        JwsAlgorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        _ => &RSA_PKCS1_2048_8192_SHA256,
    }
}

fn parse_rsa(
    parameters: &'static RsaParameters,
    n: &[u8],
    e: &[u8],
) -> Result<ParsedPublicKey, &'static str> {
    // RFC 7518 §2 forbids leading zeros, but many implementations write one.
    let (n, e) = (der::without_zeros(n), der::without_zeros(e));
    if der::bits(n) < RSA_BITS_MIN {
        return Err("an RSA key needs at least 2048 bits (RFC 7518 §3.3)");
    }
    let parsed = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
    parsed.map_err(|_| "modulus and exponent do not make an RSA key")
}

fn parse_ec(
    algorithm: &'static dyn VerificationAlgorithm,
    field_bytes: usize,
    x: &[u8],
    y: &[u8],
) -> Result<ParsedPublicKey, &'static str> {
    if x.len() != field_bytes || y.len() != field_bytes {
        return Err("a coordinate is not as long as the field (RFC 7518 §6.2.1.2)");
    }
    // The point is uncompressed: the byte 4, then both coordinates.
    parse_point(algorithm, &[&[4], x, y].concat())
}

fn parse_point(
    algorithm: &'static dyn VerificationAlgorithm,
    point: &[u8],
) -> Result<ParsedPublicKey, &'static str> {
    ParsedPublicKey::new(algorithm, point).map_err(|_| "the key is not a point on the curve")
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, crypto::sign};
    use serde_json::json;

    use super::*;
    use crate::signing::{algorithm::Algorithm, generate::generate, keys::SigningKey};

    fn jwk(algorithm: Algorithm) -> Value {
        serde_json::to_value(SigningKey::example(algorithm).public_jwk()).expect("JSON")
    }

    fn read(keys: Value) -> VerificationKeys {
        let set = json!({"keys": keys}).to_string();
        VerificationKeys::from_json(set.as_bytes()).expect("a JWK Set")
    }

    #[track_caller]
    fn check_fault(member: &str, value: Value, algorithm: Algorithm, reason: &str) {
        let (mut bad, mut good) = (jwk(algorithm), jwk(algorithm));
        (bad[member], good["kid"]) = (value, "good".into());
        let keys = read(json!([bad, good]));
        let fault = keys.faults()[0].to_string();
        assert!(fault.contains(reason), "{fault}");
        assert!(keys.has("good"), "the other keys stay");
    }

    /// KEY-02.
    #[test]
    fn a_key_that_exposes_a_secret_is_not_used() {
        for secret in SECRETS {
            check_fault(secret, json!("AQAB"), Algorithm::Rs256, &format!("`{secret}`"));
        }
    }

    #[test]
    fn a_malformed_key_is_refused_with_its_reason() {
        check_fault("n", json!("AQAB"), Algorithm::Rs256, "at least 2048 bits");
        check_fault("n", json!("+/=="), Algorithm::Rs256, "base64url");
        check_fault("n", Value::Null, Algorithm::Rs256, "missing");
        check_fault("e", json!("AA"), Algorithm::Rs256, "do not make an RSA key");
        check_fault("x", json!("AQAB"), Algorithm::Es256, "as long as the field");
        let zeros = json!(URL_SAFE_NO_PAD.encode([0; 66]));
        check_fault("x", zeros, Algorithm::Es512, "not a point on the curve");
        check_fault("x", json!("AQAB"), Algorithm::EdDsa, "not a point on the curve");
    }

    /// Two parsers could disagree about which of two equal members counts.
    #[test]
    fn what_is_no_jwk_set_or_has_a_member_twice_is_refused() {
        let jwk = jwk(Algorithm::EdDsa).to_string();
        let twice = jwk.replacen('{', r#"{"kid":"other","#, 1);
        for (json, why) in [
            ("[]".to_owned(), "no array `keys`"),
            (r#"{"keys":{}}"#.to_owned(), "no array `keys`"),
            ("{".to_owned(), "must be JSON"),
            (format!(r#"{{"keys":[{twice}]}}"#), "`kid` twice"),
            (format!(r#"{{"keys":[{jwk}],"keys":[]}}"#), "`keys` twice"),
        ] {
            let error = VerificationKeys::from_json(json.as_bytes()).expect_err(why).to_string();
            assert!(error.starts_with("it ") && error.contains(why), "{error}");
        }
    }

    #[track_caller]
    fn check_passed_over(member: &str, value: Value, algorithm: Algorithm) {
        let mut jwk = jwk(algorithm);
        jwk[member] = value;
        let keys = read(json!([jwk]));
        assert!(keys.is_empty() && keys.faults().is_empty(), "{member}");
    }

    /// RFC 7517 §5.
    #[test]
    fn keys_of_other_kinds_and_for_other_uses_are_ignored() {
        check_passed_over("kid", Value::Null, Algorithm::Rs256);
        check_passed_over("kid", json!(7), Algorithm::Rs256);
        check_passed_over("use", json!("enc"), Algorithm::Rs256);
        check_passed_over("key_ops", json!(["sign"]), Algorithm::Rs256);
        check_passed_over("alg", json!("RSA-OAEP"), Algorithm::Rs256);
        check_passed_over("alg", json!("ES384"), Algorithm::Es256);
        check_passed_over("crv", json!("secp256k1"), Algorithm::Es256);
        check_passed_over("crv", json!("Ed448"), Algorithm::EdDsa);
        check_passed_over("kty", json!("AKP"), Algorithm::EdDsa);
        assert!(read(json!([{"kty": "?"}, 7, null])).is_empty());
    }

    /// Each optional member may be `null` as well as absent.
    #[test]
    fn a_key_may_leave_out_each_optional_member() {
        for algorithm in Algorithm::ALL {
            for member in ["alg", "use", "key_ops"] {
                for value in [None, Some(Value::Null)] {
                    let mut jwk = jwk(algorithm);
                    let members = jwk.as_object_mut().expect("an object");
                    members.remove(member);
                    members.extend(value.map(|value| (member.to_owned(), value)));
                    let (kid, keys) = (jwk["kid"].clone(), read(json!([jwk])));
                    let key = keys.named(kid.as_str().expect("a name")).next().expect("usable");
                    let found = key.algorithms().any(|one| one.for_sets() == Some(algorithm));
                    assert!(found, "{algorithm} {member}");
                }
            }
        }
    }

    #[test]
    fn only_the_algorithms_of_its_kind_and_of_its_alg_fit_a_key() {
        let mut jwk = jwk(Algorithm::Rs256);
        let algorithms = |jwk: &Value| {
            let keys = read(json!([jwk]));
            keys.keys[0].algorithms().collect::<Vec<_>>()
        };
        jwk["alg"] = "PS256".into();
        assert_eq!(algorithms(&jwk), [JwsAlgorithm::Ps256]);
        jwk["alg"] = Value::Null;
        assert_eq!(algorithms(&jwk), JwsAlgorithm::RSA);
        let mut jwk = self::jwk(Algorithm::EdDsa);
        jwk["alg"] = "Ed25519".into();
        assert_eq!(algorithms(&jwk), [JwsAlgorithm::EdDsa]);
    }

    /// Leading zeros are forbidden by RFC 7518 §2 and written by many.
    #[test]
    fn an_rsa_key_may_have_leading_zeros() {
        let pem = generate(Algorithm::Rs256).expect("a key");
        let key = SigningKey::from_pem(pem.as_bytes()).expect("a key of ours");
        let theirs = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("the same key");
        let signature = sign(b"a.b", &theirs, jsonwebtoken::Algorithm::PS512).expect("signed");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let mut jwk = serde_json::to_value(key.public_jwk()).expect("JSON");
        jwk["alg"] = Value::Null;
        for member in ["n", "e"] {
            let text = jwk[member].as_str().expect("a string").to_owned();
            let number = URL_SAFE_NO_PAD.decode(text).expect("base64url");
            jwk[member] = URL_SAFE_NO_PAD.encode([&[0, 0], &*number].concat()).into();
            let keys = read(json!([jwk]));
            let key = keys.keys.first().expect("usable");
            assert!(key.verifies(JwsAlgorithm::Ps512, b"a.b", &signature), "{member}");
            assert!(!key.verifies(JwsAlgorithm::Rs512, b"a.b", &signature), "{member}");
            assert!(!key.verifies(JwsAlgorithm::Ps512, b"a.c", &signature), "{member}");
        }
    }

    #[test]
    fn the_keys_that_are_read_are_bounded() {
        let keys: Vec<_> = (0..=KEYS_MAX)
            .map(|n| {
                let mut jwk = jwk(Algorithm::EdDsa);
                jwk["kid"] = n.to_string().into();
                jwk
            })
            .collect();
        assert_eq!(read(keys.into()).len(), KEYS_MAX);
    }
}
