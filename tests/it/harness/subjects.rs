//! The subjects of the one stream of a setup.

use serde_json::{Value, json};
use ssfd::{config::Config, domain::subject::list::DefaultSubjects};

use super::{
    daemon::{PROVIDER, with_provider},
    events::about_with,
    http_client::{Answer, post},
    setup::Setup,
};

/// Makes new streams start without subjects.
pub(crate) fn none_by_default(config: &mut Config) {
    with_provider(|provider| provider.default_subjects = DefaultSubjects::None)(config);
}

pub(crate) fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// Returns a complex subject with these members.
pub(crate) fn complex(members: &[(&str, &str)]) -> Value {
    let mut subject = json!({"format": "complex"});
    for (name, id) in members {
        subject[name] = opaque(id);
    }
    subject
}

impl Setup {
    /// Sends a request about a subject of the stream. `operation` is `add` or `remove`.
    pub(crate) async fn subject_request(&self, operation: &str, body: &Value) -> Answer {
        self.subject_request_by(&self.token, operation, body).await
    }

    pub(crate) async fn subject_request_by(
        &self,
        token: &str,
        operation: &str,
        body: &Value,
    ) -> Answer {
        let path = format!("/ssf/subjects/{operation}");
        let url = self.daemon.provider_url(PROVIDER, &path);
        post(&url).bearer(token).json(body).send().await
    }

    pub(crate) async fn add(&self, subject: &Value) -> Answer {
        let body = json!({"stream_id": self.stream, "subject": subject});
        self.subject_request("add", &body).await.expect(200)
    }

    pub(crate) async fn remove(&self, subject: &Value) -> Answer {
        let body = json!({"stream_id": self.stream, "subject": subject});
        self.subject_request("remove", &body).await.expect(204)
    }

    /// Publishes an event about a subject. Returns whether the stream got a SET.
    pub(crate) async fn reaches(&self, subject: &Value) -> bool {
        let event = about_with("", json!({"sub_id": subject}));
        let answer = self.daemon.publish(&self.publisher, &event).await.expect(202);
        match answer.json()["events"][0]["streams"].as_u64() {
            Some(streams @ (0 | 1)) => streams == 1,
            _ => panic!("the setup has one stream: {}", answer.text()),
        }
    }
}
