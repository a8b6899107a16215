//! Tokens about which the authorization server is asked (RFC 7662).

use std::time::Duration;

use serde_json::{Value, json};
use ssfd::{auth::settings::OauthSettings, domain::grant::Scope};

use crate::harness::authorization_server::{
    active, active_with, asking, assert_token_refused, json_reply,
};

fn asked_each_time(settings: &mut OauthSettings) {
    settings.introspection.cache_for = Duration::ZERO;
}

/// AUTH-03.
#[actix_web::test]
async fn a_revoked_token_is_noticed() {
    let (daemon, server, _folder) = asking(json_reply(&active()), asked_each_time).await;
    daemon.list_with("opaque").await.expect(200);
    server.answer(json_reply(&json!({"active": false})));
    assert_token_refused(&daemon.list_with("opaque").await, "not active");
}

/// An answer for another Transmitter or about another kind of token opens nothing.
#[actix_web::test]
async fn an_introspection_answer_follows_the_rules_of_a_token() {
    let (daemon, server, _folder) = asking(json_reply(&active()), asked_each_time).await;
    for (answer, why) in [
        (json!({}), "not active"),
        (active_with("active", "true".into()), "not active"),
        (active_with("aud", "https://other.example".into()), "`aud`"),
        (active_with("aud", Value::Null), "`aud`"),
        (active_with("iss", "https://other.example".into()), "`iss`"),
        (active_with("exp", 1.into()), "has expired"),
        (active_with("client_id", Value::Null), "no client"),
        (active_with("cnf", json!({})), "`cnf`"),
    ] {
        server.answer(json_reply(&answer));
        assert_token_refused(&daemon.list_with("opaque").await, why);
    }
    server.answer(json_reply(&active_with("client_id", "stranger".into())));
    daemon.list_with("opaque").await.expect(403);
    server.answer(json_reply(&active_with("scope", "openid".into())));
    daemon.list_with("opaque").await.expect(403);
}

/// Tokens of this daemon are never sent to the authorization server.
#[actix_web::test]
async fn the_server_is_not_asked_about_tokens_of_this_daemon() {
    let (daemon, server, _folder) = asking(json_reply(&active()), |_| {}).await;
    let token = daemon.receiver_token("rx", &[Scope::Read]).await;
    daemon.list_with(&token).await.expect(200);
    daemon.list_with("ssfd_unknown").await.expect(401);
    assert!(server.seen().is_empty());
}
