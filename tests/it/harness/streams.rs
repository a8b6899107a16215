//! What a Receiver asks of the daemon.

use hyper::Method;
use serde_json::{Value, json};
use ssfd::domain::stream::{METHOD_POLL, METHOD_PUSH};

use super::{
    daemon::Daemon,
    events::SESSION_REVOKED,
    http_client::{Answer, Call, post},
};

/// A `delivery` by push.
pub(crate) fn push_to(url: &str) -> Value {
    json!({"method": METHOD_PUSH, "endpoint_url": url})
}

/// A `delivery` by poll.
pub(crate) fn by_poll() -> Value {
    json!({"method": METHOD_POLL})
}

impl Daemon {
    /// A stream that asks for [`SESSION_REVOKED`]; returns its id.
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
        let stream = self.new_stream_at(provider, token, &body).await;
        stream["stream_id"].as_str().expect("a stream has an id").to_owned()
    }

    /// A stream made of these members, as it is shown.
    pub(crate) async fn new_stream_at(
        &self,
        provider: &str,
        token: &str,
        members: &Value,
    ) -> Value {
        self.post_at(provider, token, "/ssf/streams", members).await.expect(201).json()
    }

    /// `POST` to a resource of a provider.
    pub(crate) async fn post_at(
        &self,
        provider: &str,
        token: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        post(&self.provider_url(provider, path)).bearer(token).json(body).send().await
    }

    /// `PATCH` with these members besides the `stream_id`.
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

    /// Asks for a verification event.
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
        self.post_at(provider, token, &format!("/ssf/poll/{id}"), body).await
    }

    /// Polls, and acknowledges, until this many SETs have come; returns them as they were signed.
    pub(crate) async fn poll_few_at(
        &self,
        provider: &str,
        token: &str,
        id: &str,
        count: usize,
    ) -> Vec<String> {
        let (mut jtis, mut few) = (Vec::new(), Vec::new());
        loop {
            let all = few.len() == count;
            let body = json!({"ack": jtis, "returnImmediately": all});
            let answer = self.poll_at(provider, token, id, &body).await.expect(200).json();
            let Value::Object(sets) = answer["sets"].clone() else { panic!("no SETs: {answer}") };
            if all {
                assert!(sets.is_empty(), "more than {count} SETs: {answer}");
                return few;
            }
            jtis = sets.keys().cloned().collect();
            few.extend(sets.values().map(|set| set.as_str().expect("a compact JWS").to_owned()));
        }
    }
}

fn with_stream_id(id: &str, mut members: Value) -> Value {
    members["stream_id"] = id.into();
    members
}
