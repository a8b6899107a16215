//! Where the keys of an authorization server come from.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::Uri;
use tokio::task::spawn_blocking;

use super::{
    fetch::{ANSWER_BYTES_MAX, FetchError, Fetcher},
    key_cache::{Advice, KeyCache, KeyLimits},
    verification_keys::VerificationKeys,
};
use crate::{clock, telemetry::causes::with_causes};

/// Where a JWK Set is.
#[derive(Debug, Clone)]
pub enum JwksLocation {
    File(PathBuf),
    Url(Uri, Fetcher),
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum JwksSourceError {
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the server gave none")]
    Fetch(#[from] FetchError),
    #[error("that is no JWK Set")]
    NotAJwkSet(#[from] serde_json::Error),
}

impl fmt::Display for JwksLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(uri, _) => uri.fmt(f),
        }
    }
}

/// The keys of one authorization server.
pub struct JwksSource {
    location: JwksLocation,
    cache: Mutex<KeyCache>,
    /// Held while a fetch is under way.
    fetching: tokio::sync::Mutex<()>,
}

/// The keys cannot be had, so that no token can be judged; the next try is so far away.
#[derive(Debug)]
pub(super) struct NoKeys(pub(super) Duration);

impl JwksSource {
    pub fn new(location: JwksLocation, limits: KeyLimits) -> Arc<Self> {
        let cache = Mutex::new(KeyCache::new(limits));
        Arc::new(Self { location, cache, fetching: tokio::sync::Mutex::default() })
    }

    /// A set that has the key of this name, or else is as new as can be had.
    pub(super) async fn keys_for(
        self: &Arc<Self>,
        kid: &str,
    ) -> Result<Arc<VerificationKeys>, NoKeys> {
        let advice = self.cache().advise(kid, clock::instant());
        match advice {
            Advice::Use(keys) => Ok(keys),
            Advice::UseAndFetch(keys) => {
                drop(self.fetch());
                Ok(keys)
            }
            Advice::Fetch => {
                self.fetch().await.ok();
                self.cache().without_fetch(kid, clock::instant()).map_err(NoKeys)
            }
            Advice::Unavailable(wait) => Err(NoKeys(wait)),
        }
    }

    /// Sees to it that a fetch which is due is made; ends with it, or with the one under way. It is
    /// a task of its own, which goes on when the request that caused it goes away: otherwise
    /// whoever asks and hangs up could keep the keys from ever being there.
    pub(super) fn fetch(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let _fetching = this.fetching.lock().await;
            if !this.cache().begin(clock::instant()) {
                return;
            }
            let fetched = this.location.read().await;
            if let Err(error) = &fetched {
                let (location, error) = (&this.location, with_causes(error));
                tracing::warn!(%location, error, "no keys of an authorization server");
            }
            this.cache().end(fetched.ok(), clock::instant());
        })
    }

    // A panic leaves the cache as it was: each change of it is one assignment.
    fn cache(&self) -> MutexGuard<'_, KeyCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JwksLocation {
    async fn read(&self) -> Result<VerificationKeys, JwksSourceError> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let read = spawn_blocking(move || read_file(&path)).await;
                read.expect("reading a file does not panic")
            }
            Self::Url(uri, fetcher) => Ok(VerificationKeys::from_json(&fetcher.get(uri).await?)?),
        }
    }

    /// That a file can be read and holds keys; what is behind a URL shows when it is needed, since
    /// the server may start later than we do.
    pub fn check(&self) -> Result<(), JwksSourceError> {
        match self {
            Self::File(path) => read_file(path).map(drop),
            Self::Url(..) => Ok(()),
        }
    }
}

fn read_file(path: &Path) -> Result<VerificationKeys, JwksSourceError> {
    let unreadable = |source| JwksSourceError::File { path: path.to_owned(), source };
    let mut json = Vec::new();
    let bytes_max = u64::try_from(ANSWER_BYTES_MAX).expect("a small constant");
    let file = File::open(path).map_err(unreadable)?;
    file.take(bytes_max).read_to_end(&mut json).map_err(unreadable)?;
    Ok(VerificationKeys::from_json(&json)?)
}
