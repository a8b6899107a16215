//! The requests of a Receiver to the interface of one provider, operation by operation.

use hyper::{
    Method,
    header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use ssfd::domain::grant::Scope;

use super::{
    daemon::{Daemon, PROVIDER},
    http_client::{Answer, Call},
    receiver::claims,
    streams::{id_of, with_stream_id},
};

/// An id that no stream has.
pub(crate) const UNKNOWN: &str = "st_unknown";

/// A client of the interface of one provider, with the access token of a Receiver.
pub(crate) struct ReceiverClient<'a> {
    pub(crate) daemon: &'a Daemon,
    pub(crate) provider: &'a str,
    pub(crate) token: String,
}

/// The challenge to a request without a credential. Every other challenge begins with it. The URL
/// is that of the metadata of [`PROVIDER`] (RFC 9728 §5.1).
pub(crate) const CHALLENGE: &str = concat!(
    r#"Bearer realm="ssf", resource_metadata="#,
    r#""https://tx.example/.well-known/oauth-protected-resource/t/acme""#
);

impl Daemon {
    /// Builds a request without a credential.
    pub(crate) fn call(&self, (method, path, body): &Operation) -> Call {
        let method = method.parse().expect("a method");
        Call::new(method, &self.provider_url(PROVIDER, path)).json(body)
    }

    /// Returns a client of [`PROVIDER`] whose token allows every operation.
    pub(crate) async fn client(&self, receiver: &str) -> ReceiverClient<'_> {
        self.client_at(PROVIDER, receiver).await
    }

    pub(crate) async fn client_at<'a>(
        &'a self,
        provider: &'a str,
        receiver: &str,
    ) -> ReceiverClient<'a> {
        let token = self.receiver_token_at(provider, receiver, &[Scope::Manage]).await;
        self.client_with(provider, &token)
    }

    pub(crate) fn client_with<'a>(&'a self, provider: &'a str, token: &str) -> ReceiverClient<'a> {
        ReceiverClient { daemon: self, provider, token: token.to_owned() }
    }
}

impl ReceiverClient<'_> {
    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        let method: Method = method.parse().expect("a method");
        Call::new(method, &self.daemon.provider_url(self.provider, path)).bearer(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path).send().await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.call(method, path).json(body).send().await
    }

    /// Creates a stream with these members and returns it as the daemon shows it.
    pub(crate) async fn create(&self, members: &Value) -> Value {
        self.send("POST", "/ssf/streams", members).await.expect(201).json()
    }

    /// Creates a poll stream and returns its id.
    pub(crate) async fn new_stream(&self) -> String {
        id_of(&self.create(&json!({})).await).to_owned()
    }

    pub(crate) async fn read(&self, id: &str) -> Value {
        self.get(&format!("/ssf/streams?stream_id={id}")).await.expect(200).json()
    }

    /// Sends a PATCH or PUT and returns the answer. Asserts that a following read returns the same.
    pub(crate) async fn change(&self, method: &str, id: &str, members: &Value) -> Value {
        let body = with_stream_id(id, members.clone());
        let changed = self.send(method, "/ssf/streams", &body).await.expect(200).json();
        assert_eq!(self.read(id).await, changed);
        changed
    }

    /// Returns the status of a stream and its reason, as the daemon shows them.
    pub(crate) async fn status(&self, id: &str) -> Value {
        self.get(&format!("/ssf/status?stream_id={id}")).await.expect(200).json()
    }

    /// Polls and acknowledges every SET of a stream. Returns the SETs.
    pub(crate) async fn sets(&self, id: &str) -> Vec<String> {
        let (path, mut ack, mut sets) = (format!("/ssf/poll/{id}"), Vec::new(), Vec::new());
        loop {
            let body = json!({"ack": ack, "returnImmediately": true});
            let answer = self.send("POST", &path, &body).await.expect(200).json();
            let polled = answer["sets"].as_object().expect("an object of SETs");
            if polled.is_empty() {
                return sets;
            }
            ack = polled.keys().cloned().collect();
            sets.extend(polled.values().map(|set| set.as_str().expect("a JWS").to_owned()));
        }
    }

    /// Polls and acknowledges every SET of a stream. Returns the claims.
    pub(crate) async fn polled(&self, id: &str) -> Vec<Value> {
        self.sets(id).await.iter().map(|set| claims(set)).collect()
    }

    pub(crate) async fn list(&self) -> Value {
        self.get("/ssf/streams").await.expect(200).json()
    }
}

/// The method, path and body of a request.
pub(crate) type Operation = (&'static str, String, Value);

/// Returns a request of each operation, on the stream of this id.
pub(crate) fn operations(id: &str) -> [Operation; 11] {
    let streams = "/ssf/streams".to_owned();
    let subject = json!({"stream_id": id, "subject": {"format": "opaque", "id": "s-88"}});
    let of_stream = |resource: &str| format!("{resource}?stream_id={id}");
    [
        ("POST", streams.clone(), json!({})),
        ("GET", streams.clone(), Value::Null),
        ("GET", of_stream("/ssf/streams"), Value::Null),
        ("PATCH", streams.clone(), json!({"stream_id": id, "description": "theirs"})),
        ("PUT", streams, json!({"stream_id": id})),
        ("GET", of_stream("/ssf/status"), Value::Null),
        ("POST", "/ssf/status".to_owned(), json!({"stream_id": id, "status": "enabled"})),
        ("POST", "/ssf/subjects/add".to_owned(), subject.clone()),
        ("POST", "/ssf/subjects/remove".to_owned(), subject),
        ("POST", "/ssf/verify".to_owned(), json!({"stream_id": id})),
        ("POST", format!("/ssf/poll/{id}"), json!({"returnImmediately": true})),
    ]
}

/// Returns the request that deletes a stream. A test that sends several operations to one stream
/// sends this one last.
pub(crate) fn deletion(id: &str) -> Operation {
    ("DELETE", format!("/ssf/streams?stream_id={id}"), Value::Null)
}

pub(crate) fn every_operation(id: &str) -> Vec<Operation> {
    operations(id).into_iter().chain([deletion(id)]).collect()
}

/// Returns the operations on an existing stream, that is all except creating and listing.
pub(crate) fn operations_on(id: &str) -> Vec<Operation> {
    every_operation(id).split_off(2)
}

/// Asserts that a refusal is a problem document (RFC 9457) that must not be stored and contains
/// `detail`.
#[track_caller]
pub(crate) fn assert_refused(answer: &Answer, status: u16, detail: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    assert_eq!(answer.header(CONTENT_TYPE), "application/problem+json");
    assert_eq!(answer.header(CACHE_CONTROL), "no-store");
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    let said = problem["detail"].as_str().unwrap_or_default();
    assert!(said.contains(detail), "no `{detail}` in `{said}`");
}

#[track_caller]
pub(crate) fn assert_challenged(answer: &Answer, status: u16, detail: &str, challenge: &str) {
    assert_refused(answer, status, detail);
    assert_eq!(answer.header(WWW_AUTHENTICATE), challenge);
}

#[track_caller]
pub(crate) fn assert_invalid_token(answer: &Answer) {
    let challenge = format!(r#"{CHALLENGE}, error="invalid_token""#);
    assert_challenged(answer, 401, "token", &challenge);
}
