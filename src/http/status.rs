//! Stream status (SSF §8.1.2).

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::Serialize;

use crate::{
    domain::{grant::Scope, id::StreamId, stream::StreamConfig},
    http::{auth::Receiver, body, error::ApiError, settings::PublicSettings},
    transmitter::Transmitter,
};

#[derive(Serialize)]
struct View<'a> {
    stream_id: &'a StreamId,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

fn answer(stream: &StreamConfig) -> HttpResponse {
    let view = View {
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

/// A `stream_id` in the query is tolerated; the one in the body counts.
pub(super) async fn update(
    Receiver(caller): Receiver,
    transmitter: web::Data<Transmitter>,
    settings: web::Data<PublicSettings>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::Status)?;
    let mut members = body::object(payload, settings.body_bytes_max).await?;
    let id = body::stream_id(&mut members)?;
    let (status, reason) = body::status(&mut members)?;
    Ok(answer(&*transmitter.change_status(&caller, &id, status, reason).await?))
}
