//! The sign floor: a signature by aws-lc with a key that was parsed once, and nothing else.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use ssfd::signing::algorithm::Algorithm;

/// Signs an input.
pub(crate) type BareSigner = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Returns a signer with the private key in `pem`.
pub(crate) fn bare_signer(algorithm: Algorithm, pem: &str) -> BareSigner {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("PKCS#8");
    let der = der.secret_pkcs8_der();
    let ec = |curve: &'static EcdsaSigningAlgorithm| -> BareSigner {
        let key = EcdsaKeyPair::from_pkcs8(curve, der).expect("a key");
        let sign = move |input: &[u8]| key.sign(&SystemRandom::new(), input);
        Box::new(move |input| sign(input).expect("signed").as_ref().to_vec())
    };
    match algorithm {
        Algorithm::Rs256 => {
            let key = RsaKeyPair::from_pkcs8(der).expect("a key");
            Box::new(move |input| {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature)
                    .expect("signed");
                signature
            })
        }
        Algorithm::Es256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Es512 => ec(&ECDSA_P521_SHA512_FIXED_SIGNING),
        Algorithm::EdDsa => {
            let key = Ed25519KeyPair::from_pkcs8(der).expect("a key");
            Box::new(move |input| key.sign(input).as_ref().to_vec())
        }
    }
}
