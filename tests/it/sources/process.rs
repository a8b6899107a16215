//! The real process with one source, and a poll stream that gets its events.

use std::{fs, io::Write as _, net::TcpStream};

use serde_json::{Value, json};

use super::{SECRET, rules};
use crate::{
    command_line::{Daemon, Workplace, ask},
    harness::events::SESSION_REVOKED,
};

/// The path of the source.
pub(super) const PATH: &str = "/in/default/kc";

/// A working directory with a source of sign-outs, whose sender shows [`SECRET`] as a bearer token.
pub(super) fn workplace() -> Workplace {
    let place = Workplace::new();
    fs::write(place.path("secret"), SECRET).expect("writable");
    let emit = &rules()[0]["emit"];
    place.configure(&format!(
        "sources.listen = \"127.0.0.1:0\"\n\
         [providers.default.sources.kc]\n\
         type = \"/type\"\nid = \"{{/id}}\"\n\
         auth = {{ scheme = \"bearer\", secret_files = [\"secret\"] }}\n\
         [[providers.default.sources.kc.rules]]\n\
         name = \"logout\"\nwhen = {{ \"/type\" = \"LOGOUT\" }}\nemit = {emit}\n\
         subject = {{ user = {{ opaque = \"{{/user}}\" }}, session = {{ opaque = \"{{/session}}\" }} }}\n",
    ));
    place
}

/// The addresses of a running daemon.
pub(super) struct Addresses {
    pub(super) public: String,
    pub(super) sources: String,
}

/// Waits until the daemon serves.
#[track_caller]
pub(super) fn addresses(daemon: &mut Daemon) -> Addresses {
    let serving = daemon.logs("serving");
    let address = |name: &str| serving[name].as_str().expect("an address").to_owned();
    Addresses { public: address("public"), sources: address("sources") }
}

/// A stream that is polled, and the token of its Receiver.
pub(super) struct PolledStream {
    token: String,
    id: String,
}

impl PolledStream {
    #[track_caller]
    pub(super) fn create(place: &Workplace, public: &str) -> Self {
        let args = ["tokens", "create", "receiver", "--receiver", "rx", "--audience"];
        let more = ["https://rx.example", "--scope", "ssf.manage", "--json"];
        let token = place.prints_json(&[&args[..], &more].concat());
        let token = token["token"].as_str().expect("a token").to_owned();
        let body = json!({"events_requested": [SESSION_REVOKED]}).to_string();
        let (status, created) = ask(public, "POST /ssf/streams", Some(&token), &body);
        assert_eq!(status, 201, "{created}");
        let created: Value = serde_json::from_str(&created).expect("JSON");
        Self { token, id: created["stream_id"].as_str().expect("an id").to_owned() }
    }

    /// Acknowledges SETs by their `jti`, and returns those that are handed out, each with its `jti`.
    #[track_caller]
    pub(super) fn poll(&self, public: &str, acks: &[String]) -> Vec<(String, Value)> {
        let body = json!({"maxEvents": 1000, "returnImmediately": true, "ack": acks}).to_string();
        let path = format!("POST /ssf/poll/{}", self.id);
        let (status, answer) = ask(public, &path, Some(&self.token), &body);
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let sets = answer["sets"].as_object().expect("SETs").iter();
        let claims = |jws: &Value| crate::harness::receiver::claims(jws.as_str().expect("a SET"));
        sets.map(|(jti, jws)| (jti.clone(), claims(jws))).collect()
    }
}

/// Writes a request of the sender with this record.
pub(super) fn write_request(connection: &mut TcpStream, record: &Value) -> std::io::Result<()> {
    let record = record.to_string();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SECRET}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{record}",
        record.len()
    );
    connection.write_all(request.as_bytes())
}
