//! The certificate of the public listener, and the TLS that it is used in.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::pem;

use crate::{
    http::settings::PublicSettings,
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
    #[error("`public.tls_certificate` and `public.tls_key` cannot be used together: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Presents the certificate that is current when a handshake begins.
#[derive(Debug)]
struct CurrentCertificate(CurrentMaterial);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get().certificate.clone()
    }
}

/// Reads the certificate chain and its key, and checks that they belong together. `None` stands for
/// plain HTTP.
pub fn load_certificate(
    settings: &PublicSettings,
) -> Result<Option<Arc<CertifiedKey>>, TlsFileError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let unreadable = |key, path: &Path, source| {
        let path = path.display().to_string();
        TlsFileError::Unreadable { key, path, source }
    };
    let read = |key, path: &Path| {
        fs::read(path).map_err(|error| unreadable(key, path, pem::Error::Io(error)))
    };
    let certificate_pem = read("public.tls_certificate", certificate)?;
    let certified = certified_key(&certificate_pem, &read("public.tls_key", key)?);
    certified.map(Some).map_err(|error| match error {
        CertificateError::Certificate(source) => {
            unreadable("public.tls_certificate", certificate, source)
        }
        CertificateError::Key(source) => unreadable("public.tls_key", key, source),
        CertificateError::Unusable(source) => source.into(),
    })
}

/// Returns TLS 1.2 and 1.3 with the suites of aws-lc-rs, which are those of RFC 9325. `None` stands for
/// plain HTTP, if there is no certificate.
pub(super) fn server_config(material: &CurrentMaterial) -> Option<ServerConfig> {
    material.get().certificate.as_ref()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(CurrentCertificate(material.clone())));
    Some(config)
}
