//! Certificates for a trial on one machine: a new certificate authority and a server certificate
//! that it signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{ServerConfig, crypto::aws_lc_rs, sign::SingleCertAndKey};

use crate::signing::certificate::{CertificateError, certified_key};

/// A server's certificate and key, and the authority that signed the certificate.
#[derive(Clone)]
pub struct TrialCertificate {
    pub authority_pem: String,
    pub certificate_pem: String,
    pub key_pem: String,
}

/// Makes an authority, and with it a certificate for `names`, which are DNS names or IP addresses.
/// The authority's key is discarded.
pub fn make_certificate(names: &[&str]) -> Result<TrialCertificate, rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.distinguished_name.push(DnType::CommonName, "ssfd trial authority");
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();

    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut server = CertificateParams::new(names)?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.distinguished_name.push(DnType::CommonName, "ssfd trial Receiver");
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key))?;
    Ok(TrialCertificate {
        authority_pem,
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

/// Returns a TLS server configuration that offers HTTP/2 and HTTP/1.1 by ALPN.
pub fn server_config(
    certificate_pem: &[u8],
    key_pem: &[u8],
) -> Result<ServerConfig, CertificateError> {
    let certified = certified_key(certificate_pem, key_pem)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_certificate_can_serve_tls() {
        let made = make_certificate(&["localhost", "127.0.0.1"]).expect("a certificate");
        assert!(server_config(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).is_ok());
    }

    #[test]
    fn a_text_that_is_not_pem_is_refused() {
        let made = make_certificate(&["localhost"]).expect("a certificate");
        let (certificate, key) = (made.certificate_pem.as_bytes(), made.key_pem.as_bytes());
        let refused = server_config(certificate, b"").expect_err("no key");
        assert!(matches!(refused, CertificateError::Key(_)));
        assert!(matches!(server_config(b"", key), Err(CertificateError::Unusable(_))));
    }
}
