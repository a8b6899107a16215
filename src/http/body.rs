//! Request bodies and queries, read within bounds and parsed by hand, so that a refusal names the
//! member and the rule.

use std::{
    future::{Ready, poll_fn, ready},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, dev::Payload, error::PayloadError, http::header,
    web,
};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Map, Value};
use tokio::time::timeout;
use url::form_urlencoded;

use crate::{
    auth::rates::ReceiverKey,
    domain::{
        id::StreamId,
        json::{self, Document},
        status::{InvalidStatus, StreamStatus},
    },
    http::{
        connection::WatchedConnection,
        error::ApiError,
        unread::{Counted, UnreadBytes},
    },
};

/// The bounds of a listener on a request body.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
    /// In bytes. A larger body is answered 413.
    pub(super) bytes_max: usize,
    /// The time for the whole body, from the first read. A slower body is answered 408.
    pub(super) timeout: Duration,
}

/// A body that has not been read. A handler names it after the credential, so that the credential is
/// judged before anything of the body is read.
pub(super) struct Body {
    payload: Payload,
    limits: BodyLimits,
    /// The body has a content coding.
    coded: bool,
    request: HttpRequest,
}

impl FromRequest for Body {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limits = request.app_data::<BodyLimits>().expect("every listener has its limits");
        let payload = payload.take();
        let (limits, coded, request) = (*limits, is_coded(request), request.clone());
        ready(Ok(Self { payload, limits, coded, request }))
    }
}

/// Tells whether a body is compressed or coded otherwise. No coding is supported, because a short
/// compressed body may become a very long one.
fn is_coded(request: &HttpRequest) -> bool {
    let codings = request.headers().get_all(header::CONTENT_ENCODING);
    codings.into_iter().any(|coding| {
        let coding = coding.to_str().unwrap_or("?").trim();
        !coding.is_empty() && !coding.eq_ignore_ascii_case("identity")
    })
}

/// Begins to count the bytes of a Receiver's body. Others who send bodies are publishers, operators and
/// clients whose bodies are short.
fn unread_of(request: &HttpRequest) -> Option<Counted> {
    let receiver = request.extensions().get::<ReceiverKey>().cloned()?;
    Some(request.app_data::<web::Data<UnreadBytes>>()?.begin(receiver))
}

/// Returns the next part of a body, and tells the connection if it has to read on for that.
fn next(
    payload: &mut Payload,
    connection: Option<&Rc<WatchedConnection>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, PayloadError>>> {
    let next = payload.poll_next_unpin(cx);
    if let (Poll::Pending, Some(connection)) = (&next, connection) {
        connection.is_hungry();
    }
    next
}

impl Body {
    /// Lowers the bound on the size to `bytes_max`.
    pub(super) fn at_most(mut self, bytes_max: usize) -> Self {
        self.limits.bytes_max = self.limits.bytes_max.min(bytes_max);
        self
    }

    pub(super) async fn bytes(mut self) -> Result<Vec<u8>, ApiError> {
        if self.coded {
            return Err(ApiError::Coded);
        }
        let BodyLimits { bytes_max, timeout: deadline } = self.limits;
        let connection = self.request.conn_data::<Rc<WatchedConnection>>();
        let mut counted = unread_of(&self.request);
        let reading = async {
            let mut body = Vec::new();
            while let Some(chunk) = poll_fn(|cx| next(&mut self.payload, connection, cx)).await {
                let chunk =
                    chunk.map_err(|_| ApiError::bad("body", "ended before it was complete"))?;
                if bytes_max < body.len() + chunk.len() {
                    return Err(ApiError::TooLarge { bytes_max });
                }
                if let Some(counted) = &mut counted {
                    counted.admit(chunk.len())?;
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        timeout(deadline, reading).await.unwrap_or(Err(ApiError::TooSlow { deadline }))
    }

    /// Reads a JSON object. A member that is `null` is left out, because it is absent. A handler drops
    /// what it does not need of the object before it waits for anything: parsed JSON takes up to thirty
    /// times as much memory as its text, and any number of requests may wait at the same time. No
    /// `Content-Type` is required, because SSF's own samples send none.
    pub(super) async fn object(self) -> Result<Map<String, Value>, ApiError> {
        let mut members = self.object_with_nulls().await?;
        json::without_nulls(&mut members);
        Ok(members)
    }

    /// Reads a JSON object for a handler to which `null` means more than absence.
    pub(super) async fn object_with_nulls(self) -> Result<Map<String, Value>, ApiError> {
        let body = self.bytes().await?;
        match json::read(&body) {
            Ok(Document { value: Value::Object(members), .. }) => Ok(members),
            Ok(_) => Err(ApiError::bad("body", "must be a JSON object")),
            Err(error) => Err(ApiError::bad("body", error.to_string())),
        }
    }
}

/// Takes a string member, if it is there.
pub(super) fn text(
    members: &mut Map<String, Value>,
    member: &'static str,
) -> Result<Option<String>, ApiError> {
    text_as(members, member, member)
}

/// Takes a string member of an object inside the body. A refusal calls the member `name`.
pub(super) fn text_as(
    members: &mut Map<String, Value>,
    member: &str,
    name: &'static str,
) -> Result<Option<String>, ApiError> {
    match members.remove(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ApiError::bad(name, "must be a string")),
    }
}

/// Takes the required `status` of a body, and the optional `reason`.
pub(super) fn status(
    members: &mut Map<String, Value>,
) -> Result<(StreamStatus, Option<String>), ApiError> {
    let status = text(members, "status")?;
    let status = status.ok_or_else(|| ApiError::bad("status", "is required"))?;
    let status =
        status.parse().map_err(|rule: InvalidStatus| ApiError::bad("status", rule.to_string()))?;
    Ok((status, text(members, "reason")?))
}

/// Takes the required `stream_id` of a body. An id that no stream can have is answered like an
/// unknown one.
pub(super) fn stream_id(members: &mut Map<String, Value>) -> Result<StreamId, ApiError> {
    let raw = text(members, "stream_id")?;
    let raw = raw.ok_or_else(|| ApiError::bad("stream_id", "is required"))?;
    raw.parse().map_err(|_| ApiError::NotFound)
}

/// Reads the `stream_id` of a query, if it has one. This is no extractor, because extractors that do
/// not wait fail before the credential is judged.
pub(super) fn stream_in_query(request: &HttpRequest) -> Result<Option<StreamId>, ApiError> {
    let members = form_urlencoded::parse(request.query_string().as_bytes());
    let mut ids = members.filter(|(name, _)| name == "stream_id").map(|(_, id)| id);
    match (ids.next(), ids.next()) {
        (None, _) => Ok(None),
        (Some(raw), None) => raw.parse().map(Some).map_err(|_| ApiError::NotFound),
        (Some(_), Some(_)) => Err(ApiError::bad("stream_id", "must be given once")),
    }
}

/// Reads the `stream_id` of a query that must have one.
pub(super) fn required_in_query(request: &HttpRequest) -> Result<StreamId, ApiError> {
    stream_in_query(request)?.ok_or_else(|| ApiError::bad("stream_id", "is required"))
}
