//! The protocol of agents, from the side of the device.

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac::{self, HMAC_SHA512, Key},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::time::Duration;
use url::Url;

use crate::{
    auth,
    cli::http::{HttpClient, HttpError},
    domain::{id::DeviceId, posture::ANSWER_ALGORITHM, secret::Secret, time::Timestamp},
};

/// The longest time that one request may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long an answer is valid by the clock of the device.
const ANSWER_LIFETIME_SECS: i64 = 60;

/// An agent of one device.
#[derive(Clone)]
pub struct AgentClient {
    http: HttpClient,
    url: Url,
    device: DeviceId,
    audience: String,
    token: Secret,
}

/// The result of a check-in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AgentResult {
    pub status: String,
    /// The rules that the device fails.
    pub failing: Vec<String>,
}

/// Why a check-in failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The answer does not count: the device is not known, its token is wrong, or its clock is.
    #[error("refused: {detail}")]
    Refused { detail: String },
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the facts are no JSON: {0}")]
    Facts(serde_json::Error),
}

#[derive(Deserialize)]
struct ChallengeAnswer {
    challenge: String,
}

#[derive(Deserialize)]
struct Problem {
    detail: Option<String>,
}

impl AgentClient {
    /// `url` is that of the agents, `/in/<provider>/<agents>` at the listener of sources.
    pub fn new(
        http: HttpClient,
        url: Url,
        device: DeviceId,
        audience: String,
        token: Secret,
    ) -> Self {
        Self { http, url, device, audience, token }
    }

    /// Asks for a challenge, answers it and sends the facts. `now` is the clock of the device.
    pub async fn check_in(&self, facts: &str, now: Timestamp) -> Result<AgentResult, AgentError> {
        let challenge = self.challenge().await?;
        self.send(&self.answer(&challenge, facts, now), facts).await
    }

    pub async fn challenge(&self) -> Result<String, AgentError> {
        let body = json!({"device": self.device}).to_string();
        let (url, answer) = self.post("challenge", body, None).await?;
        let answer: ChallengeAnswer =
            serde_json::from_slice(&answer).map_err(|error| HttpError::unreadable(&url, error))?;
        Ok(answer.challenge)
    }

    /// Signs an answer to a challenge, for these facts.
    pub fn answer(&self, challenge: &str, facts: &str, now: Timestamp) -> String {
        let claims = json!({
            "iss": self.device,
            "aud": self.audience,
            "atc": challenge,
            "iat": now.as_secs(),
            "exp": now.as_secs() + ANSWER_LIFETIME_SECS,
            "facts_sha256": URL_SAFE_NO_PAD.encode(digest(&SHA256, facts.as_bytes())),
        });
        self.sign(&claims.to_string())
    }

    /// Signs claims as an answer.
    pub fn sign(&self, claims: &str) -> String {
        let header = json!({"alg": ANSWER_ALGORITHM, "typ": "JWT"}).to_string();
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let key = Key::new(HMAC_SHA512, self.token.expose().as_bytes());
        let tag = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Sends an answer with facts.
    pub async fn send(&self, answer: &str, facts: &str) -> Result<AgentResult, AgentError> {
        #[derive(serde::Serialize)]
        struct CheckIn<'a> {
            answer: &'a str,
            // Byte for byte, because the answer has their hash.
            facts: &'a RawValue,
        }
        let facts: &RawValue = serde_json::from_str(facts).map_err(AgentError::Facts)?;
        let body = serde_json::to_string(&CheckIn { answer, facts }).map_err(AgentError::Facts)?;
        let hash = ("ssfd-token-sha256", auth::hash(&self.token).as_str().to_owned());
        let (url, result) = self.post("check-in", body, Some(hash)).await?;
        serde_json::from_slice(&result).map_err(|error| HttpError::unreadable(&url, error).into())
    }

    /// Registers the device with its token.
    pub async fn enrol(&self, secret: &Secret, platform: Option<&str>) -> Result<(), AgentError> {
        let mut body = json!({"device": self.device, "token": self.token.expose()});
        if let Some(platform) = platform {
            body["platform"] = platform.into();
        }
        let bearer = ("authorization", format!("Bearer {}", secret.expose()));
        self.post("enrol", body.to_string(), Some(bearer)).await.map(drop)
    }

    async fn post(
        &self,
        path: &str,
        body: String,
        header: Option<(&'static str, String)>,
    ) -> Result<(Url, Bytes), AgentError> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        let mut request =
            Request::post(url.as_str()).header(header::CONTENT_TYPE, "application/json");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into())).map_err(|source| {
            HttpError::Unreachable { url: url.clone(), source: Box::new(source) }
        })?;
        match self.http.send(&url, request, TIMEOUT).await? {
            (StatusCode::OK | StatusCode::NO_CONTENT, body) => Ok((url, body)),
            (StatusCode::UNAUTHORIZED, body) => {
                let problem = serde_json::from_slice::<Problem>(&body).ok();
                let detail = problem.and_then(|problem| problem.detail);
                let detail = detail.unwrap_or_else(|| "the answer does not count".to_owned());
                Err(AgentError::Refused { detail })
            }
            (status, body) => Err(HttpError::refused(&url, status, &body).into()),
        }
    }
}
