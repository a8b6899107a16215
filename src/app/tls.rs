//! The certificate of the public listener.

use std::{path::Path, sync::Arc};

use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use crate::{app::keys::resolve, http::settings::PublicSettings};

/// TLS cannot be served as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    #[error("cannot read `{key}` {path}: {source}")]
    Unreadable { key: &'static str, path: String, source: pem::Error },
    #[error("`public.tls_certificate` and `public.tls_key` cannot be used together: {0}")]
    Unusable(#[from] rustls::Error),
}

/// TLS 1.2 and 1.3 with the suites of aws-lc-rs, which are those of RFC 9325; `None` for plain
/// HTTP.
pub fn server_config(settings: &PublicSettings) -> Result<Option<ServerConfig>, TlsFileError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let chain = CertificateDer::pem_file_iter(resolve(certificate))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| unreadable("public.tls_certificate", certificate, source))?;
    let key = PrivateKeyDer::from_pem_file(resolve(key))
        .map_err(|source| unreadable("public.tls_key", key, source))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Some(config))
}

fn unreadable(key: &'static str, path: &Path, source: pem::Error) -> TlsFileError {
    TlsFileError::Unreadable { key, path: path.display().to_string(), source }
}
