//! The commands of operators, and the reference client as a command.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use hyper::Method;
use serde_json::{Value, json};

use super::{AGENTS, AUDIENCE, BAD, Fleet, GOOD, assert_refused};

#[actix_web::test]
async fn an_operator_registers_looks_at_and_revokes_a_device() {
    let fleet = Fleet::new("agents-operating", json!({})).await;
    let daemon = fleet.node();
    let user = r#"{"format":"email","email":"kim@example.com"}"#;
    let add =
        ["devices", "add", AGENTS, "--device", "mac-1", "--name", "Kim", "--platform", "macos"];
    let added = daemon.ssfd_json(&[&add[..], &["--user", user]].concat()).await;
    let token = added["token"].as_str().expect("a token").to_owned();
    assert_eq!(added["audience"], AUDIENCE);
    assert_eq!(added["path"], format!("/in/{}/{AGENTS}", daemon.provider()));
    let taken = daemon.ssfd_fails(&add).await;
    assert!(taken.contains("a device with this id already"), "{taken}");

    let device = fleet.device("mac-1", &token);
    device.is(0, r#"{"os":{"version":"14"},"disk":{"encrypted":false}}"#, "not-compliant").await;
    let list = daemon.ssfd_says(&["devices", "list", AGENTS]).await;
    for part in ["mac-1", "Kim", "not-compliant", "disk os"] {
        assert!(list.contains(part), "{part}: {list}");
    }
    assert!(!list.contains(&token));
    let show = daemon.ssfd_json(&["devices", "show", AGENTS, "mac-1"]).await;
    assert_eq!(show["user"]["email"], "kim@example.com");
    let rules: Vec<_> =
        show["failing"].as_array().expect("rules").iter().map(|one| one["rule"].clone()).collect();
    assert_eq!(rules, ["disk", "os"]);
    assert!(!show.to_string().contains(&token), "the token is shown once");
    assert_eq!(fleet.changes().await.len(), 1);

    let revoked = daemon.ssfd_says(&["devices", "revoke", AGENTS, "mac-1"]).await;
    assert!(revoked.contains("revoked"), "{revoked}");
    assert_refused(device.check_in(GOOD).await);
    assert_eq!(fleet.changes().await, []);
    daemon.ssfd_says(&["devices", "remove", AGENTS, "mac-1"]).await;
    let gone = daemon.ssfd_fails(&["devices", "show", AGENTS, "mac-1"]).await;
    assert!(gone.contains("no such device"), "{gone}");
}

#[actix_web::test]
async fn lists_are_filtered_and_read_page_by_page() {
    let fleet = Fleet::new("agents-operating-list", json!({})).await;
    let mut devices = Vec::new();
    for n in 0..25 {
        devices.push(fleet.add(&format!("dev-{n:02}"), json!({})).await);
    }
    devices[3].is(0, BAD, "not-compliant").await;
    devices[24].is(0, GOOD, "compliant").await;
    let list = async |query: &str| {
        let path = format!("/devices?{query}");
        let answer = fleet.node().admin(&fleet.operator, Method::GET, &path);
        answer.send().await.expect(200).json()
    };
    let ids = |page: &Value| {
        let devices = page["devices"].as_array().expect("devices").iter();
        devices.map(|one| one["device"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    let provider = fleet.node().provider();
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("provider={provider}&agents={AGENTS}&limit=10{after}")).await;
        all.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(all, (0..25).map(|n| format!("dev-{n:02}")).collect::<Vec<_>>());
    assert_eq!(ids(&list("status=not-compliant").await), ["dev-03"]);
    assert_eq!(ids(&list("status=compliant").await), ["dev-24"]);
    assert_eq!(ids(&list("status=unknown").await).len(), 23);
    assert_eq!(ids(&list("admission=revoked").await), [""; 0]);
    assert_eq!(ids(&list("provider=nobody").await), [""; 0]);
    for (query, detail) in [
        ("status=good", "`status` must be"),
        ("admission=good", "`admission` must be"),
        ("agents=x", "`agents` needs `provider`"),
        ("overdue=perhaps", "`overdue`"),
        ("limit=0", "`limit` must be"),
        ("stauts=compliant", "is none of"),
    ] {
        let answer = fleet.node().admin(&fleet.operator, Method::GET, &format!("/devices?{query}"));
        let answer = answer.send().await.expect(400);
        assert!(answer.text().contains(detail), "{query}: {}", answer.text());
    }
}

#[actix_web::test]
async fn bad_registrations_are_named_and_do_nothing() {
    let fleet = Fleet::new("agents-operating-bad", json!({})).await;
    let provider = fleet.node().provider();
    let good = json!({"provider": provider, "agents": AGENTS});
    for (member, value, status, detail) in [
        ("provider", Value::Null, 400, "`provider` is required"),
        ("agents", Value::Null, 400, "`agents` is required"),
        ("agents", json!("nobody"), 404, "no such agents"),
        ("device", json!("a b"), 400, "`device` a device id must be"),
        ("name", json!(""), 400, "`name` must have"),
        ("platform", json!("x".repeat(300)), 400, "`platform` must have"),
        ("user", json!("kim"), 400, "`user`"),
        ("user", json!({"format": "email"}), 400, "`email` is required"),
        (
            "user",
            json!({"format": "complex", "user": {"format": "opaque", "id": "x"}}),
            400,
            "simple",
        ),
        ("token", json!("short"), 400, "`token` must have 32"),
        ("tokn", json!("x"), 400, "is no member"),
    ] {
        let mut body = good.clone();
        body[member] = value;
        let answer = fleet.node().admin(&fleet.operator, Method::POST, "/devices").json(&body);
        let answer = answer.send().await;
        assert_eq!(answer.status.as_u16(), status, "{member}: {}", answer.text());
        assert!(answer.text().contains(detail), "{detail}: {}", answer.text());
    }
    assert_eq!(fleet.node().ssfd_json(&["devices", "list"]).await, json!([]));
}

/// Runs the reference client as a command.
async fn agent(fleet: &Fleet, folder: &Path, more: &[&str]) -> Output {
    let mut ssfd = Command::new(env!("CARGO_BIN_EXE_ssfd"));
    ssfd.env_clear().current_dir(folder).stdin(Stdio::null());
    ssfd.args(["agent", "--url", fleet.url(0).as_str(), "--device", "mac-1", "--once"]);
    ssfd.args(["--audience", AUDIENCE, "--device-token-file", "device.token"]).args(more);
    let run = tokio::task::spawn_blocking(move || ssfd.output());
    run.await.expect("no panic").expect("ssfd runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[actix_web::test]
async fn the_reference_client_reports_facts_of_a_file_and_of_a_command() {
    let fleet = Fleet::new("agents-operating-client", json!({})).await;
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    let device = fleet.add("mac-1", json!({})).await;
    fs::write(place("device.token"), format!("{}\n", device.token)).expect("writable");
    fs::write(place("facts.json"), GOOD).expect("writable");
    let ended = agent(&fleet, folder.path(), &["--facts", "facts.json"]).await;
    assert_eq!(text(&ended.stdout), "compliant\n", "{}", text(&ended.stderr));

    let command = format!("echo '{BAD}'");
    let ended = agent(&fleet, folder.path(), &["--facts-command", &command, "--json"]).await;
    let said: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!(said, json!({"status": "not-compliant", "failing": ["disk"]}));
    assert_eq!(fleet.changes().await.len(), 1);

    fs::write(place("device.token"), "a-token-that-somebody-has-made-up-for-this")
        .expect("writable");
    let ended = agent(&fleet, folder.path(), &["--facts", "facts.json"]).await;
    assert!(!ended.status.success());
    assert!(text(&ended.stderr).contains("refused"), "{}", text(&ended.stderr));
    fs::write(place("device.token"), "\n").expect("writable");
    let ended = agent(&fleet, folder.path(), &["--facts", "facts.json"]).await;
    assert!(text(&ended.stderr).contains("is empty"), "{}", text(&ended.stderr));
}

#[actix_web::test]
async fn the_reference_client_registers_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("enrolment.secret");
    fs::write(&secret, "an-enrolment-secret\n").expect("writable");
    let members = json!({"unknown_devices": "accept", "enrolment_secret_files": [secret]});
    let fleet = Fleet::new("agents-operating-enrol", members).await;
    fs::write(folder.path().join("facts.json"), GOOD).expect("writable");
    for _ in 0..2 {
        let more = ["--facts", "facts.json", "--enrolment-secret-file", "enrolment.secret"];
        let ended = agent(&fleet, folder.path(), &more).await;
        assert_eq!(text(&ended.stdout), "compliant\n", "{}", text(&ended.stderr));
    }
    let token = fs::read_to_string(folder.path().join("device.token")).expect("it made one");
    fleet.device("mac-1", token.trim()).is(0, BAD, "not-compliant").await;
}
