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
fn a_token_is_shown_once_and_then_listed_by_the_first_digits_of_its_hash() {
    let place = Workplace::with_store();
    let made = place.prints_json(&[&RECEIVER[..], &["--scope", "ssf.read", "--json"]].concat());
    let token = made["token"].as_str().expect("a string");
    let id = made["id"].as_str().expect("a string");
    assert!(token.starts_with("ssfd_") && token.len() >= 48, "{token}");

    let text = place.succeeds(&["tokens", "list"]);
    let header = "ID            NAME  HOLDER                    SCOPE     EXPIRES  LAST USE";
    let line = format!("{id}  -     receiver acme of default  ssf.read  never    none recorded");
    assert_eq!(text, format!("{header}\n{line}\n"));
    let listed = listed(&place);
    assert_eq!(listed.len(), 1);
    let created_at = listed[0]["created_at"].clone();
    let expected = json!({"id": id, "kind": "receiver", "provider": "default", "receiver": "acme",
        "audience": "https://rx.example", "scopes": ["ssf.read"], "created_at": created_at,
        "expires_at": null, "name": null, "last_used_at": null});
    assert_eq!(listed[0], expected);
}

#[test]
fn an_audience_of_one_value_is_a_string_unless_an_array_is_wanted() {
    let place = Workplace::with_store();
    for (args, audience) in [
        (&["--audience-array"][..], json!(["https://rx.example"])),
        (&["--audience", "b"], json!(["https://rx.example", "b"])),
        (&["--audience", "b", "--audience-array"], json!(["https://rx.example", "b"])),
    ] {
        let id = place.prints_json(&[&RECEIVER[..], args, &["--json"]].concat())["id"].clone();
        let listed = listed(&place);
        let made = listed.iter().find(|token| token["id"] == id).expect("it is listed");
        assert_eq!(made["audience"], audience, "{args:?}");
    }
}

#[test]
fn a_token_has_a_name_in_lists_and_two_may_share_it() {
    let place = Workplace::with_store();
    let operator = ["tokens", "create", "operator"];
    let named = |create: &[&str], name| {
        let made = place.prints_json(&[create, &["--name", name, "--json"]].concat());
        assert_eq!(made["name"], name);
        made["id"].as_str().expect("a string").to_owned()
    };
    let made = [
        named(&operator, "on-call"),
        named(&operator, "on-call"),
        named(&RECEIVER, "acme-2026"),
        named(&PUBLISHER, "idp"),
    ];
    let listed = listed(&place);
    let shown: Vec<_> = listed.iter().map(|token| (&token["id"], &token["name"])).collect();
    for (id, name) in made.iter().zip(["on-call", "on-call", "acme-2026", "idp"]) {
        assert!(shown.contains(&(&json!(id), &json!(name))), "{listed:?}");
    }
    let text = place.succeeds(&["tokens", "list"]);
    let line = format!("{}  on-call    operator  ", made[0]);
    assert!(text.contains(&line), "{text}");
    place.succeeds(&["tokens", "revoke", &made[1]]);
    assert!(place.succeeds(&["tokens", "list"]).contains(&line));
}

#[test]
fn a_name_that_breaks_the_rule_is_a_usage_error() {
    let place = Workplace::with_store();
    for name in ["", "on call", "über", &"x".repeat(65)] {
        let ended = place.run(&["tokens", "create", "operator", "--name", name]);
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("1 to 64 characters"), "{}", ended.stderr);
    }
    assert!(listed(&place).is_empty());
}

#[test]
fn a_revoked_token_is_gone() {
    let place = Workplace::with_store();
    let one = place.prints_json(&[&RECEIVER[..], &["--json"]].concat());
    let other = place.prints_json(&[&PUBLISHER[..], &["--json"]].concat());
    let id = one["id"].as_str().expect("a string");
    let revoked = place.prints_json(&["tokens", "revoke", id, "--json"]);
    assert_eq!(revoked, json!({"revoked": id, "store": one["store"]}));
    let left: Vec<_> = listed(&place).iter().map(|token| token["id"].clone()).collect();
    assert_eq!(left, std::slice::from_ref(&other["id"]));
    place.fails(&["tokens", "revoke", id], &[id, "no token"]);
    // The empty text names no token, even if there is only one.
    assert_eq!(place.run(&["tokens", "revoke", ""]).status.code(), Some(2));
    assert_eq!(listed(&place).len(), 1);
}

#[test]
fn a_token_for_an_unknown_provider_is_refused() {
    let place = Workplace::with_store();
    place.configure(
        "[providers.acme]\nissuer = \"https://tx.example/acme\"\n\
         [providers.globex]\nissuer = \"https://tx.example/globex\"\n",
    );
    for create in [&RECEIVER[..], &PUBLISHER] {
        let words = ["no provider `initech`", "acme, globex"];
        place.fails(&[create, &["--provider", "initech"]].concat(), &words);
        // Nothing says which of the two is meant.
        place.fails(create, &["--provider", "acme, globex"]);
    }
    assert!(listed(&place).is_empty());
}

/// One provider of any name needs no `--provider`, and two always do, even if one is the default.
#[test]
fn the_provider_may_be_left_out_only_if_there_is_one() {
    let place = Workplace::with_store();
    let provider =
        |name: &str| format!("[providers.{name}]\nissuer = \"https://tx.example/{name}\"\n");
    place.configure(&provider("acme"));
    for create in [&RECEIVER[..], &PUBLISHER] {
        place.succeeds(create);
    }
    assert!(listed(&place).iter().all(|token| token["provider"] == "acme"));
    place.configure(&[provider("default"), provider("globex")].concat());
    std::fs::write(place.path("event.json"), "{}").expect("written");
    let client = ["clients", "add", "--receiver", "acme", "--audience", "https://rx.example"];
    for command in [&RECEIVER[..], &PUBLISHER, &client, &["explain", "event.json"]] {
        place.fails(command, &["--provider", "default, globex"]);
    }
}

#[test]
fn the_help_says_how_several_audiences_become_an_array() {
    let place = Workplace::new();
    for command in [&["tokens", "create", "receiver"][..], &["clients", "add"]] {
        let help = place.succeeds(&[command, &["--help"]].concat());
        assert!(help.contains("several times, and then `aud` is an array"), "{help}");
    }
}

#[test]
fn a_value_that_breaks_its_rule_is_a_usage_error() {
    for (flag, value) in [("--scope", "ssf.write"), ("--receiver", "a b"), ("--provider", "")] {
        let ended = Workplace::new().run(&[&RECEIVER[..], &[flag, value]].concat());
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(flag), "{}", ended.stderr);
    }
    let place = Workplace::with_store();
    place.fails(&[&RECEIVER[..], &["--audience", ""]].concat(), &["audience", "non-empty"]);
}

#[test]
fn several_audiences_and_an_expiry_are_kept() {
    let place = Workplace::with_store();
    let more = ["--audience", "https://rx.example/app", "--expires-in-days", "7"];
    place.succeeds(&[&RECEIVER[..], &more].concat());
    let token = &listed(&place)[0];
    assert_eq!(token["audience"], json!(["https://rx.example", "https://rx.example/app"]));
    let lifetime = token["expires_at"].as_i64().expect("a time")
        - token["created_at"].as_i64().expect("a time");
    assert_eq!(lifetime, 7 * 24 * 3600);
}

/// A script takes the token from standard output, so the store is named on standard error.
#[test]
fn the_store_that_was_changed_is_named() {
    let place = Workplace::with_store();
    let store = format!("sqlite:{}", place.path("ssfd.db").display());
    let made = place.run(&PUBLISHER);
    assert!(
        made.stdout.starts_with("ssfd_") && made.stdout.lines().count() == 1,
        "{}",
        made.stdout
    );
    assert!(made.stderr.contains(&store), "{}", made.stderr);
    let made = place.prints_json(&[&PUBLISHER[..], &["--json"]].concat());
    assert_eq!(made["store"], json!(store));
    let revoked = place.succeeds(&["tokens", "revoke", made["id"].as_str().expect("an id")]);
    assert!(revoked.contains(&store), "{revoked}");
}
