//! Upstream publishes over HTTP: one event, an array, or NDJSON.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::{
    clock,
    domain::{
        event::{Event, InvalidEvent},
        provider::Provider,
        set::Origin,
    },
    http::{auth::Publisher, body, error::ApiError, settings::InternalSettings},
    store::Appended,
    telemetry::metrics::{self, Source},
    transmitter::{Transmitter, publish::Incoming},
};

/// What became of one event.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answer {
    /// Durable for this many streams.
    Accepted { streams: usize },
    /// Its `id` was accepted before: nothing was added.
    Duplicate,
    /// Nothing of it was kept.
    Rejected { reason: &'static str, detail: String },
}

#[derive(Serialize)]
struct View {
    accepted: usize,
    duplicate: usize,
    rejected: usize,
    /// One for each event, in the order they came.
    events: Vec<Answer>,
}

/// 202 once every valid event is durable, with an answer for each; 400 if none is valid. An event
/// that is rejected holds none of the others back.
pub(super) async fn publish(
    Publisher(provider): Publisher,
    request: HttpRequest,
    transmitter: web::Data<Transmitter>,
    settings: web::Data<InternalSettings>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    // A token may outlive the configuration of its provider.
    let provider = transmitter
        .directory()
        .provider(&provider)
        .ok_or_else(|| ApiError::bad("provider", "of this token is not configured any more"))?;
    let body = body::read(payload, settings.events_bytes_max).await?;
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
    let events: Vec<_> = parts.into_iter().map(|part| Event::parse(part, provider)).collect();
    let answers = answer(&transmitter, provider, events).await?;
    let count = |wanted: fn(&Answer) -> bool| answers.iter().filter(|one| wanted(one)).count();
    let view = View {
        accepted: count(|one| matches!(one, Answer::Accepted { .. })),
        duplicate: count(|one| matches!(one, Answer::Duplicate)),
        rejected: count(|one| matches!(one, Answer::Rejected { .. })),
        events: answers,
    };
    let refused = view.accepted + view.duplicate == 0;
    let mut response = if refused { HttpResponse::BadRequest() } else { HttpResponse::Accepted() };
    Ok(response.insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// Publishes what is valid in one batch, and answers for each event at its place.
async fn answer(
    transmitter: &Transmitter,
    provider: &Provider,
    events: Vec<Result<Event, InvalidEvent>>,
) -> Result<Vec<Answer>, ApiError> {
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(events.len());
    let mut valid = Vec::new();
    for event in events {
        answers.push(match event {
            Ok(event) => {
                valid.push(Incoming { event, origin: Origin::drawn(clock::random_uuid()) });
                None
            }
            Err(error) => {
                metrics::events_rejected(&provider.name, error.reason());
                Some(Answer::Rejected { reason: error.reason(), detail: error.to_string() })
            }
        });
    }
    metrics::events_ingested(&provider.name, Source::Http, valid.len());
    let published = if valid.is_empty() {
        Vec::new()
    } else {
        transmitter.publish(provider, valid, None).await?
    };
    let mut published = published.into_iter().map(|appended| match appended {
        Appended::New(streams) => Answer::Accepted { streams: streams.len() },
        Appended::Duplicate => Answer::Duplicate,
    });
    let fill = |answer: Option<Answer>| answer.or_else(|| published.next());
    Ok(answers.into_iter().filter_map(fill).collect())
}

/// Cuts a body into events. In NDJSON a line that is no JSON is an event that is rejected; a body
/// that is neither an object, nor an array, nor lines of objects is refused as a whole.
fn split(body: &[u8], ndjson: bool) -> Result<Vec<&[u8]>, ApiError> {
    let lines = || body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let filled =
        |lines: &mut dyn Iterator<Item = &'_ [u8]>| lines.filter(|l| !l.is_empty()).count();
    if !ndjson {
        if let Ok(array) = serde_json::from_slice::<Vec<&RawValue>>(body) {
            return Ok(array.into_iter().map(|event| event.get().as_bytes()).collect());
        }
        // The lines of a broken array may be events, and were meant as one batch all the same.
        let array = body.trim_ascii_start().starts_with(b"[");
        let one = serde_json::from_slice::<Value>(body);
        match one {
            Ok(_) => return Ok(vec![body]),
            Err(error) if array || filled(&mut lines()) < 2 => {
                return Err(ApiError::bad("body", format!("must be JSON: {error}")));
            }
            Err(_) => {}
        }
    }
    Ok(lines().filter(|line| !line.is_empty()).collect())
}
