//! The streams of all Receivers.

use actix_web::{HttpRequest, HttpResponse, web};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BODY_BYTES_MAX, Query, answer,
    delivery_state::{CourierView, PollingView},
    no_content,
};
use crate::{
    clock,
    domain::{
        audience::Audience,
        id::{ProviderName, ReceiverId, StreamId},
        provider::Provider,
        stream::{Delivery, METHOD_POLL, METHOD_PUSH, StreamConfig},
        subject::{format::SubjectFormat, list::DefaultSubjects},
        time::Timestamp,
    },
    http::{
        api::shape,
        auth::Operator,
        body::{self, Body},
        error::ApiError,
        streams::poll_url,
    },
    store::Waiting,
    transmitter::{
        Transmitter,
        delivery_state::Here,
        operator::{StreamFilter, StreamPage},
    },
};

/// A stream as an operator sees it: everything but secrets. Times are seconds since 1970.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OperatedStream")]
pub struct StreamView {
    #[schemars(with = "shape::StreamIdSchema")]
    pub stream_id: StreamId,
    #[schemars(with = "String")]
    pub provider: ProviderName,
    /// The issuer of the provider, and the `iss` of the stream's SETs.
    pub iss: String,
    #[schemars(with = "String")]
    pub receiver: ReceiverId,
    #[schemars(with = "shape::AudienceSchema")]
    pub aud: Audience,
    #[schemars(with = "shape::StatusSchema")]
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub delivery: DeliveryView,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_requested: Option<Vec<String>>,
    pub events_delivered: Vec<String>,
    pub default_subjects: DefaultSubjects,
    pub subject_format: SubjectFormat,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Each change raises it by one.
    pub version: u64,
    pub created_at: i64,
    /// Present if the provider has an `inactivity_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity_at: Option<i64>,
    /// Present if one stream was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingView>,
    /// Why the stream does not deliver, in one sentence for people. Present if one stream was asked
    /// for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// Present if one push stream was asked for, and its courier is at work on this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub courier: Option<CourierView>,
    /// Present if one poll stream was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub polling: Option<PollingView>,
}

/// The delivery method (SSF §6.1).
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OperatedDelivery")]
pub struct DeliveryView {
    pub method: String,
    pub endpoint_url: String,
    /// Whether pushes carry an `Authorization` header. Its value is the Receiver's secret.
    pub has_authorization_header: bool,
}

/// The SETs in the outbox, whether they are held or being delivered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WaitingSets")]
pub struct WaitingView {
    pub sets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<i64>,
}

/// A page of streams, by id.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OperatedStreams")]
pub struct StreamsView {
    pub streams: Vec<StreamView>,
    /// The `after` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::StreamIdSchema>")]
    pub next: Option<StreamId>,
}

impl StreamView {
    pub(super) fn of(stream: &StreamConfig, transmitter: &Transmitter) -> Result<Self, ApiError> {
        let provider = transmitter.directory().provider(&stream.provider);
        let provider = provider.ok_or(ApiError::NotFound)?;
        let delivered = stream.events_delivered(provider).into_iter().map(String::from);
        let active_at = transmitter.last_activity(&stream.id);
        Ok(Self {
            stream_id: stream.id.clone(),
            provider: stream.provider.clone(),
            iss: provider.issuer.to_string(),
            receiver: stream.receiver.clone(),
            aud: stream.audience.clone(),
            status: stream.status.as_str().to_owned(),
            reason: stream.reason.clone(),
            delivery: DeliveryView::of(stream, provider),
            events_requested: stream.events_requested.clone(),
            events_delivered: delivered.collect(),
            default_subjects: stream.default_subjects,
            subject_format: stream.subject_format,
            description: stream.description.clone(),
            version: stream.version,
            created_at: stream.created_at.as_secs(),
            last_activity_at: active_at.map(Timestamp::as_secs),
            waiting: None,
            explanation: None,
            courier: None,
            polling: None,
        })
    }
}

impl DeliveryView {
    fn of(stream: &StreamConfig, provider: &Provider) -> Self {
        match &stream.delivery {
            Delivery::Push(endpoint) => Self {
                method: METHOD_PUSH.to_owned(),
                endpoint_url: endpoint.as_given().to_owned(),
                has_authorization_header: endpoint.authorization_header().is_some(),
            },
            Delivery::Poll => Self {
                method: METHOD_POLL.to_owned(),
                endpoint_url: poll_url(&stream.id, provider),
                has_authorization_header: false,
            },
        }
    }
}

impl From<Waiting> for WaitingView {
    fn from(waiting: Waiting) -> Self {
        Self { sets: waiting.sets, oldest_at: waiting.oldest.map(Timestamp::as_secs) }
    }
}

pub(in crate::http) async fn list(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let known = ["provider", "receiver", "status", "after", "limit"];
    let query = Query::parse(&request, &known)?;
    let filter = StreamFilter {
        provider: query.get("provider")?,
        receiver: query.get("receiver")?,
        status: query.get("status")?,
        after: query.get("after")?,
    };
    let StreamPage { streams, more } = transmitter.list_streams(&filter, query.limit()?);
    let next = streams.last().filter(|_| more).map(|last| last.id.clone());
    let views = streams.iter().map(|stream| StreamView::of(stream, &transmitter));
    let page = StreamsView { streams: views.collect::<Result<_, _>>()?, next };
    Ok(answer(HttpResponse::Ok(), page))
}

pub(in crate::http) async fn show(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let (stream, state) = transmitter.show_stream(&parse_id(&id)?).await?;
    let mut view = StreamView::of(&stream, &transmitter)?;
    view.explanation = Some(state.sentence(&stream, clock::now()));
    view.waiting = Some(state.waiting.into());
    match state.here {
        Here::Pushed(courier) => view.courier = courier.map(CourierView::from),
        Here::Polled { marks, long_polls } => {
            view.polling = Some(PollingView::of(marks, long_polls));
        }
        Here::ElsewherePushed => {}
    }
    Ok(answer(HttpResponse::Ok(), view))
}

/// Changes the members that are for an operator to change. An unknown member is refused, because it
/// was meant to change something.
pub(in crate::http) async fn change(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    id: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    const FORMAT: &str = "subject_format";
    let mut members = body.at_most(BODY_BYTES_MAX).object().await?;
    let format = body::text(&mut members, FORMAT)?;
    let format = format.ok_or_else(|| ApiError::bad(FORMAT, "is required"))?;
    let format = format.parse().map_err(|rule: String| ApiError::bad(FORMAT, rule))?;
    if let Some(other) = members.keys().next() {
        return Err(ApiError::bad(other, "is not for an operator to change"));
    }
    let stream = transmitter.set_subject_format(&parse_id(&id)?, format).await?;
    Ok(answer(HttpResponse::Ok(), StreamView::of(&stream, &transmitter)?))
}

pub(in crate::http) async fn delete(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    transmitter.delete_any_stream(&parse_id(&id)?).await?;
    Ok(no_content())
}

pub(in crate::http) async fn change_status(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    id: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let mut members = body.at_most(BODY_BYTES_MAX).object().await?;
    let (status, reason) = body::status(&mut members)?;
    let stream = transmitter.set_status(&parse_id(&id)?, status, reason).await?;
    Ok(answer(HttpResponse::Ok(), StreamView::of(&stream, &transmitter)?))
}

pub(in crate::http) async fn verify(
    _: Operator,
    transmitter: web::Data<Transmitter>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    transmitter.verify_unasked(&parse_id(&id)?).await?;
    Ok(no_content())
}

/// Parses a stream's id. An id that no stream can have is answered like an unknown one.
pub(super) fn parse_id(raw: &str) -> Result<StreamId, ApiError> {
    raw.parse().map_err(|_| ApiError::NotFound)
}
