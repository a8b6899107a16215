//! The source of an authorization server's keys, and the answers to tokens while there are no keys.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::header::RETRY_AFTER;
use serde_json::{Value, json};
use ssfd::auth::settings::OauthSettings;

use crate::{
    harness::{
        authorization_server::{
            AuthorizationServer, Key, assert_token_refused, claims, settings, trust,
        },
        daemon::Daemon,
        eventually,
        http_client::Answer,
    },
    scripted_server::{Gate, Reply},
};

const HOUR: Duration = Duration::from_hours(1);

/// Keys are fetched again whenever there is a reason.
fn eager(settings: OauthSettings) -> OauthSettings {
    OauthSettings { jwks_refresh_interval_min: Duration::from_millis(1), ..settings }
}

/// Keys are fetched once.
fn lazy(settings: OauthSettings) -> OauthSettings {
    OauthSettings {
        jwks_refresh_interval_min: HOUR,
        jwks_max_age: HOUR,
        jwks_keep: HOUR,
        ..settings
    }
}

async fn trusting(settings: OauthSettings) -> Daemon {
    Daemon::with(|config| trust(config, settings)).await
}

#[track_caller]
pub(super) fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status.as_u16(), 503, "{}", answer.text());
    let wait: u64 = answer.header(RETRY_AFTER).parse().expect("seconds");
    assert!(1 <= wait, "{wait}");
}

#[actix_web::test]
async fn a_new_key_is_found_by_the_first_token_that_names_it() {
    let (old, new) = (Key::new(), Key::new());
    let server = AuthorizationServer::publishing(&[&old]).await;
    let daemon = trusting(eager(server.settings())).await;
    daemon.list_with(&old.token()).await.expect(200);
    let token = new.token();
    eventually("there is no such key", async || {
        let answer = daemon.list_with(&token).await;
        answer.status == 401 && answer.text().contains("`kid` names no key")
    })
    .await;
    server.publish(&[&old, &new]);
    eventually("the new key counts", async || daemon.list_with(&new.token()).await.status == 200)
        .await;
    daemon.list_with(&old.token()).await.expect(200);
    // When the server has withdrawn a key, its tokens are no longer accepted.
    server.publish(&[&new]);
    let unknown = Key::new();
    eventually("the old key is gone", async || {
        let unknown = daemon.list_with(&unknown.token()).await.status.as_u16();
        assert!([401, 503].contains(&unknown), "{unknown}");
        daemon.list_with(&old.token()).await.status == 401
    })
    .await;
    daemon.list_with(&new.token()).await.expect(200);
}

/// The key of a token may have been published since the last fetch, so the token is not refused before
/// another fetch. That one needs no further token.
#[actix_web::test]
async fn a_token_of_a_new_key_is_never_refused_while_the_keys_may_be_old() {
    let (old, new) = (Key::new(), Key::new());
    let server = AuthorizationServer::publishing(&[&old]).await;
    let interval = Duration::from_millis(1500);
    let settings = OauthSettings { jwks_refresh_interval_min: interval, ..server.settings() };
    let daemon = trusting(settings).await;
    daemon.list_with(&old.token()).await.expect(200);
    server.publish(&[&old, &new]);
    let first = daemon.list_with(&new.token()).await;
    // On a slow machine the interval may be over already.
    if first.status != 200 {
        assert_unavailable(&first);
        assert_eq!(server.seen().len(), 1, "the interval holds");
    }
    eventually("the keys are fetched again", async || server.seen().len() == 2).await;
    eventually("the new key counts", async || {
        let answer = daemon.list_with(&new.token()).await;
        assert!([200, 503].contains(&answer.status.as_u16()), "{}", answer.text());
        answer.status == 200
    })
    .await;
}

/// An unknown `kid` never causes a second fetch within the interval.
#[actix_web::test]
async fn unknown_keys_do_not_cause_a_flood_of_fetches() {
    let key = Key::new();
    let server = AuthorizationServer::publishing(&[&key]).await;
    let daemon = trusting(lazy(server.settings())).await;
    daemon.list_with(&key.token()).await.expect(200);
    for n in 0..20 {
        let mut header = key.header();
        header["kid"] = format!("made-up-{n}").into();
        let token = key.sign(&header, &claims());
        assert_unavailable(&daemon.list_with(&token).await);
    }
    assert_eq!(server.seen().len(), 1);
}

/// Without keys a token can neither be accepted nor refused.
#[actix_web::test]
async fn while_the_server_gives_no_keys_tokens_are_answered_503() {
    let key = Key::new();
    let location = [("location", "/elsewhere")];
    for reply in [
        Reply::status(500),
        Reply::Nothing,
        // The redirect is not followed, so there are no keys.
        Reply::full(302, &location, r#"{"keys":[]}"#),
        Reply::full(200, &[], "<html>"),
        Reply::full(200, &[], &format!(r#"{{"keys":[],"more":"{}"}}"#, "x".repeat(300_000))),
    ] {
        let server = AuthorizationServer::answering(reply).await;
        let daemon = trusting(eager(server.settings())).await;
        let answer = daemon.list_with(&key.token()).await;
        assert_eq!(answer.status.as_u16(), 503, "{}", answer.text());
        // A text that is not an access token is refused even without keys.
        assert_token_refused(&daemon.list_with("nonsense").await, "refused");
        assert!(server.seen().iter().all(|seen| seen.target == "/jwks"));
        server.publish(&[&key]);
        eventually("the server is back", async || {
            daemon.list_with(&key.token()).await.status == 200
        })
        .await;
    }
}

#[actix_web::test]
async fn a_server_that_is_down_is_not_asked_for_each_token() {
    let key = Key::new();
    let server = AuthorizationServer::answering(Reply::status(503)).await;
    let daemon = trusting(lazy(server.settings())).await;
    for _ in 0..5 {
        assert_unavailable(&daemon.list_with(&key.token()).await);
    }
    assert_eq!(server.seen().len(), 1);
}

/// A server without a trusted certificate may be anybody.
#[actix_web::test]
async fn keys_come_only_over_trusted_tls() {
    let key = Key::new();
    let server = AuthorizationServer::publishing(&[&key]).await;
    let distrusted = OauthSettings { trusted_roots: None, ..server.settings() };
    let daemon = trusting(distrusted).await;
    assert_unavailable(&daemon.list_with(&key.token()).await);
    assert!(server.seen().is_empty());
}

#[actix_web::test]
async fn known_keys_outlive_a_server_that_goes_away() {
    let (known, new) = (Key::new(), Key::new());
    let server = AuthorizationServer::publishing(&[&known]).await;
    let mut settings = eager(server.settings());
    settings.jwks_max_age = Duration::from_millis(1);
    let daemon = trusting(settings).await;
    daemon.list_with(&known.token()).await.expect(200);
    server.answer(Reply::status(502));
    let asked = server.seen().len();
    eventually("the keys are asked for again", async || {
        daemon.list_with(&known.token()).await.expect(200);
        asked + 2 < server.seen().len()
    })
    .await;
    // An unknown key may be a new one, so its tokens cannot be judged.
    daemon.list_with(&new.token()).await.expect(503);
    daemon.list_with(&known.token()).await.expect(200);
}

#[actix_web::test]
async fn keys_are_forgotten_when_the_server_stays_away() {
    let key = Key::new();
    let server = AuthorizationServer::publishing(&[&key]).await;
    let mut settings = eager(server.settings());
    settings.jwks_max_age = Duration::from_millis(1);
    settings.jwks_keep = Duration::from_millis(200);
    let daemon = trusting(settings).await;
    eventually("the keys count", async || daemon.list_with(&key.token()).await.status == 200).await;
    server.answer(Reply::status(502));
    eventually("the keys are too old", async || daemon.list_with(&key.token()).await.status == 503)
        .await;
}

/// Requests that arrive during a fetch wait for it and cause no second one. Cancelling a request
/// does not stop the fetch.
#[actix_web::test]
async fn all_requests_wait_for_one_fetch_and_none_can_stop_it() {
    let key = Key::new();
    let gate = Gate::default();
    let keys = json!({"keys": [key.jwk]}).to_string();
    let server = AuthorizationServer::answering(Reply::full(200, &[], &keys).behind(&gate)).await;
    let daemon = trusting(lazy(server.settings())).await;
    eventually("the keys are asked for", async || !server.seen().is_empty()).await;
    let token = key.token();
    {
        let left = tokio::time::timeout(Duration::from_millis(20), daemon.list_with(&token));
        assert!(left.await.is_err(), "there are no keys yet");
    }
    let (one, other, ()) =
        tokio::join!(daemon.list_with(&token), daemon.list_with(&token), async { gate.open() });
    assert_eq!((one.status.as_u16(), other.status.as_u16()), (200, 200));
    assert_eq!(server.seen().len(), 1);
}

#[actix_web::test]
async fn keys_may_be_in_a_file_that_is_read_again() {
    let (old, new) = (Key::new(), Key::new());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jwks.json");
    let write = |keys: &[&Key]| {
        let keys: Vec<_> = keys.iter().map(|key| &key.jwk).collect();
        // The file is replaced in one step, so a reader finds either the old or the new one.
        let draft = folder.path().join("draft");
        std::fs::write(&draft, json!({"keys": keys}).to_string()).expect("written");
        std::fs::rename(&draft, &file).expect("moved");
    };
    let from_file = || {
        let jwks = Some(file.display().to_string());
        eager(OauthSettings { jwks, ..settings() })
    };
    let refused = Daemon::try_with(|config| trust(config, from_file())).await;
    let error = refused.err().expect("there is no such file").to_string();
    assert!(error.contains("oauth.jwks") && error.contains("jwks.json"), "{error}");
    write(&[&old]);
    let daemon = trusting(from_file()).await;
    daemon.list_with(&old.token()).await.expect(200);
    write(&[&new]);
    eventually("the new key counts", async || daemon.list_with(&new.token()).await.status == 200)
        .await;
}

/// RFC 7518 §2 forbids leading zeros in a number, and RFC 9864 §2.2 gives `EdDSA` another name.
#[actix_web::test]
async fn keys_and_algorithms_are_read_as_other_implementations_write_them() {
    let mut key = Key::rsa();
    for member in ["n", "e"] {
        let number = URL_SAFE_NO_PAD.decode(key.jwk[member].as_str().expect("a string"));
        let number = [&[0, 0], &*number.expect("base64url")].concat();
        key.jwk[member] = URL_SAFE_NO_PAD.encode(number).into();
    }
    key.jwk["use"] = Value::Null;
    let mut edwards = Key::edwards();
    edwards.jwk["alg"] = "Ed25519".into();
    let server = AuthorizationServer::publishing(&[&key, &edwards]).await;
    let daemon = trusting(server.settings()).await;
    daemon.list_with(&key.token()).await.expect(200);
    daemon.list_with(&edwards.token()).await.expect(200);
    let mut header = edwards.header();
    header["alg"] = "Ed25519".into();
    daemon.list_with(&edwards.sign(&header, &claims())).await.expect(200);
    assert_eq!(server.seen()[0].headers["user-agent"], concat!("ssfd/", env!("CARGO_PKG_VERSION")));
}
