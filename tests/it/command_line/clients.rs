//! `ssfd clients`.

use serde_json::{Value, json};

use super::Workplace;

const ADD: [&str; 6] = ["clients", "add", "--receiver", "acme", "--audience", "https://rx.example"];

fn listed(place: &Workplace) -> Vec<Value> {
    let listed = place.prints_json(&["clients", "list", "--json"]);
    listed.as_array().expect("an array").clone()
}

#[test]
fn a_clients_secret_is_shown_once() {
    let place = Workplace::with_store();
    let made = place.prints_json(&[&ADD[..], &["--client-id", "rx-1", "--json"]].concat());
    let secret = made["client_secret"].as_str().expect("a string");
    assert!(48 <= secret.len(), "{secret}");
    let endpoint = "https://localhost/oauth2/token";
    let store = format!("sqlite:{}", place.path("ssfd.db").display());
    let expected = json!({"client_id": "rx-1", "client_secret": secret, "token_endpoint": endpoint,
            "store": store});
    assert_eq!(made, expected);

    let text = place.succeeds(&["clients", "list"]);
    assert_eq!(
        text,
        "CLIENT  RECEIVER  PROVIDER  SCOPE       LAST USE\n\
         rx-1    acme      default   ssf.manage  none recorded\n"
    );
    let listed = listed(&place);
    let created_at = listed[0]["created_at"].clone();
    assert_eq!(
        listed,
        [json!({"client_id": "rx-1", "provider": "default", "receiver": "acme",
            "audience": "https://rx.example", "scopes": ["ssf.manage"], "created_at": created_at,
            "last_used_at": null})]
    );
    // A client that is added without an id gets a random one.
    let text = place.succeeds(&ADD);
    assert!(text.contains("client_id      client_"), "{text}");
    // Neither of them is a token that an operator made.
    assert_eq!(place.prints_json(&["tokens", "list", "--json"]), json!([]));
}

#[test]
fn a_client_id_is_unique_and_may_be_removed() {
    let place = Workplace::with_store();
    let add = [&ADD[..], &["--client-id", "rx-1"]].concat();
    place.succeeds(&add);
    place.fails(&add, &["rx-1", "already"]);
    let removed = place.prints_json(&["clients", "remove", "rx-1", "--json"]);
    assert_eq!(removed["removed"], "rx-1");
    assert!(
        removed["store"].as_str().is_some_and(|store| store.ends_with("/ssfd.db")),
        "{removed}"
    );
    place.fails(&["clients", "remove", "rx-1"], &["no client `rx-1`"]);
    assert!(listed(&place).is_empty());
}

#[test]
fn a_provider_that_is_unknown_or_has_another_server_gets_no_clients() {
    let place = Workplace::with_store();
    place.configure(
        "[providers.acme.oauth]\nissuer = \"https://as.example\"\n\
         jwks = \"https://as.example/jwks\"\n",
    );
    let at = |provider| [&ADD[..], &["--provider", provider]].concat();
    place.fails(&at("initech"), &["no provider `initech`", "acme"]);
    for there in [&at("acme"), &ADD[..]] {
        place.fails(there, &["https://as.example", "`providers.acme.oauth.clients`"]);
    }
}
