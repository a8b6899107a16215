//! Sources: what they are, the events that they hold, the records that they rejected, and the native types
//! that no rule takes.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{BODY_BYTES_MAX, BodyMembers, Query, answer, no_content};
use crate::{
    clock,
    domain::{
        event_type::EventType,
        id::{ProviderName, SourceName},
        time::Timestamp,
    },
    http::{api::shape, auth::Operator, body::Body, error::ApiError},
    source::{
        HeldAction, Source, SourceSet, UnmatchedType,
        poll::{LastPollError, LastRound, PollState},
    },
    store::records::{
        held_event::HeldEvent, poll_position::PollPosition, rejected_record::RejectedRecord,
    },
};

/// A source as it is configured.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Source")]
pub struct SourceView {
    #[schemars(with = "String")]
    pub provider: ProviderName,
    #[schemars(with = "String")]
    pub name: SourceName,
    /// The path at the sources' listener. Absent if the source takes no requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The Redis stream with native records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// `publish`, or `observe` if nothing is published.
    pub mode: String,
    #[schemars(with = "Vec<shape::EventTypeSchema>")]
    pub may_emit: Vec<EventType>,
    /// The active rules, in the order in which they are tried.
    pub rules: Vec<String>,
    /// The most events in a minute; 0 means no limit.
    pub events_per_minute_max: u32,
    /// Events that are held for an operator.
    pub held: usize,
    /// Rejected records that are kept.
    pub rejected: usize,
    /// The URLs that the source polls.
    pub polls: Vec<PollView>,
}

/// A URL that a source polls. Times are seconds since 1970. All nodes know the position; the rest is known to
/// the node that polls alone.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Poll")]
pub struct PollView {
    /// The URL without its query.
    pub url: String,
    /// The time of the newest record that was taken in, or the time from which the source began to poll.
    /// Absent before the first round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<i64>,
    /// Whether the node that answers polls the URL.
    pub polls_here: bool,
    /// Rounds that failed since the last success.
    pub failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_round: Option<PollRoundView>,
    /// The last round that failed. Later successes leave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<PollErrorView>,
}

/// A round of a poll that ended.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PollRound")]
pub struct PollRoundView {
    pub ended_at: i64,
    /// `complete`, `continued` if the provider may have more for the next round, or the kind of the fault.
    pub outcome: String,
    pub pages: usize,
    pub records: usize,
    /// Events that were not known before.
    pub new: usize,
    /// Events that were known, for example from a webhook.
    pub known: usize,
}

/// A round of a poll that failed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PollError")]
pub struct PollErrorView {
    pub at: i64,
    pub error: String,
}

/// All sources.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Sources")]
pub struct SourcesView {
    pub sources: Vec<SourceView>,
}

/// An event that is held. Times are seconds since 1970.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "HeldEvent")]
pub struct HeldEventView {
    pub id: String,
    pub held_at: i64,
    pub expires_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The event in the form in which a publisher would publish it.
    #[schemars(with = "Map<String, Value>")]
    pub event: Value,
}

/// A page of the events that a source holds, in the order in which they came.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "HeldEvents")]
pub struct HeldEventsView {
    pub held: Vec<HeldEventView>,
    /// All that are held.
    pub total: usize,
}

/// How held events were handled.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "HandledHeldEvents")]
pub struct HandledHeldView {
    pub handled: usize,
    /// Events that are still held.
    pub left: usize,
}

/// A record that gave no event. Times are seconds since 1970.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RejectedRecord")]
pub struct RejectedRecordView {
    pub id: String,
    pub rejected_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The path in the record that `why` is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    pub why: String,
    /// Whether the rule asks for somebody's attention.
    pub alarm: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_type: Option<String>,
    /// The record, without what the source redacts. Absent if it is no JSON or too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Value>,
}

/// A page of the records that a source rejected, the youngest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RejectedRecords")]
pub struct RejectedRecordsView {
    pub rejected: Vec<RejectedRecordView>,
    /// All that are kept.
    pub total: usize,
}

/// A native type that no rule takes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "UnmatchedType")]
pub struct UnmatchedTypeView {
    #[serde(rename = "type")]
    pub native_type: String,
    pub count: u64,
    /// In seconds since 1970.
    pub last_at: i64,
}

/// The native types that no rule took on the node that answers, since its start, the most frequent first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "UnmatchedTypes")]
pub struct UnmatchedTypesView {
    pub types: Vec<UnmatchedTypeView>,
}

impl From<HeldEvent> for HeldEventView {
    fn from(held: HeldEvent) -> Self {
        let secs = |millis| Timestamp::from_millis(millis).as_secs();
        Self {
            held_at: secs(held.held_at),
            expires_at: secs(held.expires_at),
            id: held.id,
            rule: held.rule,
            event: held.event,
        }
    }
}

impl From<RejectedRecord> for RejectedRecordView {
    fn from(rejected: RejectedRecord) -> Self {
        Self {
            rejected_at: Timestamp::from_millis(rejected.rejected_at).as_secs(),
            id: rejected.id,
            rule: rejected.rule,
            path: rejected.path,
            why: rejected.why,
            alarm: rejected.alarm,
            native_id: rejected.native_id,
            native_type: rejected.native_type,
            record: rejected.record,
        }
    }
}

impl PollView {
    fn of(state: PollState, positions: &[PollPosition]) -> Self {
        let PollState { url, polls_here, last_round, last_error, failures, .. } = state;
        let position = positions.iter().find(|position| position.url == url);
        let newest = position.map(|position| Timestamp::from_millis(position.newest).as_secs());
        let round = |LastRound { ended_at, outcome, tally }: LastRound| PollRoundView {
            ended_at: ended_at.as_secs(),
            outcome: outcome.to_owned(),
            pages: tally.pages,
            records: tally.records,
            new: tally.new,
            known: tally.known,
        };
        let error = |LastPollError { at, error }| PollErrorView { at: at.as_secs(), error };
        Self {
            url,
            newest,
            polls_here,
            failures,
            last_round: last_round.map(round),
            last_error: last_error.map(error),
        }
    }
}

impl From<(String, UnmatchedType)> for UnmatchedTypeView {
    fn from((native_type, seen): (String, UnmatchedType)) -> Self {
        Self { native_type, count: seen.count, last_at: seen.last_at.as_secs() }
    }
}

type Sources = web::Data<SourceSet>;
type Place = web::Path<(String, String)>;

/// Looks up the source of a path.
fn find<'a>(sources: &'a SourceSet, place: &Place) -> Result<&'a Arc<Source>, ApiError> {
    sources.at(&place.0, &place.1).ok_or(ApiError::NoSource)
}

async fn view(source: &Source) -> Result<SourceView, ApiError> {
    let (parts, now) = (source.parts(), clock::now());
    let positions = source.poll_positions().await?;
    let polls = source.polls().into_iter().map(|state| PollView::of(state, &positions));
    let takes = parts.verifier.is_some();
    Ok(SourceView {
        provider: parts.provider.name.clone(),
        name: parts.name.clone(),
        path: takes.then(|| format!("/in/{}/{}", parts.provider.name, parts.name)),
        redis_key: parts.redis_key.clone(),
        preset: parts.preset.clone(),
        mode: parts.mode.as_str().to_owned(),
        may_emit: parts.may_emit.clone(),
        rules: source.mapping().rules().map(ToString::to_string).collect(),
        events_per_minute_max: parts.bounds.events_per_minute_max,
        held: source.held_events(now).await?.len(),
        rejected: source.rejected(now).await?.len(),
        polls: polls.collect(),
    })
}

pub(in crate::http) async fn list(
    _: Operator,
    sources: Sources,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    Query::parse(&request, &[])?;
    let mut views = Vec::new();
    for source in sources.iter() {
        views.push(view(source).await?);
    }
    Ok(answer(HttpResponse::Ok(), SourcesView { sources: views }))
}

pub(in crate::http) async fn show(
    _: Operator,
    sources: Sources,
    place: Place,
) -> Result<HttpResponse, ApiError> {
    Ok(answer(HttpResponse::Ok(), view(find(&sources, &place)?).await?))
}

pub(in crate::http) async fn held(
    _: Operator,
    sources: Sources,
    place: Place,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let limit = Query::parse(&request, &["limit"])?.limit()?;
    let all = find(&sources, &place)?.held_events(clock::now()).await?;
    let total = all.len();
    let held = all.into_iter().take(limit).map(HeldEventView::from).collect();
    Ok(answer(HttpResponse::Ok(), HeldEventsView { held, total }))
}

pub(in crate::http) async fn release(
    operator: Operator,
    sources: Sources,
    place: Place,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    operate(operator, HeldAction::Release, &sources, &place, body).await
}

pub(in crate::http) async fn discard(
    operator: Operator,
    sources: Sources,
    place: Place,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    operate(operator, HeldAction::Discard, &sources, &place, body).await
}

async fn operate(
    _: Operator,
    action: HeldAction,
    sources: &SourceSet,
    place: &Place,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let source = find(sources, place)?;
    let mut members = BodyMembers(body.at_most(BODY_BYTES_MAX).object().await?);
    let ids = members.texts("ids")?;
    members.end()?;
    let handled = source.operate_held(action, ids.as_deref(), clock::now()).await;
    let (handled, left) = handled.map_err(ApiError::from)?;
    Ok(answer(HttpResponse::Ok(), HandledHeldView { handled, left }))
}

pub(in crate::http) async fn rejected(
    _: Operator,
    sources: Sources,
    place: Place,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let limit = Query::parse(&request, &["limit"])?.limit()?;
    let all = find(&sources, &place)?.rejected(clock::now()).await?;
    let total = all.len();
    let rejected = all.into_iter().take(limit).map(RejectedRecordView::from).collect();
    Ok(answer(HttpResponse::Ok(), RejectedRecordsView { rejected, total }))
}

pub(in crate::http) async fn clear_rejected(
    _: Operator,
    sources: Sources,
    place: Place,
) -> Result<HttpResponse, ApiError> {
    find(&sources, &place)?.clear_rejected().await?;
    Ok(no_content())
}

pub(in crate::http) async fn unmatched(
    _: Operator,
    sources: Sources,
    place: Place,
) -> Result<HttpResponse, ApiError> {
    let types = find(&sources, &place)?.unmatched().into_iter();
    let types = types.map(UnmatchedTypeView::from).collect();
    Ok(answer(HttpResponse::Ok(), UnmatchedTypesView { types }))
}
