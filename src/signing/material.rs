//! The key material of the daemon, which can be replaced while the daemon runs.
//!
//! All readers share one value, so a replacement takes effect everywhere at once: the signing threads
//! take the keys from it for each batch, the JWK Set for each request, and the listeners take their
//! certificates for each TLS handshake.

use std::{fmt, sync::Arc};

use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::{domain::id::ProviderName, signing::key_ring::KeyRings};

/// One complete set of key material. A set is never changed, only replaced as a whole.
#[derive(Debug)]
pub struct Material {
    pub key_rings: KeyRings,
    pub certificates: Certificates,
}

/// The certificates of the listeners. A listener without one speaks plain HTTP.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    pub public: Option<Arc<CertifiedKey>>,
    pub sources: Option<Arc<CertifiedKey>>,
}

/// A listener that can speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsListener {
    Public,
    Sources,
}

/// Replaces the material.
#[derive(Debug, Clone)]
pub struct MaterialSender(watch::Sender<Arc<Material>>);

/// Reads the material as it is now. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CurrentMaterial(watch::Receiver<Arc<Material>>);

/// Why material cannot replace what there is. A daemon serves the same providers, and each of its
/// listeners speaks either TLS or plain HTTP, until it is restarted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaterialMismatch {
    #[error("there is no signing key for the provider `{0}`")]
    MissingProvider(ProviderName),
    #[error("there are signing keys for `{0}`, which is not a provider of this daemon")]
    UnknownProvider(ProviderName),
    #[error("the {0} listener speaks TLS, and there is no certificate for it")]
    MissingCertificate(TlsListener),
    #[error("the {0} listener speaks plain HTTP, and takes no certificate before a restart")]
    UnexpectedCertificate(TlsListener),
}

/// Makes material available to readers.
pub fn channel(material: Material) -> (MaterialSender, CurrentMaterial) {
    let (sender, receiver) = watch::channel(Arc::new(material));
    (MaterialSender(sender), CurrentMaterial(receiver))
}

impl MaterialSender {
    /// Replaces the whole material, or nothing of it if it does not fit.
    pub fn replace(&self, material: Material) -> Result<(), MaterialMismatch> {
        // The check needs no lock: all sets that pass it have the same providers, and certificates for
        // the same listeners.
        material.fits(&Arc::clone(&self.0.borrow()))?;
        self.0.send_replace(Arc::new(material));
        Ok(())
    }
}

impl CurrentMaterial {
    /// Returns the current set. A caller that needs several parts of it calls this once, so that all
    /// parts are of one set.
    ///
    /// This takes a read lock for as long as it takes to count a reference. Readers do not exclude one
    /// another, and a writer holds the lock only to exchange a pointer. That is some tens of
    /// nanoseconds for a batch of signatures, and each signature takes 15 µs or more.
    pub fn get(&self) -> Arc<Material> {
        Arc::clone(&self.0.borrow())
    }
}

impl Material {
    fn fits(&self, current: &Self) -> Result<(), MaterialMismatch> {
        let (new, old) = (&self.key_rings, &current.key_rings);
        if let Some(missing) = old.providers().find(|provider| new.get(provider).is_none()) {
            return Err(MaterialMismatch::MissingProvider(missing.clone()));
        }
        if let Some(unknown) = new.providers().find(|provider| old.get(provider).is_none()) {
            return Err(MaterialMismatch::UnknownProvider(unknown.clone()));
        }
        for listener in TlsListener::ALL {
            match (self.certificates.of(listener), current.certificates.of(listener)) {
                (None, Some(_)) => return Err(MaterialMismatch::MissingCertificate(listener)),
                (Some(_), None) => return Err(MaterialMismatch::UnexpectedCertificate(listener)),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        Ok(())
    }
}

impl TlsListener {
    const ALL: [Self; 2] = [Self::Public, Self::Sources];
}

impl Certificates {
    pub fn of(&self, listener: TlsListener) -> Option<&Arc<CertifiedKey>> {
        match listener {
            TlsListener::Public => self.public.as_ref(),
            TlsListener::Sources => self.sources.as_ref(),
        }
    }
}

impl fmt::Display for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Sources => "sources'",
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;
    use rustls::crypto::aws_lc_rs;
    use rustls_pki_types::PrivateKeyDer;

    use super::*;
    use crate::signing::{algorithm::Algorithm, key_ring::KeyRing, keys::SigningKey};

    fn material(providers: &[&str], algorithm: Algorithm, certified: &[TlsListener]) -> Material {
        let ring = |provider: &&str| {
            let ring = KeyRing::new(vec![SigningKey::example(algorithm)]).expect("one key");
            (provider.parse().expect("a provider's name"), ring)
        };
        let certificate = |listener| {
            certified.contains(&listener).then(|| {
                let made =
                    generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
                let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
                let chain = vec![made.cert.der().clone()];
                let provider = aws_lc_rs::default_provider();
                Arc::new(CertifiedKey::from_der(chain, key, &provider).expect("they fit"))
            })
        };
        let [public, sources] = TlsListener::ALL.map(certificate);
        let key_rings = providers.iter().map(ring).collect();
        Material { key_rings, certificates: Certificates { public, sources } }
    }

    fn algorithms(current: &CurrentMaterial) -> Vec<Algorithm> {
        let material = current.get();
        let mut providers: Vec<_> = material.key_rings.providers().collect();
        providers.sort();
        let ring = |provider: &ProviderName| material.key_rings.get(provider).expect("it is there");
        providers.into_iter().map(|provider| ring(provider).signer().algorithm()).collect()
    }

    #[test]
    fn every_reader_sees_the_whole_replacement() {
        let (sender, current) = channel(material(&["a", "b"], Algorithm::Es256, &[]));
        let (reader, earlier) = (current.clone(), current.get());
        sender.replace(material(&["a", "b"], Algorithm::EdDsa, &[])).expect("it fits");
        for reader in [&current, &reader] {
            assert_eq!(algorithms(reader), [Algorithm::EdDsa; 2]);
        }
        let provider = "a".parse().expect("a provider's name");
        let ring = earlier.key_rings.get(&provider).expect("it is there");
        assert_eq!(ring.signer().algorithm(), Algorithm::Es256, "a set never changes");
    }

    #[test]
    fn material_that_does_not_fit_changes_nothing() {
        let mut cases: Vec<(&[TlsListener], &[&str], &[TlsListener], _)> = vec![
            (&[], &["a"], &[], MaterialMismatch::MissingProvider(name("b"))),
            (&[], &["a", "b", "c"], &[], MaterialMismatch::UnknownProvider(name("c"))),
        ];
        for listener in &TlsListener::ALL {
            let one = std::slice::from_ref(listener);
            let missing = MaterialMismatch::MissingCertificate(*listener);
            let unexpected = MaterialMismatch::UnexpectedCertificate(*listener);
            cases.extend([
                (one, &["a", "b"][..], &[][..], missing),
                (&[][..], &["a", "b"][..], one, unexpected),
            ]);
        }
        for (certified, providers, with, expected) in cases {
            let (sender, current) = channel(material(&["a", "b"], Algorithm::Es256, certified));
            let refused = sender.replace(material(providers, Algorithm::EdDsa, with));
            assert_eq!(refused, Err(expected));
            assert_eq!(algorithms(&current), [Algorithm::Es256; 2]);
        }
    }

    fn name(provider: &str) -> ProviderName {
        provider.parse().expect("a provider's name")
    }
}
