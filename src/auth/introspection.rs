//! Token introspection (RFC 7662): asks the authorization server about each token and caches its
//! answer for a short time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Uri,
    header::{self, HeaderValue},
};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use url::form_urlencoded;

use super::{
    AuthError,
    access_token::{Bearer, Expectations, TokenFault},
    fetch::{FetchError, Fetcher},
    hash,
};
use crate::{
    domain::{grant::TokenHash, secret::Secret, time::Timestamp},
    telemetry::causes::with_causes,
};

/// The largest number of answers in the cache.
const ANSWERS_MAX: usize = 10_000;
/// The largest number of open requests. A token that nobody issued costs as much as any other.
const QUESTIONS_MAX: usize = 32;
/// The time after which a client may try again if the server does not answer.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The judgement of a server's answer about a token.
type Introspected = Result<Bearer, TokenFault>;

/// The introspection endpoint of one authorization server.
pub struct Introspection {
    endpoint: Uri,
    fetcher: Fetcher,
    authorization: Secret,
    cache_for: Duration,
    /// The key is the hash of the token, because tokens themselves must not be kept.
    answers: Mutex<HashMap<TokenHash, (Introspected, Timestamp)>>,
    questions: Semaphore,
}

impl Introspection {
    /// Makes the client of an endpoint. It authenticates itself by HTTP Basic (RFC 6749 §2.3.1).
    pub fn new(
        endpoint: Uri,
        fetcher: Fetcher,
        client_id: &str,
        client_secret: &Secret,
        cache_for: Duration,
    ) -> Arc<Self> {
        let encode =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encode(client_id), encode(client_secret.expose()));
        Arc::new(Self {
            endpoint,
            fetcher,
            authorization: Secret::new(format!("Basic {}", STANDARD.encode(pair))),
            cache_for,
            answers: Mutex::default(),
            questions: Semaphore::new(QUESTIONS_MAX),
        })
    }

    /// Judges a token by the cached answer or by asking the server. Without an answer no token is
    /// accepted (503).
    pub(super) async fn judge(
        &self,
        token: &Secret,
        expected: &Expectations,
        now: Timestamp,
    ) -> Result<Bearer, AuthError> {
        let hash = hash(token);
        if let Some(answer) = self.known(&hash, now) {
            return Ok(answer?);
        }
        let unavailable = || AuthError::Unavailable { retry_after: RETRY_AFTER };
        let _open = self.questions.try_acquire().map_err(|_| unavailable())?;
        let answer = match self.ask(token).await {
            Ok(answer) => expected.judge_answer(&answer, now),
            Err(error) => {
                tracing::warn!(endpoint = %self.endpoint, error = with_causes(&error), "introspection failed");
                return Err(unavailable());
            }
        };
        self.remember(hash, answer.clone(), now);
        Ok(answer?)
    }

    async fn ask(&self, token: &Secret) -> Result<Map<String, Value>, FetchError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token.expose()).append_pair("token_type_hint", "access_token");
        let mut authorization =
            HeaderValue::from_str(self.authorization.expose()).expect("base64 goes into a header");
        authorization.set_sensitive(true);
        let request = Request::post(&self.endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, authorization)
            .body(Full::new(Bytes::from(form.finish())));
        let json = self.fetcher.send(request).await?;
        serde_json::from_slice(&json).map_err(FetchError::NotAnObject)
    }

    fn known(&self, hash: &TokenHash, now: Timestamp) -> Option<Introspected> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(hash).filter(|(_, until)| now < *until).map(|(answer, _)| answer.clone())
    }

    /// Caches an answer. It is valid only for a short time, so that a revocation is noticed, and
    /// never after the token expires (RFC 7662 §4).
    fn remember(&self, hash: TokenHash, answer: Introspected, now: Timestamp) {
        let until = now + self.cache_for;
        let expires_at = answer.as_ref().ok().and_then(|bearer| bearer.expires_at);
        let until = expires_at.map_or(until, |at| at.min(until));
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if ANSWERS_MAX <= answers.len() {
            answers.retain(|_, (_, until)| now < *until);
        }
        if ANSWERS_MAX <= answers.len() {
            // The only cost is to ask again.
            answers.clear();
        }
        answers.insert(hash, (answer, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn introspection() -> Arc<Introspection> {
        let fetcher = Fetcher::new(None).expect("the system's roots");
        let endpoint = Uri::from_static("https://as.example/introspect");
        Introspection::new(endpoint, fetcher, "ssfd", &Secret::new("s"), Duration::from_secs(30))
    }

    fn bearer(expires_at: Option<Timestamp>) -> Bearer {
        Bearer { client: "rx".into(), scopes: Vec::new(), expires_at }
    }

    /// AUTH-08
    #[test]
    fn a_cached_answer_ends_soon_and_never_after_the_token() {
        let introspection = introspection();
        let known = |token: &str, now| introspection.known(&hash(&Secret::new(token)), at(now));
        let remember = |token: &str, answer: Introspected| {
            introspection.remember(hash(&Secret::new(token)), answer, at(100));
        };
        remember("endless", Ok(bearer(None)));
        remember("long", Ok(bearer(Some(at(1000)))));
        remember("short", Ok(bearer(Some(at(105)))));
        remember("dead", Err(TokenFault::Inactive));
        for token in ["endless", "long", "dead"] {
            assert!(known(token, 129).is_some(), "{token}");
            assert!(known(token, 130).is_none(), "{token}");
        }
        assert!(known("short", 104).is_some());
        assert!(known("short", 105).is_none());
        assert_eq!(known("dead", 101), Some(Err(TokenFault::Inactive)));
        assert!(known("other", 101).is_none());
    }

    #[test]
    fn the_answers_that_are_kept_are_bounded() {
        let introspection = introspection();
        for n in 0..=ANSWERS_MAX {
            let token = hash(&Secret::new(n.to_string()));
            introspection.remember(token, Ok(bearer(None)), at(100));
        }
        assert!(introspection.answers.lock().expect("no panic").len() <= ANSWERS_MAX);
    }
}
