//! The certificates of the public and the sources' listener, and the TLS that they are used in.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError,
        WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
};
use rustls_pki_types::{
    CertificateDer,
    pem::{self, PemObject},
};

use crate::{
    http::settings::{PublicSettings, SourcesSettings},
    signing::{
        certificate::{CertificateError, certified_key},
        material::{CurrentMaterial, TlsListener},
    },
};

/// Why TLS cannot be served with the files of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    #[error("cannot read `{key}` {path}: {source}")]
    Unreadable { key: &'static str, path: String, source: pem::Error },
    #[error("`{certificate}` and `{key}` cannot be used together: {source}")]
    Unusable { certificate: &'static str, key: &'static str, source: rustls::Error },
    #[error("`{key}` {path} has a certificate that cannot be an authority: {source}")]
    NoAuthority { key: &'static str, path: String, source: rustls::Error },
    #[error("`{key}` {path} cannot verify client certificates: {source}")]
    NoVerifier { key: &'static str, path: String, source: VerifierBuilderError },
}

/// Presents the certificate of a listener that is current when a handshake begins.
#[derive(Debug)]
struct CurrentCertificate {
    material: CurrentMaterial,
    listener: TlsListener,
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.material.get().certificates.of(self.listener).cloned()
    }
}

/// A file, with the key of the configuration that names it.
#[derive(Clone, Copy)]
struct File<'a> {
    key: &'static str,
    path: &'a Path,
}

/// Reads the certificate chain of the public listener and its key, and checks that they belong together.
/// `None` stands for plain HTTP.
pub fn load_public_certificate(
    settings: &PublicSettings,
) -> Result<Option<Arc<CertifiedKey>>, TlsFileError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let certificate = File { key: "public.tls_certificate", path: certificate };
    load(certificate, File { key: "public.tls_key", path: key }).map(Some)
}

/// Does the same as [`load_public_certificate`] for the sources' listener.
pub fn load_sources_certificate(
    settings: &SourcesSettings,
) -> Result<Option<Arc<CertifiedKey>>, TlsFileError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let certificate = File { key: "sources.tls_certificate", path: certificate };
    load(certificate, File { key: "sources.tls_key", path: key }).map(Some)
}

fn load(certificate: File<'_>, key: File<'_>) -> Result<Arc<CertifiedKey>, TlsFileError> {
    let certified = certified_key(&certificate.read()?, &key.read()?);
    certified.map_err(|error| match error {
        CertificateError::Certificate(source) => certificate.unreadable(source),
        CertificateError::Key(source) => key.unreadable(source),
        CertificateError::Unusable(source) => {
            TlsFileError::Unusable { certificate: certificate.key, key: key.key, source }
        }
    })
}

impl File<'_> {
    fn read(self) -> Result<Vec<u8>, TlsFileError> {
        fs::read(self.path).map_err(|error| self.unreadable(pem::Error::Io(error)))
    }

    fn unreadable(self, source: pem::Error) -> TlsFileError {
        TlsFileError::Unreadable { key: self.key, path: self.shown(), source }
    }

    fn shown(self) -> String {
        self.path.display().to_string()
    }
}

/// Reads the authorities of client certificates for the sources' listener. Returns what verifies the
/// certificates, or `None` if clients are not asked for one. A client may have none, because only some
/// sources demand one.
pub fn load_client_authorities(
    settings: &SourcesSettings,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsFileError> {
    let Some(path) = &settings.tls_client_ca else { return Ok(None) };
    let file = File { key: "sources.tls_client_ca", path };
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&file.read()?) {
        let certificate = certificate.map_err(|error| file.unreadable(error))?;
        authorities.add(certificate).map_err(|source| TlsFileError::NoAuthority {
            key: file.key,
            path: file.shown(),
            source,
        })?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
        .allow_unauthenticated()
        .build();
    verifier.map(Some).map_err(|source| TlsFileError::NoVerifier {
        key: file.key,
        path: file.shown(),
        source,
    })
}

/// Returns the TLS of a listener. `None` stands for plain HTTP, if there is no certificate.
pub(super) fn server_config(
    material: &CurrentMaterial,
    listener: TlsListener,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Option<ServerConfig> {
    material.get().certificates.of(listener)?;
    let certificate = CurrentCertificate { material: material.clone(), listener };
    // TLS 1.2 and 1.3 with the suites of aws-lc-rs, which are those of RFC 9325.
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for TLS 1.2 and 1.3");
    let Some(clients) = clients else {
        return Some(builder.with_no_client_auth().with_cert_resolver(Arc::new(certificate)));
    };
    let builder = builder.with_client_cert_verifier(clients);
    let mut config = builder.with_cert_resolver(Arc::new(certificate));
    // A resumed session would have the certificate of the earlier one, unverified, for a day.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Some(config)
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;

    use super::*;

    #[track_caller]
    fn check(text: Option<&str>, expected: Result<(), &str>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clients.pem");
        if let Some(text) = text {
            fs::write(&path, text).expect("a file");
        }
        let settings = SourcesSettings { tls_client_ca: Some(path), ..SourcesSettings::default() };
        match (load_client_authorities(&settings), expected) {
            (Ok(verifier), Ok(())) => assert!(!verifier.expect("one").client_auth_mandatory()),
            (Err(error), Err(rule)) => {
                let error = error.to_string();
                assert!(error.contains(rule) && error.contains("clients.pem"), "{error}");
                assert!(error.contains("`sources.tls_client_ca`"), "{error}");
            }
            (found, expected) => panic!("{:?} and {expected:?}", found.map(|_| ())),
        }
    }

    #[test]
    fn authorities_of_clients_are_read_or_refused_by_their_file() {
        check(None, Err("cannot read"));
        check(Some(""), Err("cannot verify client certificates"));
        check(
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            Err("cannot be an authority"),
        );
        let made = generate_simple_self_signed(["clients".to_owned()]).expect("a certificate");
        check(Some(&made.cert.pem()), Ok(()));
    }
}
