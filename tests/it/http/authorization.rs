//! Credentials, and which operations they admit (RFC 6750, CAEP-IOP §2.7).

use std::time::Duration;

use ssfd::{
    auth, clock,
    domain::{
        grant::{Grant, Scope},
        secret::Secret,
        time::Timestamp,
    },
    store::TokenStore as _,
};

use super::{assert_refused, operations};
use crate::harness::{
    daemon::{Daemon, holder, provider},
    http_client::post,
    receiver_client::{CHALLENGE, assert_challenged, assert_invalid_token, every_operation},
};

/// The challenge to a publisher.
const PUBLISHERS_CHALLENGE: &str = r#"Bearer realm="ssf""#;

/// A grant to the Receiver `rx` of [`PROVIDER`] for this token.
fn grant(token: &Secret, expires_at: Option<Timestamp>) -> Grant {
    let holder = holder("rx", &["https://rx.example"], &[Scope::Manage]);
    Grant { hash: auth::hash(token), holder: holder.into(), created_at: clock::now(), expires_at }
}

/// AUTH-03, CFG-17.
#[actix_web::test]
async fn a_credential_that_is_not_valid_is_an_invalid_token() {
    let daemon = Daemon::with(|config| {
        let other = "other".parse().expect("a name");
        config.providers.insert(other, provider("https://tx.example/t/other"));
    })
    .await;
    let id = daemon.client("rx").await.new_stream().await;
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
        bearer(&"x".repeat(9000)),
        // The head of a SET: AUTH-06, a SET is no token.
        bearer("eyJ0eXAiOiJzZWNldmVudCtqd3QiLCJhbGciOiJFUzI1NiJ9.e30.AA"),
        valid.clone(),
        "Bearer".to_owned(),
        "Basic cng6cng=".to_owned(),
        "Bearer\u{a0}ü".to_owned(),
    ] {
        for operation in every_operation(&id) {
            let answer = daemon.call(&operation).header("authorization", &credential);
            assert_invalid_token(&answer.send().await);
        }
    }
    // The case of the scheme does not matter (RFC 9110 §11.1), and a token that expires later is valid.
    let later = auth::new_token();
    let future = clock::now() + Duration::from_hours(1);
    daemon.store().put_grant(grant(&later, Some(future))).await.expect("kept");
    for credential in [format!("bearer {valid}"), format!("BEARER  {}", later.expose())] {
        let read = daemon.call(&operations(&id)[1]).header("authorization", &credential);
        read.send().await.expect(200);
    }
}

/// RFC 6750 §3.1: a request authenticates by one method only.
#[actix_web::test]
async fn two_credentials_are_an_invalid_request() {
    let daemon = Daemon::start().await;
    let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
    for operation in every_operation("st_unknown") {
        let answer = daemon.call(&operation).bearer(&token).bearer(&token).send().await;
        let challenge = format!(r#"{CHALLENGE}, error="invalid_request""#);
        assert_challenged(&answer, 400, "more than one", &challenge);
    }
}

#[actix_web::test]
async fn the_publishers_credential_is_judged_before_any_event() {
    let daemon = Daemon::start().await;
    let token = daemon.publisher_token().await;
    let publish = |query: &str| post(&daemon.internal_url(&format!("/events{query}"))).body("{");
    for query in [String::new(), format!("?access_token={token}")] {
        let answer = publish(&query).send().await;
        assert_challenged(&answer, 401, "a bearer token is required", PUBLISHERS_CHALLENGE);
    }
    let answer = publish("").bearer("ssfd_unknown").send().await;
    let challenge = format!(r#"{PUBLISHERS_CHALLENGE}, error="invalid_token""#);
    assert_challenged(&answer, 401, "token", &challenge);
    let answer = publish("").bearer(&token).bearer(&token).send().await;
    let challenge = format!(r#"{PUBLISHERS_CHALLENGE}, error="invalid_request""#);
    assert_challenged(&answer, 400, "more than one", &challenge);
    assert_refused(&publish("").bearer(&token).send().await, 400, "`body` must be JSON");
}

/// No file of the database has the text of the token, not even the write-ahead log. The hash is there.
#[actix_web::test]
async fn only_the_hash_of_a_token_is_stored() {
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
