//! The requests of an operator to the daemon, and the events that tell Receivers about them (SSF
//! §8.1.5).

use hyper::Method;
use serde_json::{Value, json};
use ssfd::domain::subject::format::SubjectFormat;

use super::{
    daemon::Daemon,
    events::STREAM_UPDATED,
    http_client::{Answer, Call},
    setup::Setup,
};

impl Daemon {
    /// Builds a request to the admin API.
    pub(crate) fn admin(&self, token: &str, method: Method, path: &str) -> Call {
        Call::new(method, &self.internal_url(&format!("/admin/v1{path}"))).bearer(token)
    }
}

impl Setup {
    /// Sends a request to the admin API about the stream of this setup.
    pub(crate) async fn operate(&self, method: Method, below: &str, body: &Value) -> Answer {
        let token = self.daemon.operator_token().await;
        let path = format!("/streams/{}{below}", self.stream);
        self.daemon.admin(&token, method, &path).json(body).send().await
    }

    /// Returns the stream as the admin API shows it. This read does not count as activity of the
    /// Receiver.
    pub(crate) async fn shown(&self) -> Value {
        self.operate(Method::GET, "", &Value::Null).await.expect(200).json()
    }

    pub(crate) async fn set_status(&self, status: &str, reason: &str) {
        let body = json!({"status": status, "reason": reason});
        let stream = self.operate(Method::POST, "/status", &body).await.expect(200).json();
        assert_eq!((&stream["status"], &stream["reason"]), (&json!(status), &json!(reason)));
    }

    pub(crate) async fn set_subject_format(&self, format: SubjectFormat) {
        let body = json!({"subject_format": format});
        self.operate(Method::PATCH, "", &body).await.expect(200);
    }

    /// Returns the number of unsettled SETs of the stream, held or in flight.
    pub(crate) async fn in_outbox(&self) -> u64 {
        self.shown().await["waiting"]["sets"].as_u64().expect("a number")
    }

    /// Asserts that the claims are those of a stream-updated event of this stream (EVT-01, EVT-03).
    #[track_caller]
    pub(crate) fn assert_announced(&self, claims: &Value, status: &str, reason: &str) {
        let events = json!({STREAM_UPDATED: {"status": status, "reason": reason}});
        assert_eq!(claims["events"], events);
        assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": self.stream}));
    }
}
