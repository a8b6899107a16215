//! TLS as a client: whose certificates we trust, and which one we present.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{
    CertificateDer,
    pem::{self, PemObject},
};

use super::identity::PushIdentity;

/// Certificates that are trusted in addition to the system's roots. Cheap to clone.
///
/// Invariant: each of them can serve as a trusted root. [`TrustedRoots::read`] checks that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TrustedRoots(Arc<[CertificateDer<'static>]>);

/// Why a file of trusted certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustedRootsError {
    #[error("cannot read trusted roots from {}", path.display())]
    Unreadable { path: PathBuf, source: pem::Error },
    #[error("no certificate in {}, which should hold trusted roots", path.display())]
    Empty { path: PathBuf },
    #[error("a certificate in {} cannot serve as a trusted root", path.display())]
    Unusable { path: PathBuf, source: rustls::Error },
}

impl TrustedRoots {
    /// Reads a PEM file with at least one certificate.
    pub fn read(path: &Path) -> Result<Self, TrustedRootsError> {
        let unreadable = |source| TrustedRootsError::Unreadable { path: path.into(), source };
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unreadable)?;
        if certificates.is_empty() {
            return Err(TrustedRootsError::Empty { path: path.into() });
        }
        let mut checked = RootCertStore::empty();
        for certificate in &certificates {
            let unusable = |source| TrustedRootsError::Unusable { path: path.into(), source };
            checked.add(certificate.clone()).map_err(unusable)?;
        }
        Ok(Self(certificates.into()))
    }

    /// Returns the system's roots together with these.
    fn beside(&self, system: &Arc<RootCertStore>) -> Arc<RootCertStore> {
        if self.0.is_empty() {
            return Arc::clone(system);
        }
        let mut roots = RootCertStore::clone(system);
        roots.add_parsable_certificates(self.0.iter().cloned());
        Arc::new(roots)
    }
}

/// Returns the configuration of a client that trusts the system's roots and those in a PEM file, and
/// presents no certificate.
pub fn client_config(trusted_roots: Option<&Path>) -> Result<ClientConfig, TrustedRootsError> {
    let trusted_roots = trusted_roots.map(TrustedRoots::read).transpose()?.unwrap_or_default();
    let identity = PushIdentity { trusted_roots, ..PushIdentity::default() };
    Ok(config_of(&identity, &Arc::new(system_roots())))
}

/// Tells whether an exchange failed because the certificate of the server was refused.
pub fn is_distrust(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return true;
        }
        // The source of an `io::Error` is that of the error inside, which it does not show itself.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inside.map(|inside| inside as _).or_else(|| error.source());
    }
    false
}

/// Returns the configuration of an identity, without ALPN. TLS is 1.2 or 1.3, and the certificate
/// and the name of the server are always checked (RFC 8935 §3, §5.3).
pub(super) fn config_of(
    identity: &PushIdentity,
    system_roots: &Arc<RootCertStore>,
) -> ClientConfig {
    let roots = identity.trusted_roots.beside(system_roots);
    if roots.is_empty() {
        tracing::warn!("no root certificate is trusted, so every https endpoint will be refused");
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    match &identity.client_certificate {
        Some(certificate) => builder.with_client_cert_resolver(certificate.resolver()),
        None => builder.with_no_client_auth(),
    }
}

/// Reads the roots that the operating system trusts.
pub(super) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "some of the system's trusted roots cannot be read");
    }
    let mut roots = RootCertStore::empty();
    // Operating systems carry some certificates that no longer qualify. They are skipped.
    roots.add_parsable_certificates(found.certs);
    roots
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
    fn an_unusable_file_of_roots_is_refused_by_its_name() {
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
