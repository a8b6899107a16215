//! The judgement of a response. Its status and head decide, because they say what the Receiver did with
//! the SET. The body only adds a detail, so that nothing that happens to it changes the outcome.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{HeaderMap, body::Incoming, header, http::response::Parts};
use tokio::time::{Instant, timeout_at};

use super::{head::PlainHead, retry_after};
use crate::{
    clock,
    delivery::{outcome::Outcome, push::classify},
};

/// The end of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// The connection or the HTTP/2 stream ended too early, or the form of the body is wrong.
    Cut,
    /// There may be more.
    TooLong,
    /// Nothing came until the deadline.
    Silent,
}

impl End {
    fn remark(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Cut => Some("the body of the response was cut off"),
            Self::TooLong => Some("the body of the response was too long"),
            Self::Silent => Some("the body of the response did not end in time"),
        }
    }
}

/// Judges a response. Also returns the part of the body that is still to be read, or whether the whole
/// was read.
pub(super) async fn judge(
    head: &Parts,
    body: Incoming,
    bytes_max: usize,
    deadline: Instant,
) -> (Outcome, Rest) {
    let status = head.status.as_u16();
    if head.status.is_success() {
        // The Receiver has the SET, and the next one need not wait for the rest.
        return (classify(status, None, b""), Rest::Unread(body));
    }
    let (read, end) = read(body, bytes_max, deadline).await;
    let mut outcome = classify(status, retry_after(&head.headers), &read);
    if let (Outcome::Failed { detail, .. }, Some(remark)) = (&mut outcome, end.remark()) {
        detail.push_str("; ");
        detail.push_str(remark);
    }
    (outcome, if end == End::Whole { Rest::Read } else { Rest::Lost })
}

/// Judges a response of which only the status and `Retry-After` can be read.
pub(super) fn judge_status(head: &PlainHead) -> Outcome {
    let retry_after = head.retry_after.as_deref();
    let retry_after = retry_after.and_then(|value| retry_after::parse(value, clock::now()));
    let mut outcome = classify(head.status, retry_after, b"");
    if let Outcome::Failed { detail, .. } = &mut outcome {
        detail.push_str("; the head of the response is malformed");
    }
    outcome
}

/// The part of a response that is left after its judgement.
pub(super) enum Rest {
    Read,
    Unread(Incoming),
    /// The rest will not come, or is not waited for.
    Lost,
}

/// Reads up to `bytes_max` of a body.
async fn read(mut body: Incoming, bytes_max: usize, deadline: Instant) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(None) => return (bytes, End::Whole),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return (bytes, End::Cut),
            Err(_elapsed) => return (bytes, End::Silent),
        };
        if let Some(data) = frame.data_ref() {
            let room = bytes_max - bytes.len();
            bytes.extend_from_slice(&data[..data.len().min(room)]);
            if room <= data.len() {
                return (bytes, End::TooLong);
            }
        }
    }
}

/// Reads a body to its end; `false` if it is longer than `bytes_max` or does not end well.
pub(super) async fn drain(mut body: Incoming, bytes_max: usize) -> bool {
    let mut left = bytes_max;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(less) => left = less,
            None => return false,
        }
    }
    true
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    retry_after::parse(headers.get(header::RETRY_AFTER)?.to_str().ok()?, clock::now())
}
