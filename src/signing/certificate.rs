//! Certificate chains with their private keys, read from PEM, for whoever speaks TLS.

use std::sync::Arc;

use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

/// Why a certificate and a private key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate is not readable PEM")]
    Certificate(#[source] pem::Error),
    #[error("the private key is not readable PEM")]
    Key(#[source] pem::Error),
    #[error("the certificate and the private key cannot be used together")]
    Unusable(#[from] rustls::Error),
}

/// Reads a chain, leaf first, and the private key of the leaf. Checks that the two belong together.
pub fn certified_key(
    certificate_pem: &[u8],
    key_pem: &[u8],
) -> Result<Arc<CertifiedKey>, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(certificate_pem)
        .collect::<Result<_, _>>()
        .map_err(CertificateError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(CertificateError::Key)?;
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

    use super::*;

    fn made() -> (String, String) {
        let Made { cert, signing_key } =
            generate_simple_self_signed(["tx.example".to_owned()]).expect("a certificate");
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn a_key_that_does_not_belong_to_the_certificate_is_refused() {
        let ((certificate, key), (_, other_key)) = (made(), made());
        let read = |certificate: &str, key: &str| {
            certified_key(certificate.as_bytes(), key.as_bytes()).map(|_| ())
        };
        read(&certificate, &key).expect("usable");
        let refused = read(&certificate, &other_key).expect_err("another key");
        assert!(matches!(refused, CertificateError::Unusable(_)), "{refused}");
        let refused = read(&certificate, "").expect_err("no key");
        assert!(matches!(refused, CertificateError::Key(_)), "{refused}");
        let refused = read("", &key).expect_err("no certificate");
        assert!(matches!(refused, CertificateError::Unusable(_)), "{refused}");
    }
}
