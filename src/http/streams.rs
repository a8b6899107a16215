//! Stream configuration (SSF §8.1.1).

pub(super) mod delivery;

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    auth::Principal,
    domain::{
        audience::Audience,
        event_type::EventType,
        grant::Scope,
        id::StreamId,
        json,
        metadata::resource,
        provider::Provider,
        stream::{
            Delivery, METHOD_POLL, METHOD_PUSH, ReceiverMembers, RemovedMembers, StreamConfig,
        },
        verification::whole_secs,
    },
    http::{
        Of,
        api::shape,
        auth::Receiver,
        body::{self, Body},
        error::ApiError,
    },
    transmitter::{RequestError, Transmitter, streams::Change},
};

/// A stream as its Receiver sees it (SSF §8.1.1). `authorization_header` is never shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Stream")]
pub(super) struct ReceiverStreamView<'a> {
    #[schemars(with = "shape::StreamIdSchema")]
    stream_id: &'a StreamId,
    /// The issuer, and the `iss` of the stream's SETs.
    iss: &'a str,
    #[schemars(with = "shape::AudienceSchema")]
    aud: &'a Audience,
    /// The event types that this Receiver may get.
    #[schemars(with = "Vec<shape::EventTypeSchema>")]
    events_supported: Vec<EventType>,
    /// The value that the Receiver gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    events_requested: Option<&'a [String]>,
    /// The event types that are delivered: those both supported and requested.
    #[schemars(with = "Vec<shape::EventTypeSchema>")]
    events_delivered: Vec<EventType>,
    delivery: ReceiverDeliveryView<'a>,
    /// The least time between two verification requests, in seconds.
    min_verification_interval: u64,
    /// After how long without activity the stream is paused, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    inactivity_timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

/// The delivery method (SSF §6.1). The `authorization_header` of a push stream is never shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
struct ReceiverDeliveryView<'a> {
    /// `urn:ietf:rfc:8935` (push) or `urn:ietf:rfc:8936` (poll).
    method: &'static str,
    /// The URL that SETs are pushed to, or polled from.
    endpoint_url: std::borrow::Cow<'a, str>,
}

/// The answer to a read: one stream, or all (SSF §8.1.1.2).
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "StreamOrStreams")]
pub(super) enum OneOrAll<'a> {
    One(ReceiverStreamView<'a>),
    All(Vec<ReceiverStreamView<'a>>),
}

impl<'a> ReceiverStreamView<'a> {
    fn of(stream: &'a StreamConfig, provider: &'a Provider) -> Self {
        Self {
            stream_id: &stream.id,
            iss: provider.issuer.as_str(),
            aud: &stream.audience,
            events_supported: stream.events_supported(provider),
            events_requested: stream.events_requested.as_deref(),
            events_delivered: stream.events_delivered(provider),
            delivery: match &stream.delivery {
                Delivery::Push(endpoint) => ReceiverDeliveryView {
                    method: METHOD_PUSH,
                    endpoint_url: endpoint.as_given().into(),
                },
                Delivery::Poll => ReceiverDeliveryView {
                    method: METHOD_POLL,
                    endpoint_url: poll_url(&stream.id, provider).into(),
                },
            },
            min_verification_interval: whole_secs(provider.min_verification_interval),
            inactivity_timeout: provider.inactivity_timeout.map(|timeout| timeout.as_secs()),
            description: stream.description.as_deref(),
        }
    }
}

/// Returns the poll endpoint of a stream. Each stream has its own (SSF §6.1.2).
pub(super) fn poll_url(id: &StreamId, provider: &Provider) -> String {
    provider.issuer.url(&resource::POLL.replace("{stream_id}", id.as_str()))
}

/// The members that the Transmitter sets, and that a PATCH or a PUT may only repeat (SSF §8.1.1.3).
const TRANSMITTER_MEMBERS: [&str; 6] = [
    "iss",
    "aud",
    "events_supported",
    "events_delivered",
    "min_verification_interval",
    "inactivity_timeout",
];

fn answer(mut response: actix_web::HttpResponseBuilder, body: impl Serialize) -> HttpResponse {
    response.insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

pub(super) async fn create(
    Receiver(caller): Receiver,
    provider: Of,
    transmitter: web::Data<Transmitter>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::Create)?;
    let mut members = body.object().await?;
    check_new(&members, &caller, &provider)?;
    let given = receiver_members(&mut members, &provider, None)?;
    drop(members);
    let stream = transmitter.create_stream(&caller, &provider, given).await?;
    Ok(answer(HttpResponse::Created(), ReceiverStreamView::of(&stream, &provider)))
}

pub(super) async fn read(
    Receiver(caller): Receiver,
    provider: Of,
    transmitter: web::Data<Transmitter>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::Read)?;
    if let Some(id) = body::stream_in_query(&request)? {
        let stream = transmitter.stream(&caller, &id)?;
        return Ok(answer(
            HttpResponse::Ok(),
            OneOrAll::One(ReceiverStreamView::of(&stream, &provider)),
        ));
    }
    let streams = transmitter.streams(&caller);
    let views = streams.iter().map(|stream| ReceiverStreamView::of(stream, &provider)).collect();
    Ok(answer(HttpResponse::Ok(), OneOrAll::All(views)))
}

pub(super) async fn update(
    caller: Receiver,
    provider: Of,
    transmitter: web::Data<Transmitter>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    change(Change::Update, caller, &provider, &transmitter, body).await
}

pub(super) async fn replace(
    caller: Receiver,
    provider: Of,
    transmitter: web::Data<Transmitter>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    change(Change::Replace, caller, &provider, &transmitter, body).await
}

async fn change(
    change: Change,
    Receiver(caller): Receiver,
    provider: &Provider,
    transmitter: &Transmitter,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::Update)?;
    let mut members = body.object_with_nulls().await?;
    let removed = match change {
        Change::Update => removed_members(&members),
        Change::Replace => RemovedMembers::default(),
    };
    json::without_nulls(&mut members);
    let id = body::stream_id(&mut members)?;
    let assigned = poll_url(&id, provider);
    let given = receiver_members(&mut members, provider, Some(&assigned));
    let given = given.map(|given| ReceiverMembers { removed, ..given });
    // The stream is looked up before its members are judged, so that nothing of another Receiver's
    // stream shows.
    let stream = transmitter.stream(&caller, &id)?;
    let given = given?;
    // The members that are left are equal to those of the stream, and so they are no larger.
    members.retain(|member, _| TRANSMITTER_MEMBERS.contains(&member.as_str()));
    repeats(&members, &stream, provider)?;
    let unchanged = |before: &StreamConfig| repeats(&members, before, provider);
    let stream = transmitter.change_stream(&caller, &id, change, given, unchanged).await?;
    Ok(answer(HttpResponse::Ok(), ReceiverStreamView::of(&stream, provider)))
}

pub(super) async fn delete(
    Receiver(caller): Receiver,
    transmitter: web::Data<Transmitter>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::Delete)?;
    transmitter.delete_stream(&caller, &body::required_in_query(&request)?).await?;
    Ok(HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish())
}

/// Checks a create for an `iss` or an `aud` that the stream will not have, because the Receiver would wait
/// in vain for SETs with its own. All other members of the Transmitter are ignored: Receivers send them,
/// empty or as they were in an earlier stream.
fn check_new(
    members: &Map<String, Value>,
    caller: &Principal,
    provider: &Provider,
) -> Result<(), ApiError> {
    let ours = [("iss", json!(provider.issuer)), ("aud", json!(caller.audience))];
    let given = |member: &str| members.get(member).filter(|value| !is_empty(value));
    let differs = |(member, ours): &&(&str, Value)| {
        given(member).is_some_and(|value| !repeats_member(member, value, ours))
    };
    match ours.iter().find(differs) {
        None => Ok(()),
        Some((member, ours)) => {
            let rule = format!("is for the Transmitter to say, and is `{ours}` (SSF §8.1.1)");
            Err(ApiError::bad(member, rule))
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_str().is_some_and(str::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// Tells whether a given value repeats ours. An audience may be a string or an array, in any order.
fn repeats_member(member: &str, given: &Value, ours: &Value) -> bool {
    if member != "aud" {
        return json::same(given, ours);
    }
    let values = |value: &Value| match value {
        Value::Array(values) => values.iter().map(Value::to_string).collect(),
        one => BTreeSet::from([one.to_string()]),
    };
    values(given) == values(ours)
}

/// Returns which members a PATCH removes.
fn removed_members(members: &Map<String, Value>) -> RemovedMembers {
    let is_null = |member: Option<&Value>| member.is_some_and(Value::is_null);
    let delivery = members.get("delivery").and_then(Value::as_object);
    RemovedMembers {
        events_requested: is_null(members.get("events_requested")),
        description: is_null(members.get("description")),
        authorization_header: is_null(delivery.and_then(|it| it.get("authorization_header"))),
    }
}

/// Checks that the Transmitter's members, where they are given, repeat their value (SSF §8.1.1.3).
fn repeats(
    members: &Map<String, Value>,
    before: &StreamConfig,
    provider: &Provider,
) -> Result<(), RequestError> {
    let view = serde_json::to_value(ReceiverStreamView::of(before, provider))
        .expect("a view is plain JSON");
    let differs = |member: &&&str| {
        let repeated =
            |given| view.get(**member).is_some_and(|ours| repeats_member(member, given, ours));
        members.get(**member).is_some_and(|given| !repeated(given))
    };
    match TRANSMITTER_MEMBERS.iter().find(differs) {
        None => Ok(()),
        Some(member) => Err(RequestError::Invalid(crate::domain::stream::InvalidMember {
            member,
            rule: "is for the Transmitter to say, and differs from its value (SSF §8.1.1.3)".into(),
        })),
    }
}

/// Takes a Receiver's members out of a body. `assigned` is the poll URL of an existing stream; a new
/// stream has none yet.
fn receiver_members(
    members: &mut Map<String, Value>,
    provider: &Provider,
    assigned: Option<&str>,
) -> Result<ReceiverMembers, ApiError> {
    let events_requested = match members.remove("events_requested") {
        None => None,
        Some(value) => Some(serde_json::from_value::<Vec<String>>(value).map_err(|_| {
            ApiError::bad("events_requested", "must be an array of event type URIs")
        })?),
    };
    let delivery = match members.remove("delivery") {
        None => None,
        Some(Value::Object(delivery)) => Some(delivery::parse(delivery, provider, assigned)?),
        Some(_) => return Err(ApiError::bad("delivery", "must be an object with a `method`")),
    };
    let description = body::text(members, "description")?;
    let removed = RemovedMembers::default();
    Ok(ReceiverMembers { events_requested, delivery, description, removed })
}
