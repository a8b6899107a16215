//! A push endpoint (RFC 8935 §2).

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
    inspect::{Arrival, Inspector},
    misbehave::{Misbehaviour, Mode},
    received::{Method, Received, Rejection},
    server::{Answer, HangUp, Server},
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

/// What a push endpoint is to do.
pub struct PushOptions {
    /// A host and a port, such as `127.0.0.1:0`, where 0 is any free port.
    pub listen: String,
    /// Plain HTTP without.
    pub tls: Option<ServerConfig>,
    /// What `Authorization` must be, if anything.
    pub authorization_header: Option<Secret>,
    pub misbehaviour: Option<Misbehaviour>,
    pub inspector: Arc<Inspector>,
    /// Gets all that arrives, before it is answered. While it is full, no answer goes out.
    pub received: mpsc::Sender<Received>,
}

/// Takes SETs that are pushed to it, on any path. It ends when it is dropped.
pub struct PushReceiver {
    server: Server,
    encrypted: bool,
}

struct Endpoint {
    authorization_header: Option<Secret>,
    misbehaviour: Option<Misbehaviour>,
    requests: AtomicU64,
    inspector: Arc<Inspector>,
    received: mpsc::Sender<Received>,
}

impl PushReceiver {
    pub async fn start(options: PushOptions) -> io::Result<Self> {
        let endpoint = Arc::new(Endpoint {
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
        let server = Server::start(&options.listen, options.tls, handler).await?;
        Ok(Self { server, encrypted })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// The URL to push to, by address; any path does.
    pub fn url(&self) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        format!("{scheme}://{}/", self.local_addr())
    }

    /// Lets the requests that are under way end.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

impl Endpoint {
    async fn answer(&self, request: Request<Incoming>) -> Result<Answer, HangUp> {
        let (head, body) = request.into_parts();
        if head.method != HttpMethod::POST {
            let allow = [(header::ALLOW, "POST".to_owned())];
            return Ok(respond(StatusCode::METHOD_NOT_ALLOWED, allow, Bytes::new()));
        }
        let request_number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let misbehaviour = self.misbehaviour.as_ref().filter(|m| m.strikes(request_number));
        let mode = misbehaviour.map(|misbehaviour| misbehaviour.mode.clone());

        let body = Limited::new(body, SET_BYTES_MAX).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes);
        let jws = body.as_ref().ok().and_then(|body| std::str::from_utf8(body).ok());
        let arrival = Arrival {
            method: Method::Push,
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
        // Nobody listens any more: that is no reason to refuse a SET.
        let _listener_gone = self.received.send(received).await.is_err();

        match mode {
            None => Ok(judged(verdict)),
            Some(Mode::Slow(span)) => {
                tokio::time::sleep(span).await;
                Ok(judged(verdict))
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
            return Err(SetError::new(code, "`Authorization` is not what was agreed"));
        }
        if value(header::CONTENT_TYPE) != Some(CONTENT_TYPE.as_bytes()) {
            let description = format!("`Content-Type` must be {CONTENT_TYPE} (RFC 8935 §2.1)");
            return Err(SetError::new(ErrCode::InvalidRequest.as_str(), &description));
        }
        Ok(())
    }
}

/// What a well-behaved Receiver answers (RFC 8935 §2.2, §2.3).
fn judged(verdict: Result<(), Rejection>) -> Answer {
    match verdict {
        Ok(()) => respond(StatusCode::ACCEPTED, [], Bytes::new()),
        Err(Rejection::Refused(error)) if error.code == ErrCode::AuthenticationFailed => {
            refuse(StatusCode::UNAUTHORIZED, &error)
        }
        Err(Rejection::Refused(error)) => refuse(StatusCode::BAD_REQUEST, &error),
        // Not the SET's fault: it may come again.
        Err(Rejection::NoKeys(_)) => respond(StatusCode::SERVICE_UNAVAILABLE, [], Bytes::new()),
    }
}

fn refuse(status: StatusCode, error: &SetError) -> Answer {
    let body = json!({"err": error.err, "description": error.description}).to_string();
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_LANGUAGE, "en".to_owned()),
    ];
    respond(status, headers, body.into())
}

fn misbehave(mode: Mode) -> Result<Answer, HangUp> {
    match mode {
        Mode::Reset | Mode::Lose => Err(HangUp),
        Mode::Refuse(err) => {
            Ok(refuse(StatusCode::BAD_REQUEST, &SetError::new(&err, "refused on purpose")))
        }
        Mode::Redirect(url) => {
            let location = [(header::LOCATION, url.to_string())];
            Ok(respond(StatusCode::TEMPORARY_REDIRECT, location, Bytes::new()))
        }
        Mode::Status { status, retry_after_secs } => {
            let retry_after = retry_after_secs.map(|s| (header::RETRY_AFTER, s.to_string()));
            Ok(respond(status, retry_after, Bytes::new()))
        }
        Mode::Slow(_) => Ok(judged(Ok(()))),
    }
}

fn respond(
    status: StatusCode,
    headers: impl IntoIterator<Item = (HeaderName, String)>,
    body: Bytes,
) -> Answer {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Full::new(body)).expect("our header values are visible ASCII")
}
