//! The built-in authorization server (RFC 6749 §4.4).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    Method,
    header::{ALLOW, CACHE_CONTROL, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;
use ssfd::{
    auth, clock,
    config::Config,
    domain::{audience::Audience, client::Client, grant::Scope},
};

use crate::harness::{
    authorization_server::assert_token_refused,
    daemon::{Daemon, PROVIDER, provider},
    eventually,
    http_client::{Answer, Call, post},
};

const GRANT: &str = "grant_type=client_credentials";

/// A client of the Receiver `rx`; returns its secret.
pub(crate) async fn add_client(daemon: &Daemon, id: &str, scopes: &[Scope]) -> String {
    let secret = auth::new_token();
    let client = Client {
        id: id.parse().expect("an id"),
        secret: auth::hash(&secret),
        provider: PROVIDER.parse().expect("a name"),
        receiver: "rx".parse().expect("an id"),
        audience: Audience::one("https://rx.example").expect("not empty"),
        scopes: scopes.to_vec(),
        created_at: clock::now(),
    };
    daemon.store().create_client(client).await.expect("kept");
    secret.expose().to_owned()
}

fn request(daemon: &Daemon, form: &str) -> Call {
    post(&daemon.provider_url(PROVIDER, "/oauth2/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_owned())
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// Asks with HTTP Basic.
async fn ask(daemon: &Daemon, id: &str, secret: &str, form: &str) -> Answer {
    request(daemon, form).header("authorization", &basic(id, secret)).send().await
}

#[track_caller]
fn token_of(answer: &Answer) -> String {
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    answer.json()["access_token"].as_str().expect("a token").to_owned()
}

#[track_caller]
fn assert_error(answer: &Answer, status: u16, error: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    assert_eq!(answer.json()["error"], error);
    assert!(answer.json()["error_description"].is_string());
    assert_eq!((answer.header(CACHE_CONTROL), answer.header(PRAGMA)), ("no-store", "no-cache"));
}

/// RFC 6749 §2.3.1, §4.4.3, §5.1; AUTH-07.
#[actix_web::test]
async fn a_client_gets_a_token_by_its_secret_and_the_token_opens_its_streams() {
    let daemon = Daemon::start().await;
    let secret = add_client(&daemon, "client-1", &[Scope::Manage]).await;
    let by_form = format!("{GRANT}&client_id=client-1&client_secret={secret}");
    for answer in [
        ask(&daemon, "client-1", &secret, GRANT).await,
        ask(&daemon, "client-1", &secret, &format!("{GRANT}&client_id=client-1&scope=")).await,
        ask(&daemon, "client%2d1", &secret, &format!("{GRANT}&resource=x&resource=y")).await,
        request(&daemon, &by_form).send().await,
    ] {
        let token = token_of(&answer);
        let expected = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600,
            "scope": "ssf.manage"});
        assert_eq!(answer.json(), expected);
        assert_eq!((answer.header(CACHE_CONTROL), answer.header(PRAGMA)), ("no-store", "no-cache"));
        let stream = daemon.create_with(&token).await.expect(201).json();
        assert_eq!(stream["aud"], "https://rx.example");
        let id = stream["stream_id"].as_str().expect("an id");
        daemon.delete_stream(&token, id).await.expect(204);
    }
}

/// RFC 6749 §5.2, to the code.
#[actix_web::test]
async fn a_request_without_a_token_says_why() {
    let daemon = Daemon::with(|config| {
        let other = "other".parse().expect("a name");
        config.providers.insert(other, provider("https://tx.example/t/other"));
    })
    .await;
    let secret = add_client(&daemon, "rx", &[Scope::Read]).await;
    let by_form = format!("&client_id=rx&client_secret={secret}");
    let ask = async |form: &str| ask(&daemon, "rx", &secret, form).await;

    assert_error(&ask("").await, 400, "invalid_request");
    assert_error(&ask("grant_type=").await, 400, "invalid_request");
    assert_error(&ask("grant_type=authorization_code").await, 400, "unsupported_grant_type");
    assert_error(&ask(&format!("{GRANT}&{GRANT}")).await, 400, "invalid_request");
    for scope in ["ssf.manage", "ssf.read+ssf.manage", "openid", "ssf.read++ssf.read"] {
        assert_error(&ask(&format!("{GRANT}&scope={scope}")).await, 400, "invalid_scope");
    }
    // More than one method, or two names.
    assert_error(&ask(&format!("{GRANT}{by_form}")).await, 400, "invalid_request");
    assert_error(&ask(&format!("{GRANT}&client_id=other")).await, 400, "invalid_request");
    let twice = request(&daemon, GRANT)
        .header("authorization", &basic("rx", &secret))
        .header("authorization", &basic("rx", &secret));
    assert_error(&twice.send().await, 400, "invalid_request");

    let url = daemon.provider_url(PROVIDER, "/oauth2/token");
    let untyped = post(&url).header("authorization", &basic("rx", &secret)).body(GRANT);
    assert_error(&untyped.send().await, 400, "invalid_request");
    let json = post(&url).json(&json!({"grant_type": "client_credentials"}));
    assert_error(&json.send().await, 400, "invalid_request");
    let large = request(&daemon, &format!("{GRANT}&x={}", "x".repeat(20_000)));
    large.send().await.expect(413);
    let answer = Call::new(Method::GET, &url).send().await.expect(405);
    assert_eq!(answer.header(ALLOW), "POST");
}

/// RFC 6749 §5.2: which of the two is wrong is not told, and what is asked for is not looked at.
#[actix_web::test]
async fn a_client_that_is_not_known_gets_nothing() {
    let daemon = Daemon::with(|config| {
        let other = "other".parse().expect("a name");
        config.providers.insert(other, provider("https://tx.example/t/other"));
    })
    .await;
    let secret = add_client(&daemon, "rx", &[Scope::Manage]).await;
    let bearer = format!("Bearer {secret}");
    let mut said = Vec::new();
    for credential in [
        Some(basic("rx", "wrong")),
        Some(basic("rx", &secret[1..])),
        Some(basic("unknown", &secret)),
        Some(basic("a b", &secret)),
        Some(basic("rx", "")),
        Some(bearer),
        Some("Basic !".to_owned()),
        None,
    ] {
        let mut call = request(&daemon, "grant_type=password");
        if let Some(credential) = &credential {
            call = call.header("authorization", credential);
        }
        let answer = call.send().await;
        assert_error(&answer, 401, "invalid_client");
        assert_eq!(answer.header(WWW_AUTHENTICATE), r#"Basic realm="ssf""#);
        said.push(answer.text());
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    // Not in the query, and not at another provider.
    let url = daemon.provider_url(PROVIDER, "/oauth2/token");
    let query = post(&format!("{url}?{GRANT}&client_id=rx&client_secret={secret}"))
        .header("content-type", "application/x-www-form-urlencoded");
    assert_error(&query.send().await, 401, "invalid_client");
    let elsewhere = post(&daemon.provider_url("other", "/oauth2/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", &basic("rx", &secret))
        .body(GRANT);
    assert_error(&elsewhere.send().await, 401, "invalid_client");
}

/// AUTH-04 (RFC 6749 §3.3).
#[actix_web::test]
async fn a_token_may_be_asked_for_with_less_than_the_client_may() {
    let daemon = Daemon::start().await;
    let secret = add_client(&daemon, "rx", &[Scope::Manage]).await;
    let answer = ask(&daemon, "rx", &secret, &format!("{GRANT}&scope=ssf.read")).await;
    assert_eq!(answer.json()["scope"], "ssf.read");
    let token = token_of(&answer);
    daemon.list_with(&token).await.expect(200);
    daemon.create_with(&token).await.expect(403);
}

/// AUTH-03: from then on, not from the next hour on.
#[actix_web::test]
async fn a_removed_clients_tokens_end_with_it() {
    let daemon = Daemon::start().await;
    let secret = add_client(&daemon, "rx", &[Scope::Manage]).await;
    let token = token_of(&ask(&daemon, "rx", &secret, GRANT).await);
    daemon.list_with(&token).await.expect(200);
    daemon.store().delete_client(&"rx".parse().expect("an id")).await.expect("removed");
    assert_token_refused(&daemon.list_with(&token).await, "bearer token");
    assert_error(&ask(&daemon, "rx", &secret, GRANT).await, 401, "invalid_client");
}

/// Changes the token endpoint of the only provider.
fn endpoint(config: &mut Config) -> &mut auth::settings::TokenEndpointSettings {
    &mut config.providers.values_mut().next().expect("there is one").token_endpoint
}

#[actix_web::test]
async fn a_client_has_a_bounded_number_of_live_tokens() {
    let daemon = Daemon::with(|config| endpoint(config).tokens_per_client_max = 2).await;
    let secret = add_client(&daemon, "rx", &[Scope::Read]).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(token_of(&ask(&daemon, "rx", &secret, GRANT).await));
    }
    // Those issued within one millisecond are equally old: any two are left.
    let mut live = 0;
    for token in &tokens {
        live += usize::from(daemon.list_with(token).await.status == 200);
    }
    assert_eq!(live, 2);
}

/// AUTH-03.
#[actix_web::test]
async fn a_token_expires_and_then_goes() {
    let daemon = Daemon::with(|config| {
        endpoint(config).token_lifetime = std::time::Duration::from_secs(1);
        config.store.expiry_interval = std::time::Duration::from_millis(10);
    })
    .await;
    let secret = add_client(&daemon, "rx", &[Scope::Read]).await;
    let answer = ask(&daemon, "rx", &secret, GRANT).await;
    assert_eq!(answer.json()["expires_in"], 1);
    let token = token_of(&answer);
    let hash = auth::hash(&ssfd::domain::secret::Secret::new(token.as_str()));
    eventually("the token is gone from the store", async || {
        daemon.store().grant(&hash).await.expect("readable").is_none()
    })
    .await;
    assert_token_refused(&daemon.list_with(&token).await, "bearer token");
}

/// Until one is answered 429.
async fn paced(daemon: &Daemon, id: &str, secret: &str) -> Answer {
    let mut last = None;
    eventually("too many requests", async || {
        let answer = ask(daemon, id, secret, GRANT).await;
        let paced = answer.status == 429;
        last = Some(answer);
        paced
    })
    .await;
    last.expect("an answer")
}

#[actix_web::test]
async fn tokens_and_guesses_are_paced_for_each_client_apart() {
    let daemon = Daemon::with(|config| endpoint(config).requests_per_second_max = 1).await;
    let secret = add_client(&daemon, "rx", &[Scope::Read]).await;
    for shown in [secret.as_str(), "wrong"] {
        let answer = paced(&daemon, "rx", shown).await;
        assert_error(&answer, 429, "temporarily_unavailable");
        let wait: u64 = answer.header(RETRY_AFTER).parse().expect("seconds");
        assert_eq!(wait, 1);
    }
    // Another client does not wait for it.
    let other = add_client(&daemon, "other", &[Scope::Read]).await;
    token_of(&ask(&daemon, "other", &other, GRANT).await);
}
