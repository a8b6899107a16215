//! SETs of another Transmitter, pushed to a source (RFC 8935), and relayed.

use std::{fs, time::Duration};

use hyper::header::{CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};
use ssfd::clock;

use super::{ENABLED, Stand, payload};
use crate::{
    harness::{
        authorization_server::{AuthorizationServer, Key},
        daemon::ISSUER,
        events::{CREDENTIAL_CHANGE, SESSION_REVOKED, STREAM_UPDATED, VERIFICATION},
        eventually,
        http_client::Answer,
        receiver::event,
    },
    scripted_server::Reply,
};

/// The other Transmitter, and the name by which it means us.
const OTHER: &str = "https://idp.example";
const AUDIENCE: &str = "https://ssf.example";

/// Returns the table of a source that takes the SETs of a Transmitter with these keys.
fn table(transmitter: &AuthorizationServer) -> Value {
    json!({
        "preset": "set-relay",
        "auth": {
            "jwks": transmitter.jwks_url(), "trusted_roots": transmitter.roots(),
            "jwks_refresh_interval_min": "10ms", "issuer": OTHER, "audience": AUDIENCE,
        },
    })
}

fn claims() -> Value {
    json!({
        "iss": OTHER, "aud": AUDIENCE, "iat": clock::now().as_secs(), "jti": "t-1", "txn": "x-1",
        "sub_id": {
            "format": "complex",
            "user": {"format": "iss_sub", "iss": OTHER, "sub": "kim"},
            "session": {"format": "opaque", "id": "s-1"},
        },
        "events": {SESSION_REVOKED: {"event_timestamp": 1_775_000_099, "initiating_entity": "user"}},
    })
}

fn with(change: Value) -> Value {
    let mut claims = claims();
    for (name, value) in change.as_object().expect("members") {
        claims[name] = value.clone();
    }
    claims
}

fn set(key: &Key, claims: &Value) -> String {
    key.sign(&key.header_of("secevent+jwt"), claims)
}

/// Pushes a SET as RFC 8935 §2.1 says.
async fn push(stand: &Stand, set: &str) -> Answer {
    let call = stand.call().header("content-type", "application/secevent+jwt");
    call.header("accept", "application/json").body(set.to_owned()).send().await
}

#[actix_web::test]
async fn a_set_is_relayed_under_our_own_issuer_and_once() {
    let key = Key::rsa();
    let transmitter = AuthorizationServer::publishing(&[&key]).await;
    let stand = Stand::of("relay-good", table(&transmitter), |_| {}).await;
    let good = set(&key, &claims());
    for _ in 0..2 {
        let answer = push(&stand, &good).await.expect(202);
        assert!(answer.body.is_empty(), "{}", answer.text());
    }
    assert_eq!([stand.records("accepted").await, stand.records("duplicate").await], [1, 1]);
    let [relayed] = &stand.claims().await[..] else { panic!("one SET") };
    assert_eq!(relayed["iss"], ISSUER);
    for member in ["sub_id", "txn", "events"] {
        assert_eq!(relayed[member], claims()[member], "{member}");
    }
    for member in ["jti", "aud"] {
        assert_ne!(relayed[member], claims()[member], "{member}");
    }
}

#[actix_web::test]
async fn a_bad_set_is_refused_in_the_words_of_the_protocol_and_counted_by_its_reason() {
    let (key, other) = (Key::new(), Key::new());
    let transmitter = AuthorizationServer::publishing(&[&key]).await;
    let stand = Stand::of("relay-bad", table(&transmitter), |_| {}).await;
    let now = clock::now().as_secs();
    let signed = |change: Value| set(&key, &with(change));
    let header = |member: &str, value: &str| {
        let mut header = key.header_of("secevent+jwt");
        header[member] = value.into();
        key.sign(&header, &claims())
    };
    let mut forged = other.header_of("secevent+jwt");
    forged["kid"] = key.jwk["kid"].clone();
    for (err, reason, sent) in [
        ("invalid_request", "missing", String::new()),
        ("invalid_request", "malformed", "no-token".to_owned()),
        ("invalid_key", "wrong", other.sign(&forged, &claims())),
        ("invalid_key", "algorithm", header("alg", "none")),
        ("invalid_request", "type", header("typ", "JWT")),
        ("invalid_request", "type", header("typ", "logout+jwt")),
        ("invalid_issuer", "issuer", signed(json!({"iss": "https://third.example"}))),
        ("invalid_issuer", "own_issuer", signed(json!({"iss": ISSUER}))),
        ("invalid_issuer", "own_issuer", set(&other, &with(json!({"iss": ISSUER})))),
        ("invalid_audience", "audience", signed(json!({"aud": "https://third.example"}))),
        ("invalid_request", "expired", signed(json!({"exp": now - 3600}))),
        ("invalid_request", "future", signed(json!({"iat": now + 3600}))),
        ("invalid_request", "claim", signed(json!({"jti": null}))),
        ("invalid_request", "claim", signed(json!({"iat": null}))),
        ("invalid_request", "claim", signed(json!({"events": {}}))),
        ("invalid_request", "claim", signed(json!({"sub_id": null}))),
    ] {
        let before = stand.refusals(reason).await;
        let answer = push(&stand, &sent).await.expect(400);
        assert_eq!(answer.header(CONTENT_TYPE), "application/json", "{reason}");
        assert_eq!(answer.header(CONTENT_LANGUAGE), "en", "{reason}");
        let body = answer.json();
        assert_eq!(body["err"], err, "{reason}: {body}");
        let description = body["description"].as_str().expect("a text");
        // The description is a text of ours, and repeats nothing of the SET.
        for value in ["kim", "third.example", "idp.example"] {
            assert!(!description.contains(value), "{description}");
        }
        assert_eq!(stand.refusals(reason).await, before + 1, "{reason}: {description}");
    }
    let json = stand.call().header("content-type", "application/json").body(set(&key, &claims()));
    assert_eq!(json.send().await.expect(400).json()["err"], "invalid_request");
    assert_eq!(stand.refusals("media_type").await, 1);
    assert!(stand.claims().await.is_empty());
}

#[actix_web::test]
async fn the_agreed_authorization_header_counts_beside_the_signature() {
    let key = Key::new();
    let transmitter = AuthorizationServer::publishing(&[&key]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("authorization");
    fs::write(&file, "Bearer agreed\n").expect("writable");
    let mut table = table(&transmitter);
    table["auth"]["authorization_files"] = json!([file]);
    let stand = Stand::of("relay-secret", table, |_| {}).await;
    let good = set(&key, &claims());
    for (value, status) in [("Bearer other", 400), ("agreed", 400), ("Bearer agreed", 202)] {
        let call = stand.call().header("content-type", "application/secevent+jwt");
        let call = call.header("authorization", value).body(good.clone());
        let answer = call.send().await.expect(status);
        if status == 400 {
            assert_eq!(answer.json()["err"], "authentication_failed");
        }
    }
    push(&stand, &good).await.expect(400);
    assert_eq!(stand.refusals("authorization").await, 3);
    assert_eq!(stand.claims().await.len(), 1);
}

#[actix_web::test]
async fn a_new_key_is_taken_and_while_the_keys_are_away_the_sender_comes_again() {
    let (old, new) = (Key::new(), Key::new());
    let transmitter = AuthorizationServer::answering(Reply::status(500)).await;
    let stand = Stand::of("relay-keys", table(&transmitter), |_| {}).await;
    let first = set(&old, &claims());
    let answer = push(&stand, &first).await.expect(503);
    let wait: u64 = answer.header(RETRY_AFTER).parse().expect("seconds");
    assert!((1..=10).contains(&wait), "{wait}");
    // A Transmitter was seen that publishes this before its first key.
    transmitter.answer(Reply::full(200, &[], r#"{"keys":null}"#));
    push(&stand, &first).await.expect(503);
    transmitter.publish(&[&old]);
    eventually("the keys are back", async || push(&stand, &first).await.status == 202).await;
    transmitter.publish(&[&new]);
    let second = set(&new, &with(json!({"jti": "t-2"})));
    eventually("the new key is fetched", async || push(&stand, &second).await.status == 202).await;
    let answer = push(&stand, &set(&old, &with(json!({"jti": "t-3"})))).await;
    assert!([400, 503].contains(&answer.status.as_u16()), "{}", answer.text());
    assert_eq!(stand.claims().await.len(), 2);
}

#[actix_web::test]
async fn too_many_sets_that_wait_are_answered_503() {
    let key = Key::new();
    let transmitter = AuthorizationServer::publishing(&[&key]).await;
    let stand = Stand::of("relay-overload", table(&transmitter), |config| {
        config.store.backlog_max = 2;
        config.store.backlog_interval = Duration::from_millis(20);
    })
    .await;
    push(&stand, &set(&key, &claims())).await.expect(202);
    let second = set(&key, &with(json!({"jti": "t-2"})));
    eventually("the backlog is noticed", async || push(&stand, &second).await.status == 503).await;
    let answer = push(&stand, &second).await.expect(503);
    assert!(!answer.header(RETRY_AFTER).is_empty());
}

/// The claims of SETs that Keycloak sent, as of now and for this source.
fn recorded(file: &str) -> Value {
    let mut claims: Value =
        serde_json::from_slice(&payload("keycloak", &format!("{file}.json"))).expect("claims");
    claims["iat"] = clock::now().as_secs().into();
    (claims["iss"], claims["aud"]) = (OTHER.into(), AUDIENCE.into());
    claims
}

#[actix_web::test]
async fn the_recorded_sets_of_keycloak_are_relayed_without_those_about_its_stream() {
    let key = Key::rsa();
    let transmitter = AuthorizationServer::publishing(&[&key]).await;
    let stand = Stand::of("relay-keycloak", table(&transmitter), |_| {}).await;
    let types = json!({"events_requested": [SESSION_REVOKED, CREDENTIAL_CHANGE]});
    stand.setup.update(types).await;
    for file in ["verification", "stream-updated", "stream-updated-2"] {
        let claims = recorded(&format!("ssf-keycloak-{file}"));
        push(&stand, &set(&key, &claims)).await.expect(202);
    }
    assert!(stand.claims().await.is_empty());
    assert_eq!([stand.records("control").await, stand.records("accepted").await], [3, 0]);
    for (file, event_type) in [
        ("session-revoked", SESSION_REVOKED),
        ("credential-change", CREDENTIAL_CHANGE),
        ("credential-change-2", CREDENTIAL_CHANGE),
        ("credential-change-3", CREDENTIAL_CHANGE),
        ("credential-change-4", CREDENTIAL_CHANGE),
    ] {
        let claims = recorded(&format!("ssf-keycloak-{file}"));
        push(&stand, &set(&key, &claims)).await.expect(202);
        let relayed = stand.claims().await.pop().expect("a SET");
        assert_eq!(event(&relayed), (event_type.to_owned(), claims["events"][event_type].clone()));
        assert_eq!((&relayed["sub_id"], &relayed["txn"]), (&claims["sub_id"], &claims["txn"]));
    }
    assert_eq!(stand.claims().await.len(), 5);
}

#[actix_web::test]
async fn a_set_gives_an_event_for_each_of_its_events_but_those_of_the_stream() {
    let key = Key::new();
    let transmitter = AuthorizationServer::publishing(&[&key]).await;
    let stand = Stand::of("relay-several", table(&transmitter), |_| {}).await;
    let several = with(json!({
        "sub_id": {"format": "iss_sub", "iss": OTHER, "sub": "kim"},
        "events": {
            ENABLED: {}, super::DISABLED: null, VERIFICATION: {"state": "s"}, STREAM_UPDATED: {},
            "https://idp.example/event": {},
        },
    }));
    push(&stand, &set(&key, &several)).await.expect(202);
    let types: Vec<_> = stand.claims().await.iter().map(|claims| event(claims).0).collect();
    assert_eq!(types.len(), 2, "{types:?}");
    assert!([ENABLED, super::DISABLED].iter().all(|one| types.iter().any(|found| found == one)));
    assert_eq!([stand.records("control").await, stand.records("dropped").await], [2, 1]);
}

/// The sender has done its part, and an operator looks at the record.
#[actix_web::test]
async fn a_set_that_the_mapping_rejects_is_kept_and_not_repeated() {
    let key = Key::new();
    let transmitter = AuthorizationServer::publishing(&[&key]).await;
    let stand = Stand::of("relay-rejected", table(&transmitter), |_| {}).await;
    let of_user = json!({"sub_id": {"format": "iss_sub", "iss": OTHER, "sub": "kim"}});
    push(&stand, &set(&key, &with(of_user))).await.expect(202);
    assert_eq!(stand.records("rejected").await, 1);
    let shown = stand.setup.daemon.ssfd_says(&["sources", "rejected", super::SOURCE]).await;
    assert!(shown.contains("session-revoked-of-user") && shown.contains("t-1"), "{shown}");
    assert!(stand.claims().await.is_empty());
}

#[actix_web::test]
async fn scim_events_come_the_same_way() {
    let key = Key::new();
    let transmitter = AuthorizationServer::publishing(&[&key]).await;
    let mut table = table(&transmitter);
    table["preset"] = "scim-events".into();
    table["vars"] = json!({"issuer": "https://login.example"});
    let stand = Stand::of("relay-scim", table, |_| {}).await;
    let deactivated = with(json!({
        "sub_id": {"format": "scim", "uri": "/Users/u-17", "externalId": "kim"},
        "events": {"urn:ietf:params:scim:event:prov:deactivate": {}},
    }));
    for _ in 0..2 {
        push(&stand, &set(&key, &deactivated)).await.expect(202);
    }
    let [disabled] = &stand.claims().await[..] else { panic!("one SET") };
    assert_eq!(event(disabled).0, super::DISABLED);
    assert_eq!(disabled["sub_id"]["sub"], "u-17");
    assert_eq!(disabled["txn"], "x-1");
}
