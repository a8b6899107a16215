//! Long polls whose tokens end while they wait. Each of them ends at once with 401 and takes no SET, although
//! nothing else would wake it.

use std::{sync::Arc, time::Duration};

use hyper::header::WWW_AUTHENTICATE;
use serde_json::{Value, json};
use ssfd::{
    auth, clock,
    config::Config,
    domain::{
        grant::{Grant, Scope},
        secret::Secret,
    },
    store::{ClientStore as _, Store, TokenStore as _, sqlite::SqliteStore},
};
use tokio::task::spawn_local;

use crate::{
    harness::{
        authorization_server::{
            AuthorizationServer, CLIENT, Key, active, introspecting, json_reply, trust,
        },
        daemon::{Daemon, holder},
        eventually,
        http_client::{Answer, post},
        polling::waits_long,
        receiver_client::CHALLENGE,
        streams::by_poll,
    },
    oauth::token_endpoint::{add_client, token_for},
};

/// Nothing ends a poll before its time but the end of its token.
fn patient(config: &mut Config) {
    waits_long(config);
    config.poll.redelivery_interval = Duration::from_hours(1);
}

/// Polls a stream of the Receiver `rx` with a token, and has `end` end the token while the poll waits.
/// Afterwards an event goes to the same Receiver with another token.
async fn ends(daemon: &Daemon, token: &str, end: impl AsyncFnOnce()) {
    ends_with(daemon, async || token.to_owned(), end).await;
}

/// The same for a token that is made right before the poll.
async fn ends_with(daemon: &Daemon, token: impl AsyncFnOnce() -> String, end: impl AsyncFnOnce()) {
    let other = daemon.receiver_token("rx", &[Scope::Manage]).await;
    let stream = daemon.create_stream(&other, by_poll()).await;
    let url = daemon.provider_url(daemon.provider(), "/ssf/poll/") + &stream;
    let call = post(&url).bearer(&token().await).json(&json!({}));
    let poll = spawn_local(call.send());
    eventually("the poll waits", async || waiting(daemon, &stream).await == 1).await;

    end().await;
    let answer = poll.await.expect("no panic").expect(401);
    let challenge = answer.header(WWW_AUTHENTICATE);
    assert!(challenge.starts_with(CHALLENGE), "{challenge}");
    assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");

    let publisher = daemon.publisher_token().await;
    daemon.publish_about(&publisher, &["s-1"]).await;
    let now = json!({"returnImmediately": true});
    let answer: Answer = daemon.poll(&other, &stream, &now).await.expect(200);
    assert_eq!(answer.json()["sets"].as_object().map(serde_json::Map::len), Some(1));
}

async fn waiting(daemon: &Daemon, stream: &str) -> u64 {
    let token = daemon.operator_token().await;
    let path = format!("/streams/{stream}");
    let shown: Value =
        daemon.admin(&token, hyper::Method::GET, &path).send().await.expect(200).json();
    shown["polling"]["long_polls"].as_u64().expect("a number")
}

fn hash(token: &str) -> ssfd::domain::grant::TokenHash {
    auth::hash(&Secret::new(token))
}

#[actix_web::test]
async fn a_poll_ends_when_its_token_is_revoked() {
    let daemon = Daemon::with(patient).await;
    let token = daemon.receiver_token("rx", &[Scope::Read]).await;
    ends(&daemon, &token, async || {
        assert!(daemon.store().revoke_grant(&hash(&token)).await.expect("revoked"));
    })
    .await;
}

/// The command line opens the database in a process of its own.
#[actix_web::test]
async fn a_poll_ends_when_its_token_is_revoked_by_another_process() {
    let mut daemon = Daemon::with(patient).await;
    let token = daemon.receiver_token("rx", &[Scope::Read]).await;
    let settings = daemon.config().store.sqlite.clone();
    let beside: Arc<dyn Store> = Arc::new(SqliteStore::open(&settings).expect("opens"));
    ends(&daemon, &token, async || {
        assert!(beside.revoke_grant(&hash(&token)).await.expect("revoked"));
    })
    .await;
}

#[actix_web::test]
async fn a_poll_ends_when_its_client_is_removed() {
    let daemon = Daemon::with(patient).await;
    let secret = add_client(&daemon, "rx", &[Scope::Read]).await;
    let token = token_for(&daemon, "rx", &secret).await;
    ends(&daemon, &token, async || {
        let client = "rx".parse().expect("an id");
        assert!(daemon.store().delete_client(&client).await.expect("removed"));
    })
    .await;
}

#[actix_web::test]
async fn a_poll_ends_when_its_client_has_newer_tokens() {
    let daemon = Daemon::with(|config| {
        patient(config);
        for provider in config.providers.values_mut() {
            provider.token_endpoint.tokens_per_client_max = 1;
        }
    })
    .await;
    let secret = add_client(&daemon, "rx", &[Scope::Read]).await;
    let token = token_for(&daemon, "rx", &secret).await;
    ends(&daemon, &token, async || {
        // Of two tokens of the same millisecond, either may stay.
        eventually("the token has given way", async || {
            token_for(&daemon, "rx", &secret).await;
            daemon.store().grant(&hash(&token)).await.expect("readable").is_none()
        })
        .await;
    })
    .await;
}

#[actix_web::test]
async fn a_poll_ends_when_its_token_expires() {
    let daemon = Daemon::with(patient).await;
    let make = async || {
        let token = auth::new_token();
        let grant = Grant {
            hash: auth::hash(&token),
            holder: holder("rx", &["https://rx.example"], &[Scope::Read]).into(),
            created_at: clock::now(),
            expires_at: Some(clock::now() + Duration::from_secs(3)),
        };
        daemon.store().put_grant(grant).await.expect("kept");
        token.expose().to_owned()
    };
    ends_with(&daemon, make, async || ()).await;
}

#[actix_web::test]
async fn a_poll_ends_when_its_access_token_expires() {
    let key = Key::new();
    let server = AuthorizationServer::publishing(&[&key]).await;
    let mut settings = server.settings();
    settings.leeway = Duration::ZERO;
    let daemon = Daemon::with(|config| {
        patient(config);
        trust(config, settings);
    })
    .await;
    let make = async || key.token_with("exp", Some((clock::now().as_secs() + 4).into()));
    ends_with(&daemon, make, async || ()).await;
}

/// The server is asked again when its answer no longer counts.
#[actix_web::test]
async fn a_poll_ends_when_its_server_revokes_its_token() {
    let server = AuthorizationServer::answering(json_reply(&active())).await;
    for cache_for in [Duration::ZERO, Duration::from_secs(1)] {
        server.answer(json_reply(&active()));
        let (daemon, _folder) = introspecting(&server, |config, settings| {
            patient(config);
            settings.introspection.cache_for = cache_for;
        })
        .await;
        ends(&daemon, "opaque", async || {
            server.answer(json_reply(&json!({"active": false, "client_id": CLIENT})));
        })
        .await;
    }
}
