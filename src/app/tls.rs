//! The certificate of the public listener, and the TLS that it is used in.

use std::{path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use crate::{
    app::keys::resolve, http::settings::PublicSettings, signing::material::CurrentMaterial,
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
pub(super) fn load_certificate(
    settings: &PublicSettings,
) -> Result<Option<Arc<CertifiedKey>>, TlsFileError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let chain = CertificateDer::pem_file_iter(resolve(certificate))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| unreadable("public.tls_certificate", certificate, source))?;
    let key = PrivateKeyDer::from_pem_file(resolve(key))
        .map_err(|source| unreadable("public.tls_key", key, source))?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
    Ok(Some(Arc::new(certified)))
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

fn unreadable(key: &'static str, path: &Path, source: pem::Error) -> TlsFileError {
    TlsFileError::Unreadable { key, path: path.display().to_string(), source }
}
