//! Logout tokens of OpenID providers (OpenID Connect Back-Channel Logout 1.0), through the listener.

use std::fs;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};
use ssfd::{clock, source::settings::SourceSettings};

use super::{Stand, payload};
use crate::{
    harness::{
        authorization_server::{AuthorizationServer, Key},
        eventually,
        http_client::{Answer, post},
    },
    scripted_server::Reply,
};

/// The issuer of the recorded tokens.
const ISSUER: &str = "https://localhost:13443/realms/main";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Returns the table of a source that takes the tokens of a provider with these keys.
fn table(provider: &AuthorizationServer) -> Value {
    json!({
        "preset": "logout-token",
        "auth": {
            "jwks": provider.jwks_url(), "trusted_roots": provider.roots(),
            "jwks_refresh_interval_min": "10ms", "issuer": ISSUER, "audience": "bcl-app",
        },
    })
}

fn claims() -> Value {
    let now = clock::now().as_secs();
    json!({
        "iss": ISSUER, "aud": "bcl-app", "iat": now, "exp": now + 120, "jti": "t-1",
        "sub": "kim", "sid": "s-1", "events": {EVENT: {}},
    })
}

fn with(change: Value) -> Value {
    let mut claims = claims();
    for (name, value) in change.as_object().expect("members") {
        claims[name] = value.clone();
    }
    claims
}

/// Returns the header of a token by this key, with one member changed.
fn header(key: &Key, member: &str, value: &str) -> Value {
    let mut header = key.header_of("logout+jwt");
    header[member] = value.into();
    header
}

fn token(key: &Key, claims: &Value) -> String {
    key.sign(&key.header_of("logout+jwt"), claims)
}

async fn send(stand: &Stand, token: &str) -> Answer {
    let call = stand.call().header("content-type", "application/x-www-form-urlencoded");
    call.body(format!("logout_token={token}")).send().await
}

#[actix_web::test]
async fn a_logout_token_gives_a_set_and_the_same_token_no_second_one() {
    let key = Key::rsa();
    let provider = AuthorizationServer::publishing(&[&key]).await;
    let stand = Stand::of("logout-good", table(&provider), |_| {}).await;
    let good = token(&key, &claims());
    for _ in 0..2 {
        let answer = send(&stand, &good).await.expect(200);
        assert_eq!((answer.header(CACHE_CONTROL), answer.text().as_str()), ("no-store", ""));
    }
    // A new token of the same sign-out, as a provider makes one for each attempt.
    send(&stand, &token(&key, &with(json!({"jti": "t-2"})))).await.expect(200);
    assert_eq!([stand.records("accepted").await, stand.records("duplicate").await], [1, 2]);
    let [set] = &stand.claims().await[..] else { panic!("one SET") };
    let subject = json!({
        "format": "complex",
        "user": {"format": "iss_sub", "iss": ISSUER, "sub": "kim"},
        "session": {"format": "opaque", "id": "s-1"},
    });
    assert_eq!(set["sub_id"], subject);
}

#[actix_web::test]
async fn a_bad_token_is_refused_in_the_words_of_the_protocol_and_counted_by_its_reason() {
    let (key, other) = (Key::new(), Key::new());
    let provider = AuthorizationServer::publishing(&[&key]).await;
    let stand = Stand::of("logout-bad", table(&provider), |_| {}).await;
    let now = clock::now().as_secs();
    let signed = |change: Value| token(&key, &with(change));
    let with_header = |member, value| key.sign(&header(&key, member, value), &claims());
    let name = key.jwk["kid"].as_str().expect("a name");
    let forged = other.sign(&header(&other, "kid", name), &claims());
    for (reason, sent) in [
        ("missing", String::new()),
        ("malformed", "no-token".to_owned()),
        ("wrong", forged),
        ("algorithm", with_header("alg", "none")),
        ("issuer", signed(json!({"iss": "https://other.example"}))),
        ("audience", signed(json!({"aud": "portal"}))),
        ("expired", signed(json!({"exp": now - 3600}))),
        ("old", signed(json!({"iat": now - 3600}))),
        ("future", signed(json!({"iat": now + 3600, "exp": now + 7200}))),
        ("claim", signed(json!({"events": {}}))),
        ("claim", signed(json!({"jti": null}))),
        ("claim", signed(json!({"sub": null, "sid": null}))),
        ("forbidden", signed(json!({"nonce": "n-1"}))),
        ("type", with_header("typ", "at+jwt")),
        ("type", with_header("typ", "secevent+jwt")),
    ] {
        let before = stand.refusals(reason).await;
        let answer = send(&stand, &sent).await.expect(400);
        assert_eq!(answer.header(CACHE_CONTROL), "no-store", "{reason}");
        assert_eq!(answer.header(CONTENT_TYPE), "application/json", "{reason}");
        let body = answer.json();
        assert_eq!(body["error"], "invalid_request", "{reason}");
        let description = body["error_description"].as_str().expect("a text");
        // The description is a text of ours, and repeats nothing of the token.
        for part in sent.split('.').filter(|part| !part.is_empty()) {
            assert!(!description.contains(part), "{description}");
        }
        for value in ["kim", "s-1", "portal", "other.example"] {
            assert!(!description.contains(value), "{description}");
        }
        assert_eq!(stand.refusals(reason).await, before + 1, "{reason}: {description}");
    }
    assert!(stand.claims().await.is_empty());
}

#[actix_web::test]
async fn a_new_key_is_taken_also_under_the_name_of_the_old_one() {
    let (old, mut new) = (Key::new(), Key::new());
    let provider = AuthorizationServer::publishing(&[&old]).await;
    let stand = Stand::of("logout-rotation", table(&provider), |_| {}).await;
    send(&stand, &token(&old, &claims())).await.expect(200);
    provider.publish(&[&old, &new]);
    let next = token(&new, &with(json!({"jti": "t-2", "sid": "s-2"})));
    eventually("the new key is fetched", async || send(&stand, &next).await.status == 200).await;
    // The next key has the name of this one.
    let name = new.jwk["kid"].clone();
    new = Key::new();
    new.jwk["kid"] = name;
    provider.publish(&[&new]);
    let last = token(&new, &with(json!({"jti": "t-3", "sid": "s-3"})));
    eventually("the key is fetched again", async || send(&stand, &last).await.status == 200).await;
    // The old key is gone.
    let answer = send(&stand, &token(&old, &with(json!({"sid": "s-4"})))).await;
    assert!([400, 503].contains(&answer.status.as_u16()), "{}", answer.text());
    assert_eq!(stand.claims().await.len(), 3);
}

#[actix_web::test]
async fn while_the_keys_are_away_the_provider_is_told_to_come_again() {
    let key = Key::new();
    let provider = AuthorizationServer::answering(Reply::status(500)).await;
    let stand = Stand::of("logout-away", table(&provider), |_| {}).await;
    let good = token(&key, &claims());
    let answer = send(&stand, &good).await.expect(503);
    let wait: u64 = answer.header(RETRY_AFTER).parse().expect("seconds");
    assert!((1..=10).contains(&wait), "{wait}");
    assert_eq!(stand.refusals("unavailable").await, 1);
    provider.publish(&[&key]);
    eventually("the keys are back", async || send(&stand, &good).await.status == 200).await;
    assert_eq!(stand.claims().await.len(), 1);
}

/// Returns the claims of a recorded token, as of now.
fn recorded(file: &str) -> Value {
    let form = String::from_utf8(payload("keycloak", file)).expect("ASCII");
    let part = form.split('.').nth(1).expect("a JWS has three parts");
    let part = BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let mut claims: Value = serde_json::from_slice(&part).expect("claims");
    let now = clock::now().as_secs();
    (claims["iat"], claims["exp"]) = (now.into(), (now + 120).into());
    claims
}

/// The recorded token and the recorded webhook of one sign-out, in either order.
#[actix_web::test]
async fn a_logout_token_and_the_webhook_of_the_same_sign_out_give_one_set() {
    for (provider_name, token_first) in [("logout-first", true), ("logout-second", false)] {
        let key = Key::rsa();
        let provider = AuthorizationServer::publishing(&[&key]).await;
        let folder = tempfile::tempdir().expect("a folder");
        let secret = folder.path().join("secret");
        fs::write(&secret, "kc-http-secret").expect("writable");
        let webhook = json!({
            "preset": "keycloak-http", "vars": {"issuer": ISSUER}, "max_age": "100years",
            "auth": {"secret_files": [secret]},
        });
        let stand = Stand::of(provider_name, table(&provider), |config| {
            let provider = config.providers.values_mut().next().expect("a provider");
            let Value::Object(webhook) = webhook else { panic!("a table") };
            provider.sources.insert("hook".parse().expect("a name"), SourceSettings(webhook));
        })
        .await;
        let logout = token(&key, &recorded("bcl-logout-browser.txt"));
        let name = "http-logout-browser-LOGOUT.json";
        let table = String::from_utf8(payload("keycloak", "signatures.tsv")).expect("ASCII");
        let signature = table.lines().find_map(|line| line.strip_prefix(name)).expect("recorded");
        let hook = async || {
            let url = stand.url().replace("/kc", "/hook");
            let call = post(&url).header("x-keycloak-signature", signature.trim());
            call.body(payload("keycloak", name)).send().await.expect(200);
        };
        if !token_first {
            hook().await;
        }
        send(&stand, &logout).await.expect(200);
        if token_first {
            hook().await;
        }
        let [set] = &stand.claims().await[..] else { panic!("one SET") };
        let subject = &set["sub_id"];
        assert_eq!(subject["user"]["sub"], "8edf9283-99e9-4135-a72b-fc0402eefcbe");
        assert_eq!(subject["session"]["id"], "abop0tUfkPNri8mvyq4EjQbm");
        // Whichever came second is the duplicate.
        assert_eq!(stand.records("duplicate").await, u64::from(!token_first));
    }
}
