//! Request bodies and queries, read within bounds and parsed by hand, so that a refusal names the
//! member and the rule.

use actix_web::{HttpRequest, web};
use futures_util::StreamExt;
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::{
    domain::{
        id::StreamId,
        status::{InvalidStatus, StreamStatus},
    },
    http::error::ApiError,
};

/// Reads a body of at most `bytes_max` bytes.
pub(super) async fn read(mut payload: web::Payload, bytes_max: usize) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| ApiError::bad("body", "ended before it was complete"))?;
        if bytes_max < body.len() + chunk.len() {
            return Err(ApiError::TooLarge { bytes_max });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads a JSON object. No `Content-Type` is asked for, since SSF's own samples send none.
pub(super) async fn object(
    payload: web::Payload,
    bytes_max: usize,
) -> Result<Map<String, Value>, ApiError> {
    let body = read(payload, bytes_max).await?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(ApiError::bad("body", "must be a JSON object")),
        Err(error) => Err(ApiError::bad("body", format!("must be JSON: {error}"))),
    }
}

/// A string member, if it is there. `null` is not a string.
pub(super) fn text(
    members: &mut Map<String, Value>,
    member: &'static str,
) -> Result<Option<String>, ApiError> {
    match members.remove(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ApiError::bad(member, "must be a string")),
    }
}

/// The required `status` of a body, and the `reason` that may go with it.
pub(super) fn status(
    members: &mut Map<String, Value>,
) -> Result<(StreamStatus, Option<String>), ApiError> {
    let status = text(members, "status")?;
    let status = status.ok_or_else(|| ApiError::bad("status", "is required"))?;
    let status =
        status.parse().map_err(|rule: InvalidStatus| ApiError::bad("status", rule.to_string()))?;
    Ok((status, text(members, "reason")?))
}

/// The required `stream_id` of a body. One that no stream can have is that of no stream.
pub(super) fn stream_id(members: &mut Map<String, Value>) -> Result<StreamId, ApiError> {
    let raw = text(members, "stream_id")?;
    let raw = raw.ok_or_else(|| ApiError::bad("stream_id", "is required"))?;
    raw.parse().map_err(|_| ApiError::NotFound)
}

/// The `stream_id` of a query, if it has one. No extractor, since those that need not wait fail before
/// the credential is looked at.
pub(super) fn stream_in_query(request: &HttpRequest) -> Result<Option<StreamId>, ApiError> {
    let members = form_urlencoded::parse(request.query_string().as_bytes());
    let mut ids = members.filter(|(name, _)| name == "stream_id").map(|(_, id)| id);
    match (ids.next(), ids.next()) {
        (None, _) => Ok(None),
        (Some(raw), None) => raw.parse().map(Some).map_err(|_| ApiError::NotFound),
        (Some(_), Some(_)) => Err(ApiError::bad("stream_id", "must be given once")),
    }
}

/// The same where a stream has to be named.
pub(super) fn required_in_query(request: &HttpRequest) -> Result<StreamId, ApiError> {
    stream_in_query(request)?.ok_or_else(|| ApiError::bad("stream_id", "is required"))
}
