//! The commands by which an operator tries a source.

use std::fs;

use serde_json::{Value, json};
use ssfd::clock;

use super::logout;
use crate::{
    command_line::{Daemon, Workplace},
    harness::{authorization_server::Key, events::SESSION_REVOKED},
};

/// A working directory with one source for each scheme that shares a secret.
fn workplace() -> Workplace {
    let place = Workplace::new();
    fs::write(place.path("secret"), "hush-hush-hush").expect("writable");
    fs::write(place.path("whsec"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("writable");
    let schemes = [
        ("bearer", "scheme = \"bearer\""),
        ("header", "scheme = \"header\", header = \"X-Hook\""),
        ("basic", "scheme = \"basic\", user = \"hook\""),
        ("hmac", "scheme = \"hmac\", header = \"X-Sig\", prefix = \"sha256=\""),
        ("timed", "scheme = \"hmac\", header = \"X-Sig\", timestamp = \"ms\""),
        ("webhooks", "scheme = \"standard-webhooks\""),
        (
            "jwt",
            "scheme = \"jwt\", algorithms = [\"HS256\"], issuer = \"i\", audience = \"a\", \
             body_hash_claim = \"hash\"",
        ),
        ("state", "scheme = \"client-state\", header = \"X-State\""),
    ];
    let tables = schemes.map(|(name, scheme)| {
        let file = if name == "webhooks" { "whsec" } else { "secret" };
        format!(
            "[providers.default.sources.{name}]\n\
             type = \"/type\"\nid = \"{{/id}}\"\n\
             auth = {{ {scheme}, secret_files = [\"{file}\"] }}\n\
             [[providers.default.sources.{name}.rules]]\n\
             name = \"logout\"\nwhen = {{ \"/type\" = \"LOGOUT\" }}\n\
             emit = \"caep:session-revoked\"\n\
             subject = {{ user = {{ opaque = \"{{/user}}\" }}, session = {{ opaque = \"{{/session}}\" }} }}\n"
        )
    });
    place.configure(&format!("sources.listen = \"127.0.0.1:0\"\n{}", tables.concat()));
    fs::write(place.path("record.json"), logout("1", "kim").to_string()).expect("writable");
    place
}

fn sources_url(daemon: &mut Daemon) -> String {
    let serving = daemon.logs("serving");
    format!("http://{}", serving["sources"].as_str().expect("an address"))
}

#[test]
fn a_trial_is_signed_as_the_sender_signs() {
    let place = workplace();
    let mut daemon = place.serve();
    let url = sources_url(&mut daemon);
    for source in ["bearer", "header", "basic", "hmac", "timed", "webhooks", "jwt", "state"] {
        let args = ["sources", "test", source, "--send", "record.json", "--url", &url, "--json"];
        let answer = place.prints_json(&args);
        assert_eq!(answer["status"], 200, "{source}: {answer}");
    }
    // Another secret is another sender.
    fs::write(place.path("secret"), "another").expect("writable");
    let args = ["sources", "test", "hmac", "--send", "record.json", "--url", &url];
    let output = place.ssfd(&args).output().expect("ssfd runs");
    assert!(!output.status.success());
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert!(printed.contains("401") && !printed.contains("another"), "{printed}");
    daemon.signal("TERM");
    let (code, lines) = daemon.ends();
    assert_eq!(code, Some(0), "{lines:#?}");
    let log = Value::from(lines).to_string();
    assert!(!log.contains("hush-hush") && !log.contains("kim"), "{log}");
}

#[test]
fn an_explanation_needs_no_daemon() {
    let place = workplace();
    place.create_store();
    let text = place.succeeds(&["explain", "record.json", "--source", "hmac"]);
    for word in ["source default/hmac", "rule logout: matched", "emitted by logout", "kim"] {
        assert!(text.contains(word), "no `{word}` in {text}");
    }
    let json = place.prints_json(&["sources", "try", "hmac", "--file", "record.json", "--json"]);
    assert_eq!(json["records"][0]["results"][0]["result"], "emitted");
    fs::write(place.path("bad.json"), json!({"type": "LOGOUT", "id": "1"}).to_string())
        .expect("writable");
    let args = ["explain", "bad.json", "--source", "default/hmac", "--json"];
    let output = place.ssfd(&args).output().expect("ssfd runs");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["records"][0]["results"][0]["path"], "/session");
    place.fails(&["explain", "record.json", "--source", "other"], &["there is no source `other`"]);
}

#[test]
fn a_token_is_tried_as_its_sender_sends_it() {
    let (place, key) = (Workplace::new(), Key::new());
    let jwks = json!({"keys": [key.jwk]}).to_string();
    fs::write(place.path("jwks.json"), jwks).expect("writable");
    let auth =
        "auth = { jwks = \"jwks.json\", issuer = \"https://idp.example\", audience = \"us\" }";
    place.configure(&format!(
        "sources.listen = \"127.0.0.1:0\"\n\
         [providers.default.sources.partner]\npreset = \"set-relay\"\n{auth}\n\
         [providers.default.sources.idp]\npreset = \"logout-token\"\n{auth}\n"
    ));
    place.create_store();
    let now = clock::now().as_secs();
    let mut claims = json!({
        "iss": "https://idp.example", "aud": "us", "iat": now, "exp": now + 600, "jti": "t-1",
        "sub": "kim", "sid": "s-1",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let token = key.sign(&key.header_of("logout+jwt"), &claims);
    fs::write(place.path("logout"), format!("logout_token={token}")).expect("writable");
    claims["events"] = json!({SESSION_REVOKED: {}, "https://idp.example/event": {}});
    claims["sub_id"] = json!({
        "format": "complex",
        "user": {"format": "email", "email": "kim@example.com"},
        "session": {"format": "opaque", "id": "s-1"},
    });
    let set = key.sign(&key.header_of("secevent+jwt"), &claims);
    fs::write(place.path("set"), set).expect("writable");
    fs::write(place.path("claims.json"), claims.to_string()).expect("writable");
    for (source, file, results) in [
        ("idp", "logout", vec!["emitted"]),
        ("partner", "set", vec!["dropped", "emitted"]),
        ("partner", "claims.json", vec!["dropped", "emitted"]),
    ] {
        let tried = place.prints_json(&["sources", "try", source, "--file", file, "--json"]);
        let records = tried["records"].as_array().expect("records");
        let found: Vec<_> = records.iter().map(|record| &record["results"][0]["result"]).collect();
        assert_eq!(found, results, "{file}: {tried}");
    }
    let mut daemon = place.serve();
    let url = sources_url(&mut daemon);
    for (source, file, status) in [("idp", "logout", 200), ("partner", "set", 202)] {
        let args = ["sources", "test", source, "--send", file, "--url", &url, "--json"];
        assert_eq!(place.prints_json(&args)["status"], status, "{source}");
    }
    daemon.signal("TERM");
    assert_eq!(daemon.ends().0, Some(0));
}
