//! Publishers send events over HTTP: one event, an array, or NDJSON.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    clock,
    domain::{
        event::{Event, InvalidEvent},
        provider::Provider,
        set::Origin,
    },
    http::{
        EventBytesMax, auth::Publisher, body::Body, error::ApiError, settings::InternalSettings,
    },
    store::Appended,
    telemetry::metrics::{self, SourceLabel},
    transmitter::{Transmitter, intake::Incoming, pressure::Taken},
};

/// When it is worth another try to publish at a provider whose backlog is as long as it may be.
const BACKLOG_WAIT: Duration = Duration::from_secs(15);

/// The result of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "lowercase")]
#[schemars(rename = "EventAnswer")]
pub enum Answer {
    /// Durable for this many streams.
    Accepted { streams: usize },
    /// Its `id` was accepted before: nothing was added.
    Duplicate,
    /// Nothing of it was kept.
    Rejected { reason: String, detail: String },
}

/// The results of the events of one `POST /events`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EventAnswers")]
pub struct Answers {
    pub accepted: usize,
    pub duplicate: usize,
    pub rejected: usize,
    /// One for each event, in the order they came.
    pub events: Vec<Answer>,
}

impl Answers {
    pub fn new(events: Vec<Answer>) -> Self {
        let count = |wanted: fn(&Answer) -> bool| events.iter().filter(|one| wanted(one)).count();
        Self {
            accepted: count(|one| matches!(one, Answer::Accepted { .. })),
            duplicate: count(|one| matches!(one, Answer::Duplicate)),
            rejected: count(|one| matches!(one, Answer::Rejected { .. })),
            events,
        }
    }
}

/// 202 once every valid event is durable, with an answer for each; 400 if none is valid. An event
/// that is rejected holds none of the others back.
pub(super) async fn publish(
    Publisher(publisher): Publisher,
    request: HttpRequest,
    transmitter: web::Data<Transmitter>,
    settings: web::Data<InternalSettings>,
    event_bytes_max: web::Data<EventBytesMax>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    // A token may outlive the configuration of its provider.
    let provider = transmitter
        .directory()
        .provider(&publisher.provider)
        .ok_or_else(|| ApiError::bad("provider", "of this token is not configured any more"))?;
    let body = body.bytes().await?;
    // Judged now: a body may take its time, and is read in any case so that the connection goes on.
    let overfull = transmitter.pressure().taken(&provider.name) != Taken::All;
    let ndjson = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        value.to_str().is_ok_and(|kind| kind.contains("ndjson") || kind.contains("jsonl"))
    });
    let parts = split(&body, ndjson)?;
    if parts.is_empty() {
        return Err(ApiError::bad("body", "must hold at least one event"));
    }
    if settings.events_max < parts.len() {
        let rule = format!("must hold at most {} events", settings.events_max);
        return Err(ApiError::bad("body", rule));
    }
    if overfull {
        metrics::events_refused(&provider.name, parts.len());
        return Err(ApiError::Backlog { wait: BACKLOG_WAIT });
    }
    let EventBytesMax(bytes_max) = **event_bytes_max;
    let admit = |part: &[u8]| {
        if bytes_max < part.len() {
            return Err(InvalidEvent::TooLarge { bytes_max });
        }
        transmitter.admit(provider, part)
    };
    let events = parts.into_iter().map(admit).collect();
    // The events are taken out of it, and the store may make them wait.
    drop(body);
    let answers = Answers::new(answer(&transmitter.clone().into_inner(), provider, events).await?);
    let refused = answers.accepted + answers.duplicate == 0;
    let mut response = if refused { HttpResponse::BadRequest() } else { HttpResponse::Accepted() };
    Ok(response.insert_header((header::CACHE_CONTROL, "no-store")).json(answers))
}

/// Publishes what is valid in one batch, and answers for each event at its place.
async fn answer(
    transmitter: &Arc<Transmitter>,
    provider: &Arc<Provider>,
    events: Vec<Result<Event, InvalidEvent>>,
) -> Result<Vec<Answer>, ApiError> {
    metrics::events_ingested(&provider.name, SourceLabel::Http, events.len());
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(events.len());
    let mut valid = Vec::new();
    for event in events {
        answers.push(match event {
            Ok(event) => {
                valid.push(Incoming {
                    event,
                    origin: Origin::drawn(clock::random_uuid(), clock::now()),
                    id_kept_longer: Duration::ZERO,
                });
                None
            }
            Err(error) => {
                metrics::events_rejected(&provider.name, error.reason());
                Some(Answer::Rejected {
                    reason: error.reason().to_owned(),
                    detail: error.to_string(),
                })
            }
        });
    }
    let published =
        if valid.is_empty() { Vec::new() } else { transmitter.publish(provider, valid).await? };
    let mut published = published.into_iter().map(|appended| match appended {
        Appended::New(streams) => Answer::Accepted { streams: streams.len() },
        Appended::OptedOut { .. } => Answer::Accepted { streams: 0 },
        Appended::Duplicate => Answer::Duplicate,
    });
    let fill = |answer: Option<Answer>| answer.or_else(|| published.next());
    Ok(answers.into_iter().filter_map(fill).collect())
}

/// Cuts a body into events: the parts of an array, one object, or lines. A line that is no JSON is
/// an event that is rejected; an array that is none is refused as a whole, since its lines may be
/// events and were meant as one batch all the same.
fn split(body: &[u8], ndjson: bool) -> Result<Vec<&[u8]>, ApiError> {
    let malformed = |error| ApiError::bad("body", format!("must be JSON: {error}"));
    if !ndjson && body.trim_ascii_start().starts_with(b"[") {
        let array: Vec<&RawValue> = serde_json::from_slice(body).map_err(malformed)?;
        return Ok(array.into_iter().map(|event| event.get().as_bytes()).collect());
    }
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    if ndjson {
        return Ok(lines);
    }
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(_) => Ok(vec![body]),
        Err(_) if 1 < lines.len() => Ok(lines),
        Err(error) => Err(malformed(error)),
    }
}
