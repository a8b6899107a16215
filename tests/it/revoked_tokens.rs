//! Revoked OAuth tokens: one event becomes a session-revoked or a token-revoked, and never both.

use serde_json::{Value, json};
use ssfd::{
    config::ProviderSettings,
    domain::{grant::Holder, token_revoked::TokenRevoked},
};

use crate::harness::{
    daemon::{Daemon, provider},
    events::SESSION_REVOKED,
    eventually,
    http_client::post,
    redis::Redis,
};

const TOKEN_REVOKED: &str = "https://schemas.openid.net/secevent/oauth/event-type/token-revoked";

/// The record that a real Keycloak sent when a client revoked a refresh token.
const KEYCLOAK: &str =
    include_str!("sources/payloads/keycloak/http-revoke-refresh-token-REVOKE_GRANT.json");
const KEYCLOAK_ISSUER: &str = "https://localhost:13443/realms/main";

/// The settings of a provider, and the type that its streams get.
fn providers() -> Vec<(&'static str, ProviderSettings, &'static str)> {
    let with =
        |name: &str, listed: &[&str], custom: bool, told: Option<TokenRevoked>| ProviderSettings {
            events_supported: listed.iter().map(|&name| name.to_owned()).collect(),
            custom_event_types: custom,
            token_revoked: told,
            ..provider(&format!("https://tx.example/{name}"))
        };
    let both = ["caep:session-revoked", "oauth:token-revoked"];
    let (session, oauth) = (TokenRevoked::SessionRevoked, TokenRevoked::OauthEventType);
    vec![
        ("plain", with("plain", &[], false, None), SESSION_REVOKED),
        ("session", with("session", &[], false, Some(session)), SESSION_REVOKED),
        ("listed", with("listed", &both, false, None), TOKEN_REVOKED),
        ("oauth", with("oauth", &both, false, Some(oauth)), TOKEN_REVOKED),
        ("custom", with("custom", &[], true, None), TOKEN_REVOKED),
        ("narrow", with("narrow", &[], true, Some(session)), SESSION_REVOKED),
    ]
}

/// Adds a source by which Keycloak's records come in.
fn with_keycloak(mut settings: ProviderSettings) -> ProviderSettings {
    let source = json!({
        "preset": "keycloak-http", "auth": {"scheme": "none"}, "vars": {"issuer": KEYCLOAK_ISSUER},
        "enable": ["refresh-token-revoked"], "max_age": "36500d",
    });
    let source = serde_json::from_value(source).expect("a table");
    settings.sources.insert("kc".parse().expect("a name"), source);
    settings
}

fn published(id: &str) -> Value {
    json!({
        "id": id, "type": "oauth:token-revoked",
        "sub_id": {"format": "oauth_token", "token_type": "refresh_token",
            "token_identifier_alg": "hash_SHA512_double", "token": id},
        "event": {"token_subject": {"format": "email", "email": "kim@example.com"}, "reason": "user"},
    })
}

/// Each provider has three streams: one asks for either type, and the others for one each. An event comes
/// over HTTP, by Redis and by a source.
#[actix_web::test]
async fn a_revoked_token_is_told_by_one_type_whichever_way_it_comes() {
    let redis = Redis::start().await;
    let url = redis.url();
    let daemon = Daemon::with(|config| {
        config.ingest.redis.url = Some(url);
        config.sources.listen = Some(([127, 0, 0, 1], 0).into());
        config.providers.clear();
        for (name, settings, _) in providers() {
            config.providers.insert(name.parse().expect("a name"), with_keycloak(settings));
        }
    })
    .await;
    for (name, _, told) in providers() {
        let rx = daemon.client_at(name, "rx").await;
        let mut streams = Vec::new();
        for types in [&[SESSION_REVOKED, TOKEN_REVOKED][..], &[SESSION_REVOKED], &[TOKEN_REVOKED]] {
            let stream = rx.create(&json!({"events_requested": types})).await;
            streams.push((stream["stream_id"].as_str().expect("an id").to_owned(), types));
        }
        let publisher = daemon.token(Holder::Publisher { provider: name.parse().expect("a name") });
        daemon.publish(&publisher.await, &published("http")).await.expect(202);
        redis.publish(&format!("ssf:events:{name}"), &published("redis")).await;
        let source = format!("http://{}/in/{name}/kc", daemon.sources_address());
        post(&source).body(KEYCLOAK).send().await.expect(200);

        let mut sets = Vec::new();
        eventually("three events are there", async || {
            sets.extend(rx.polled(&streams[0].0).await);
            sets.len() == 3
        })
        .await;
        for claims in &sets {
            let types: Vec<_> = claims["events"].as_object().expect("events").keys().collect();
            assert_eq!(types, [told], "{name}: {claims}");
            assert_subject(claims, told);
        }
        for (stream, types) in &streams[1..] {
            let expected = if types == &[told] { 3 } else { 0 };
            assert_eq!(rx.polled(stream).await.len(), expected, "{name}: {types:?}");
        }
    }
}

/// Checks the subject and the members of a SET of one of the three events.
#[track_caller]
fn assert_subject(claims: &Value, told: &str) {
    let (subject, event) = (&claims["sub_id"], &claims["events"][told]);
    let from_keycloak = subject["application"]["id"] == "portal";
    if from_keycloak {
        let user = json!({"format": "iss_sub", "iss": KEYCLOAK_ISSUER,
            "sub": "8edf9283-99e9-4135-a72b-fc0402eefcbe"});
        let session = json!({"format": "opaque", "id": "TFADwZZsgfROO6-_xy9zK_Bl"});
        assert_eq!((&subject["user"], &subject["session"]), (&user, &session));
        assert_eq!(event["event_timestamp"], 1_795_955_426);
    } else if told == SESSION_REVOKED {
        assert_eq!(subject["format"], "complex");
        assert_eq!(subject["user"]["email"], "kim@example.com");
        assert_eq!(subject["session"]["format"], "opaque");
    } else {
        assert_eq!(subject["format"], "oauth_token");
        assert_eq!(event["token_subject"]["email"], "kim@example.com");
    }
    let (reason, reasons) = (event.get("reason"), event.get("reason_admin"));
    assert_eq!(
        (reason.is_some(), reasons.is_some()),
        match told {
            SESSION_REVOKED => (false, true),
            _ => (true, false),
        }
    );
}

/// A repetition is recognized by its id, whatever the event became.
#[actix_web::test]
async fn a_revocation_that_is_published_twice_is_told_once() {
    let daemon = Daemon::start().await;
    let rx = daemon.client("rx").await;
    let stream = rx.create(&json!({"events_requested": [SESSION_REVOKED]})).await;
    let publisher = daemon.publisher_token().await;
    for _ in 0..2 {
        daemon.publish(&publisher, &published("twice")).await.expect(202);
    }
    assert_eq!(rx.polled(stream["stream_id"].as_str().expect("an id")).await.len(), 1);
}

#[actix_web::test]
async fn an_event_that_cannot_be_converted_is_rejected_with_the_member_and_the_rule() {
    let daemon = Daemon::start().await;
    let publisher = daemon.publisher_token().await;
    for (sub_id, detail) in [
        (
            json!({"format": "email", "email": "kim@example.com"}),
            "`sub_id` must identify the token",
        ),
        (
            json!({"format": "oauth_token", "token_type": "access_token",
                "token_identifier_alg": "plain", "token": "s3cret"}),
            "`token_identifier_alg` must be `hash_` and a name",
        ),
    ] {
        let mut event = published("x");
        event["sub_id"] = sub_id;
        let answer = daemon.publish(&publisher, &event).await;
        assert!(answer.text().contains(detail), "no `{detail}` in {}", answer.text());
        assert!(!answer.text().contains("s3cret"));
    }
    assert_eq!(daemon.backlog().await, 0);
}
