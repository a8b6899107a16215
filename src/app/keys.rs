//! Reads the signing keys of all providers from their files.

use std::path::Path;

use crate::{
    config::Config,
    domain::id::ProviderName,
    signing::{
        algorithm::Algorithm,
        key_ring::{KeyRing, KeyRings},
        keys::{KeyError, SigningKey},
    },
};

/// Why the files of signing keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error(
        "provider `{provider}` has no signing key: {path} does not exist; make one with `ssfd keys \
         generate --out {path}`, or name another in `providers.{provider}.signing_keys`"
    )]
    Missing { provider: ProviderName, path: String },
    #[error("cannot read the signing key {path} of provider `{provider}`: {source}")]
    Unreadable { provider: ProviderName, path: String, source: std::io::Error },
    #[error("the signing key {path} of provider `{provider}`: {source}")]
    Invalid { provider: ProviderName, path: String, source: KeyError },
    #[error("the signing keys of provider `{provider}`: {source}")]
    Ring { provider: ProviderName, source: KeyError },
    #[error(
        "the first of `providers.{provider}.signing_keys` signs {algorithm}, and the profile that \
         `providers.{provider}.interop` asks for allows only RS256 (CAEP Interop §2.6)"
    )]
    Interop { provider: ProviderName, algorithm: Algorithm },
}

/// Reads and checks every key of every provider.
pub fn load(config: &Config) -> Result<KeyRings, KeyFileError> {
    let rings = config.signing_keys().into_iter().map(|(provider, files)| {
        let keys = files.iter().map(|file| read(&provider, file)).collect::<Result<Vec<_>, _>>()?;
        let ring = KeyRing::new(keys)
            .map_err(|source| KeyFileError::Ring { provider: provider.clone(), source })?;
        let algorithm = ring.signer().algorithm();
        if config.interop(&provider) && algorithm != Algorithm::Rs256 {
            return Err(KeyFileError::Interop { provider, algorithm });
        }
        Ok((provider, ring))
    });
    rings.collect()
}

fn read(provider: &ProviderName, file: &Path) -> Result<SigningKey, KeyFileError> {
    let (provider, path) = (provider.clone(), file.display().to_string());
    let pem = match std::fs::read(file) {
        Ok(pem) => pem,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(KeyFileError::Missing { provider, path });
        }
        Err(source) => return Err(KeyFileError::Unreadable { provider, path, source }),
    };
    SigningKey::from_pem(&pem).map_err(|source| KeyFileError::Invalid { provider, path, source })
}
