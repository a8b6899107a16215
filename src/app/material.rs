//! Key material from its files, and its replacement while the daemon runs.

use std::sync::Arc;

use super::{
    keys::{self, KeyFileError},
    tls::{self, TlsFileError},
};
use crate::{
    config::Config,
    directory::Directory,
    signing::material::{Material, MaterialMismatch, MaterialSender},
};

/// Why the files that the configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    Tls(#[from] TlsFileError),
}

/// Reads and checks all signing keys and the certificate of the public listener.
pub fn load(config: &Config) -> Result<Material, MaterialError> {
    Ok(Material {
        key_rings: keys::load(config)?,
        certificate: tls::load_certificate(&config.public)?,
    })
}

/// Replaces the key material of a running daemon.
#[derive(Clone)]
pub struct MaterialSwitch {
    pub(super) sender: MaterialSender,
    pub(super) directory: Arc<Directory>,
}

impl MaterialSwitch {
    /// Replaces all signing keys and the certificate at once, or nothing if the material does not fit.
    ///
    /// SETs are signed with the new keys from now on, and signatures that were made ahead of their
    /// attempts are dropped. Attempts under way end as they are, and a TLS session goes on with the
    /// certificate that it began with.
    pub fn replace(&self, material: Material) -> Result<(), MaterialMismatch> {
        self.sender.replace(material)?;
        // The keys first: a courier that notices the change signs again at once.
        self.directory.keys_changed();
        Ok(())
    }
}
