//! A Receiver whose answers a test scripts.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::sync::mpsc;

use super::within;
use crate::scripted_server::{Endpoint, Reply, Seen};

/// An endpoint for push delivery. Each request can be taken from it in the order of arrival, which
/// is before it is answered.
pub(crate) struct Receiver {
    endpoint: Endpoint,
    arriving: mpsc::UnboundedReceiver<Seen>,
}

impl Receiver {
    /// Accepts every SET.
    pub(crate) async fn accepting() -> Self {
        Self::answering([]).await
    }

    /// Answers with each of `statuses` once, then accepts.
    pub(crate) async fn answering<const N: usize>(statuses: [u16; N]) -> Self {
        let status = move |n: usize| statuses.get(n).copied().unwrap_or(202);
        Self::start(move |n, _| Reply::status(status(n))).await
    }

    /// Answers the n-th request, from 0, as the script says.
    pub(crate) async fn start(
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (tell, arriving) = mpsc::unbounded_channel();
        Self { endpoint: Endpoint::start_plain(telling(tell, script)).await, arriving }
    }

    /// Accepts every SET, over TLS and HTTP/2.
    pub(crate) async fn accepting_over_tls() -> Self {
        let (tell, arriving) = mpsc::unbounded_channel();
        let script = telling(tell, |_, _| Reply::status(202));
        Self { endpoint: Endpoint::start_tls(&["h2"], script).await, arriving }
    }

    /// A PEM file with the authority that vouches for a Receiver with TLS.
    pub(crate) fn roots(&self) -> PathBuf {
        self.endpoint.roots()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.endpoint.url(path)
    }

    /// The next request, which may have come already.
    pub(crate) async fn next(&mut self) -> Seen {
        within("a SET is pushed", self.arriving.recv()).await.expect("the endpoint stands")
    }

    /// The next `count` requests.
    pub(crate) async fn next_few(&mut self, count: usize) -> Vec<Seen> {
        let mut few = Vec::with_capacity(count);
        while few.len() < count {
            few.push(self.next().await);
        }
        few
    }

    /// The requests that have come and were not taken.
    pub(crate) fn rest(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.arriving.try_recv().ok()).collect()
    }
}

fn telling(
    tell: mpsc::UnboundedSender<Seen>,
    script: impl Fn(usize, &Seen) -> Reply,
) -> impl Fn(usize, &Seen) -> Reply {
    move |n, seen| {
        // A test that ends does not wait for what comes.
        tell.send(seen.clone()).ok();
        script(n, seen)
    }
}

impl Seen {
    /// The SET as it was sent.
    pub(crate) fn jws(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a compact JWS is ASCII")
    }

    /// The SET's claims, unverified.
    pub(crate) fn claims(&self) -> Value {
        claims(self.jws())
    }

    /// The `id` of the subject of an event that `events::about` made.
    pub(crate) fn subject(&self) -> String {
        subject(&self.claims())
    }

    /// What the SET says of the event, below its type.
    pub(crate) fn payload(&self) -> Value {
        event(&self.claims()).1
    }

    pub(crate) fn jti(&self) -> String {
        self.claims()["jti"].as_str().expect("every SET has a jti").to_owned()
    }
}

/// The JOSE header of a SET.
pub(crate) fn header(jws: &str) -> Value {
    part(jws, 0)
}

/// The claims of a SET, unverified.
pub(crate) fn claims(jws: &str) -> Value {
    part(jws, 1)
}

fn part(jws: &str, n: usize) -> Value {
    let part = jws.split('.').nth(n).expect("a compact JWS has three parts");
    let part = URL_SAFE_NO_PAD.decode(part).expect("a part is base64url");
    serde_json::from_slice(&part).expect("header and claims are JSON")
}

/// The type of a SET's event, and what it says of it.
pub(crate) fn event(claims: &Value) -> (String, Value) {
    let events = claims["events"].as_object().expect("every SET has events");
    let (event_type, payload) = events.iter().next().expect("and one of them");
    (event_type.clone(), payload.clone())
}

/// The `id` of a SET's subject; empty if it has none.
pub(crate) fn subject(claims: &Value) -> String {
    claims["sub_id"]["id"].as_str().unwrap_or_default().to_owned()
}
