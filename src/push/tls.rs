//! TLS as a client: whose certificates are trusted.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{
    CertificateDer,
    pem::{self, PemObject},
};

/// A file of trusted certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustedRootsError {
    #[error("cannot read trusted roots from {}", path.display())]
    Unreadable { path: PathBuf, source: pem::Error },
    #[error("no certificate in {}, which should hold trusted roots", path.display())]
    Empty { path: PathBuf },
    #[error("a certificate in {} cannot serve as a trusted root", path.display())]
    Unusable { path: PathBuf, source: rustls::Error },
}

/// TLS 1.2 and 1.3, trusting the system's roots and those in `trusted_roots`. Certificate and name
/// are always checked (RFC 8935 §3, §5.3).
pub fn client_config(trusted_roots: Option<&Path>) -> Result<ClientConfig, TrustedRootsError> {
    let mut roots = system_roots();
    match trusted_roots {
        Some(path) => add_roots(&mut roots, path)?,
        None if roots.is_empty() => {
            tracing::warn!("the system has no trusted roots: every https endpoint will be refused");
        }
        None => {}
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "some of the system's trusted roots cannot be read");
    }
    let mut roots = RootCertStore::empty();
    // Systems carry some certificates that no longer qualify; the others count.
    roots.add_parsable_certificates(found.certs);
    roots
}

fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustedRootsError> {
    let unreadable = |source| TrustedRootsError::Unreadable { path: path.into(), source };
    let certificates: Vec<CertificateDer<'_>> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unreadable)?;
    if certificates.is_empty() {
        return Err(TrustedRootsError::Empty { path: path.into() });
    }
    for certificate in certificates {
        let unusable = |source| TrustedRootsError::Unusable { path: path.into(), source };
        roots.add(certificate).map_err(unusable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(text: Option<&str>, rule: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("roots.pem");
        if let Some(text) = text {
            std::fs::write(&path, text).expect("a file");
        }
        let error = client_config(Some(&path)).expect_err(rule).to_string();
        assert!(error.contains(rule) && error.contains("roots.pem"), "{error}");
    }

    #[test]
    fn a_bad_file_of_roots_is_named() {
        refuses(None, "cannot read");
        refuses(Some(""), "no certificate");
        refuses(Some("not PEM"), "no certificate");
        refuses(Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"), "cannot read");
        refuses(
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "cannot serve",
        );
    }

    #[test]
    fn without_a_file_the_system_is_trusted() {
        assert!(client_config(None).is_ok());
    }
}
