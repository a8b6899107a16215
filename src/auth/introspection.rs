//! Token introspection (RFC 7662): asks the authorization server about each token and caches its
//! answer for a short time.
//!
//! Anybody can invent tokens, and each costs a question. Therefore tokens that were good before have
//! places of their own among the open questions, and unknown tokens count against the rate of the
//! address that shows them.

mod answer_cache;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use url::form_urlencoded;

use self::answer_cache::{AnswerCache, Cached};
use super::{
    AuthError, Source,
    access_token::{Bearer, Expectations},
    fetch::{FetchError, Fetcher},
    hash, new_token,
    server_answers::{Question, ServerAnswers},
    token_fault::TokenFault,
};
use crate::domain::{id::ProviderName, json, secret::Secret, time::Timestamp};

/// The largest number of open questions about tokens that were good before.
const KNOWN_QUESTIONS_MAX: usize = 16;
/// The largest number of open questions about all other tokens. A token that nobody issued costs as
/// much as any other.
const UNKNOWN_QUESTIONS_MAX: usize = 32;
/// The most requests that wait for a place among the questions.
const WAITING_MAX: usize = 256;
/// How long a request waits for a place.
const PLACE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a request that waits takes an answer as it is, though it is not cached for so long.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);
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
    cache: Mutex<AnswerCache>,
    answers: ServerAnswers,
    known_questions: Semaphore,
    unknown_questions: Semaphore,
    waiting: Semaphore,
}

impl Introspection {
    /// Makes the client of an endpoint. It authenticates itself by HTTP Basic (RFC 6749 §2.3.1).
    pub fn new(
        provider: &ProviderName,
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
            answers: ServerAnswers::new(provider, Question::Introspection, endpoint.to_string()),
            endpoint,
            fetcher,
            authorization: Secret::new(format!("Basic {}", STANDARD.encode(pair))),
            cache_for,
            cache: Mutex::default(),
            known_questions: Semaphore::new(KNOWN_QUESTIONS_MAX),
            unknown_questions: Semaphore::new(UNKNOWN_QUESTIONS_MAX),
            waiting: Semaphore::new(WAITING_MAX),
        })
    }

    /// Judges a token by the cached answer or by asking the server. Without an answer no token is
    /// accepted (503). Returns until when a request that waits may rely on the judgement.
    pub(super) async fn judge(
        &self,
        token: &Secret,
        expected: &Expectations,
        source: Source<'_>,
        now: Timestamp,
    ) -> Result<(Bearer, Timestamp), AuthError> {
        let hash = hash(token);
        let cached = self.cache().get(&hash, now);
        let _place = match cached {
            Cached::Good(bearer, until) => return Ok((bearer, until)),
            Cached::Bad(fault) => {
                source.rates.admit_refused(source.address)?;
                return Err(fault.into());
            }
            Cached::WasGood => self.place(&self.known_questions).await?,
            Cached::Unknown => {
                source.rates.admit_unknown(source.address, &hash)?;
                self.place(&self.unknown_questions).await?
            }
        };
        let answer = match self.ask(token).await {
            Ok(answer) => {
                self.answers.good();
                expected.judge_answer(&answer, now)
            }
            Err(error) => {
                self.answers.bad(&error, error.label(), error.remedy());
                return Err(unavailable());
            }
        };
        self.cache().put(hash, answer.clone(), self.cache_for, now);
        let bearer = answer?;
        let until = now + self.cache_for.max(ASKED_AGAIN_AFTER);
        let until = bearer.expires_at.map_or(until, |at| at.min(until));
        Ok((bearer, until))
    }

    /// Asks about a token that was just made up, past the cache, and expects to hear that it is not
    /// active. An operator asks for it, to see whether the endpoint and our credentials are right.
    pub(super) async fn probe(&self) -> Result<(), FetchError> {
        match self.ask(&new_token()).await?.get("active") {
            Some(Value::Bool(_)) => Ok(()),
            _ => Err(FetchError::NotAnAnswer),
        }
    }

    /// Waits for a place among the questions.
    async fn place<'a>(&self, places: &'a Semaphore) -> Result<SemaphorePermit<'a>, AuthError> {
        if let Ok(place) = places.try_acquire() {
            return Ok(place);
        }
        let _waiting = self.waiting.try_acquire().map_err(|_| unavailable())?;
        match timeout(PLACE_TIMEOUT, places.acquire()).await {
            Ok(place) => place.map_err(|_| unavailable()),
            Err(_) => Err(unavailable()),
        }
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
        match json::read(&json).map_err(FetchError::NotJson)?.value {
            Value::Object(answer) => Ok(answer),
            _ => Err(FetchError::NotAnObject),
        }
    }

    fn cache(&self) -> MutexGuard<'_, AnswerCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable() -> AuthError {
    AuthError::Unavailable { retry_after: RETRY_AFTER }
}
