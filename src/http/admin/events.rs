//! The trace of an event.

use actix_web::{HttpRequest, HttpResponse, web};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Query, answer};
use crate::{
    domain::{
        event_type::EventType,
        id::{Jti, ProviderName, ReceiverId, StreamId},
        status::StreamStatus,
        time::Timestamp,
    },
    http::{api::shape, auth::Operator, error::ApiError},
    store::{
        archive::{KeptSet, SetState},
        ledger::RecordedEvent,
    },
    transmitter::{
        Transmitter,
        trace::{Asked, Trace, Traced},
    },
};

/// The trace of one event on some streams of its provider. Times are seconds since 1970.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EventTrace")]
pub struct TraceView {
    #[schemars(with = "String")]
    pub provider: ProviderName,
    /// Not there of a control event, or if none was recorded, or not any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<EventView>,
    /// By id.
    pub streams: Vec<TracedView>,
    /// The `after` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::StreamIdSchema>")]
    pub next: Option<StreamId>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AcceptedEvent")]
pub struct EventView {
    #[schemars(with = "shape::EventTypeSchema")]
    pub event_type: EventType,
    pub txn: String,
    pub accepted_at: i64,
    /// Its publisher's id for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The Redis stream, the epoch and the entry that it was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<shape::StreamIdSchema>>")]
    pub stream_ids: Option<Vec<StreamId>>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TracedStream")]
pub struct TracedView {
    #[schemars(with = "shape::StreamIdSchema")]
    pub stream_id: StreamId,
    #[schemars(with = "String")]
    pub receiver: ReceiverId,
    /// The SET, and those that repeat it under another `jti`.
    pub sets: Vec<SetView>,
    /// If there is none: a label, and what it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TracedSet")]
pub struct SetView {
    #[schemars(with = "String")]
    pub jti: Jti,
    /// In its stream's outbox: later SETs have higher ones.
    pub position: i64,
    /// `pending`, `held` if its stream is not enabled, `sent`, `dead` or `discarded`.
    pub state: String,
    /// When it came into that state; of one that waits, when it was put into the outbox.
    pub at: i64,
    pub attempts: u32,
    /// When it will be tried, of one that is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The outcome of the last attempt, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub copy_of: Option<Jti>,
}

impl SetView {
    fn of(set: KeptSet, status: StreamStatus) -> Self {
        let (mut due, mut reason_of, mut detail_of) = (None, None, None);
        let (state, at) = match set.state {
            SetState::Waiting { due_at, error } => {
                detail_of = error;
                let pending = status == StreamStatus::Enabled;
                due = Some(due_at.as_secs()).filter(|_| pending);
                (if pending { "pending" } else { "held" }, set.appended_at)
            }
            SetState::Sent { at } => ("sent", at),
            SetState::Dead { at, reason, detail } => {
                (reason_of, detail_of) = (Some(reason.label().to_owned()), Some(detail));
                ("dead", at)
            }
            SetState::Discarded { at, reason } => {
                reason_of = Some(reason.label().to_owned());
                ("discarded", at)
            }
        };
        Self {
            jti: set.jti,
            position: set.seq.0,
            state: state.to_owned(),
            at: at.as_secs(),
            attempts: set.attempts,
            due_at: due,
            reason: reason_of,
            detail: detail_of,
            copy_of: set.copy_of,
        }
    }
}

impl From<Traced> for TracedView {
    fn from(traced: Traced) -> Self {
        let Traced { stream, outcome } = traced;
        let why = outcome.as_ref().err();
        let (reason, why) =
            (why.map(|why| why.label().to_owned()), why.map(|why| why.sentence().to_owned()));
        let sets = outcome.unwrap_or_default();
        let sets = sets.into_iter().map(|set| SetView::of(set, stream.status)).collect();
        let (stream_id, receiver) = (stream.id.clone(), stream.receiver.clone());
        Self { stream_id, receiver, sets, reason, why }
    }
}

impl From<RecordedEvent> for EventView {
    fn from(event: RecordedEvent) -> Self {
        let RecordedEvent { accepted_at, origin, event_id, record, .. } = event;
        Self {
            txn: record.txn.unwrap_or_else(|| origin.txn()),
            place: origin.place().map(str::to_owned),
            event_type: record.event_type,
            accepted_at: Timestamp::as_secs(accepted_at),
            id: event_id,
            stream_ids: record.stream_ids,
        }
    }
}

pub(in crate::http) async fn trace(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let known = ["jti", "provider", "event_id", "stream_id", "after", "limit"];
    let query = Query::parse(&request, &known)?;
    let asked = match (query.get("jti")?, query.get("provider")?, query.get("event_id")?) {
        (Some(jti), None, None) => Asked::Jti(jti),
        (None, Some(provider), Some(id)) => Asked::EventId { provider, id },
        _ => {
            let rule = "is required, or `provider` and `event_id` in its place";
            return Err(ApiError::bad("jti", rule));
        }
    };
    let (only, after) = (query.get("stream_id")?, query.get("after")?);
    let trace = transmitter.trace(&asked, only.as_ref(), after.as_ref(), query.limit()?).await?;
    let Trace { provider, event, streams, more } = trace;
    let next = streams.last().filter(|_| more).map(|last| last.stream.id.clone());
    let streams = streams.into_iter().map(TracedView::from).collect();
    let view = TraceView { provider, event: event.map(EventView::from), streams, next };
    Ok(answer(HttpResponse::Ok(), view))
}
