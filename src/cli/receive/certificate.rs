//! Certificates for a trial on one machine: a new certificate authority and a server certificate
//! that it signs.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

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

/// Returns the certificate chain and the key of a trial, in one text, whose authority is in the file
/// `authority`. The text is kept beside it, in a file with the ending `.key` that only its owner may read.
/// So a Receiver that is started again has the certificate that the daemon trusts. Makes both files if they
/// are not there or do not belong together.
pub fn kept_certificate(authority: &Path) -> io::Result<String> {
    let mut beside = authority.as_os_str().to_owned();
    beside.push(".key");
    if let (Ok(trusted), Ok(kept)) = (fs::read_to_string(authority), fs::read_to_string(&beside))
        && !trusted.is_empty()
        && kept.contains(&trusted)
    {
        return Ok(kept);
    }
    let made = make_certificate(&["localhost", "127.0.0.1", "::1"]).map_err(io::Error::other)?;
    let text = [made.certificate_pem, made.authority_pem.clone(), made.key_pem].concat();
    let mut file = OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600).open(&beside);
    file.and_then(|mut file| file.write_all(text.as_bytes()))?;
    fs::write(authority, made.authority_pem)?;
    Ok(text)
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_trial_certificate_can_serve_tls() {
        let made = make_certificate(&["localhost", "127.0.0.1"]).expect("a certificate");
        assert!(server_config(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).is_ok());
    }

    #[test]
    fn a_trial_certificate_is_kept_beside_its_authority() {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = folder.path().join("roots.pem");
        let first = kept_certificate(&authority).expect("two files");
        assert!(server_config(first.as_bytes(), first.as_bytes()).is_ok());
        assert_eq!(kept_certificate(&authority).expect("kept"), first);
        let key = fs::metadata(folder.path().join("roots.pem.key")).expect("a file");
        assert_eq!(key.permissions().mode() & 0o777, 0o600);

        for other in ["", "another authority"] {
            fs::write(&authority, other).expect("a file");
            let second = kept_certificate(&authority).expect("two files");
            assert_ne!(second, first, "{other:?}");
            assert!(second.contains(&fs::read_to_string(&authority).expect("a file")));
        }
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
