//! Events as a publisher sends them.

use serde_json::{Value, json};

use super::{
    daemon::{Daemon, PROVIDER},
    http_client::{Answer, post},
};

pub(crate) const SESSION_REVOKED: &str =
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
pub(crate) const CREDENTIAL_CHANGE: &str =
    "https://schemas.openid.net/secevent/caep/event-type/credential-change";
pub(crate) const ACCOUNT_PURGED: &str =
    "https://schemas.openid.net/secevent/risc/event-type/account-purged";
pub(crate) const VERIFICATION: &str =
    "https://schemas.openid.net/secevent/ssf/event-type/verification";
pub(crate) const STREAM_UPDATED: &str =
    "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// Returns the key of the Redis stream of [`PROVIDER`].
pub(crate) fn key() -> String {
    format!("ssf:events:{PROVIDER}")
}

/// Returns an event about the opaque subject `id`.
pub(crate) fn about(id: &str) -> Value {
    json!({
        "type": "caep:session-revoked",
        "sub_id": {"format": "opaque", "id": id},
        "event": {"event_timestamp": 1_775_000_099},
    })
}

/// Returns an event about the opaque subject `id`, with the members of `more` added or replaced.
pub(crate) fn about_with(id: &str, more: Value) -> Value {
    let mut event = about(id);
    let Value::Object(more) = more else { panic!("members are those of an object") };
    event.as_object_mut().expect("an event is an object").extend(more);
    event
}

impl Daemon {
    /// Sends `POST /events`.
    pub(crate) async fn publish(&self, token: &str, events: &Value) -> Answer {
        post(&self.internal_url("/events")).bearer(token).json(events).send().await
    }

    /// Publishes one event about each subject, in this order. Panics unless all are accepted.
    pub(crate) async fn publish_about(&self, token: &str, subjects: &[&str]) {
        let events = subjects.iter().map(|subject| about(subject)).collect();
        let answer = self.publish(token, &Value::Array(events)).await.expect(202);
        assert_eq!(answer.json()["accepted"], subjects.len(), "{}", answer.text());
    }
}
