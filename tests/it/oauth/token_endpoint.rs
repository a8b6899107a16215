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
    domain::{
        audience::Audience,
        client::Client,
        grant::{Credential, Scope},
    },
    store::{ClientStore as _, TokenStore as _, records::last_use::LastUseStore as _},
};

use crate::harness::{
    authorization_server::assert_token_refused,
    daemon::{Daemon, PROVIDER, provider},
    eventually,
    http_client::{Answer, Call, post},
};

const GRANT: &str = "grant_type=client_credentials";

/// Adds a client of the Receiver `rx` and returns its secret.
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

/// Requests a token with HTTP Basic.
async fn ask(daemon: &Daemon, id: &str, secret: &str, form: &str) -> Answer {
    request(daemon, form).header("authorization", &basic(id, secret)).send().await
}

/// Returns a token of a client.
pub(crate) async fn token_for(daemon: &Daemon, id: &str, secret: &str) -> String {
    token_of(&ask(daemon, id, secret, GRANT).await)
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
async fn a_client_gets_a_token_for_its_streams_by_its_secret() {
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

/// RFC 6749 §5.2: each error has its code.
#[actix_web::test]
async fn a_refused_token_request_has_an_error_code() {
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
    // Two authentication methods, or two different client ids.
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

/// RFC 6749 §5.2: the response does not tell whether id or secret is wrong, and the request is not
/// checked.
#[actix_web::test]
async fn an_unknown_client_gets_no_token() {
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
    // Credentials are accepted neither in the query nor at another provider.
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
async fn a_client_may_ask_for_fewer_scopes_than_it_has() {
    let daemon = Daemon::start().await;
    let secret = add_client(&daemon, "rx", &[Scope::Manage]).await;
    let answer = ask(&daemon, "rx", &secret, &format!("{GRANT}&scope=ssf.read")).await;
    assert_eq!(answer.json()["scope"], "ssf.read");
    let token = token_of(&answer);
    daemon.list_with(&token).await.expect(200);
    daemon.create_with(&token).await.expect(403);
}

/// AUTH-03: the tokens are refused at once and not only when they expire.
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

#[actix_web::test]
async fn the_last_use_of_a_credential_is_recorded_and_goes_with_it() {
    let mut daemon = Daemon::start().await;
    let before = clock::now();
    let secret = add_client(&daemon, "rx", &[Scope::Read]).await;
    token_of(&ask(&daemon, "rx", &secret, GRANT).await);
    let used = daemon.receiver_token("rx", &[Scope::Read]).await;
    daemon.list_with(&used).await.expect(200);
    daemon.list_with("ssfd_unknown").await.expect(401);
    let unused = daemon.receiver_token("rx", &[Scope::Read]).await;
    daemon.restart().await;

    let token = |token: &str| Credential::Token {
        hash: auth::hash(&ssfd::domain::secret::Secret::new(token)),
        name: None,
    };
    let client = Credential::Client("rx".parse().expect("an id"));
    let uses = daemon.store().last_uses().await.expect("readable");
    for credential in [&client, &token(&used)] {
        assert!(uses.of(credential).is_some_and(|at| before <= at), "{credential}");
    }
    assert_eq!(uses.of(&token(&unused)), None);

    daemon.store().delete_client(&"rx".parse().expect("an id")).await.expect("removed");
    let hash = auth::hash(&ssfd::domain::secret::Secret::new(used.as_str()));
    daemon.store().revoke_grant(&hash).await.expect("revoked");
    let uses = daemon.store().last_uses().await.expect("readable");
    assert_eq!((uses.of(&client), uses.of(&token(&used))), (None, None));
}

/// Returns the settings of the only provider's token endpoint.
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
    // Tokens that were issued in the same millisecond are equally old, so any two of them stay.
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

/// Requests tokens until one request is answered 429.
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
async fn the_tokens_of_each_client_are_limited() {
    let daemon = Daemon::with(|config| endpoint(config).requests_per_second_max = 1).await;
    let secret = add_client(&daemon, "rx", &[Scope::Read]).await;
    let answer = paced(&daemon, "rx", &secret).await;
    assert_error(&answer, 429, "temporarily_unavailable");
    let wait: u64 = answer.header(RETRY_AFTER).parse().expect("seconds");
    assert_eq!(wait, 1);
    // Another client does not have to wait.
    let other = add_client(&daemon, "other", &[Scope::Read]).await;
    token_of(&ask(&daemon, "other", &other, GRANT).await);
}

/// Anybody may know the id of a client.
#[actix_web::test]
async fn wrong_secrets_are_limited_and_lock_no_client_out() {
    let daemon = Daemon::with(|config| config.public.rates.refused_per_second_max = 1).await;
    let secret = add_client(&daemon, "rx", &[Scope::Read]).await;
    for id in ["rx", "unknown"] {
        let answer = paced(&daemon, id, "wrong").await;
        assert_error(&answer, 429, "temporarily_unavailable");
        let wait: u64 = answer.header(RETRY_AFTER).parse().expect("seconds");
        assert_eq!(wait, 1);
        token_of(&ask(&daemon, "rx", &secret, GRANT).await);
    }
}
