//! Generates keys as PKCS#8 in PEM, which is the form that every tool reads.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    error::Unspecified,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::signing::algorithm::Algorithm;

/// The size of a new RSA key. A key of twice the size signs several times as slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RsaBits {
    #[default]
    B2048,
    B3072,
    B4096,
}

/// Why no key was generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("a new RSA key has 2048, 3072 or 4096 bits, and not {0}")]
    Bits(u32),
    #[error("no key could be generated")]
    Failed(#[from] Unspecified),
}

impl TryFrom<u32> for RsaBits {
    type Error = GenerateError;

    fn try_from(bits: u32) -> Result<Self, GenerateError> {
        match bits {
            2048 => Ok(Self::B2048),
            3072 => Ok(Self::B3072),
            4096 => Ok(Self::B4096),
            _ => Err(GenerateError::Bits(bits)),
        }
    }
}

/// Generates a private key, in PEM. A key for RS256 has the default size.
pub fn generate(algorithm: Algorithm) -> Result<String, GenerateError> {
    match algorithm {
        Algorithm::Rs256 => generate_rsa(RsaBits::default()),
        Algorithm::Es256 => generate_ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => generate_ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Es512 => generate_ec(&ECDSA_P521_SHA512_FIXED_SIGNING),
        // Version 1 of PKCS#8, because many tools do not read version 2.
        Algorithm::EdDsa => Ok(pem(Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref())),
    }
}

/// Generates a private key for RS256, in PEM.
pub fn generate_rsa(bits: RsaBits) -> Result<String, GenerateError> {
    let key = RsaKeyPair::generate(match bits {
        RsaBits::B2048 => KeySize::Rsa2048,
        RsaBits::B3072 => KeySize::Rsa3072,
        RsaBits::B4096 => KeySize::Rsa4096,
    })?;
    let der: Pkcs8V1Der<'_> = key.as_der()?;
    Ok(pem(der.as_ref()))
}

fn generate_ec(curve: &'static EcdsaSigningAlgorithm) -> Result<String, GenerateError> {
    Ok(pem(EcdsaKeyPair::generate(curve)?.to_pkcs8v1()?.as_ref()))
}

/// Encodes a key as PEM (RFC 7468 §10).
fn pem(pkcs8: &[u8]) -> String {
    /// The length of every line but the last (RFC 7468 §2).
    const LINE_CHARS: usize = 64;
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for (index, digit) in STANDARD.encode(pkcs8).chars().enumerate() {
        if index > 0 && index % LINE_CHARS == 0 {
            pem.push('\n');
        }
        pem.push(digit);
    }
    pem + "\n-----END PRIVATE KEY-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::keys::SigningKey;

    #[test]
    fn a_generated_key_is_readable_and_differs_from_the_one_before() {
        for algorithm in Algorithm::ALL {
            let [one, two] = [(); 2].map(|()| {
                let pem = generate(algorithm).expect("a key");
                SigningKey::from_pem(pem.as_bytes()).expect("a usable key")
            });
            assert_eq!(one.algorithm(), algorithm);
            assert_ne!(one.kid(), two.kid());
        }
    }

    #[test]
    fn an_rsa_key_has_the_size_that_was_asked_for() {
        let pem = generate_rsa(RsaBits::try_from(3072).expect("a size")).expect("a key");
        let key = SigningKey::from_pem(pem.as_bytes()).expect("a usable key");
        assert_eq!(key.sign(b"x").expect("signed").len() * 8, 3072);
        assert!(RsaBits::try_from(1024).is_err());
    }

    #[test]
    fn pem_has_lines_of_64_characters() {
        let text = pem(&[0; 96]);
        assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [27, 64, 64, 25]);
    }
}
