//! The HTTP interface, resource by resource, as Receivers and operators meet it.

mod authorization;
mod discovery;
mod key_set;
mod observability;
mod order;
mod providers;
mod slow;
mod status;
mod streams;
mod tls;
mod verification;

use hyper::{
    Method,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde_json::{Value, json};
use ssfd::domain::grant::Scope;

use crate::harness::{
    daemon::{Daemon, PROVIDER},
    http_client::{Answer, Call},
};

/// No stream has it.
const UNKNOWN: &str = "st_unknown";

/// A Receiver at the interface of one provider.
struct Caller<'a> {
    daemon: &'a Daemon,
    provider: &'a str,
    token: String,
}

impl Daemon {
    /// A Receiver of [`PROVIDER`] that may do everything.
    async fn caller(&self, receiver: &str) -> Caller<'_> {
        self.caller_at(PROVIDER, receiver).await
    }

    async fn caller_at<'a>(&'a self, provider: &'a str, receiver: &str) -> Caller<'a> {
        let token = self.receiver_token_at(provider, receiver, &[Scope::Manage]).await;
        self.caller_with(provider, &token)
    }

    fn caller_with<'a>(&'a self, provider: &'a str, token: &str) -> Caller<'a> {
        Caller { daemon: self, provider, token: token.to_owned() }
    }
}

impl Caller<'_> {
    fn call(&self, method: &str, path: &str) -> Call {
        let method: Method = method.parse().expect("a method");
        Call::new(method, &self.daemon.provider_url(self.provider, path)).bearer(&self.token)
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path).send().await
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.call(method, path).json(body).send().await
    }

    /// A stream made of these members, as it is shown.
    async fn create(&self, members: &Value) -> Value {
        self.send("POST", "/ssf/streams", members).await.expect(201).json()
    }

    /// The id of a new poll stream.
    async fn new_stream(&self) -> String {
        let stream = self.create(&json!({})).await;
        stream["stream_id"].as_str().expect("a stream has an id").to_owned()
    }

    async fn read(&self, id: &str) -> Value {
        self.get(&format!("/ssf/streams?stream_id={id}")).await.expect(200).json()
    }

    async fn list(&self) -> Value {
        self.get("/ssf/streams").await.expect(200).json()
    }
}

/// A request of each operation, on a stream of this id.
fn operations(id: &str) -> [(&'static str, String, Value); 9] {
    let streams = "/ssf/streams".to_owned();
    let of_stream = |resource: &str| format!("{resource}?stream_id={id}");
    [
        ("POST", streams.clone(), json!({})),
        ("GET", streams.clone(), Value::Null),
        ("GET", of_stream("/ssf/streams"), Value::Null),
        ("PATCH", streams.clone(), json!({"stream_id": id, "description": "theirs"})),
        ("PUT", streams, json!({"stream_id": id})),
        ("GET", of_stream("/ssf/status"), Value::Null),
        ("POST", "/ssf/status".to_owned(), json!({"stream_id": id, "status": "enabled"})),
        ("POST", "/ssf/verify".to_owned(), json!({"stream_id": id})),
        ("POST", format!("/ssf/poll/{id}"), json!({"returnImmediately": true})),
    ]
}

/// Deleting comes last, where operations follow one another on one stream.
fn deletion(id: &str) -> (&'static str, String, Value) {
    ("DELETE", format!("/ssf/streams?stream_id={id}"), Value::Null)
}

/// Every refusal has one shape (RFC 9457), is not stored, and says why.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, detail: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    assert_eq!(answer.header(CONTENT_TYPE), "application/problem+json");
    assert_eq!(answer.header(CACHE_CONTROL), "no-store");
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    let said = problem["detail"].as_str().unwrap_or_default();
    assert!(said.contains(detail), "no `{detail}` in `{said}`");
}
