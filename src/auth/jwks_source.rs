//! The source of an authorization server's keys: a file, or a URL with a cache.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::Uri;
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    fetch::{ANSWER_BYTES_MAX, FetchError, Fetcher},
    key_cache::{Advice, KeyCache, KeyLimits, Shown},
    server_answers::{Question, ServerAnswers},
};
use crate::{
    clock,
    domain::{id::ProviderName, secret::Secret},
    signing::verification_keys::{NotAJwkSet, VerificationKeys},
};

/// The location of a JWK Set.
#[derive(Debug, Clone)]
pub enum JwksLocation {
    File(PathBuf),
    Url(Uri, Fetcher),
}

/// The reason why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum JwksSourceError {
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot fetch them from the server")]
    Fetch(#[from] FetchError),
    #[error("the document is not a JWK Set")]
    NotAJwkSet(#[from] NotAJwkSet),
}

impl fmt::Display for JwksLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(uri, _) => uri.fmt(f),
        }
    }
}

impl JwksSourceError {
    /// Returns the remedy, where the cause is likely to be our own configuration.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Fetch(error) => error.remedy(),
            Self::File { .. } => None,
            Self::NotAJwkSet(_) => Some("check the URL or the file in `oauth.jwks`"),
        }
    }
}

/// The keys of one authorization server.
pub struct JwksSource {
    location: JwksLocation,
    answers: ServerAnswers,
    cache: Mutex<KeyCache>,
    /// Held while a fetch is under way.
    fetching: tokio::sync::Mutex<()>,
}

/// No key can be fetched, so no token can be judged. The value is the time until the next attempt.
#[derive(Debug)]
pub struct NoKeys(pub Duration);

impl JwksSource {
    pub fn new(provider: &ProviderName, location: JwksLocation, limits: KeyLimits) -> Arc<Self> {
        Arc::new(Self {
            answers: ServerAnswers::new(provider, Question::Keys, location.to_string()),
            location,
            cache: Mutex::new(KeyCache::new(limits)),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// Does the same as `keys_for` for a token that names the key `kid`.
    pub async fn keys_of(
        self: &Arc<Self>,
        kid: &str,
        token: &Secret,
    ) -> Result<Arc<VerificationKeys>, NoKeys> {
        self.keys_for(Shown { kid, token: &super::hash(token) }).await
    }

    /// Fetches the keys again, if the interval allows, for a signature that none of `used` verifies: a
    /// careless server gives a new key the name of the old one. Returns keys that are newer than `used`.
    pub async fn newer_than(
        self: &Arc<Self>,
        used: &Arc<VerificationKeys>,
    ) -> Option<Arc<VerificationKeys>> {
        self.fetch().await.ok();
        let keys = self.cache().current(clock::instant());
        keys.filter(|keys| !Arc::ptr_eq(keys, used))
    }

    /// Returns a set that has the key of this token, or one that was fetched after the token was shown.
    pub(super) async fn keys_for(
        self: &Arc<Self>,
        shown: Shown<'_>,
    ) -> Result<Arc<VerificationKeys>, NoKeys> {
        let advice = self.cache().advise(shown, clock::instant());
        match advice {
            Advice::Use(keys) => Ok(keys),
            Advice::UseAndFetch(keys) => {
                drop(self.fetch());
                Ok(keys)
            }
            Advice::Fetch => {
                self.fetch().await.ok();
                let keys = self.cache().without_fetch(shown, clock::instant());
                keys.map_err(|wait| self.fetch_after(wait))
            }
            Advice::Unavailable(wait) => Err(self.fetch_after(wait)),
        }
    }

    /// Fetches as soon as the interval allows, so that a token that must wait is judged when it comes
    /// again.
    fn fetch_after(self: &Arc<Self>, wait: Duration) -> NoKeys {
        if self.cache().schedule() {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                sleep(wait).await;
                drop(this.fetch());
            });
        }
        NoKeys(wait)
    }

    /// Reads the keys once, past the cache, and returns their number. An operator asks for it.
    pub(super) async fn probe(&self) -> Result<usize, JwksSourceError> {
        Ok(self.location.read().await?.len())
    }

    /// Makes a fetch that is due, and ends with it or with the one under way. The fetch is a task
    /// of its own and goes on when the request that caused it is cancelled. Otherwise anybody could
    /// keep the keys away by sending requests and closing the connection.
    pub(super) fn fetch(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let _fetching = this.fetching.lock().await;
            if !this.cache().begin(clock::instant()) {
                return;
            }
            let fetched = this.location.read().await;
            match &fetched {
                Ok(keys) => {
                    this.answers.good();
                    for fault in keys.faults() {
                        tracing::debug!(location = %this.location, %fault, "a key is not used");
                    }
                }
                Err(error) => this.answers.bad(error, answer_label(error), error.remedy()),
            }
            this.cache().end(fetched.ok(), clock::instant());
        })
    }

    // A panic leaves the cache consistent, because each change of it is one assignment.
    fn cache(&self) -> MutexGuard<'_, KeyCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer_label(error: &JwksSourceError) -> &'static str {
    match error {
        JwksSourceError::Fetch(error) => error.label(),
        JwksSourceError::File { .. } => "unreachable",
        JwksSourceError::NotAJwkSet(_) => "malformed",
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

    /// Checks that a file can be read and has keys. A URL is not checked, because the server may
    /// start later than this daemon.
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
