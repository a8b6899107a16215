//! The process is killed after a request was taken in and before its sender has the answer.

use std::{fs, io::Write as _, net::TcpStream};

use serde_json::json;

use super::{SECRET, logout, rules};
use crate::{
    command_line::{Workplace, ask},
    harness::eventually,
};

#[actix_web::test]
async fn a_request_whose_answer_was_lost_gives_one_set_after_its_repetition() {
    let place = Workplace::new();
    fs::write(place.path("secret"), SECRET).expect("writable");
    let rule = &rules()[0];
    place.configure(&format!(
        "sources.listen = \"127.0.0.1:0\"\n\
         [providers.default.sources.kc]\n\
         type = \"/type\"\nid = \"{{/id}}\"\n\
         auth = {{ scheme = \"bearer\", secret_files = [\"secret\"] }}\n\
         [[providers.default.sources.kc.rules]]\n\
         name = \"logout\"\nwhen = {{ \"/type\" = \"LOGOUT\" }}\nemit = {}\n\
         subject = {{ user = {{ opaque = \"{{/user}}\" }}, session = {{ opaque = \"{{/session}}\" }} }}\n",
        rule["emit"],
    ));
    let mut daemon = place.serve();
    let serving = daemon.logs("serving");
    let address = |name: &str| serving[name].as_str().expect("an address").to_owned();
    let (public, sources) = (address("public"), address("sources"));
    let token = place.prints_json(&[
        "tokens",
        "create",
        "receiver",
        "--receiver",
        "rx",
        "--audience",
        "https://rx.example",
        "--scope",
        "ssf.manage",
        "--json",
    ]);
    let token = token["token"].as_str().expect("a token").to_owned();
    let events = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    let body = json!({"events_requested": [events]}).to_string();
    let (status, created) = ask(&public, "POST /ssf/streams", Some(&token), &body);
    assert_eq!(status, 201, "{created}");
    let created: serde_json::Value = serde_json::from_str(&created).expect("JSON");
    let id = created["stream_id"].as_str().expect("an id").to_owned();

    let record = logout("1", "kim").to_string();
    let request = format!(
        "POST /in/default/kc HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SECRET}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{record}",
        record.len()
    );
    let poll = |public: &str, acks: &[String]| {
        let body = json!({"maxEvents": 100, "returnImmediately": true, "ack": acks}).to_string();
        let path = format!("POST /ssf/poll/{id}");
        let (status, answer) = ask(public, &path, Some(&token), &body);
        assert_eq!(status, 200, "{answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        answer["sets"].as_object().expect("SETs").keys().cloned().collect::<Vec<_>>()
    };
    // The sender never reads its answer.
    let mut sender = TcpStream::connect(&sources).expect("it listens");
    sender.write_all(request.as_bytes()).expect("written");
    let mut first = Vec::new();
    eventually("the SET is there", async || {
        first = poll(&public, &[]);
        !first.is_empty()
    })
    .await;
    daemon.signal("KILL");
    daemon.ends();
    drop(sender);

    let mut daemon = place.serve();
    let serving = daemon.logs("serving");
    let address = |name: &str| serving[name].as_str().expect("an address").to_owned();
    let (public, sources) = (address("public"), address("sources"));
    let credential = Some(SECRET);
    for _ in 0..2 {
        let (status, _) = ask(&sources, "POST /in/default/kc", credential, &record);
        assert_eq!(status, 200);
    }
    let again = poll(&public, &first);
    assert!(again.is_empty() || again == first, "{first:?}, {again:?}");
    let left = poll(&public, &first);
    assert!(left.is_empty(), "{left:?}");
}
