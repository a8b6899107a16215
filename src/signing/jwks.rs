//! The JWK Set, in which Receivers find the public keys.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, Jwk,
    OctetKeyPairParameters, RSAKeyParameters, ThumbprintHash,
};
use serde::Serialize;

use crate::{domain::id::KeyId, signing::algorithm::Algorithm};

/// One public key (RFC 7517 §4). The type of the parameters is that of `jsonwebtoken`. The members
/// `kid`, `use` and `alg` are our own, because its `KeyAlgorithm` does not know ES512.
///
/// Invariant: the parameters are those of a public key. The constructors take nothing else, so that
/// no private member can ever be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicJwk {
    #[serde(flatten)]
    parameters: AlgorithmParameters,
    kid: KeyId,
    r#use: &'static str,
    alg: Algorithm,
}

impl PublicJwk {
    /// Takes the modulus and the exponent, big-endian and without leading zeros (RFC 7518 §6.3.1).
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        let (n, e) = (URL_SAFE_NO_PAD.encode(modulus), URL_SAFE_NO_PAD.encode(exponent));
        let parameters = RSAKeyParameters { n, e, ..Default::default() };
        Self::new(Algorithm::Rs256, AlgorithmParameters::RSA(parameters))
    }

    /// Takes the coordinates on the curve, each as long as the field (RFC 7518 §6.2.1).
    pub(super) fn ec(algorithm: Algorithm, curve: EllipticCurve, x: &[u8], y: &[u8]) -> Self {
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let parameters = EllipticCurveKeyParameters { curve, x, y, ..Default::default() };
        Self::new(algorithm, AlgorithmParameters::EllipticCurve(parameters))
    }

    /// Takes the public key of Ed25519 (RFC 8037 §2).
    pub(super) fn ed25519(x: &[u8]) -> Self {
        let (curve, x) = (EllipticCurve::Ed25519, URL_SAFE_NO_PAD.encode(x));
        let parameters = OctetKeyPairParameters { curve, x, ..Default::default() };
        Self::new(Algorithm::EdDsa, AlgorithmParameters::OctetKeyPair(parameters))
    }

    /// Uses the thumbprint of the key (RFC 7638) as its `kid`, so that a `kid` needs no configuration
    /// and no key can have the `kid` of another.
    fn new(alg: Algorithm, parameters: AlgorithmParameters) -> Self {
        let jwk = Jwk { common: CommonParameters::default(), algorithm: parameters };
        let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).expect("a kind with a thumbprint");
        let kid = KeyId::try_from(thumbprint).expect("base64url is a valid key id");
        Self { parameters: jwk.algorithm, kid, r#use: "sig", alg }
    }

    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    pub fn algorithm(&self) -> Algorithm {
        self.alg
    }
}

/// Writes the document behind `jwks_uri` (RFC 7517 §5).
pub(super) fn set_of<'a>(keys: impl Iterator<Item = &'a PublicJwk>) -> String {
    #[derive(Serialize)]
    struct PublicJwkSet<'a> {
        keys: Vec<&'a PublicJwk>,
    }
    serde_json::to_string(&PublicJwkSet { keys: keys.collect() }).expect("a JWK is strings")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7638 §3.1.
    #[test]
    fn the_kid_is_the_thumbprint() {
        let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let modulus = URL_SAFE_NO_PAD.decode(modulus).expect("base64url");
        let jwk = PublicJwk::rsa(&modulus, &[1, 0, 1]);
        assert_eq!(jwk.kid().as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    /// RFC 8037 §A.3.
    #[test]
    fn an_ed25519_key_has_a_thumbprint_too() {
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let jwk = PublicJwk::ed25519(&x.expect("base64url"));
        assert_eq!(jwk.kid().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
