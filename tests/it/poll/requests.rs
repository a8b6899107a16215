//! Which requests are refused.

use hyper::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use serde_json::json;
use ssfd::domain::grant::Scope;

use crate::harness::{http_client::post, receiver::Receiver, scene::Scene};

/// POLL-11 (RFC 8936 §2.5.1): the error names the member.
#[actix_web::test]
async fn an_invalid_poll_is_answered_400_and_settles_nothing() {
    let scene = Scene::polling().await;
    let sets = super::handed_out(&scene, &["s-1"]).await;
    let url = scene.daemon.provider_url(scene.daemon.provider(), "/ssf/poll/") + &scene.stream;
    let with_ack = |member: &str| format!(r#"{{"ack": ["{}"], {member}}}"#, sets[0]);
    for (body, named) in [
        (String::new(), "body"),
        ("{".into(), "body"),
        ("[]".into(), "body"),
        ("null".into(), "body"),
        (with_ack(r#""maxEvents": -1"#), "maxEvents"),
        (with_ack(r#""maxEvents": "10""#), "maxEvents"),
        (with_ack(r#""maxEvents": null"#), "maxEvents"),
        (with_ack(r#""returnImmediately": "yes""#), "returnImmediately"),
        (with_ack(r#""setErrs": []"#), "setErrs"),
        (with_ack(r#""setErrs": {"j": "bad"}"#), "setErrs"),
        (r#"{"ack": "one"}"#.into(), "ack"),
        (r#"{"ack": [1]}"#.into(), "ack"),
    ] {
        let answer = post(&url).bearer(&scene.token).body(body.clone()).send().await.expect(400);
        assert_eq!(answer.header(CONTENT_TYPE), "application/problem+json");
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains(&format!("`{named}`")), "{body}: {detail}");
    }
    assert_eq!(scene.waiting().await.len(), 1);
}

/// POLL-12 (SSF §7.1.1).
#[actix_web::test]
async fn a_poll_needs_a_token_of_this_provider() {
    let scene = Scene::polling().await;
    let url = scene.daemon.provider_url(scene.daemon.provider(), "/ssf/poll/") + &scene.stream;
    let answer = post(&url).json(&json!({})).send().await.expect(401);
    assert_eq!(answer.header(WWW_AUTHENTICATE), r#"Bearer realm="ssf""#);
    for token in ["made-up", scene.upstream.as_str()] {
        let answer = scene.daemon.poll(token, &scene.stream, &json!({})).await.expect(401);
        let challenge = answer.header(WWW_AUTHENTICATE);
        assert!(challenge.contains("invalid_token"), "{challenge}");
    }
}

/// POLL-13 (SSF §8): none of them tells whether such a stream exists.
#[actix_web::test]
async fn only_the_receivers_own_poll_streams_can_be_polled() {
    let scene = Scene::polling().await;
    let other = scene.daemon.receiver_token("other", &[Scope::Manage]).await;
    let theirs = scene.daemon.poll(&other, &scene.stream, &json!({})).await.expect(404);
    let unknown = scene.daemon.poll(&other, "no-such-stream", &json!({})).await.expect(404);
    assert_eq!(theirs.text(), unknown.text());

    let receiver = Receiver::accepting().await;
    let pushed = Scene::pushing_to(&receiver).await;
    assert_eq!(pushed.poll(json!({})).await.expect(404).text(), unknown.text());
}
