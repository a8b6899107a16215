//! A Receiver's push endpoint (RFC 8935 §2).

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method as HttpMethod, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName},
    http::request::Parts,
};
use rustls::ServerConfig;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    inspect::{IncomingSet, Inspector},
    misbehave::{Misbehaviour, MisbehaviourMode},
    received::{ReceiveMethod, Received, Rejection},
    server::{HangUp, ReceiverResponse, ReceiverServer},
};
use crate::{
    delivery::push::CONTENT_TYPE,
    domain::{
        secret::Secret,
        set_error::{ErrCode, SetError},
    },
};

/// The largest SET that is read.
const SET_BYTES_MAX: usize = 1024 * 1024;

/// The options of a push endpoint.
pub struct PushOptions {
    /// A host and a port, such as `127.0.0.1:0`. Port 0 chooses any free port.
    pub listen: String,
    /// `None` for plain HTTP.
    pub tls: Option<ServerConfig>,
    /// The required value of `Authorization`, if any.
    pub authorization_header: Option<Secret>,
    pub misbehaviour: Option<Misbehaviour>,
    pub inspector: Arc<Inspector>,
    /// Gets each SET that arrives, before it is answered. While the channel is full, answers wait.
    pub received: mpsc::Sender<Received>,
}

/// Receives SETs by push, on any path. Ends when it is dropped.
pub struct PushReceiver {
    server: ReceiverServer,
    encrypted: bool,
}

struct ReceiverEndpoint {
    authorization_header: Option<Secret>,
    misbehaviour: Option<Misbehaviour>,
    requests: AtomicU64,
    inspector: Arc<Inspector>,
    received: mpsc::Sender<Received>,
}

impl PushReceiver {
    pub async fn start(options: PushOptions) -> io::Result<Self> {
        let endpoint = Arc::new(ReceiverEndpoint {
            authorization_header: options.authorization_header,
            misbehaviour: options.misbehaviour,
            requests: AtomicU64::new(0),
            inspector: options.inspector,
            received: options.received,
        });
        let encrypted = options.tls.is_some();
        let handler = Arc::new(move |request| {
            let endpoint = Arc::clone(&endpoint);
            Box::pin(async move { endpoint.answer(request).await }) as _
        });
        let server = ReceiverServer::start(&options.listen, options.tls, handler).await?;
        Ok(Self { server, encrypted })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Returns the URL to push to. The endpoint accepts any path.
    pub fn url(&self) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        format!("{scheme}://{}/", self.local_addr())
    }

    /// Stops the endpoint once the requests in progress have ended.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

impl ReceiverEndpoint {
    async fn answer(&self, request: Request<Incoming>) -> Result<ReceiverResponse, HangUp> {
        let (head, body) = request.into_parts();
        if head.method != HttpMethod::POST {
            let allow = [(header::ALLOW, "POST".to_owned())];
            return Ok(respond(StatusCode::METHOD_NOT_ALLOWED, allow, Bytes::new()));
        }
        let request_number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let misbehaviour = self.misbehaviour.as_ref().filter(|m| m.applies_to(request_number));
        let mode = misbehaviour.map(|misbehaviour| misbehaviour.mode.clone());

        let body = Limited::new(body, SET_BYTES_MAX).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes);
        let jws = body.as_ref().ok().and_then(|body| std::str::from_utf8(body).ok());
        let arrival = IncomingSet {
            method: ReceiveMethod::Push,
            endpoint: head.uri.path(),
            jws: jws.unwrap_or_default(),
            expected_jti: None,
            misbehaviour: mode.clone(),
        };
        let received = match self.check(&head) {
            Err(error) => self.inspector.reject(arrival, error),
            Ok(()) => self.inspector.inspect(arrival).await,
        };
        let verdict = received.verified.clone().map(drop);
        // The SET is answered even if nothing reads the channel any more.
        let _listener_gone = self.received.send(received).await.is_err();

        match mode {
            None => Ok(respond_to(verdict)),
            Some(MisbehaviourMode::Slow(span)) => {
                tokio::time::sleep(span).await;
                Ok(respond_to(verdict))
            }
            Some(mode) => misbehave(mode),
        }
    }

    fn check(&self, head: &Parts) -> Result<(), SetError> {
        let value = |name| head.headers.get(name).map(header::HeaderValue::as_bytes);
        if let Some(secret) = &self.authorization_header
            && value(header::AUTHORIZATION) != Some(secret.expose().as_bytes())
        {
            let code = ErrCode::AuthenticationFailed.as_str();
            return Err(SetError::new(code, "`Authorization` does not have the agreed value"));
        }
        if value(header::CONTENT_TYPE) != Some(CONTENT_TYPE.as_bytes()) {
            let description = format!("`Content-Type` must be {CONTENT_TYPE} (RFC 8935 §2.1)");
            return Err(SetError::new(ErrCode::InvalidRequest.as_str(), &description));
        }
        Ok(())
    }
}

/// Returns the answer of a well-behaved Receiver (RFC 8935 §2.2, §2.3).
fn respond_to(verdict: Result<(), Rejection>) -> ReceiverResponse {
    match verdict {
        Ok(()) => respond(StatusCode::ACCEPTED, [], Bytes::new()),
        Err(Rejection::Refused(error)) if error.code == ErrCode::AuthenticationFailed => {
            refuse(StatusCode::UNAUTHORIZED, &error)
        }
        Err(Rejection::Refused(error)) => refuse(StatusCode::BAD_REQUEST, &error),
        // The SET is not at fault, so the Transmitter should repeat it.
        Err(Rejection::NoKeys(_)) => respond(StatusCode::SERVICE_UNAVAILABLE, [], Bytes::new()),
    }
}

fn refuse(status: StatusCode, error: &SetError) -> ReceiverResponse {
    let body = json!({"err": error.err, "description": error.description}).to_string();
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_LANGUAGE, "en".to_owned()),
    ];
    respond(status, headers, body.into())
}

fn misbehave(mode: MisbehaviourMode) -> Result<ReceiverResponse, HangUp> {
    match mode {
        MisbehaviourMode::Reset | MisbehaviourMode::Lose => Err(HangUp),
        MisbehaviourMode::Refuse(err) => {
            Ok(refuse(StatusCode::BAD_REQUEST, &SetError::new(&err, "refused on purpose")))
        }
        MisbehaviourMode::Redirect(url) => {
            let location = [(header::LOCATION, url.to_string())];
            Ok(respond(StatusCode::TEMPORARY_REDIRECT, location, Bytes::new()))
        }
        MisbehaviourMode::Status { status, retry_after_secs } => {
            let retry_after = retry_after_secs.map(|s| (header::RETRY_AFTER, s.to_string()));
            Ok(respond(status, retry_after, Bytes::new()))
        }
        MisbehaviourMode::Slow(_) => Ok(respond_to(Ok(()))),
    }
}

fn respond(
    status: StatusCode,
    headers: impl IntoIterator<Item = (HeaderName, String)>,
    body: Bytes,
) -> ReceiverResponse {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Full::new(body)).expect("all header values are visible ASCII")
}
