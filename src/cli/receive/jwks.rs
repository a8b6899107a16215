//! Where a Receiver has the Transmitter's keys from.

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

/// The least time between two fetches, so that SETs with unknown keys do not become a flood of
/// requests.
const FETCH_INTERVAL_MIN: Duration = Duration::from_millis(250);

/// The keys of one Transmitter.
pub enum KeySource {
    Fixed(Verifier),
    Fetched(Box<FetchedKeys>),
}

/// Keys that are fetched when they are first needed, and again when a SET names one that is not
/// among them: that is how a Transmitter's change of key is noticed.
pub struct FetchedKeys {
    http: HttpClient,
    origin: Origin,
    state: Mutex<State>,
}

enum Origin {
    Jwks(Url),
    /// Finds `jwks_uri` in the metadata.
    Metadata(Issuer),
}

#[derive(Default)]
struct State {
    verifier: Option<Arc<Verifier>>,
    /// When the last fetch began.
    fetched_at: Option<Instant>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{0} holds no JWK Set")]
    Jwks(Url, #[source] JwksError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

impl KeySource {
    /// The JWK Set behind a URL.
    pub fn jwks(http: HttpClient, url: Url) -> Self {
        Self::fetched(http, Origin::Jwks(url))
    }

    /// The keys behind the metadata of `issuer` (SSF §7.2).
    pub fn metadata(http: HttpClient, issuer: Issuer) -> Self {
        Self::fetched(http, Origin::Metadata(issuer))
    }

    fn fetched(http: HttpClient, origin: Origin) -> Self {
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

    /// Fetches the keys now, so that a mistake in a URL shows before the first SET comes.
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

    /// Keys whose fetch began at `asked_at` or later. All who ask meanwhile share one fetch.
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
            Origin::Jwks(url) => url.clone(),
            Origin::Metadata(issuer) => Metadata::fetch(&self.http, issuer).await?.jwks_uri,
        };
        let json = self.http.get(&url).await?;
        Verifier::from_jwks(&json).map_err(|error| KeySourceError::Jwks(url, error))
    }
}
