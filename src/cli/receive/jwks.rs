//! Fetches the keys of a Transmitter, as a Receiver does.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};
use url::Url;

use super::{
    metadata::{Metadata, MetadataError},
    received::Rejection,
};
use crate::{
    cli::http::{HttpClient, HttpError},
    domain::{issuer::Issuer, set_error::SetError},
    signing::verify::{JwksError, VerifiedSet, Verifier, VerifyError},
    telemetry::causes::with_causes,
};

/// The least time between two fetches, so that SETs with unknown keys cannot cause a flood of
/// requests.
const FETCH_INTERVAL_MIN: Duration = Duration::from_millis(250);

/// The keys of one Transmitter.
pub enum KeySource {
    Fixed(Verifier),
    Fetched(Box<FetchedKeys>),
}

/// Keys that are fetched when they are first needed, and again when a SET names an unknown key,
/// because the Transmitter may have changed its keys.
pub struct FetchedKeys {
    http: HttpClient,
    origin: KeyOrigin,
    state: Mutex<CachedKeys>,
}

enum KeyOrigin {
    Jwks(Url),
    /// The `jwks_uri` in the metadata of this issuer.
    Metadata(Issuer),
}

#[derive(Default)]
struct CachedKeys {
    verifier: Option<Arc<Verifier>>,
    /// When the last fetch began.
    fetched_at: Option<Instant>,
}

/// Why the keys cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{0} does not contain a JWK Set")]
    Jwks(Url, #[source] JwksError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

impl KeySource {
    /// Returns a source that fetches a JWK Set from a URL.
    pub fn jwks(http: HttpClient, url: Url) -> Self {
        Self::fetched(http, KeyOrigin::Jwks(url))
    }

    /// Returns a source that finds the keys through the metadata of `issuer` (SSF §7.2).
    pub fn metadata(http: HttpClient, issuer: Issuer) -> Self {
        Self::fetched(http, KeyOrigin::Metadata(issuer))
    }

    fn fetched(http: HttpClient, origin: KeyOrigin) -> Self {
        Self::Fetched(Box::new(FetchedKeys { http, origin, state: Mutex::default() }))
    }

    pub async fn verify(&self, jws: &str) -> Result<VerifiedSet, Rejection> {
        let result = match self {
            Self::Fixed(verifier) => verifier.verify(jws),
            Self::Fetched(keys) => match keys.verify(jws).await {
                Ok(result) => result,
                Err(error) => return Err(Rejection::NoKeys(with_causes(&error))),
            },
        };
        result.map_err(|error| {
            Rejection::Refused(SetError::new(error.err_code().as_str(), &error.to_string()))
        })
    }

    /// Fetches the keys now, so that a wrong URL is noticed before the first SET arrives.
    pub async fn check(&self) -> Result<(), KeySourceError> {
        match self {
            Self::Fixed(_) => Ok(()),
            Self::Fetched(keys) => keys.fetched_since(Instant::now()).await.map(drop),
        }
    }
}

impl FetchedKeys {
    async fn verify(&self, jws: &str) -> Result<Result<VerifiedSet, VerifyError>, KeySourceError> {
        let asked_at = Instant::now();
        let known = self.state.lock().await.verifier.clone();
        let keys = match known {
            Some(keys) => keys,
            None => self.fetched_since(asked_at).await?,
        };
        match keys.verify(jws) {
            Err(VerifyError::UnknownKey(_)) => Ok(self.fetched_since(asked_at).await?.verify(jws)),
            result => Ok(result),
        }
    }

    /// Returns keys whose fetch began at `asked_at` or later. Concurrent callers share one fetch.
    async fn fetched_since(&self, asked_at: Instant) -> Result<Arc<Verifier>, KeySourceError> {
        let mut state = self.state.lock().await;
        if let (Some(verifier), Some(at)) = (&state.verifier, state.fetched_at)
            && asked_at <= at
        {
            return Ok(Arc::clone(verifier));
        }
        if let Some(at) = state.fetched_at {
            sleep_until(at + FETCH_INTERVAL_MIN).await;
        }
        state.fetched_at = Some(Instant::now());
        let verifier = Arc::new(self.fetch().await?);
        state.verifier = Some(Arc::clone(&verifier));
        Ok(verifier)
    }

    async fn fetch(&self) -> Result<Verifier, KeySourceError> {
        let url = match &self.origin {
            KeyOrigin::Jwks(url) => url.clone(),
            KeyOrigin::Metadata(issuer) => Metadata::fetch(&self.http, issuer).await?.jwks_uri,
        };
        let json = self.http.get(&url).await?;
        Verifier::from_jwks(&json).map_err(|error| KeySourceError::Jwks(url, error))
    }
}
