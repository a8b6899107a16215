//! `ssfd explain`, beside a running daemon and without one.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use hyper::Method;
use serde_json::{Value, json};
use ssfd::domain::grant::Scope;
use tempfile::TempDir;

use crate::harness::{
    daemon::{Daemon, ISSUER, PROVIDER},
    events::{SESSION_REVOKED, about, about_with},
    streams::by_poll,
};

/// A daemon with streams, and a folder whose configuration names the daemon's store.
struct Installation {
    daemon: Daemon,
    folder: TempDir,
    /// A stream that gets [`SESSION_REVOKED`], and the token that manages it.
    stream: String,
    token: String,
}

impl Installation {
    async fn new() -> Self {
        let mut daemon = Daemon::start().await;
        let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
        let stream = daemon.create_stream(&token, by_poll()).await;
        let folder = tempfile::tempdir().expect("a folder");
        let store = daemon.config().store.sqlite.path.display().to_string();
        let config =
            format!("store.sqlite.path = {store:?}\n[providers.{PROVIDER}]\nissuer = {ISSUER:?}\n");
        std::fs::write(folder.path().join("ssfd.toml"), config).expect("the folder takes a file");
        Self { daemon, folder, stream, token }
    }

    fn file(&self, event: &Value) -> PathBuf {
        let path = self.folder.path().join("event.json");
        std::fs::write(&path, event.to_string()).expect("the folder takes a file");
        path
    }

    fn ssfd(&self) -> Command {
        let mut ssfd = Command::new(env!("CARGO_BIN_EXE_ssfd"));
        ssfd.env_clear().current_dir(self.folder.path()).arg("explain");
        ssfd.args(["--config", "ssfd.toml"]).stdin(Stdio::null());
        ssfd
    }

    fn run(&self, event: &Value, more: &[&str]) -> Output {
        self.ssfd().arg(self.file(event)).args(more).output().expect("ssfd runs")
    }

    /// Explains an event that may be valid or not. Returns the report.
    fn explains(&self, event: &Value) -> Value {
        let output = self.run(event, &["--json"]);
        let report = json_of(&output);
        assert_eq!(output.status.success(), report["accepted"] == true, "{report}");
        report
    }

    fn says(&self, event: &Value) -> String {
        String::from_utf8(self.run(event, &[]).stdout).expect("UTF-8")
    }

    /// Returns what would happen to a [`SESSION_REVOKED`] event on the stream, and the reason.
    fn judgement(&self, event: &Value) -> (String, Value) {
        let stream = self.explains(event)["streams"][0].clone();
        assert_eq!(stream["stream_id"], json!(self.stream));
        (stream["fate"].as_str().expect("a fate").to_owned(), stream["why"].clone())
    }
}

fn json_of(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {errors}"))
}

#[actix_web::test]
async fn explain_shows_the_claims_that_a_stream_would_get() {
    let installation = Installation::new().await;

    let report = installation.explains(&about("s-88"));

    assert_eq!(
        (&report["provider"], &report["event_type"]),
        (&json!(PROVIDER), &json!(SESSION_REVOKED))
    );
    assert_eq!((&report["findings"], &report["reason"]), (&json!([]), &json!(null)));
    let stream = &report["streams"][0];
    assert_eq!((&stream["fate"], &stream["receiver"]), (&json!("sent"), &json!("rx")));
    let claims = &stream["claims"];
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ISSUER), &json!("https://rx.example")));
    assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": "s-88"}));
    assert_eq!(claims["events"], json!({SESSION_REVOKED: about("s-88")["event"]}));
    assert_eq!(claims["jti"], "(made when it is published)");
    // Explaining publishes nothing.
    assert_eq!(installation.daemon.backlog().await, 0);

    let text = installation.says(&about("s-88"));
    assert!(text.contains("provider acme would accept the event"), "{text}");
    assert!(
        text.contains(&format!("poll stream {} of rx would get it\n", installation.stream)),
        "{text}"
    );
}

#[actix_web::test]
async fn explain_shows_why_a_stream_would_not_get_an_event() {
    let installation = Installation::new().await;
    assert_eq!(installation.judgement(&about("s-88")), ("sent".into(), json!(null)));

    let (fate, why) =
        installation.judgement(&about_with("s-88", json!({"stream_ids": ["another"]})));
    assert_eq!(
        (fate.as_str(), why),
        ("not_sent", json!("the event's `stream_ids` does not have this stream"))
    );
    let (fate, why) =
        installation.judgement(&about_with("s-88", json!({"type": "caep:session-presented"})));
    assert_eq!(fate, "not_sent");
    assert_eq!(why, "the stream's `events_requested` does not have this type");

    for (status, fate) in [("paused", "held"), ("disabled", "not_sent"), ("enabled", "sent")] {
        installation
            .daemon
            .change_status(&installation.token, &installation.stream, status)
            .await
            .expect(200);
        assert_eq!(installation.judgement(&about("s-88")).0, fate, "{status}");
    }
}

/// SEC-03, RISC-05
#[actix_web::test]
async fn explain_shows_the_subject_format_of_a_stream_and_an_opted_out_account() {
    let installation = Installation::new().await;
    let email = json!({"format": "email", "email": "kim@example.com"});
    let operator = installation.daemon.operator_token().await;
    let path = format!("/streams/{}", installation.stream);
    let form = json!({"subject_format": "email"});
    installation.daemon.admin(&operator, Method::PATCH, &path).json(&form).send().await.expect(200);
    let report =
        installation.explains(&about_with("s-88", json!({"subject_identifiers": [email]})));
    let stream = &report["streams"][0];
    assert_eq!((&stream["subject_format"], &stream["claims"]["sub_id"]), (&json!("email"), &email));
    let (fate, why) = installation.judgement(&about("s-88"));
    assert_eq!(fate, "not_sent");
    assert_eq!(why, "the event has no identifier of its subject in the stream's form");

    let risc = |name: &str| json!({"type": format!("risc:{name}"), "sub_id": email});
    let uri = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
    let members = json!({"events_requested": [uri]});
    installation
        .daemon
        .update_stream(&installation.token, &installation.stream, members)
        .await
        .expect(200);
    assert_eq!(installation.judgement(&risc("account-disabled")).0, "sent");
    let publisher = installation.daemon.publisher_token().await;
    installation.daemon.publish(&publisher, &risc("opt-out-effective")).await.expect(202);
    let (fate, why) = installation.judgement(&risc("account-disabled"));
    assert_eq!(fate, "not_sent");
    assert_eq!(why, "the event's account has opted out of RISC events");
}

#[actix_web::test]
async fn explain_shows_the_errors_of_an_event_and_fails_if_it_would_be_rejected() {
    let installation = Installation::new().await;
    let broken = json!({"reason_admin": "rule 12", "eventTimestamp": 1});

    let report = installation.explains(&about_with("s-88", json!({"event": broken})));

    assert_eq!((&report["accepted"], &report["reason"]), (&json!(false), &json!("schema")));
    let findings = report["findings"].as_array().expect("findings");
    let short = findings.iter().map(|f| (f["severity"].as_str(), f["member"].as_str()));
    let expected = [("MUST", "reason_admin"), ("SHOULD", "event_timestamp")];
    assert_eq!(short.collect::<Vec<_>>(), expected.map(|(s, m)| (Some(s), Some(m))));
    assert_eq!(findings[0]["section"], "CAEP §2");
    // The report tells what a corrected event would do.
    assert_eq!(report["streams"][0]["fate"], "sent");

    let output = installation.run(&json!({"type": "caep:session-revoked"}), &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("would reject the event (invalid_field): `sub_id` is required"),
        "{text}"
    );
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("the event would be rejected"), "{error}");
}

#[actix_web::test]
async fn explain_reads_standard_input_and_a_store_without_a_daemon() {
    let mut installation = Installation::new().await;
    installation.daemon.stop().await;

    let mut ssfd = installation.ssfd();
    ssfd.args(["-", "--json", "--provider", PROVIDER]).stdin(Stdio::piped());
    let mut child = ssfd.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ssfd runs");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(about("s-88").to_string().as_bytes()).expect("it reads");
    drop(input);
    let report = json_of(&child.wait_with_output().expect("it ends"));
    assert_eq!(report["streams"][0]["fate"], "sent", "{report}");

    // Explaining does not create a store that is missing.
    let missing = installation.folder.path().join("missing.db");
    let mut ssfd = installation.ssfd();
    ssfd.env("SSFD_STORE__SQLITE__PATH", &missing).arg(installation.file(&about("s-88")));
    let output = ssfd.output().expect("ssfd runs");
    assert!(!output.status.success() && !missing.exists());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("missing.db"), "{error}");

    let output = installation.run(&about("s-88"), &["--provider", "nobody"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("no provider `nobody` is configured; choose one of: acme"), "{error}");
}
