//! Each scheme of authentication, through the listener: a good credential gives a SET; a missing, wrong,
//! old, replayed or cut one gives 401 without a word, and a count by its reason.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use ssfd::clock;

use super::{
    SECRET, Stand, logout,
    signing::{self, Headers, SVIX, WEBHOOK, hex, sha256, tag},
};
use crate::harness::http_client::Answer;

async fn send(stand: &Stand, headers: &Headers, body: &str) -> Answer {
    let mut call = stand.call().header("content-type", "application/json");
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.body(body.to_owned()).send().await
}

/// Sends requests that are to be refused. Each is answered 401 without a word and counted by its reason.
async fn refused(stand: &Stand, body: &str, cases: Vec<(&str, Headers)>) {
    for (reason, headers) in cases {
        let before = stand.refusals(reason).await;
        let answer = send(stand, &headers, body).await.expect(401);
        assert!(answer.body.is_empty(), "{reason}: {}", answer.text());
        assert_eq!(stand.refusals(reason).await, before + 1, "{reason} {headers:?}");
    }
}

fn body(id: &str) -> String {
    logout(id, "kim").to_string()
}

#[actix_web::test]
async fn a_header_with_a_secret() {
    let auth = json!({"scheme": "header", "header": "X-Hook", "secret_files": ["SECRET"]});
    let stand = Stand::new("scheme-header", json!({"auth": auth})).await;
    let body = body("1");
    let good = vec![("x-hook", SECRET.to_owned())];
    let cut = SECRET[..5].to_owned();
    let cases = vec![
        ("missing", vec![]),
        ("wrong", vec![("x-hook", "another".to_owned())]),
        ("wrong", vec![("x-hook", cut)]),
        ("repeated", vec![("x-hook", SECRET.to_owned()), ("x-hook", SECRET.to_owned())]),
    ];
    refused(&stand, &body, cases).await;
    assert!(stand.claims().await.is_empty());
    send(&stand, &good, &body).await.expect(200);
    // A replayed request gives no second SET.
    send(&stand, &good, &body).await.expect(200);
    assert_eq!(stand.users().await, ["kim"]);
    assert_eq!(stand.records("duplicate").await, 1);
}

#[actix_web::test]
async fn a_name_and_a_password() {
    let auth = json!({"scheme": "basic", "user": "hook", "secret_files": ["SECRET"]});
    let stand = Stand::new("scheme-basic", json!({"auth": auth})).await;
    let basic = |user, secret| vec![("authorization", signing::basic(user, secret))];
    let cases = vec![
        ("missing", vec![]),
        ("wrong", basic("hook", "another")),
        ("wrong", basic("other", SECRET)),
        ("malformed", vec![("authorization", format!("Bearer {SECRET}"))]),
    ];
    refused(&stand, &body("1"), cases).await;
    send(&stand, &basic("hook", SECRET), &body("1")).await.expect(200);
    assert_eq!(stand.users().await, ["kim"]);
}

#[actix_web::test]
async fn an_hmac_of_the_body_with_two_secrets_at_once() {
    let auth = json!({
        "scheme": "hmac", "header": "X-Signature", "prefix": "sha256=", "secret_files": ["SECRET"],
    });
    let mut stand = Stand::new("scheme-hmac", json!({"auth": auth})).await;
    let signed = |secret: &str, body: &str| {
        vec![(
            "x-signature",
            format!("sha256={}", hex(&tag(secret.as_bytes(), &[body.as_bytes()]))),
        )]
    };
    let first = body("1");
    let mut cut = signed(SECRET, &first);
    cut[0].1.truncate(21);
    let cases = vec![
        ("missing", vec![]),
        ("wrong", signed("another", &first)),
        ("wrong", signed(SECRET, &body("2"))),
        ("wrong", cut),
        ("malformed", vec![("x-signature", "nonsense".to_owned())]),
    ];
    refused(&stand, &first, cases).await;
    send(&stand, &signed(SECRET, &first), &first).await.expect(200);

    // A second secret beside the first, so that the sender can change.
    let second = stand.folder.path().join("second");
    fs::write(&second, "the-next-secret").expect("writable");
    let old = stand.secret_file();
    let provider = stand.setup.daemon.config().providers.values_mut().next().expect("one");
    let source = provider.sources.values_mut().next().expect("a source");
    source.0["auth"]["secret_files"] = json!([second, old]);
    stand.setup.daemon.restart().await;
    for (secret, id) in [(SECRET, "3"), ("the-next-secret", "4")] {
        send(&stand, &signed(secret, &body(id)), &body(id)).await.expect(200);
    }
    refused(&stand, &body("5"), vec![("wrong", signed("another", &body("5")))]).await;
    assert_eq!(stand.users().await.len(), 3);
}

#[actix_web::test]
async fn an_hmac_that_covers_a_time() {
    for (name, unit) in [("scheme-timed-s", "s"), ("scheme-timed-ms", "ms")] {
        let auth = json!({
            "scheme": "hmac", "header": "X-Signature", "timestamp": unit, "secret_files": ["SECRET"],
        });
        let stand = Stand::new(name, json!({"auth": auth})).await;
        let signed = |secret: &str, offset_secs: i64, body: &str| {
            let now = clock::now().as_millis() + offset_secs * 1000;
            let time = if unit == "s" { now / 1000 } else { now };
            vec![("x-signature", signing::timed(secret, time, body))]
        };
        let text = body("1");
        let cases = vec![
            ("missing", vec![]),
            ("wrong", signed("another", 0, &text)),
            ("wrong", signed(SECRET, 0, "another body")),
            ("old", signed(SECRET, -400, &text)),
            ("future", signed(SECRET, 400, &text)),
            ("malformed", vec![("x-signature", "v1=00".to_owned())]),
        ];
        refused(&stand, &text, cases).await;
        send(&stand, &signed(SECRET, -100, &text), &text).await.expect(200);
        assert_eq!(stand.users().await, ["kim"]);
    }
}

#[actix_web::test]
async fn standard_webhooks_under_both_names() {
    let auth = json!({"scheme": "standard-webhooks", "secret_files": ["SECRET"]});
    let key = STANDARD.encode([7; 24]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("whsec");
    fs::write(&file, format!("whsec_{key}")).expect("writable");
    let mut auth = auth;
    auth["secret_files"] = json!([file]);
    let stand = Stand::new("scheme-webhooks", json!({"auth": auth})).await;
    let signed = |names: [&'static str; 3], key: &[u8], offset: i64, body: &str| {
        signing::webhook(names, key, ("msg_1", clock::now().as_secs() + offset), body)
    };
    let text = body("1");
    let mut without_id = signed(WEBHOOK, &[7; 24], 0, &text);
    without_id.remove(0);
    let cases = vec![
        ("missing", vec![]),
        ("missing", without_id),
        ("wrong", signed(WEBHOOK, &[8; 24], 0, &text)),
        ("wrong", signed(SVIX, &[7; 24], 0, "another body")),
        ("old", signed(WEBHOOK, &[7; 24], -400, &text)),
        ("future", signed(WEBHOOK, &[7; 24], 400, &text)),
    ];
    refused(&stand, &text, cases).await;
    send(&stand, &signed(WEBHOOK, &[7; 24], 0, &text), &text).await.expect(200);
    let second = logout("2", "lee").to_string();
    send(&stand, &signed(SVIX, &[7; 24], 0, &second), &second).await.expect(200);
    assert_eq!(stand.users().await, ["kim", "lee"]);
}

#[actix_web::test]
async fn a_jwt_about_the_body() {
    let auth = json!({
        "scheme": "jwt", "secret_files": ["SECRET"], "algorithms": ["HS256"],
        "issuer": "https://idp.example", "audience": "ssfd",
        "body_hash_claim": "request_body_sha256",
    });
    let stand = Stand::new("scheme-jwt", json!({"auth": auth})).await;
    let text = body("1");
    let claims = |change: Value, body: &str| {
        let now = clock::now().as_secs();
        let mut claims = json!({
            "iss": "https://idp.example", "aud": "ssfd", "iat": now, "exp": now + 300,
            "request_body_sha256": hex(&sha256(body.as_bytes())),
        });
        for (name, value) in change.as_object().expect("members") {
            claims[name] = value.clone();
        }
        vec![("authorization", format!("Bearer {}", signing::jwt(SECRET, &claims)))]
    };
    let past = clock::now().as_secs() - 3600;
    let good = claims(json!({}), &text);
    let mut cut = good.clone();
    cut[0].1.truncate(60);
    let cases = vec![
        ("missing", vec![]),
        ("malformed", cut),
        ("body", claims(json!({}), "another body")),
        ("issuer", claims(json!({"iss": "https://other.example"}), &text)),
        ("audience", claims(json!({"aud": "other"}), &text)),
        ("expired", claims(json!({"exp": past}), &text)),
        ("future", claims(json!({"iat": past + 7200, "exp": past + 9000}), &text)),
    ];
    refused(&stand, &text, cases).await;
    send(&stand, &good, &text).await.expect(200);
    send(&stand, &good, &text).await.expect(200);
    assert_eq!(stand.users().await, ["kim"]);
}

/// The claims of a token in the body are the record.
#[actix_web::test]
async fn a_jwt_in_a_form_is_the_record() {
    let auth = json!({
        "scheme": "jwt", "secret_files": ["SECRET"], "algorithms": ["HS256"], "token_in": "form",
        "form_field": "token",
    });
    let stand = Stand::new("scheme-jwt-form", json!({"auth": auth})).await;
    let mut claims = logout("1", "kim");
    claims["exp"] = (clock::now().as_secs() + 60).into();
    let form = format!("token={}", signing::jwt(SECRET, &claims));
    let call = || stand.call().header("content-type", "application/x-www-form-urlencoded");
    call().body("other=1").send().await.expect(401);
    call().body(form).send().await.expect(200);
    assert_eq!(stand.users().await, ["kim"]);
}

#[actix_web::test]
async fn a_state_in_each_record() {
    let auth = json!({"scheme": "client-state", "secret_files": ["SECRET"]});
    let members = json!({"auth": auth, "records": "/value"});
    let stand = Stand::new("scheme-state", members).await;
    let batch = |states: &[&str]| {
        let record = |(n, state): (usize, &&str)| {
            let mut record = logout(&n.to_string(), &format!("u-{n}"));
            record["clientState"] = (*state).into();
            record
        };
        json!({"value": states.iter().enumerate().map(record).collect::<Vec<_>>()}).to_string()
    };
    refused(&stand, &batch(&[SECRET, "another"]), vec![("wrong", vec![])]).await;
    refused(&stand, &batch(&[]), vec![("missing", vec![])]).await;
    refused(&stand, r#"{"value": [{"type": "LOGOUT"}]}"#, vec![("missing", vec![])]).await;
    assert!(stand.claims().await.is_empty(), "one bad record refuses all");
    send(&stand, &vec![], &batch(&[SECRET, SECRET])).await.expect(200);
    assert_eq!(stand.users().await, ["u-0", "u-1"]);
}

#[actix_web::test]
async fn a_fingerprint_from_a_proxy() {
    let print = "ab".repeat(32);
    let auth = json!({"scheme": "certificate", "header": "X-Client", "fingerprints": [print]});
    let stand = Stand::with("scheme-certificate", json!({"auth": auth}), |config| {
        config.sources.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let cases = vec![("missing", vec![]), ("wrong", vec![("x-client", "cd".repeat(32))])];
    refused(&stand, &body("1"), cases).await;
    send(&stand, &vec![("x-client", print)], &body("1")).await.expect(200);
    assert_eq!(stand.users().await, ["kim"]);
}

#[actix_web::test]
async fn anybody_on_this_machine() {
    let stand = Stand::new("scheme-none", json!({"auth": {"scheme": "none"}})).await;
    send(&stand, &vec![], &body("1")).await.expect(200);
    assert_eq!(stand.users().await, ["kim"]);
}
