//! How we present ourselves to a Receiver.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::tls::TrustedRoots;
use crate::{
    domain::endpoint_policy::EndpointPolicy,
    signing::certificate::{CertificateError, certified_key},
};

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
    /// Decides which endpoints may be dialled. A connection that one policy allowed is never used by another.
    pub policy: EndpointPolicy,
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

impl ClientCertificate {
    /// Reads a chain, leaf first, and the private key of the leaf.
    pub fn from_pem(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, CertificateError> {
        certified_key(certificate_pem, key_pem).map(Self)
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

    fn read(certificate: &str, key: &str) -> Result<ClientCertificate, CertificateError> {
        ClientCertificate::from_pem(certificate.as_bytes(), key.as_bytes())
    }

    #[test]
    fn a_client_certificate_is_equal_to_its_copy_and_to_no_other() {
        let ((certificate, key), (other_certificate, other_key)) = (made(), made());
        let one = read(&certificate, &key).expect("usable");
        assert_eq!(one, read(&certificate, &key).expect("usable"));
        assert_ne!(one, read(&other_certificate, &other_key).expect("usable"));
    }
}
