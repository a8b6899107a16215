//! Secrets that a source shares with its sender.

use std::{fmt, fs, io, path::PathBuf};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, SHA256_OUTPUT_LEN, digest},
};

use crate::domain::secret::Secret;

/// The most secrets of one source. Two are enough to change one.
pub const SECRETS_MAX: usize = 8;

/// One of the secrets of a source.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret {
    text: Secret,
    /// Two texts of any lengths are compared by this, so that the time says nothing about either.
    digest: [u8; SHA256_OUTPUT_LEN],
}

/// A file that has no usable secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is empty; write the secret into it", path.display())]
    Empty { path: PathBuf },
    #[error("{} has several lines; write one secret into each file", path.display())]
    Lines { path: PathBuf },
}

impl SharedSecret {
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let digest = sha256(text.as_bytes());
        Self { text: Secret::new(text), digest }
    }

    /// Returns the secret itself.
    pub fn bytes(&self) -> &[u8] {
        self.text.expose().as_bytes()
    }

    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// Compares in constant time.
    pub fn is(&self, shown: &[u8]) -> bool {
        verify_slices_are_equal(&self.digest, &sha256(shown)).is_ok()
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// Tells whether one of the secrets is shown. All of them are compared, so that the time does not tell
/// which.
pub fn is_any(secrets: &[SharedSecret], shown: &[u8]) -> bool {
    secrets.iter().fold(false, |found, secret| secret.is(shown) | found)
}

/// Reads one secret from each file. A line break at the end of a file is no part of the secret, because
/// editors add one.
pub fn read(files: &[PathBuf]) -> Result<Vec<SharedSecret>, SecretFileError> {
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path)
            .map_err(|source| SecretFileError::Unreadable { path: path.clone(), source })?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(SecretFileError::Empty { path: path.clone() });
        }
        if text.contains(['\r', '\n']) {
            return Err(SecretFileError::Lines { path: path.clone() });
        }
        Ok(SharedSecret::new(text))
    };
    files.iter().map(read).collect()
}

fn sha256(text: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let digest = digest(&SHA256, text);
    digest.as_ref().try_into().expect("a SHA-256 digest has its length")
}
