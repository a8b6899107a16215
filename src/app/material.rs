//! Key material from its files, and its replacement while the daemon runs.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::{
    keys::{self, KeyFileError},
    tls::{self, TlsFileError},
};
use crate::{
    clock,
    config::Config,
    delivery::new_key::NewKey,
    directory::Directory,
    domain::{
        id::{KeyId, ProviderName},
        time::Timestamp,
    },
    signing::material::{
        Certificates, CurrentMaterial, Material, MaterialMismatch, MaterialSender,
    },
    store::{Store, records::signing_key::SigningKeyStore as _},
    telemetry::causes::with_causes,
};

/// Why the files that the configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    Tls(#[from] TlsFileError),
}

/// Reads and checks all signing keys and the certificates of the listeners.
pub fn load(config: &Config) -> Result<Material, MaterialError> {
    Ok(Material {
        key_rings: keys::load(config)?,
        certificates: Certificates {
            public: tls::load_public_certificate(&config.public)?,
            sources: tls::load_sources_certificate(&config.sources)?,
        },
    })
}

/// Notes which key signs for each provider, and tells the directory of those that followed another one.
/// An error of the store is only logged, because the daemon can serve without this knowledge: a refusal
/// due to a key that a Receiver does not know yet then makes a dead letter.
pub(super) async fn note_keys(
    store: &dyn Store,
    directory: &Directory,
    material: &Material,
    grace: Duration,
) {
    for (provider, kid) in signers(material) {
        match store.key_in_use(&provider, kid.as_str(), clock::now()).await {
            Ok(Some(since)) => directory.key_followed(&provider, NewKey { since, grace }),
            Ok(None) => {}
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(%provider, error, "cannot note since when the signing key is used");
            }
        }
    }
}

/// Returns the key of each provider that signs.
fn signers(material: &Material) -> Vec<(ProviderName, KeyId)> {
    let rings = &material.key_rings;
    let signer = |provider: &ProviderName| {
        Some((provider.clone(), rings.get(provider)?.signer().kid().clone()))
    };
    rings.providers().filter_map(signer).collect()
}

/// Replaces the key material of a running daemon.
#[derive(Clone)]
pub struct MaterialSwitch {
    pub(super) sender: MaterialSender,
    pub(super) current: CurrentMaterial,
    pub(super) directory: Arc<Directory>,
    pub(super) store: Arc<dyn Store>,
    /// How long Receivers may not know a new key.
    pub(super) grace: Duration,
}

impl MaterialSwitch {
    /// Replaces all signing keys and certificates at once, or nothing if the material does not fit.
    ///
    /// SETs are signed with the new keys from now on, and signatures that were made ahead of their
    /// attempts are dropped. Attempts under way end as they are, and a TLS session goes on with the
    /// certificate that it began with.
    pub fn replace(&self, material: Material) -> Result<(), MaterialMismatch> {
        let before = self.current.get();
        let of_before = |provider: &ProviderName| before.key_rings.get(provider);
        let mut new = signers(&material);
        new.retain(|(provider, kid)| {
            of_before(provider).is_some_and(|ring| ring.signer().kid() != kid)
        });
        self.sender.replace(material)?;
        let since = clock::now();
        for (provider, _) in &new {
            self.directory.key_followed(provider, NewKey { since, grace: self.grace });
        }
        // The keys first: a courier that notices the change signs again at once.
        self.directory.keys_changed();
        self.note(new, since);
        Ok(())
    }

    /// Notes the new keys, so that the next start knows since when they are used.
    fn note(&self, new: Vec<(ProviderName, KeyId)>, since: Timestamp) {
        let Ok(runtime) = Handle::try_current() else { return };
        let store = Arc::clone(&self.store);
        runtime.spawn(async move {
            for (provider, kid) in new {
                if let Err(error) = store.key_in_use(&provider, kid.as_str(), since).await {
                    let error = with_causes(&error);
                    tracing::warn!(%provider, error, "cannot note since when the signing key is used");
                }
            }
        });
    }
}
