//! Authorization: which credential allows which operation (RFC 6750, CAEP-IOP §2.7).

use serde_json::json;
use ssfd::domain::grant::Scope;

use crate::harness::{
    daemon::{Daemon, PROVIDER, holder},
    http_client::Answer,
    receiver_client::{CHALLENGE, Operation, assert_challenged, assert_refused, every_operation},
    streams::id_of,
};

/// Returns whether `ssf.read` is sufficient for an operation.
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
async fn auth_01_a_token_is_read_from_the_header_and_not_from_the_query() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    let before = client.list().await;
    for mut operation in every_operation(&id) {
        let separator = if operation.1.contains('?') { '&' } else { '?' };
        operation.1 = format!("{}{separator}access_token={}", operation.1, client.token);
        assert_refused(&daemon.call(&operation).send().await, 401, "a bearer token is required");
    }
    assert_eq!(client.list().await, before);
    for operation in every_operation(&id) {
        let answer = daemon.call(&operation).bearer(&client.token).send().await;
        assert!(answer.status.is_success(), "{operation:?}: {}", answer.text());
    }
}

/// RFC 6750 §3.1.
#[actix_web::test]
async fn auth_02_without_a_credential_the_challenge_names_no_error() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let stream = client.create(&json!({})).await;
    for operation in every_operation(id_of(&stream)) {
        let answer = daemon.call(&operation).send().await;
        assert_challenged(&answer, 401, "a bearer token is required", CHALLENGE);
    }
    assert_eq!(client.list().await, json!([stream]));
}

/// RFC 6750 §3.1.
#[actix_web::test]
async fn auth_04_a_refusal_for_a_missing_scope_names_the_required_scope() {
    let daemon = Daemon::start().await;
    let manager = daemon.client("rx").await;
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
async fn auth_05_ssf_manage_allows_every_operation_and_ssf_read_those_that_read() {
    let daemon = Daemon::start().await;
    let manager = daemon.client("rx").await;
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

/// SSF §8: the credential of the request determines the Receiver that owns the stream, and the
/// audience of its SETs.
#[actix_web::test]
async fn auth_07_the_credential_determines_the_owner_and_the_audience() {
    let daemon = Daemon::start().await;
    let holder = holder("rx", &["https://rx.example/a", "b"], &[Scope::Read, Scope::Manage]);
    let token = daemon.token(holder).await;
    let stream = daemon.client_with(PROVIDER, &token).create(&json!({})).await;
    assert_eq!(stream["aud"], json!(["https://rx.example/a", "b"]));
    // Another token of the same Receiver sees the stream. The `aud` of the stream does not change.
    let client = daemon.client("rx").await;
    assert_eq!(client.list().await, json!([stream]));
    assert_eq!(client.read(id_of(&stream)).await["aud"], stream["aud"]);
}
