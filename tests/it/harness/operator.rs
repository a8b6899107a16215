//! What an operator asks of the daemon, and how Receivers learn of it (SSF §8.1.5).

use hyper::Method;
use serde_json::{Value, json};
use ssfd::domain::subject::format::SubjectFormat;

use super::{
    daemon::Daemon,
    events::STREAM_UPDATED,
    http_client::{Answer, Call},
    scene::Scene,
};

impl Daemon {
    /// A request to the admin API.
    pub(crate) fn admin(&self, token: &str, method: Method, path: &str) -> Call {
        Call::new(method, &self.internal_url(&format!("/admin/v1{path}"))).bearer(token)
    }
}

impl Scene {
    /// A request to the admin API about the stream.
    pub(crate) async fn operate(&self, method: Method, below: &str, body: &Value) -> Answer {
        let token = self.daemon.operator_token().await;
        let path = format!("/streams/{}{below}", self.stream);
        self.daemon.admin(&token, method, &path).json(body).send().await
    }

    /// The stream as an operator sees it, which is no activity of its Receiver.
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

    /// SETs that wait, held or on their way.
    pub(crate) async fn in_outbox(&self) -> u64 {
        self.shown().await["waiting"]["sets"].as_u64().expect("a number")
    }

    /// EVT-01, EVT-03: the claims are those of a stream-updated event of this stream.
    #[track_caller]
    pub(crate) fn assert_announced(&self, claims: &Value, status: &str, reason: &str) {
        let events = json!({STREAM_UPDATED: {"status": status, "reason": reason}});
        assert_eq!(claims["events"], events);
        assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": self.stream}));
    }
}
