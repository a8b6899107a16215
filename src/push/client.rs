//! The pooled HTTP client: one attempt at a time goes in, an [`Outcome`] comes out.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response, Uri,
    body::Incoming,
    header::{self, HeaderValue},
};
use hyper_util::{
    client::legacy::{Builder, Client, connect::capture_connection},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, timeout_at};

use super::{
    connection::{self, Served},
    dial::Dialer,
    failure, retry_after,
    settings::PushSettings,
    tls::{self, TrustedRootsError},
};
use crate::{
    clock,
    delivery::{
        outcome::{FailureClass, Outcome},
        push::{ACCEPT, CONTENT_TYPE, classify},
    },
    domain::stream::PushEndpoint,
};

/// The longest head of a response, in bytes.
const RESPONSE_HEAD_BYTES_MAX: usize = 32 * 1024;
/// The most connections to one host that are kept without a request.
const IDLE_CONNECTIONS_MAX: usize = 64;

type Transport = Client<Dialer, Full<Bytes>>;

/// Carries SETs to push endpoints (RFC 8935). Cheap to clone; all clones share their connections.
///
/// Redirects are not followed: that would take SET and credential to where the Receiver's owner did
/// not send them.
#[derive(Clone)]
pub struct PushClient {
    pooled: Transport,
    /// Keeps no connection, so that each of its requests opens one.
    unpooled: Transport,
    attempt_timeout: Duration,
    response_bytes_max: usize,
}

/// Why no client can be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum PushClientError {
    #[error(transparent)]
    TrustedRoots(#[from] TrustedRootsError),
}

/// The connection failed before its response was there.
struct Lost {
    /// It had carried a response before.
    had_served: bool,
    outcome: Outcome,
}

impl PushClient {
    pub fn new(settings: &PushSettings) -> Result<Self, PushClientError> {
        let dialer = Dialer::new(settings, tls::client_config(settings.trusted_roots.as_deref())?);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.pool_idle_timeout)
            .http1_max_buf_size(RESPONSE_HEAD_BYTES_MAX)
            .http2_max_header_list_size(
                u32::try_from(RESPONSE_HEAD_BYTES_MAX).expect("a small constant"),
            );
        let client = |builder: &mut Builder, idle_connections_max| {
            builder.pool_max_idle_per_host(idle_connections_max).build(dialer.clone())
        };
        Ok(Self {
            pooled: client(&mut builder, IDLE_CONNECTIONS_MAX),
            unpooled: client(&mut builder, 0),
            attempt_timeout: settings.attempt_timeout,
            response_bytes_max: settings.response_bytes_max,
        })
    }

    /// Makes one attempt to get `set`, a compact JWS, across.
    ///
    /// A pooled connection may have been closed by the Receiver without our knowing. There are two
    /// cases, and both are safe with a SET: a Receiver knows it by its `jti` (RFC 8935 §2).
    /// - The request was not begun: the pool gives it back and takes the next connection, by itself
    ///   (`retry_canceled_requests`).
    /// - The request was written, wholly or in part, and the connection then failed without a
    ///   response. The pool cannot know whether that may be sent twice. We do, and try once more
    ///   over a new connection, since others of the pool may have died with this one. A connection
    ///   that never worked is no such case: that endpoint waits for its regular retry.
    pub async fn push(&self, endpoint: &PushEndpoint, set: Bytes) -> Outcome {
        let deadline = Instant::now() + self.attempt_timeout;
        match self.exchange(&self.pooled, endpoint, set.clone(), deadline).await {
            Err(Lost { had_served: true, .. }) => {
                let again = self.exchange(&self.unpooled, endpoint, set, deadline).await;
                again.unwrap_or_else(|lost| lost.outcome)
            }
            Err(lost) => lost.outcome,
            Ok(outcome) => outcome,
        }
    }

    async fn exchange(
        &self,
        transport: &Transport,
        endpoint: &PushEndpoint,
        set: Bytes,
        deadline: Instant,
    ) -> Result<Outcome, Lost> {
        let mut request = match request(endpoint, set) {
            Ok(request) => request,
            Err(error) => {
                let detail = format!("no request can be made for this endpoint: {error}");
                return Ok(Outcome::failed(FailureClass::Misconfigured, detail));
            }
        };
        let captured = capture_connection(&mut request);
        let response = match timeout_at(deadline, transport.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let had_served = connection::had_served(&captured);
                return Err(Lost { had_served, outcome: failure::outcome_of(&error) });
            }
            Err(_elapsed) => {
                // It may be dead. HTTP/2 would go on to share it, until the kernel gives it up
                // after a quarter of an hour.
                connection::retire(&captured);
                return Ok(self.timed_out());
            }
        };
        if let Some(served) = response.extensions().get::<Served>() {
            served.mark();
        }
        Ok(self.judge(response, deadline).await)
    }

    async fn judge(&self, response: Response<Incoming>, deadline: Instant) -> Outcome {
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let read = timeout_at(deadline, read_head(body, self.response_bytes_max)).await;
        let body = match read {
            Ok(Ok(body)) => body,
            // The Receiver has the SET already; what else it meant to say does not matter.
            _ if head.status.is_success() => Vec::new(),
            Ok(Err(error)) => return failure::outcome_of(&error),
            Err(_elapsed) => return self.timed_out(),
        };
        classify(status, retry_after(&head.headers), &body)
    }

    fn timed_out(&self) -> Outcome {
        let detail = format!("no full response within {:?}", self.attempt_timeout);
        Outcome::failed(FailureClass::Timeout, detail)
    }
}

/// The request of RFC 8935 §2.1: the compact JWS is the whole body.
fn request(
    endpoint: &PushEndpoint,
    set: Bytes,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let uri = Uri::try_from(endpoint.url().as_str())?;
    let mut request = Request::post(uri)
        .header(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))
        .header(header::ACCEPT, HeaderValue::from_static(ACCEPT))
        .body(Full::new(set))?;
    if let Some(secret) = endpoint.authorization_header() {
        let mut value = HeaderValue::from_str(secret.expose())?;
        // It is neither printed nor kept in the table of an HTTP/2 connection.
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    Ok(request)
}

/// The first `bytes_max` of a body. What follows is dropped, and its connection with it.
async fn read_head(mut body: Incoming, bytes_max: usize) -> Result<Vec<u8>, hyper::Error> {
    let mut head = Vec::new();
    while head.len() < bytes_max
        && let Some(frame) = body.frame().await
    {
        if let Some(data) = frame?.data_ref() {
            head.extend_from_slice(&data[..data.len().min(bytes_max - head.len())]);
        }
    }
    Ok(head)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    retry_after::parse(headers.get(header::RETRY_AFTER)?.to_str().ok()?, clock::now())
}

#[cfg(test)]
mod tests {
    use hyper::http::uri::PathAndQuery;

    use super::*;
    use crate::domain::secret::Secret;

    #[track_caller]
    fn check_target(url: &str, target: &str) {
        let endpoint = PushEndpoint::new(url, None, false).expect("a valid endpoint");
        let request = request(&endpoint, Bytes::new()).expect("a request");
        assert_eq!(request.uri().path_and_query().map(PathAndQuery::as_str), Some(target));
    }

    #[test]
    fn the_target_is_the_endpoints_path_and_query_exactly() {
        check_target("https://rx.example", "/");
        check_target("https://rx.example/in/7", "/in/7");
        check_target("https://rx.example/in/?", "/in/?");
        check_target("https://rx.example//a//b/;x=1", "//a//b/;x=1");
        check_target(
            "https://rx.example/a%2Fb?t=1&u=%C3%BC&&v=[{|}]^`~",
            "/a%2Fb?t=1&u=%C3%BC&&v=[{|}]^`~",
        );
        check_target("https://rx.example/a|b[c]'(d)*!$@:\"", "/a|b[c]'(d)*!$@:%22");
    }

    #[test]
    fn the_credential_does_not_show_in_the_request() {
        let secret = Some(Secret::new("Bearer rx-secret-7"));
        let endpoint = PushEndpoint::new("https://rx.example/", secret, false).expect("valid");
        let request = request(&endpoint, Bytes::from_static(b"a.b.c")).expect("a request");
        assert!(!format!("{request:?}").contains("rx-secret-7"));
    }
}
