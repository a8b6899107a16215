//! Who may ask for what (RFC 6750, CAEP-IOP §2.7).

use std::time::Duration;

use hyper::header::WWW_AUTHENTICATE;
use serde_json::{Value, json};
use ssfd::{
    auth, clock,
    domain::{
        audience::Audience,
        grant::{Grant, Holder, Scope},
        secret::Secret,
        time::Timestamp,
    },
};

use super::{assert_refused, deletion, operations};
use crate::harness::{
    daemon::{Daemon, PROVIDER, provider},
    http_client::{Answer, Call, post},
};

/// The challenge to whoever shows nothing, and the beginning of every other.
const CHALLENGE: &str = r#"Bearer realm="ssf""#;

fn every_operation(id: &str) -> Vec<(&'static str, String, Value)> {
    operations(id).into_iter().chain([deletion(id)]).collect()
}

fn call(daemon: &Daemon, (method, path, body): &(&'static str, String, Value)) -> Call {
    let method = method.parse().expect("a method");
    Call::new(method, &daemon.provider_url(PROVIDER, path)).json(body)
}

#[track_caller]
fn assert_challenged(answer: &Answer, status: u16, detail: &str, challenge: &str) {
    assert_refused(answer, status, detail);
    assert_eq!(answer.header(WWW_AUTHENTICATE), challenge);
}

#[track_caller]
fn assert_invalid_token(answer: &Answer) {
    let challenge = format!(r#"{CHALLENGE}, error="invalid_token""#);
    assert_challenged(answer, 401, "token", &challenge);
}

/// A grant to the Receiver `rx` of [`PROVIDER`] for this token.
fn grant(token: &Secret, expires_at: Option<Timestamp>) -> Grant {
    let holder = Holder::Receiver {
        provider: PROVIDER.parse().expect("a name"),
        receiver: "rx".parse().expect("an id"),
        audience: Audience::one("https://rx.example").expect("not empty"),
        scopes: vec![Scope::Manage],
    };
    Grant { hash: auth::hash(token), holder, created_at: clock::now(), expires_at }
}

/// AUTH-01, AUTH-02, CFG-17, POLL-12 (RFC 6750 §3.1): a token in the query is none.
#[actix_web::test]
async fn without_a_credential_the_challenge_names_no_error() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let id = caller.new_stream().await;
    let token = &caller.token;
    for mut operation in every_operation(&id) {
        let answer = call(&daemon, &operation).send().await;
        assert_challenged(&answer, 401, "a bearer token is required", CHALLENGE);
        let separator = if operation.1.contains('?') { '&' } else { '?' };
        operation.1 = format!("{}{separator}access_token={token}", operation.1);
        let answer = call(&daemon, &operation).send().await;
        assert_challenged(&answer, 401, "a bearer token is required", CHALLENGE);
    }
    // None of it was done.
    assert_eq!(caller.list().await.as_array().map(Vec::len), Some(1));
}

/// AUTH-03, CFG-17.
#[actix_web::test]
async fn a_credential_that_is_not_valid_is_an_invalid_token() {
    let daemon = Daemon::with(|config| {
        let other = "other".parse().expect("a name");
        config.providers.insert(other, provider("https://tx.example/t/other"));
    })
    .await;
    let id = daemon.caller("rx").await.new_stream().await;
    let expired = auth::new_token();
    let past = clock::now() - Duration::from_secs(1);
    daemon.store().put_grant(grant(&expired, Some(past))).await.expect("kept");
    let revoked = auth::new_token();
    daemon.store().put_grant(grant(&revoked, None)).await.expect("kept");
    assert!(daemon.store().revoke_grant(&auth::hash(&revoked)).await.expect("revoked"));
    let others = daemon.receiver_token_at("other", "rx", &[Scope::Manage]).await;
    let publisher = daemon.publisher_token().await;
    let valid = daemon.receiver_token("rx", &[Scope::Manage]).await;

    let bearer = |token: &str| format!("Bearer {token}");
    for credential in [
        bearer(expired.expose()),
        bearer(revoked.expose()),
        bearer(&others),
        bearer(&publisher),
        bearer("ssfd_unknown"),
        bearer(&format!("{valid}x")),
        bearer(&valid[..valid.len() - 1]),
        bearer(&valid.to_uppercase()),
        bearer(&format!("{valid} {valid}")),
        bearer(&format!("{valid}, Bearer {valid}")),
        bearer(&"x".repeat(5000)),
        // The head of a SET: AUTH-06, a SET is no token.
        bearer("eyJ0eXAiOiJzZWNldmVudCtqd3QiLCJhbGciOiJFUzI1NiJ9.e30.AA"),
        valid.clone(),
        "Bearer".to_owned(),
        "Basic cng6cng=".to_owned(),
        "Bearer\u{a0}ü".to_owned(),
    ] {
        for operation in every_operation(&id) {
            let answer = call(&daemon, &operation).header("authorization", &credential);
            assert_invalid_token(&answer.send().await);
        }
    }
    // The scheme's case is of no meaning (RFC 9110 §11.1); a token that expires later is valid.
    let later = auth::new_token();
    let future = clock::now() + Duration::from_hours(1);
    daemon.store().put_grant(grant(&later, Some(future))).await.expect("kept");
    for credential in [format!("bearer {valid}"), format!("BEARER  {}", later.expose())] {
        let read = call(&daemon, &operations(&id)[1]).header("authorization", &credential);
        read.send().await.expect(200);
    }
}

/// RFC 6750 §3.1: more than one way to say who asks is no way.
#[actix_web::test]
async fn two_credentials_are_an_invalid_request() {
    let daemon = Daemon::start().await;
    let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
    for operation in every_operation("st_unknown") {
        let answer = call(&daemon, &operation).bearer(&token).bearer(&token).send().await;
        let challenge = format!(r#"{CHALLENGE}, error="invalid_request""#);
        assert_challenged(&answer, 400, "more than one", &challenge);
    }
}

/// AUTH-04, AUTH-05, CFG-17 (CAEP-IOP §2.7.2).
#[actix_web::test]
async fn ssf_read_opens_what_is_read_and_nothing_else() {
    let daemon = Daemon::start().await;
    let manager = daemon.caller("rx").await;
    let id = manager.new_stream().await;
    let reader = daemon.receiver_token("rx", &[Scope::Read]).await;
    let powerless = daemon.receiver_token("rx", &[]).await;
    let before = manager.list().await;
    for operation in every_operation(&id) {
        let (method, path, _) = &operation;
        let reads = *method == "GET" || path.starts_with("/ssf/poll/");
        let answer = call(&daemon, &operation).bearer(&reader).send().await;
        let lacks = |scope| {
            let detail = format!("lacks the scope `{scope}`");
            (detail, format!(r#"{CHALLENGE}, error="insufficient_scope", scope="{scope}""#))
        };
        if reads {
            answer.expect(200);
        } else {
            let (detail, challenge) = lacks("ssf.manage");
            assert_challenged(&answer, 403, &detail, &challenge);
        }
        let answer = call(&daemon, &operation).bearer(&powerless).send().await;
        let (detail, challenge) = lacks(if reads { "ssf.read" } else { "ssf.manage" });
        assert_challenged(&answer, 403, &detail, &challenge);
    }
    assert_eq!(manager.list().await, before);
    // And ssf.manage opens them all.
    for operation in every_operation(&id) {
        let answer = call(&daemon, &operation).bearer(&manager.token).send().await;
        assert!(answer.status.is_success(), "{operation:?}: {}", answer.text());
    }
}

#[actix_web::test]
async fn no_event_is_looked_at_before_the_publishers_credential() {
    let daemon = Daemon::start().await;
    let token = daemon.publisher_token().await;
    let publish = |query: &str| post(&daemon.internal_url(&format!("/events{query}"))).body("{");
    for query in [String::new(), format!("?access_token={token}")] {
        let answer = publish(&query).send().await;
        assert_challenged(&answer, 401, "a bearer token is required", CHALLENGE);
    }
    assert_invalid_token(&publish("").bearer("ssfd_unknown").send().await);
    let answer = publish("").bearer(&token).bearer(&token).send().await;
    let challenge = format!(r#"{CHALLENGE}, error="invalid_request""#);
    assert_challenged(&answer, 400, "more than one", &challenge);
    assert_refused(&publish("").bearer(&token).send().await, 400, "`body` must be JSON");
}

/// AUTH-07 (SSF §8): who asks decides whose stream it is and for whom its SETs are.
#[actix_web::test]
async fn the_credential_decides_the_owner_and_the_audience() {
    let daemon = Daemon::start().await;
    let holder = Holder::Receiver {
        provider: PROVIDER.parse().expect("a name"),
        receiver: "rx".parse().expect("an id"),
        audience: Audience::from_values(vec!["https://rx.example/a".into(), "b".into()])
            .expect("not empty"),
        scopes: vec![Scope::Read, Scope::Manage],
    };
    let token = daemon.token(holder).await;
    let stream = daemon.caller_with(PROVIDER, &token).create(&json!({})).await;
    assert_eq!(stream["aud"], json!(["https://rx.example/a", "b"]));
    // Another token of the same Receiver sees the stream, whose `aud` stays.
    let id = stream["stream_id"].as_str().expect("a string");
    assert_eq!(daemon.caller("rx").await.read(id).await["aud"], stream["aud"]);
}

/// The token's text is in no file of the database, the write-ahead log included; its hash is.
#[actix_web::test]
async fn a_token_is_kept_as_its_hash_alone() {
    let mut daemon = Daemon::start().await;
    let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
    let hash = auth::hash(&Secret::new(token.as_str()));
    let database = daemon.config().store.sqlite.path.clone();
    let read = |suffix: &str| {
        std::fs::read(format!("{}{suffix}", database.display())).expect("the daemon has it open")
    };
    let bytes = [read(""), read("-wal")].concat();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(hash.as_str()), "these are not the bytes to look at");
    assert!(!holds(&token));
}
