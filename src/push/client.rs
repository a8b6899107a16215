//! The pooled HTTP client of one identity: makes an attempt and returns its [`Outcome`].

use std::{sync::Arc, time::Duration};

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
use rustls::RootCertStore;
use tokio::time::{Instant, timeout_at};

use super::{
    connection::{self, Served},
    dial::Dialer,
    failure,
    identity::{HttpVersion, PushIdentity},
    retry_after,
    settings::PushSettings,
    tls,
};
use crate::{
    clock,
    delivery::{
        outcome::{FailureClass, Outcome},
        parcel::{Outcomes, Parcel},
        push::{ACCEPT, CONTENT_TYPE, classify},
    },
    domain::stream::PushEndpoint,
};

/// The longest head of a response, in bytes.
const RESPONSE_HEAD_BYTES_MAX: usize = 32 * 1024;
/// The number of idle connections that are kept to one host.
const IDLE_CONNECTIONS_MAX: usize = 64;

type Transport = Client<Dialer, Full<Bytes>>;

/// Carries SETs to push endpoints (RFC 8935). A clone costs one reference count, and all clones share
/// their connections.
///
/// Redirects are not followed, because a redirect would take the SET and the credential to a place
/// that the owner of the stream did not name.
#[derive(Clone)]
pub struct PushClient(Arc<Transports>);

struct Transports {
    pooled: Transport,
    /// Keeps no idle connection, so each request opens a new one.
    unpooled: Transport,
    attempt_timeout: Duration,
    response_bytes_max: usize,
}

/// The connection failed before the response arrived.
struct ConnectionLost {
    /// The connection had carried an earlier response.
    had_served: bool,
    outcome: Outcome,
}

impl PushClient {
    pub(super) fn new(
        settings: &PushSettings,
        system_roots: &Arc<RootCertStore>,
        identity: &PushIdentity,
    ) -> Self {
        let mut tls = tls::config_of(identity, system_roots);
        tls.alpn_protocols = identity.http_version.alpn();
        let dialer = Dialer::new(settings, tls, identity.policy.clone());
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.pool_idle_timeout)
            .http2_only(identity.http_version == HttpVersion::Http2)
            .http1_max_buf_size(RESPONSE_HEAD_BYTES_MAX)
            .http2_max_header_list_size(
                u32::try_from(RESPONSE_HEAD_BYTES_MAX).expect("a small constant"),
            );
        let client = |builder: &mut Builder, idle_connections_max| {
            builder.pool_max_idle_per_host(idle_connections_max).build(dialer.clone())
        };
        Self(Arc::new(Transports {
            pooled: client(&mut builder, IDLE_CONNECTIONS_MAX),
            unpooled: client(&mut builder, 0),
            attempt_timeout: settings.attempt_timeout,
            response_bytes_max: settings.response_bytes_max,
        }))
    }

    /// Makes one attempt to deliver a parcel. A request of RFC 8935 carries one SET, so several go one
    /// after the other.
    pub async fn deliver(&self, endpoint: &PushEndpoint, parcel: &Parcel) -> Outcomes {
        if let [one] = parcel.sets() {
            return Outcomes::All(self.push(endpoint, one.jws.clone()).await);
        }
        let mut outcomes = Vec::new();
        for one in parcel.sets() {
            outcomes.push(self.push(endpoint, one.jws.clone()).await);
        }
        Outcomes::Each(outcomes)
    }

    /// Makes one attempt to deliver `set`, a compact JWS.
    ///
    /// The Receiver may have closed a pooled connection without our noticing. There are two cases.
    /// Sending the SET again is safe in both, because a Receiver recognizes a SET by its `jti`
    /// (RFC 8935 §2).
    /// - The request was not begun. The pool takes the request back and uses the next connection
    ///   (`retry_canceled_requests`).
    /// - The request was written in full or in part, and the connection then failed without a
    ///   response. The pool cannot know whether such a request may be sent twice. We know that it may,
    ///   and try once more over a new connection, because other connections of the pool may have died
    ///   together with this one. A connection that never carried a response does not count: its
    ///   endpoint waits for the regular retry.
    pub async fn push(&self, endpoint: &PushEndpoint, set: Bytes) -> Outcome {
        let inner = &*self.0;
        let deadline = Instant::now() + inner.attempt_timeout;
        match inner.exchange(&inner.pooled, endpoint, set.clone(), deadline).await {
            Err(ConnectionLost { had_served: true, .. }) => {
                let again = inner.exchange(&inner.unpooled, endpoint, set, deadline).await;
                again.unwrap_or_else(|lost| lost.outcome)
            }
            Err(lost) => lost.outcome,
            Ok(outcome) => outcome,
        }
    }

    /// Whether both share their connections.
    #[cfg(test)]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether there is another clone.
    pub(super) fn is_shared(&self) -> bool {
        1 < Arc::strong_count(&self.0)
    }
}

impl Transports {
    async fn exchange(
        &self,
        transport: &Transport,
        endpoint: &PushEndpoint,
        set: Bytes,
        deadline: Instant,
    ) -> Result<Outcome, ConnectionLost> {
        let mut request = match request(endpoint, set) {
            Ok(request) => request,
            Err(error) => {
                let detail = format!("no request can be built for this endpoint: {error}");
                return Ok(Outcome::failed(FailureClass::Misconfigured, detail));
            }
        };
        let captured = capture_connection(&mut request);
        let response = match timeout_at(deadline, transport.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let had_served = connection::had_served(&captured);
                return Err(ConnectionLost { had_served, outcome: failure::outcome_of(&error) });
            }
            Err(_elapsed) => {
                // The connection may be dead. With HTTP/2, further requests would share it until the
                // kernel gives up after a quarter of an hour.
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
            // The status says that the Receiver has the SET, so the body does not matter.
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

/// Builds the request of RFC 8935 §2.1, whose whole body is the compact JWS.
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
        // A sensitive value is never printed, and never enters the header table of HTTP/2.
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    Ok(request)
}

/// Reads the first `bytes_max` of a body. The rest is dropped together with its connection.
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
