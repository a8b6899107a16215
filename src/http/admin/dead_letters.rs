//! Dead letters: list, show, redrive, purge.

use actix_web::{HttpRequest, HttpResponse, web};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use super::{BODY_BYTES_MAX, BodyMembers, Query, answer};
use crate::{
    domain::{
        event_type::EventType,
        id::{Jti, ProviderName, StreamId},
        set::ClaimsHead,
        subject::SubjectId,
        time::Timestamp,
    },
    http::{api::shape, auth::Operator, body::Body, error::ApiError},
    store::archive::{DeadFilter, KeptSet, Page, SetState},
    transmitter::{
        Transmitter,
        dead_letters::{Handled, Selection},
    },
};

/// One dead letter. Times are seconds since 1970.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub struct DeadLetterView {
    #[schemars(with = "String")]
    pub jti: Jti,
    #[schemars(with = "shape::StreamIdSchema")]
    pub stream_id: StreamId,
    #[schemars(with = "String")]
    pub provider: ProviderName,
    /// The place in the stream's outbox. Later SETs have higher positions.
    pub position: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::EventTypeSchema>")]
    pub event_type: Option<EventType>,
    /// Why the SET was given up: an `err` of the Receiver, `expired` or `hold_limit`.
    pub reason: String,
    /// The beginning of the Receiver's answer, or how the last attempt failed.
    pub detail: String,
    pub attempts: u32,
    /// When the event was accepted.
    pub accepted_at: i64,
    pub died_at: i64,
    /// The `jti` of another SET, if this one repeats it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub copy_of: Option<Jti>,
    /// Present if one dead letter was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Map<String, Value>>")]
    pub claims: Option<Box<RawValue>>,
}

/// A page of dead letters, stream by stream.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeadLetters")]
pub struct DeadLettersView {
    pub dead_letters: Vec<DeadLetterView>,
    /// The `after` of the next page, if there may be one. An empty page may have a next one, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How the SETs of a page were handled, or would be in a dry run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "HandledSets")]
pub struct HandledView {
    /// SETs that were put into their outboxes again, or removed.
    pub sets: usize,
    /// SETs that were left as they are.
    pub left: usize,
    /// The `after` of the next page, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl DeadLetterView {
    /// Returns `None` if the SET is no dead letter.
    fn of(set: KeptSet) -> Option<Self> {
        let SetState::Dead { at, reason, detail } = set.state else { return None };
        Some(Self {
            jti: set.jti,
            stream_id: set.stream,
            provider: set.provider,
            position: set.seq.0,
            event_type: set.claims.as_deref().and_then(ClaimsHead::of).and_then(|h| h.event_type),
            reason: reason.label().to_owned(),
            detail,
            attempts: set.attempts,
            accepted_at: set.accepted_at.as_secs(),
            died_at: at.as_secs(),
            copy_of: set.copy_of,
            claims: None,
        })
    }
}

impl From<Handled> for HandledView {
    fn from(handled: Handled) -> Self {
        let Handled { sets, left, next } = handled;
        Self { sets, left, next: next.map(|next| next.as_str().to_owned()) }
    }
}

const FILTER: [&str; 8] =
    ["provider", "stream_id", "reason", "event_type", "subject", "since", "until", "jti"];

pub(in crate::http) async fn list(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let known: Vec<_> = FILTER.into_iter().chain(["after", "limit"]).collect();
    let query = Query::parse(&request, &known)?;
    let subject = query.get::<Value>("subject")?;
    let filter = DeadFilter {
        provider: query.get("provider")?,
        stream: query.get("stream_id")?,
        reason: query.get("reason")?,
        event_type: query.get("event_type")?,
        subject: subject.map(subject_id).transpose()?,
        since: query.get("since")?.map(from_secs),
        until: query.get("until")?.map(from_secs),
        jti: query.get("jti")?,
    };
    let after = query.get::<String>("after")?.map(Into::into);
    let selection = Selection { filter, after, limit: query.limit()?, dry_run: true };
    let Page { sets, next } = transmitter.dead_letters(selection).await?;
    let dead_letters = sets.into_iter().filter_map(DeadLetterView::of).collect();
    let next = next.map(|next| next.as_str().to_owned());
    Ok(answer(HttpResponse::Ok(), DeadLettersView { dead_letters, next }))
}

pub(in crate::http) async fn show(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    jti: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let jti = jti.parse().map_err(|_| ApiError::NothingKept)?;
    let set = transmitter.dead_letter(&jti).await?;
    let claims = set.claims.as_deref().and_then(|claims| serde_json::from_str(claims).ok());
    let view = DeadLetterView::of(set).ok_or(ApiError::NothingKept)?;
    Ok(answer(HttpResponse::Ok(), DeadLetterView { claims, ..view }))
}

pub(in crate::http) async fn redrive(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let handled = transmitter.redrive(selection(body).await?).await?;
    Ok(answer(HttpResponse::Ok(), HandledView::from(handled)))
}

pub(in crate::http) async fn purge(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let handled = transmitter.purge(selection(body).await?).await?;
    Ok(answer(HttpResponse::Ok(), HandledView::from(handled)))
}

/// Reads which page a body selects. A selection without a filter needs `all`, so that nobody handles
/// every dead letter by accident.
async fn selection(body: Body) -> Result<Selection, ApiError> {
    let mut members = BodyMembers(body.at_most(BODY_BYTES_MAX).object().await?);
    let filter = DeadFilter {
        provider: members.parsed("provider")?,
        stream: members.parsed("stream_id")?,
        reason: members.parsed("reason")?,
        event_type: members.parsed("event_type")?,
        subject: members.0.remove("subject").map(subject_id).transpose()?,
        since: members.number("since")?.map(from_secs),
        until: members.number("until")?.map(from_secs),
        jti: members.parsed("jti")?,
    };
    let all = members.flag("all")?;
    let (after, limit) = (members.text("after")?.map(Into::into), members.limit()?);
    let dry_run = members.flag("dry_run")?;
    members.end()?;
    match (filter == DeadFilter::default(), all) {
        (true, false) => Err(ApiError::bad("all", "must be true if nothing narrows the choice")),
        (false, true) => Err(ApiError::bad("all", "must not be true if anything does")),
        _ => Ok(Selection { filter, after, limit, dry_run }),
    }
}

fn subject_id(value: Value) -> Result<SubjectId, ApiError> {
    SubjectId::try_from(value).map_err(|rule| ApiError::bad("subject", rule.to_string()))
}

pub(super) fn from_secs(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs.saturating_mul(1000))
}
