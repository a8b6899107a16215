//! Tokens that the authorization server is asked about (RFC 7662).

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{Method, header::RETRY_AFTER};
use serde_json::{Value, json};
use ssfd::auth::settings::OauthSettings;
use tempfile::TempDir;

use super::assert_invalid_token;
use crate::{
    harness::{
        authorization_server::{AuthorizationServer, CLIENT, SERVER, trust},
        daemon::{Daemon, ISSUER},
    },
    scripted_server::Reply,
};

fn active() -> Value {
    json!({"active": true, "client_id": CLIENT, "aud": ISSUER, "iss": SERVER,
        "scope": "ssf.manage", "token_type": "Bearer"})
}

fn with(member: &str, value: Value) -> Value {
    let mut answer = active();
    answer[member] = value;
    answer
}

fn json_reply(answer: &Value) -> Reply {
    Reply::full(200, &[("content-type", "application/json")], &answer.to_string())
}

/// A daemon that asks a server which answers so.
async fn asking(
    reply: Reply,
    change: impl FnOnce(&mut OauthSettings),
) -> (Daemon, AuthorizationServer, TempDir) {
    let server = AuthorizationServer::answering(reply).await;
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s:3 cret\n").expect("written");
    let mut settings = server.introspecting(&secret);
    change(&mut settings);
    (Daemon::with(|config| trust(config, settings)).await, server, folder)
}

fn asked_each_time(settings: &mut OauthSettings) {
    settings.introspection.cache_for = Duration::ZERO;
}

/// RFC 7662 §2.1, §2.2, §4.
#[actix_web::test]
async fn auth_08_an_answer_counts_briefly_and_without_one_no_token_does() {
    let (daemon, server, _folder) = asking(json_reply(&active()), |settings| {
        settings.introspection.cache_for = Duration::from_hours(1);
    })
    .await;
    let stream = daemon.create_with("opaque&1").await.expect(201).json();
    assert_eq!(stream["aud"], "https://rx.example");
    assert_eq!(daemon.list_with("opaque&1").await.expect(200).json(), json!([stream]));
    let seen = server.seen();
    assert_eq!(seen.len(), 1, "the answer is kept");
    assert_eq!((&seen[0].method, seen[0].target.as_str()), (&Method::POST, "/introspect"));
    let form: HashMap<_, _> = url::form_urlencoded::parse(&seen[0].body).into_owned().collect();
    let expected = [("token", "opaque&1"), ("token_type_hint", "access_token")];
    assert_eq!(form, expected.map(|(name, value)| (name.into(), value.into())).into());
    let shown = seen[0].headers["authorization"].to_str().expect("text");
    let pair = STANDARD.decode(shown.strip_prefix("Basic ").expect("Basic")).expect("base64");
    assert_eq!(pair, b"ssfd+at+home:s%3A3+cret", "each part is encoded as in a form");

    // What the server says of one token it does not say of others.
    server.answer(Reply::status(500));
    let answer = daemon.list_with("opaque-2").await.expect(503);
    assert!(answer.headers.contains_key(RETRY_AFTER));
    daemon.list_with("opaque&1").await.expect(200);
    for reply in [Reply::Nothing, Reply::full(200, &[], "[]"), Reply::full(302, &[], "")] {
        server.answer(reply);
        daemon.list_with("opaque-2").await.expect(503);
    }
    server.answer(json_reply(&active()));
    daemon.list_with("opaque-2").await.expect(200);
}

/// AUTH-03.
#[actix_web::test]
async fn a_revoked_token_is_noticed() {
    let (daemon, server, _folder) = asking(json_reply(&active()), asked_each_time).await;
    daemon.list_with("opaque").await.expect(200);
    server.answer(json_reply(&json!({"active": false})));
    assert_invalid_token(&daemon.list_with("opaque").await, "not active");
}

/// An answer for somebody else, or about another token, opens nothing.
#[actix_web::test]
async fn an_answer_is_held_to_the_rules_of_a_token() {
    let (daemon, server, _folder) = asking(json_reply(&active()), asked_each_time).await;
    for (answer, why) in [
        (json!({}), "not active"),
        (with("active", "true".into()), "not active"),
        (with("aud", "https://other.example".into()), "`aud`"),
        (with("aud", Value::Null), "`aud`"),
        (with("iss", "https://other.example".into()), "`iss`"),
        (with("exp", 1.into()), "has expired"),
        (with("client_id", Value::Null), "no client"),
        (with("cnf", json!({})), "`cnf`"),
    ] {
        server.answer(json_reply(&answer));
        assert_invalid_token(&daemon.list_with("opaque").await, why);
    }
    server.answer(json_reply(&with("client_id", "stranger".into())));
    daemon.list_with("opaque").await.expect(403);
    server.answer(json_reply(&with("scope", "openid".into())));
    daemon.list_with("opaque").await.expect(403);
}

/// A token of ours is nobody else's business.
#[actix_web::test]
async fn the_server_is_not_asked_about_our_own_tokens() {
    let (daemon, server, _folder) = asking(json_reply(&active()), |_| {}).await;
    let token = daemon.receiver_token("rx", &[ssfd::domain::grant::Scope::Read]).await;
    daemon.list_with(&token).await.expect(200);
    daemon.list_with("ssfd_unknown").await.expect(401);
    assert!(server.seen().is_empty());
}
