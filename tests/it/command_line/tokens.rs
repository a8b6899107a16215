//! `ssfd tokens`.

use serde_json::{Value, json};

use super::Workplace;

const RECEIVER: [&str; 7] =
    ["tokens", "create", "receiver", "--receiver", "acme", "--audience", "https://rx.example"];
const PUBLISHER: [&str; 3] = ["tokens", "create", "publisher"];

fn listed(place: &Workplace) -> Vec<Value> {
    let listed = place.prints_json(&["tokens", "list", "--json"]);
    listed.as_array().expect("an array").clone()
}

#[test]
fn a_token_is_shown_once_and_then_known_by_the_head_of_its_hash() {
    let place = Workplace::new();
    let made = place.prints_json(&[&RECEIVER[..], &["--scope", "ssf.read", "--json"]].concat());
    let token = made["token"].as_str().expect("a string");
    let id = made["id"].as_str().expect("a string");
    assert!(token.starts_with("ssfd_") && token.len() >= 48, "{token}");

    let text = place.succeeds(&["tokens", "list"]);
    let line = format!("{id}  receiver acme of default, ssf.read, never expires\n");
    assert_eq!(text, line);
    let listed = listed(&place);
    assert_eq!(listed.len(), 1);
    let created_at = listed[0]["created_at"].clone();
    let expected = json!({"id": id, "kind": "receiver", "provider": "default", "receiver": "acme",
        "audience": "https://rx.example", "scopes": ["ssf.read"], "created_at": created_at,
        "expires_at": null});
    assert_eq!(listed[0], expected);
}

#[test]
fn a_revoked_token_is_gone() {
    let place = Workplace::new();
    let one = place.prints_json(&[&RECEIVER[..], &["--json"]].concat());
    let other = place.prints_json(&[&PUBLISHER[..], &["--json"]].concat());
    let id = one["id"].as_str().expect("a string");
    let revoked = place.prints_json(&["tokens", "revoke", id, "--json"]);
    assert_eq!(revoked, json!({"revoked": id}));
    let left: Vec<_> = listed(&place).iter().map(|token| token["id"].clone()).collect();
    assert_eq!(left, std::slice::from_ref(&other["id"]));
    place.fails(&["tokens", "revoke", id], &[id, "no token"]);
    // Not even when it is the only one does nothing name it.
    assert_eq!(place.run(&["tokens", "revoke", ""]).status.code(), Some(2));
    assert_eq!(listed(&place).len(), 1);
}

#[test]
fn a_token_for_an_unknown_provider_is_refused() {
    let place = Workplace::new();
    place.configure(
        "[providers.acme]\nissuer = \"https://tx.example/acme\"\n\
         [providers.globex]\nissuer = \"https://tx.example/globex\"\n",
    );
    for create in [&RECEIVER[..], &PUBLISHER] {
        let words = ["no provider `initech`", "acme, globex"];
        place.fails(&[create, &["--provider", "initech"]].concat(), &words);
        // The default of `--provider` may be unknown, too.
        place.fails(create, &["no provider `default`", "acme, globex"]);
    }
    assert!(listed(&place).is_empty());
}

#[test]
fn a_value_that_breaks_its_rule_is_a_usage_error() {
    for (flag, value) in [("--scope", "ssf.write"), ("--receiver", "a b"), ("--provider", "")] {
        let ended = Workplace::new().run(&[&RECEIVER[..], &[flag, value]].concat());
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(flag), "{}", ended.stderr);
    }
    let place = Workplace::new();
    place.fails(&[&RECEIVER[..], &["--audience", ""]].concat(), &["audience", "non-empty"]);
}

#[test]
fn several_audiences_and_an_expiry_are_kept() {
    let place = Workplace::new();
    let more = ["--audience", "https://rx.example/app", "--expires-in-days", "7"];
    place.succeeds(&[&RECEIVER[..], &more].concat());
    let token = &listed(&place)[0];
    assert_eq!(token["audience"], json!(["https://rx.example", "https://rx.example/app"]));
    let lifetime = token["expires_at"].as_i64().expect("a time")
        - token["created_at"].as_i64().expect("a time");
    assert_eq!(lifetime, 7 * 24 * 3600);
}
