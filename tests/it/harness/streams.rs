//! The requests of a Receiver to the daemon about its streams.

use hyper::Method;
use serde_json::{Value, json};
use ssfd::domain::stream::{METHOD_POLL, METHOD_PUSH};

use super::{
    daemon::Daemon,
    events::{CREDENTIAL_CHANGE, SESSION_REVOKED},
    http_client::{Answer, Call, post},
};

/// Returns a `delivery` by push.
pub(crate) fn push_to(url: &str) -> Value {
    json!({"method": METHOD_PUSH, "endpoint_url": url})
}

/// Returns a `delivery` by poll.
pub(crate) fn by_poll() -> Value {
    json!({"method": METHOD_POLL})
}

/// Returns every member that a Receiver may set.
pub(crate) fn every_member() -> Value {
    json!({
        "events_requested": [CREDENTIAL_CHANGE, SESSION_REVOKED],
        "delivery": {"method": METHOD_PUSH, "endpoint_url": "https://rx.example/in"},
        "description": "prod",
    })
}

/// Returns the id of a stream as the daemon shows it.
pub(crate) fn id_of(stream: &Value) -> &str {
    stream["stream_id"].as_str().expect("a stream has an id")
}

impl Daemon {
    /// Creates a stream that requests [`SESSION_REVOKED`]. Returns its id.
    pub(crate) async fn create_stream(&self, token: &str, delivery: Value) -> String {
        self.create_stream_at(self.provider(), token, delivery).await
    }

    pub(crate) async fn create_stream_at(
        &self,
        provider: &str,
        token: &str,
        delivery: Value,
    ) -> String {
        let body = json!({"events_requested": [SESSION_REVOKED], "delivery": delivery});
        let url = self.provider_url(provider, "/ssf/streams");
        let answer = post(&url).bearer(token).json(&body).send().await.expect(201);
        id_of(&answer.json()).to_owned()
    }

    /// Sends a `PATCH` with these members and the `stream_id`.
    pub(crate) async fn update_stream(&self, token: &str, id: &str, members: Value) -> Answer {
        let url = self.provider_url(self.provider(), "/ssf/streams");
        let members = with_stream_id(id, members);
        Call::new(Method::PATCH, &url).bearer(token).json(&members).send().await
    }

    pub(crate) async fn delete_stream(&self, token: &str, id: &str) -> Answer {
        let url = self.provider_url(self.provider(), &format!("/ssf/streams?stream_id={id}"));
        Call::new(Method::DELETE, &url).bearer(token).send().await
    }

    pub(crate) async fn change_status(&self, token: &str, id: &str, status: &str) -> Answer {
        let url = self.provider_url(self.provider(), "/ssf/status");
        let members = with_stream_id(id, json!({"status": status}));
        post(&url).bearer(token).json(&members).send().await
    }

    /// Requests a verification event.
    pub(crate) async fn verify_stream(&self, token: &str, id: &str, state: &str) -> Answer {
        let url = self.provider_url(self.provider(), "/ssf/verify");
        let members = with_stream_id(id, json!({"state": state}));
        post(&url).bearer(token).json(&members).send().await
    }

    pub(crate) async fn poll(&self, token: &str, id: &str, body: &Value) -> Answer {
        self.poll_at(self.provider(), token, id, body).await
    }

    pub(crate) async fn poll_at(
        &self,
        provider: &str,
        token: &str,
        id: &str,
        body: &Value,
    ) -> Answer {
        let url = self.provider_url(provider, &format!("/ssf/poll/{id}"));
        post(&url).bearer(token).json(body).send().await
    }
}

/// Adds the `stream_id` to these members.
pub(crate) fn with_stream_id(id: &str, mut members: Value) -> Value {
    members["stream_id"] = id.into();
    members
}
