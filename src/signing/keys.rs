//! A private key that signs SETs.

use std::fmt;

use aws_lc_rs::{
    error::{KeyRejected, Unspecified},
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use jsonwebtoken::jwk::EllipticCurve;
use rustls_pki_types::{
    PrivateKeyDer,
    pem::{self, PemObject, SectionKind},
};

use crate::{
    domain::id::KeyId,
    signing::{
        RSA_BITS_MIN,
        algorithm::Algorithm,
        der::{self, ObjectId},
        jwks::PublicJwk,
        jws,
    },
};

/// The length of an Ed25519 signature (RFC 8032 §5.1.6).
const ED25519_SIGNATURE_BYTES: usize = 64;

/// Why a key cannot be used. The texts are for the operator who configured it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("no private key: a PEM file with a line `-----BEGIN PRIVATE KEY-----` is expected")]
    NotPem,
    #[error("the PEM text is damaged")]
    DamagedPem(#[source] pem::Error),
    #[error("this is a public key; signing needs the private key")]
    PublicKey,
    #[error("this is a certificate; signing needs the private key that belongs to it")]
    Certificate,
    #[error("the private key is encrypted; decrypt it first, as with `openssl pkey -in … -out …`")]
    Encrypted,
    #[error("there are several private keys; give each a file of its own")]
    SeveralKeys,
    #[error("a key of kind {0} cannot sign; RSA, P-256, P-384, P-521 and Ed25519 keys can")]
    Unsupported(String),
    #[error("the RSA key has {bits} bits; RS256 needs at least {RSA_BITS_MIN} (RFC 7518 §3.3)")]
    RsaTooSmall { bits: usize },
    #[error("the key is damaged or contradicts itself")]
    Damaged,
    #[error("the key for {algorithm} was rejected")]
    Rejected {
        algorithm: Algorithm,
        #[source]
        source: KeyRejected,
    },
    #[error("an issuer needs at least one key")]
    NoKey,
    #[error("the key {0} is given twice")]
    Repeated(KeyId),
}

/// The crypto library failed to sign. No input is known to cause this, and another try may help.
#[derive(Debug, thiserror::Error)]
#[error("the key {kid} failed to sign")]
pub struct SignError {
    kid: KeyId,
    #[source]
    source: Unspecified,
}

/// A private key, parsed once, and its public JWK. The algorithm follows from the kind and the curve
/// of the key, so that key and algorithm cannot disagree.
pub struct SigningKey {
    jwk: PublicJwk,
    private: PrivateKey,
    /// The JOSE header of every SET that this key signs, base64url-encoded.
    header: String,
}

enum PrivateKey {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Reads PKCS#8 (`PRIVATE KEY`), PKCS#1 (`RSA PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`). Other
    /// sections, such as a certificate in the same file, are ignored.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let mut keys = PrivateKeyDer::pem_slice_iter(pem);
        let key = match keys.next() {
            Some(key) => key.map_err(|error| why_damaged(pem, error))?,
            None => return Err(why_no_key(pem)),
        };
        if keys.next().is_some() {
            return Err(KeyError::SeveralKeys);
        }
        let (jwk, private) = match &key {
            PrivateKeyDer::Pkcs1(key) => {
                let der = key.secret_pkcs1_der();
                rsa(der, || RsaKeyPair::from_der(der))?
            }
            PrivateKeyDer::Sec1(key) => {
                let der = key.secret_sec1_der();
                ec(der, der::sec1_curve(der))?
            }
            PrivateKeyDer::Pkcs8(key) => from_pkcs8(key.secret_pkcs8_der())?,
            _ => return Err(KeyError::NotPem),
        };
        let header = jws::encoded_header(&jwk);
        Ok(Self { jwk, private, header })
    }

    pub fn kid(&self) -> &KeyId {
        self.jwk.kid()
    }

    pub fn algorithm(&self) -> Algorithm {
        self.jwk.algorithm()
    }

    pub fn public_jwk(&self) -> &PublicJwk {
        &self.jwk
    }

    pub(super) fn header(&self) -> &str {
        &self.header
    }

    /// Returns the length of a signature in bytes.
    pub(super) fn signature_len(&self) -> usize {
        match &self.private {
            PrivateKey::Rsa(key) => key.public_modulus_len(),
            // A signature is two numbers, and each is as long as a coordinate of the point.
            PrivateKey::Ec(key) => key.public_key().as_ref().len() - 1,
            PrivateKey::Ed25519(_) => ED25519_SIGNATURE_BYTES,
        }
    }

    /// Signs in the form that JWS asks for. For ECDSA, both numbers have their full length (RFC 7518
    /// §3.4).
    pub fn sign(&self, input: &[u8]) -> Result<Vec<u8>, SignError> {
        // The library asks for a source of randomness, and uses its own.
        let random = SystemRandom::new();
        let signature = match &self.private {
            PrivateKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, input, &mut signature).map(|()| signature)
            }
            PrivateKey::Ec(key) => key.sign(&random, input).map(|made| made.as_ref().to_vec()),
            PrivateKey::Ed25519(key) => key.try_sign(input).map(|made| made.as_ref().to_vec()),
        };
        signature.map_err(|source| SignError { kid: self.kid().clone(), source })
    }
}

/// Prints nothing of the private key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SigningKey");
        shown.field("kid", self.kid()).field("algorithm", &self.algorithm());
        shown.finish_non_exhaustive()
    }
}

fn from_pkcs8(der: &[u8]) -> Result<(PublicJwk, PrivateKey), KeyError> {
    let info = der::pkcs8(der).ok_or(KeyError::Damaged)?;
    match info.kind {
        ObjectId::RSA => rsa(info.key, || RsaKeyPair::from_pkcs8(der)),
        ObjectId::EC => ec(der, info.curve),
        ObjectId::ED25519 => {
            let key = Ed25519KeyPair::from_pkcs8(der).map_err(rejected(Algorithm::EdDsa))?;
            Ok((PublicJwk::ed25519(key.public_key().as_ref()), PrivateKey::Ed25519(key)))
        }
        other => Err(KeyError::Unsupported(other.to_string())),
    }
}

/// Reads an RSA key. `der` is its `RSAPrivateKey`.
fn rsa(
    der: &[u8],
    read: impl FnOnce() -> Result<RsaKeyPair, KeyRejected>,
) -> Result<(PublicJwk, PrivateKey), KeyError> {
    let public = der::rsa_public(der).ok_or(KeyError::Damaged)?;
    let bits = der::bits(public.modulus);
    if bits < RSA_BITS_MIN {
        return Err(KeyError::RsaTooSmall { bits });
    }
    let key = read().map_err(rejected(Algorithm::Rs256))?;
    Ok((PublicJwk::rsa(public.modulus, public.exponent), PrivateKey::Rsa(key)))
}

/// Reads an EC key. `der` is the key in PKCS#8 or SEC1.
fn ec(der: &[u8], curve: Option<ObjectId<'_>>) -> Result<(PublicJwk, PrivateKey), KeyError> {
    let Some(named) = curve else {
        return Err(KeyError::Unsupported("EC without a named curve".to_owned()));
    };
    let (algorithm, curve, signing) = match named {
        ObjectId::P256 => (Algorithm::Es256, EllipticCurve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING),
        ObjectId::P384 => (Algorithm::Es384, EllipticCurve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
        ObjectId::P521 => (Algorithm::Es512, EllipticCurve::P521, &ECDSA_P521_SHA512_FIXED_SIGNING),
        other => return Err(KeyError::Unsupported(format!("EC on the curve {other}"))),
    };
    let key = EcdsaKeyPair::from_private_key_der(signing, der).map_err(rejected(algorithm))?;
    // The point is uncompressed: the byte 4, then both coordinates.
    let point = &key.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    Ok((PublicJwk::ec(algorithm, curve, x, y), PrivateKey::Ec(key)))
}

fn rejected(algorithm: Algorithm) -> impl FnOnce(KeyRejected) -> KeyError {
    move |source| KeyError::Rejected { algorithm, source }
}

/// Explains a section that cannot be decoded. The encrypted form that `openssl` used before PKCS#8 is
/// such a section, because it has header lines inside.
fn why_damaged(pem: &[u8], error: pem::Error) -> KeyError {
    if says_encrypted(pem) { KeyError::Encrypted } else { KeyError::DamagedPem(error) }
}

/// Explains why a file holds no private key.
fn why_no_key(pem: &[u8]) -> KeyError {
    if says_encrypted(pem) {
        return KeyError::Encrypted;
    }
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem);
    let kinds: Vec<_> = sections.flatten().map(|(kind, _)| kind).collect();
    if kinds.contains(&SectionKind::Certificate) {
        KeyError::Certificate
    } else if kinds.contains(&SectionKind::PublicKey) || says(pem, b"BEGIN RSA PUBLIC KEY") {
        KeyError::PublicKey
    } else {
        KeyError::NotPem
    }
}

fn says_encrypted(pem: &[u8]) -> bool {
    says(pem, b"BEGIN ENCRYPTED PRIVATE KEY") || says(pem, b"Proc-Type: 4,ENCRYPTED")
}

fn says(pem: &[u8], text: &[u8]) -> bool {
    pem.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
impl SigningKey {
    pub(crate) fn example(algorithm: Algorithm) -> Self {
        let pem: &[u8] = match algorithm {
            Algorithm::Rs256 => tests::pem!("rsa-2048-pkcs8"),
            Algorithm::Es256 => tests::pem!("p256-pkcs8"),
            Algorithm::Es384 => tests::pem!("p384-pkcs8"),
            Algorithm::Es512 => tests::pem!("p521-pkcs8"),
            Algorithm::EdDsa => tests::pem!("ed25519-pkcs8"),
        };
        Self::from_pem(pem).expect("a valid test key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that openssl made, see `tests/data/keys/README.md`.
    macro_rules! pem {
        ($name:literal) => {
            include_bytes!(concat!("../../tests/data/keys/test-", $name, ".pem"))
        };
    }
    pub(super) use pem;

    #[track_caller]
    fn check(pem: &[u8], algorithm: Algorithm) {
        let key = SigningKey::from_pem(pem).expect("a usable key");
        assert_eq!(key.algorithm(), algorithm);
    }

    /// SET-02, KEY-04.
    #[test]
    fn the_algorithm_follows_from_the_key() {
        check(pem!("rsa-2048-pkcs8"), Algorithm::Rs256);
        check(pem!("rsa-2048-pkcs1"), Algorithm::Rs256);
        check(pem!("p256-pkcs8"), Algorithm::Es256);
        check(pem!("p256-sec1"), Algorithm::Es256);
        check(pem!("p384-pkcs8"), Algorithm::Es384);
        check(pem!("p384-sec1"), Algorithm::Es384);
        check(pem!("p521-pkcs8"), Algorithm::Es512);
        check(pem!("p521-sec1"), Algorithm::Es512);
        check(pem!("ed25519-pkcs8"), Algorithm::EdDsa);
    }

    #[track_caller]
    fn check_refused(pem: &[u8], reason: &str) {
        let error = SigningKey::from_pem(pem).expect_err("not a key to sign with").to_string();
        assert!(error.contains(reason), "{error}");
    }

    /// KEY-04, RFC 7518 §3.3.
    #[test]
    fn a_short_rsa_key_is_refused_with_its_size() {
        check_refused(pem!("rsa-1024-pkcs8"), "has 1024 bits; RS256 needs at least 2048");
        check_refused(pem!("rsa-1024-pkcs1"), "has 1024 bits; RS256 needs at least 2048");
    }

    #[test]
    fn a_file_without_a_private_key_is_refused_with_what_it_holds() {
        check_refused(b"", "no private key");
        check_refused(b"{\"kty\":\"RSA\"}", "no private key");
        check_refused(pem!("p256-public"), "a public key");
        check_refused(pem!("rsa-2048-pkcs1-public"), "a public key");
        check_refused(pem!("p256-certificate"), "a certificate");
        check_refused(pem!("p256-encrypted"), "encrypted");
        check_refused(pem!("rsa-2048-pkcs1-encrypted"), "encrypted");
    }

    #[test]
    fn a_key_of_an_unsupported_kind_is_refused_with_its_kind() {
        check_refused(pem!("secp256k1-pkcs8"), "EC on the curve 1.3.132.0.10");
        check_refused(pem!("ed448-pkcs8"), "1.3.101.113");
    }

    #[test]
    fn a_damaged_key_is_refused() {
        let pem = pem!("rsa-2048-pkcs8");
        check_refused(&pem[..pem.len() / 2], "damaged");
        check_refused(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged");
        check_refused(b"-----BEGIN PRIVATE KEY-----\n%\n-----END PRIVATE KEY-----\n", "damaged");
        // This digit belongs to the private exponent.
        let mut pem = pem.to_vec();
        pem[1000] = if pem[1000] == b'A' { b'B' } else { b'A' };
        check_refused(&pem, "the key for RS256 was rejected");
    }

    #[test]
    fn a_file_with_two_private_keys_is_refused_and_a_certificate_beside_the_key_is_not() {
        let key = pem!("p256-pkcs8").as_slice();
        check_refused(&[key, pem!("p384-pkcs8")].concat(), "several private keys");
        check(&[pem!("p256-certificate"), key].concat(), Algorithm::Es256);
    }

    #[test]
    fn a_key_prints_nothing_private() {
        let key = SigningKey::example(Algorithm::Es256);
        let expected = format!("SigningKey {{ kid: {:?}, algorithm: Es256, .. }}", key.kid());
        assert_eq!(format!("{key:?}"), expected);
    }
}
