//! Who may ask for what (RFC 6750, CAEP-IOP §2.7).

use serde_json::json;
use ssfd::domain::grant::Scope;

use crate::harness::{
    caller::{CHALLENGE, Operation, assert_challenged, assert_refused, every_operation},
    daemon::{Daemon, PROVIDER, holder},
    http_client::Answer,
    streams::id_of,
};

/// What `ssf.read` is enough for.
fn reads((method, path, _): &Operation) -> bool {
    *method == "GET" || path.starts_with("/ssf/poll/")
}

#[track_caller]
fn assert_insufficient(answer: &Answer, scope: &str) {
    let challenge = format!(r#"{CHALLENGE}, error="insufficient_scope", scope="{scope}""#);
    assert_challenged(answer, 403, &format!("lacks the scope `{scope}`"), &challenge);
}

/// RFC 6750 §2.1, §2.3.
#[actix_web::test]
async fn auth_01_a_token_counts_in_the_header_and_not_in_the_query() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let id = caller.new_stream().await;
    let before = caller.list().await;
    for mut operation in every_operation(&id) {
        let separator = if operation.1.contains('?') { '&' } else { '?' };
        operation.1 = format!("{}{separator}access_token={}", operation.1, caller.token);
        assert_refused(&daemon.call(&operation).send().await, 401, "a bearer token is required");
    }
    assert_eq!(caller.list().await, before);
    for operation in every_operation(&id) {
        let answer = daemon.call(&operation).bearer(&caller.token).send().await;
        assert!(answer.status.is_success(), "{operation:?}: {}", answer.text());
    }
}

/// RFC 6750 §3.1.
#[actix_web::test]
async fn auth_02_without_a_credential_the_challenge_names_no_error() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let stream = caller.create(&json!({})).await;
    for operation in every_operation(id_of(&stream)) {
        let answer = daemon.call(&operation).send().await;
        assert_challenged(&answer, 401, "a bearer token is required", CHALLENGE);
    }
    assert_eq!(caller.list().await, json!([stream]));
}

/// RFC 6750 §3.1.
#[actix_web::test]
async fn auth_04_a_scope_that_does_not_suffice_is_named_with_the_one_that_would() {
    let daemon = Daemon::start().await;
    let manager = daemon.caller("rx").await;
    let id = manager.new_stream().await;
    let before = manager.list().await;
    let reader = daemon.receiver_token("rx", &[Scope::Read]).await;
    let powerless = daemon.receiver_token("rx", &[]).await;
    for operation in every_operation(&id) {
        let answer = daemon.call(&operation).bearer(&powerless).send().await;
        if reads(&operation) {
            assert_insufficient(&answer, "ssf.read");
        } else {
            assert_insufficient(&answer, "ssf.manage");
            let answer = daemon.call(&operation).bearer(&reader).send().await;
            assert_insufficient(&answer, "ssf.manage");
        }
    }
    assert_eq!(manager.list().await, before);
}

/// CAEP-IOP §2.7.2.
#[actix_web::test]
async fn auth_05_ssf_manage_opens_every_operation_and_ssf_read_those_that_read() {
    let daemon = Daemon::start().await;
    let manager = daemon.caller("rx").await;
    let id = manager.new_stream().await;
    let reader = daemon.receiver_token("rx", &[Scope::Read]).await;
    for operation in every_operation(&id).iter().filter(|operation| reads(operation)) {
        daemon.call(operation).bearer(&reader).send().await.expect(200);
    }
    for operation in every_operation(&id) {
        let answer = daemon.call(&operation).bearer(&manager.token).send().await;
        assert!(answer.status.is_success(), "{operation:?}: {}", answer.text());
    }
}

/// SSF §8: who asks decides whose stream it is and for whom its SETs are.
#[actix_web::test]
async fn auth_07_the_credential_decides_the_owner_and_the_audience() {
    let daemon = Daemon::start().await;
    let holder = holder("rx", &["https://rx.example/a", "b"], &[Scope::Read, Scope::Manage]);
    let token = daemon.token(holder).await;
    let stream = daemon.caller_with(PROVIDER, &token).create(&json!({})).await;
    assert_eq!(stream["aud"], json!(["https://rx.example/a", "b"]));
    // Another token of the same Receiver sees the stream, whose `aud` stays.
    let caller = daemon.caller("rx").await;
    assert_eq!(caller.list().await, json!([stream]));
    assert_eq!(caller.read(id_of(&stream)).await["aud"], stream["aud"]);
}
