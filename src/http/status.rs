//! Stream status (SSF §8.1.2).

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{grant::Scope, id::StreamId, stream::StreamConfig},
    http::{
        api::shape,
        auth::Receiver,
        body::{self, Body},
        error::ApiError,
    },
    transmitter::Transmitter,
};

/// A stream's status (SSF §8.1.2.1).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StreamStatus")]
pub(super) struct StatusView<'a> {
    #[schemars(with = "shape::StreamIdSchema")]
    stream_id: &'a StreamId,
    #[schemars(with = "shape::StatusSchema")]
    status: &'static str,
    /// Why the stream has its status.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

fn answer(stream: &StreamConfig) -> HttpResponse {
    let view = StatusView {
        stream_id: &stream.id,
        status: stream.status.as_str(),
        reason: stream.reason.as_deref(),
    };
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view)
}

pub(super) async fn read(
    Receiver(caller): Receiver,
    transmitter: web::Data<Transmitter>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::Read)?;
    Ok(answer(&*transmitter.stream(&caller, &body::required_in_query(&request)?)?))
}

/// Changes the status. A `stream_id` in the query is tolerated, and the one in the body counts.
pub(super) async fn update(
    Receiver(caller): Receiver,
    transmitter: web::Data<Transmitter>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::Status)?;
    let mut members = body.object().await?;
    let id = body::stream_id(&mut members)?;
    let (status, reason) = body::status(&mut members)?;
    drop(members);
    Ok(answer(&*transmitter.change_status(&caller, &id, status, reason).await?))
}
