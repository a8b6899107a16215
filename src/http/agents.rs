//! The requests of agents: a challenge, a check-in, an enrolment. `docs/publish/agents.md` describes the
//! protocol; the document of the interface does not, as with sources.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName},
    web,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    body::{self, Body},
    caller,
    error::{self, ApiError},
};
use crate::{
    agents::{
        ANSWER_BYTES_MAX, Agents, AgentsSet, ChallengeError, CheckIn, CheckInError, CheckedIn,
        EnrolError, Enrolment, RETRY_AFTER,
    },
    auth::Authenticator,
    clock,
    domain::{
        id::{DeviceId, InvalidId},
        posture::Refusal,
        secret::Secret,
    },
    store::StoreError,
};

/// The header by which an agent says which token it has: the SHA-256 of the token in hexadecimal digits.
const TOKEN_HASH: HeaderName = HeaderName::from_static("ssfd-token-sha256");

/// The largest request for a challenge, and the largest enrolment, in bytes: a few short members.
const SMALL_BYTES_MAX: usize = 4 << 10;
/// The members of a check-in beside its answer and its facts, in bytes.
const MEMBERS_BYTES_MAX: usize = 1 << 10;
/// The longest name of a device or a platform, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 256;

/// A check-in on the wire. The facts are kept byte for byte, because the answer may have their hash. Other
/// members are ignored.
#[derive(Deserialize)]
struct CheckInBody<'a> {
    #[serde(borrow)]
    answer: Cow<'a, str>,
    #[serde(borrow)]
    facts: &'a RawValue,
}

#[derive(Serialize)]
struct ChallengeView {
    challenge: String,
}

#[derive(Serialize)]
struct CheckedInView {
    status: &'static str,
    /// The rules that the device fails.
    failing: Vec<String>,
}

impl From<CheckedIn> for CheckedInView {
    fn from(result: CheckedIn) -> Self {
        let failing = result.failing.iter().map(ToString::to_string).collect();
        Self { status: result.status.as_str(), failing }
    }
}

type Place = web::Path<(String, String)>;
type Tables = web::Data<AgentsSet>;
type Auth = web::Data<Authenticator>;

/// Counts a request that shows a credential nobody judges. Without one it was counted before.
fn admit(request: &HttpRequest, authenticator: &Authenticator) -> Result<(), ApiError> {
    if request.headers().contains_key(header::AUTHORIZATION) {
        authenticator.rates().admit_anonymous(caller::address(request))?;
    }
    Ok(())
}

fn answer(body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

pub(super) async fn challenge(
    request: HttpRequest,
    place: Place,
    tables: Tables,
    authenticator: Auth,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let Some(agents) = tables.at(&place.0, &place.1) else { return Ok(error::not_found().await) };
    admit(&request, &authenticator)?;
    let mut members = body.at_most(SMALL_BYTES_MAX).object().await?;
    let device = body::text(&mut members, "device")?;
    let device =
        device.ok_or_else(|| ApiError::bad("device", "is required: the id of the device"))?;
    drop(members);
    let challenge = agents.challenge(device_id(&device)?, clock::now()).await;
    match challenge {
        Ok(challenge) => Ok(answer(ChallengeView { challenge })),
        Err(ChallengeError::Overload { wait }) => Err(ApiError::Busy { wait }),
        Err(ChallengeError::Signing) => Err(ApiError::Unavailable),
    }
}

fn device_id(raw: &str) -> Result<DeviceId, ApiError> {
    raw.parse().map_err(|error: InvalidId| ApiError::bad("device", error.to_string()))
}

pub(super) async fn check_in(
    request: HttpRequest,
    place: Place,
    tables: Tables,
    authenticator: Auth,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let Some(agents) = tables.at(&place.0, &place.1) else { return Ok(error::not_found().await) };
    admit(&request, &authenticator)?;
    let from = caller::address(&request);
    let facts_bytes_max = agents.parts().config.facts_bytes_max;
    let bytes_max = facts_bytes_max + ANSWER_BYTES_MAX + MEMBERS_BYTES_MAX;
    let body = body.at_most(bytes_max).bytes().await?;
    let mut hashes = request.headers().get_all(TOKEN_HASH);
    let token_hash = match (hashes.next(), hashes.next()) {
        (hash, None) => hash.map(|hash| CheckIn::token_hash(hash.as_bytes())),
        (_, Some(_)) => return Err(ApiError::bad(TOKEN_HASH.as_str(), "must be given once")),
    };
    let CheckInBody { answer: shown, facts } = read(&body)?;
    if ANSWER_BYTES_MAX < shown.len() {
        let rule = format!("must have at most {ANSWER_BYTES_MAX} bytes");
        return Err(ApiError::bad("answer", rule));
    }
    let facts = facts.get().as_bytes().to_vec();
    if facts_bytes_max < facts.len() {
        return Err(ApiError::TooLarge { bytes_max: facts_bytes_max });
    }
    let check_in = CheckIn { answer: shown.into_owned(), facts, token_hash, from };
    drop(body);
    match agents.check_in(check_in, clock::now()).await {
        Ok(result) => Ok(answer(CheckedInView::from(result))),
        Err(error) => {
            if let CheckInError::Refused(refusal) = &error
                && refusal.may_be_a_guess()
            {
                authenticator.rates().admit_refused(Some(from))?;
            }
            Err(error.into())
        }
    }
}

fn read(body: &[u8]) -> Result<CheckInBody<'_>, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let rule = format!("must be a JSON object with the text `answer` and `facts`: {error}");
        ApiError::bad("body", rule)
    })
}

impl From<CheckInError> for ApiError {
    fn from(error: CheckInError) -> Self {
        match error {
            CheckInError::Refused(refusal @ Refusal::Clock(_)) => {
                Self::Unproved(format!("the answer is refused: {refusal}; set the clock"))
            }
            CheckInError::Refused(_) => Self::Unproved("the answer is refused".to_owned()),
            CheckInError::Facts(error) => Self::bad("facts", error.to_string()),
            CheckInError::TooMany { wait } => Self::TooMany { wait },
            CheckInError::Overload { wait } => Self::Busy { wait },
            // The device was changed again and again, or its pending change cannot be published yet.
            CheckInError::Store(StoreError::Conflict) => Self::Busy { wait: RETRY_AFTER },
            CheckInError::Store(error) => error.into(),
        }
    }
}

pub(super) async fn enrol(
    request: HttpRequest,
    place: Place,
    tables: Tables,
    authenticator: Auth,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let Some(agents) = tables.at(&place.0, &place.1) else { return Ok(error::not_found().await) };
    let from = caller::address(&request);
    let shown = bearer(&request)?;
    let mut members = body.at_most(SMALL_BYTES_MAX).object().await?;
    let device = body::text(&mut members, "device")?;
    let device =
        device.ok_or_else(|| ApiError::bad("device", "is required: the id of the device"))?;
    let token = body::text(&mut members, "token")?;
    let token =
        token.ok_or_else(|| ApiError::bad("token", "is required: the token of the device"))?;
    let enrolment = Enrolment {
        device: device_id(&device)?,
        name: short_text(&mut members, "name")?,
        platform: short_text(&mut members, "platform")?,
        token: Secret::new(token),
        shown,
        from,
    };
    drop(members);
    match agents.enrol(enrolment, clock::now()).await {
        Ok(()) => Ok(HttpResponse::NoContent()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .finish()),
        Err(EnrolError::Closed) => Ok(error::not_found().await),
        Err(error) => {
            if matches!(error, EnrolError::Refused) {
                authenticator.rates().admit_refused(Some(from))?;
            }
            Err(error.into())
        }
    }
}

impl From<EnrolError> for ApiError {
    fn from(error: EnrolError) -> Self {
        match error {
            EnrolError::Closed => Self::NoAgents,
            EnrolError::Refused => Self::Unproved(error.to_string()),
            EnrolError::Token(rule) => Self::bad("token", rule.to_string()),
            EnrolError::Taken => Self::Conflict(error.to_string()),
            EnrolError::TooMany { wait } => Self::TooMany { wait },
            EnrolError::Store(error) => error.into(),
        }
    }
}

/// Takes a text for people, within its bound.
pub(super) fn short_text(
    members: &mut serde_json::Map<String, serde_json::Value>,
    name: &'static str,
) -> Result<Option<String>, ApiError> {
    match body::text(members, name)? {
        Some(text) if text.is_empty() || NAME_BYTES_MAX < text.len() => {
            Err(ApiError::bad(name, format!("must have 1 to {NAME_BYTES_MAX} bytes")))
        }
        text => Ok(text),
    }
}

/// Takes the token of a bearer credential (RFC 6750 §2.1).
fn bearer(request: &HttpRequest) -> Result<Vec<u8>, ApiError> {
    let missing = || ApiError::Unproved("the enrolment secret is wrong".to_owned());
    let value = request.headers().get(header::AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, token) = value.as_bytes().split_at_checked("bearer ".len()).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case(b"bearer ") { Ok(token.to_vec()) } else { Err(missing()) }
}

/// Names the agents in a refusal to those who may know them.
pub(super) fn find<'a>(
    tables: &'a AgentsSet,
    provider: &str,
    agents: &str,
) -> Result<&'a std::sync::Arc<Agents>, ApiError> {
    tables.at(provider, agents).ok_or(ApiError::NoAgents)
}
