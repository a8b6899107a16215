//! The certificates of the public and the sources' listener, and the TLS that they are used in.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::pem;

use crate::{
    http::settings::{PublicSettings, SourcesSettings},
    signing::{
        certificate::{CertificateError, certified_key},
        material::CurrentMaterial,
    },
};

/// Why TLS cannot be served with the files of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    #[error("cannot read `{key}` {path}: {source}")]
    Unreadable { key: &'static str, path: String, source: pem::Error },
    #[error("`{certificate}` and `{key}` cannot be used together: {source}")]
    Unusable { certificate: &'static str, key: &'static str, source: rustls::Error },
}

/// Presents the certificate that is current when a handshake begins.
#[derive(Debug)]
struct CurrentCertificate(CurrentMaterial);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get().certificate.clone()
    }
}

/// The files of a listener, with the keys of the configuration that name them.
struct Files<'a> {
    certificate: (&'static str, &'a Path),
    key: (&'static str, &'a Path),
}

/// Reads the certificate chain of the public listener and its key, and checks that they belong together.
/// `None` stands for plain HTTP.
pub fn load_certificate(
    settings: &PublicSettings,
) -> Result<Option<Arc<CertifiedKey>>, TlsFileError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let certificate = ("public.tls_certificate", certificate.as_path());
    Files { certificate, key: ("public.tls_key", key) }.load().map(Some)
}

impl Files<'_> {
    fn load(&self) -> Result<Arc<CertifiedKey>, TlsFileError> {
        let unreadable = |(key, path): (&'static str, &Path), source| {
            let path = path.display().to_string();
            TlsFileError::Unreadable { key, path, source }
        };
        let read = |file: (&'static str, &Path)| {
            fs::read(file.1).map_err(|error| unreadable(file, pem::Error::Io(error)))
        };
        let certified = certified_key(&read(self.certificate)?, &read(self.key)?);
        certified.map_err(|error| match error {
            CertificateError::Certificate(source) => unreadable(self.certificate, source),
            CertificateError::Key(source) => unreadable(self.key, source),
            CertificateError::Unusable(source) => {
                TlsFileError::Unusable { certificate: self.certificate.0, key: self.key.0, source }
            }
        })
    }
}

/// Returns the TLS of the sources' listener. `None` stands for plain HTTP.
pub(super) fn of_sources(settings: &SourcesSettings) -> Result<Option<ServerConfig>, TlsFileError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let certificate = ("sources.tls_certificate", certificate.as_path());
    let certified = Files { certificate, key: ("sources.tls_key", key) }.load()?;
    Ok(Some(config(Arc::new(FixedCertificate(certified)))))
}

/// Presents the certificate that was read at the start.
#[derive(Debug)]
struct FixedCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for FixedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Returns the TLS of the public listener. `None` stands for plain HTTP, if there is no certificate.
pub(super) fn server_config(material: &CurrentMaterial) -> Option<ServerConfig> {
    material.get().certificate.as_ref()?;
    Some(config(Arc::new(CurrentCertificate(material.clone()))))
}

/// Returns TLS 1.2 and 1.3 with the suites of aws-lc-rs, which are those of RFC 9325.
fn config(certificate: Arc<dyn ResolvesServerCert>) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(certificate)
}
