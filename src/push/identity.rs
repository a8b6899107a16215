//! How we present ourselves to a Receiver.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use rustls::{
    crypto::aws_lc_rs,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use super::tls::TrustedRoots;

/// Selects the client that carries the SETs of a stream. Equal identities share a pool of
/// connections, and different identities never do.
///
/// All members are compared by content, so that a certificate that was renewed in place is another
/// identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PushIdentity {
    /// Trusted in addition to the system's roots.
    pub trusted_roots: TrustedRoots,
    /// Presented to a Receiver that asks for a certificate (RFC 8935 §3).
    pub client_certificate: Option<ClientCertificate>,
    pub http_version: HttpVersion,
}

/// The versions of HTTP that a client speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// HTTP/2 or HTTP/1.1, as ALPN decides. Without TLS this is HTTP/1.1.
    #[default]
    Negotiated,
    Http1,
    /// HTTP/2 even without TLS, by prior knowledge (RFC 9113 §3.3).
    Http2,
}

impl HttpVersion {
    pub(super) fn alpn(self) -> Vec<Vec<u8>> {
        let protocols: &[&[u8]] = match self {
            Self::Negotiated => &[b"h2", b"http/1.1"],
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
        };
        protocols.iter().map(|protocol| protocol.to_vec()).collect()
    }
}

/// A certificate chain and its private key. Cheap to clone.
///
/// Invariant: the key belongs to the certificate. Two client certificates are therefore equal if
/// their chains are, and the private key is never compared.
#[derive(Debug, Clone)]
pub struct ClientCertificate(Arc<CertifiedKey>);

/// Why a client certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientCertificateError {
    #[error("the certificate is not readable PEM")]
    Certificate(#[source] pem::Error),
    #[error("the private key is not readable PEM")]
    Key(#[source] pem::Error),
    #[error("the certificate and the private key cannot be used together")]
    Unusable(#[from] rustls::Error),
}

impl ClientCertificate {
    /// Reads a chain, leaf first, and the private key of the leaf.
    pub fn from_pem(
        certificate_pem: &[u8],
        key_pem: &[u8],
    ) -> Result<Self, ClientCertificateError> {
        let chain = CertificateDer::pem_slice_iter(certificate_pem)
            .collect::<Result<_, _>>()
            .map_err(ClientCertificateError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(ClientCertificateError::Key)?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
        Ok(Self(Arc::new(certified)))
    }

    pub(super) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.0)))
    }
}

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert
    }
}

impl Eq for ClientCertificate {}

impl Hash for ClientCertificate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.cert.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn made() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["tx.example".to_owned()]).expect("a valid name");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn read(certificate: &str, key: &str) -> Result<ClientCertificate, ClientCertificateError> {
        ClientCertificate::from_pem(certificate.as_bytes(), key.as_bytes())
    }

    #[test]
    fn a_client_certificate_is_equal_to_its_copy_and_to_no_other() {
        let ((certificate, key), (other_certificate, other_key)) = (made(), made());
        let one = read(&certificate, &key).expect("usable");
        assert_eq!(one, read(&certificate, &key).expect("usable"));
        assert_ne!(one, read(&other_certificate, &other_key).expect("usable"));
    }

    #[test]
    fn a_key_that_does_not_belong_to_the_certificate_is_refused() {
        let ((certificate, key), (_, other_key)) = (made(), made());
        let refused = read(&certificate, &other_key).expect_err("another key");
        assert!(matches!(refused, ClientCertificateError::Unusable(_)), "{refused}");
        let refused = read(&certificate, "").expect_err("no key");
        assert!(matches!(refused, ClientCertificateError::Key(_)), "{refused}");
        let refused = read("", &key).expect_err("no certificate");
        assert!(matches!(refused, ClientCertificateError::Unusable(_)), "{refused}");
    }
}
