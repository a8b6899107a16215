//! A Receiver whose answers a test scripts.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::sync::mpsc;

use super::within;
use crate::scripted_server::{Endpoint, Reply, Seen};

/// An endpoint for push delivery. A test takes requests from it in the order of arrival, before or
/// after they are answered.
pub(crate) struct Receiver {
    endpoint: Endpoint,
    arriving: mpsc::UnboundedReceiver<Seen>,
}

impl Receiver {
    /// Starts a Receiver that accepts every SET.
    pub(crate) async fn accepting() -> Self {
        Self::answering([]).await
    }

    /// Starts a Receiver that answers with each of `statuses` once, then accepts.
    pub(crate) async fn answering<const N: usize>(statuses: [u16; N]) -> Self {
        let status = move |n: usize| statuses.get(n).copied().unwrap_or(202);
        Self::start(move |n, _| Reply::status(status(n))).await
    }

    /// Starts a Receiver whose script answers the n-th request, counted from 0.
    pub(crate) async fn start(
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (arrivals, arriving) = mpsc::unbounded_channel();
        Self { endpoint: Endpoint::start_plain(recording(arrivals, script)).await, arriving }
    }

    /// Starts a Receiver that accepts every SET over TLS and HTTP/2.
    pub(crate) async fn accepting_over_tls() -> Self {
        let (arrivals, arriving) = mpsc::unbounded_channel();
        let script = recording(arrivals, |_, _| Reply::status(202));
        Self { endpoint: Endpoint::start_tls(&["h2"], script).await, arriving }
    }

    /// Returns a PEM file with the authority that issued the certificate of a Receiver with TLS.
    pub(crate) fn roots(&self) -> PathBuf {
        self.endpoint.roots()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.endpoint.url(path)
    }

    /// Returns the next request, and waits for it if it has not arrived yet.
    pub(crate) async fn next(&mut self) -> Seen {
        within("a SET is pushed", self.arriving.recv()).await.expect("the endpoint is running")
    }

    /// Returns the next `count` requests.
    pub(crate) async fn next_few(&mut self, count: usize) -> Vec<Seen> {
        let mut few = Vec::with_capacity(count);
        while few.len() < count {
            few.push(self.next().await);
        }
        few
    }

    /// Returns the requests that have arrived and were not taken.
    pub(crate) fn rest(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.arriving.try_recv().ok()).collect()
    }
}

/// Wraps a script so that each request is recorded before it is answered.
fn recording(
    arrivals: mpsc::UnboundedSender<Seen>,
    script: impl Fn(usize, &Seen) -> Reply,
) -> impl Fn(usize, &Seen) -> Reply {
    move |n, seen| {
        // Sending fails once the test has ended and dropped the Receiver. Nobody needs the request
        // then.
        arrivals.send(seen.clone()).ok();
        script(n, seen)
    }
}

impl Seen {
    /// Returns the SET as it was sent.
    pub(crate) fn jws(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a compact JWS is ASCII")
    }

    /// Returns the claims of the SET without verifying the signature.
    pub(crate) fn claims(&self) -> Value {
        claims(self.jws())
    }

    /// Returns the `id` of the subject of an event that `events::about` made.
    pub(crate) fn subject(&self) -> String {
        subject(&self.claims())
    }

    /// Returns the payload of the event in the SET.
    pub(crate) fn payload(&self) -> Value {
        event(&self.claims()).1
    }

    pub(crate) fn jti(&self) -> String {
        self.claims()["jti"].as_str().expect("every SET has a jti").to_owned()
    }
}

/// Returns the JOSE header of a SET.
pub(crate) fn header(jws: &str) -> Value {
    part(jws, 0)
}

/// Returns the claims of a SET without verifying the signature.
pub(crate) fn claims(jws: &str) -> Value {
    part(jws, 1)
}

fn part(jws: &str, n: usize) -> Value {
    let part = jws.split('.').nth(n).expect("a compact JWS has three parts");
    let part = URL_SAFE_NO_PAD.decode(part).expect("a part is base64url");
    serde_json::from_slice(&part).expect("header and claims are JSON")
}

/// Returns the type and the payload of the event in a SET.
pub(crate) fn event(claims: &Value) -> (String, Value) {
    let events = claims["events"].as_object().expect("every SET has events");
    let (event_type, payload) = events.iter().next().expect("a SET has one event");
    (event_type.clone(), payload.clone())
}

/// Returns the `id` of the subject of a SET, or an empty text if it has none.
pub(crate) fn subject(claims: &Value) -> String {
    claims["sub_id"]["id"].as_str().unwrap_or_default().to_owned()
}
