//! The subjects of a stream (SSF §8.1.3), from the Receiver's request to what it is sent.

mod api;
mod delivery;
mod matching;

use serde_json::{Value, json};
use ssfd::{
    config::{Config, ProviderSettings},
    domain::subject::list::DefaultSubjects,
};

use crate::harness::{
    daemon::PROVIDER,
    events::about_with,
    http_client::{Answer, post},
    scene::Scene,
};

/// Changes the settings of the one provider there is.
fn with_provider(change: impl FnOnce(&mut ProviderSettings)) -> impl FnOnce(&mut Config) {
    |config| change(config.providers.values_mut().next().expect("a provider"))
}

/// New streams get nothing by default.
fn none_by_default(config: &mut Config) {
    with_provider(|provider| provider.default_subjects = DefaultSubjects::None)(config);
}

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// A complex subject with these members.
fn complex(members: &[(&str, &str)]) -> Value {
    let mut subject = json!({"format": "complex"});
    for (name, id) in members {
        subject[name] = opaque(id);
    }
    subject
}

impl Scene {
    /// A request about a subject of the stream; `operation` is `add` or `remove`.
    async fn subject_request(&self, operation: &str, body: &Value) -> Answer {
        self.subject_request_by(&self.token, operation, body).await
    }

    async fn subject_request_by(&self, token: &str, operation: &str, body: &Value) -> Answer {
        let path = format!("/ssf/subjects/{operation}");
        let url = self.daemon.provider_url(PROVIDER, &path);
        post(&url).bearer(token).json(body).send().await
    }

    async fn add(&self, subject: &Value) -> Answer {
        let body = json!({"stream_id": self.stream, "subject": subject});
        self.subject_request("add", &body).await.expect(200)
    }

    async fn remove(&self, subject: &Value) -> Answer {
        let body = json!({"stream_id": self.stream, "subject": subject});
        self.subject_request("remove", &body).await.expect(204)
    }

    /// Publishes an event about a subject; whether it reaches the stream.
    async fn reaches(&self, subject: &Value) -> bool {
        let event = about_with("", json!({"sub_id": subject}));
        let answer = self.daemon.publish(&self.upstream, &event).await.expect(202);
        match answer.json()["events"][0]["streams"].as_u64() {
            Some(streams @ (0 | 1)) => streams == 1,
            _ => panic!("the scene has one stream: {}", answer.text()),
        }
    }
}
