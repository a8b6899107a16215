//! Poll delivery (RFC 8936).

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use serde_json::json;
use ssfd::domain::grant::Scope;

use crate::harness::{
    daemon::rename_provider,
    eventually,
    http_client::{Answer, post},
    polling::{at_once, handed_out, jtis, meanwhile, poll_now, subjects, waits_long},
    receiver::{Receiver, claims},
    receiver_client::CHALLENGE,
    setup::Setup,
};

#[actix_web::test]
async fn poll_01_an_empty_object_is_answered_with_sets_always() {
    let setup = Setup::polling_with(|config| config.poll.wait = Duration::from_millis(10)).await;
    assert_eq!(setup.poll(json!({})).await.expect(200).json(), json!({"sets": {}}));
    setup.publish(&["s-88"]).await;
    let answer = setup.poll(json!({})).await.expect(200);
    assert_eq!(answer.header(CONTENT_TYPE), "application/json");
    assert_eq!(subjects(&answer), ["s-88"]);
}

#[actix_web::test]
async fn poll_02_each_set_is_a_member_under_its_jti_and_verifies() {
    let setup = Setup::polling().await;
    setup.publish(&["s-1", "s-2"]).await;

    let answer = poll_now(&setup, json!({})).await;

    assert_eq!(answer.header(CONTENT_TYPE), "application/json");
    let verifier = setup.daemon.verifier(setup.daemon.provider()).await;
    let sets = answer.json()["sets"].as_object().expect("an object").clone();
    assert_eq!(sets.len(), 2);
    for (jti, jws) in sets {
        let set = verifier.verify(jws.as_str().expect("text")).expect("a SET of ours");
        assert_eq!(set.claims["jti"], json!(jti));
    }
}

#[actix_web::test]
async fn poll_03_no_more_than_max_events_are_returned() {
    let setup = Setup::polling().await;
    setup.publish(&["s-1", "s-2", "s-3", "s-4", "s-5"]).await;
    assert_eq!(subjects(&poll_now(&setup, json!({"maxEvents": 2})).await), ["s-1", "s-2"]);
    let rest = poll_now(&setup, json!({"maxEvents": 4})).await;
    assert_eq!(subjects(&rest), ["s-3", "s-4", "s-5"]);
}

/// The first daemon makes a poll wait longer than any test runs. Its answers arrive long before
/// that.
#[actix_web::test]
async fn poll_04_a_poll_waits_for_a_set_unless_it_is_told_not_to() {
    let setup = Setup::polling_with(waits_long).await;
    assert_eq!(poll_now(&setup, json!({})).await.json(), json!({"sets": {}}));
    let answer = meanwhile(&setup, json!({}), setup.publish(&["s-1"])).await;
    assert_eq!(subjects(&answer), ["s-1"]);

    let setup = Setup::polling_with(|config| config.poll.wait = Duration::from_millis(50)).await;
    assert_eq!(setup.poll(json!({})).await.expect(200).json(), json!({"sets": {}}));
}

/// RFC 8936 §2.4.2.
#[actix_web::test]
async fn poll_05_a_poll_with_max_events_0_returns_no_set_and_waits_for_one_unless_told_not_to() {
    let setup = Setup::polling_with(waits_long).await;
    let sets = handed_out(&setup, &["s-1"]).await;
    let answer = poll_now(&setup, json!({"maxEvents": 0, "ack": sets})).await;
    assert_eq!(answer.json(), json!({"sets": {}}));
    setup.settled().await;

    let answer = meanwhile(&setup, json!({"maxEvents": 0}), setup.publish(&["s-2"])).await;
    assert_eq!(answer.expect(200).json(), json!({"sets": {}, "moreAvailable": true}));
    assert_eq!(subjects(&poll_now(&setup, json!({})).await), ["s-2"]);
}

#[actix_web::test]
async fn poll_06_an_acknowledged_set_is_never_returned_again() {
    let setup = Setup::polling_with(at_once).await;
    let sets = handed_out(&setup, &["s-1", "s-2", "s-3"]).await;

    let answer = poll_now(&setup, json!({"ack": sets[..2]})).await;
    assert_eq!(jtis(&answer), sets[2..]);
    assert_eq!(jtis(&poll_now(&setup, json!({})).await), sets[2..]);

    let answer = poll_now(&setup, json!({"ack": sets})).await;
    assert_eq!(answer.json(), json!({"sets": {}}), "an acknowledgement may be repeated");
    setup.settled().await;
}

/// The claims are the same and the oldest SET comes first. No SET returns before the redelivery
/// interval is over.
#[actix_web::test]
async fn poll_07_an_unacknowledged_set_is_returned_again_after_an_interval() {
    let setup = Setup::polling_with(at_once).await;
    setup.publish(&["s-1", "s-2"]).await;
    let first = poll_now(&setup, json!({"maxEvents": 1})).await;
    let again = poll_now(&setup, json!({"maxEvents": 1})).await;
    assert_eq!((jtis(&again), subjects(&again)), (jtis(&first), vec!["s-1".to_owned()]));
    let set =
        |answer: &Answer| claims(answer.json()["sets"][&jtis(&first)[0]].as_str().expect("a SET"));
    assert_eq!(set(&again), set(&first));

    let setup = Setup::polling_with(|config| {
        config.poll.redelivery_interval = Duration::from_hours(1);
    })
    .await;
    handed_out(&setup, &["s-1"]).await;
    assert_eq!(poll_now(&setup, json!({})).await.json(), json!({"sets": {}}));
    assert_eq!(setup.waiting().await.len(), 1);
}

#[actix_web::test]
async fn poll_08_the_answer_tells_whether_more_sets_are_available() {
    let setup = Setup::polling().await;
    setup.publish(&["s-1", "s-2", "s-3"]).await;
    let first = poll_now(&setup, json!({"maxEvents": 2})).await;
    assert_eq!(first.json()["moreAvailable"], true);
    let rest = poll_now(&setup, json!({"maxEvents": 2})).await;
    assert_eq!((rest.json().get("moreAvailable"), jtis(&rest).len()), (None, 1));
}

#[actix_web::test]
async fn poll_09_acknowledgements_and_errors_are_applied_first_and_unknown_jtis_ignored() {
    let setup = Setup::polling_with(at_once).await;
    let sets = handed_out(&setup, &["s-1", "s-2", "s-3"]).await;

    let unknown = json!({
        "ack": ["no-such-jti", "not a jti at all \u{0}", ""],
        "setErrs": {"no-such-jti-2": {"err": "invalid_key", "description": ""}},
    });
    assert_eq!(jtis(&poll_now(&setup, unknown).await), sets);
    let known = json!({"ack": sets[..1], "setErrs": {sets[1].as_str(): {"err": "invalid_key"}}});
    assert_eq!(jtis(&poll_now(&setup, known.clone()).await), sets[2..]);
    // The second time, the settled `jti`s are unknown too.
    assert_eq!(jtis(&poll_now(&setup, known).await), sets[2..]);
}

/// RFC 8936 §2.6.
#[actix_web::test]
async fn poll_10_a_set_that_the_receiver_refuses_becomes_a_dead_letter() {
    let name = "poll-refused";
    let setup = Setup::polling_with(|config| {
        rename_provider(config, name);
        at_once(config);
    })
    .await;
    let sets = handed_out(&setup, &["s-1", "s-2", "s-3"]).await;

    let errors = json!({
        sets[0].as_str(): {"err": "invalid_audience", "description": "not for us"},
        sets[1].as_str(): {"err": "made_up"},
    });
    let answer = poll_now(&setup, json!({"setErrs": errors})).await;

    assert_eq!(jtis(&answer), sets[2..]);
    assert_eq!(setup.waiting().await.len(), 1);
    for reason in ["invalid_audience", "other"] {
        let dead = format!(r#"ssfd_sets_dead_total{{provider="{name}",reason="{reason}"}}"#);
        assert_eq!(setup.daemon.metric(&dead).await.to_string(), "1", "{reason}");
    }
}

/// The error names the member (RFC 8936 §2.5.1).
#[actix_web::test]
async fn poll_11_an_invalid_poll_is_answered_400_and_settles_nothing() {
    let setup = Setup::polling().await;
    let sets = handed_out(&setup, &["s-1"]).await;
    let url = setup.daemon.provider_url(setup.daemon.provider(), "/ssf/poll/") + &setup.stream;
    let with_ack = |member: &str| format!(r#"{{"ack": ["{}"], {member}}}"#, sets[0]);
    for (body, named) in [
        (String::new(), "body"),
        ("{".into(), "body"),
        ("[]".into(), "body"),
        ("null".into(), "body"),
        (with_ack(r#""maxEvents": -1"#), "maxEvents"),
        (with_ack(r#""maxEvents": "10""#), "maxEvents"),
        (with_ack(r#""returnImmediately": "yes""#), "returnImmediately"),
        (with_ack(r#""setErrs": []"#), "setErrs"),
        (with_ack(r#""setErrs": {"j": "bad"}"#), "setErrs"),
        (with_ack(r#""setErrs": {"j": {}}"#), "setErrs.err"),
        (with_ack(r#""setErrs": {"j": {"err": 7}}"#), "setErrs.err"),
        (with_ack(r#""ack": []"#), "body"),
        (r#"{"ack": "one"}"#.into(), "ack"),
        (r#"{"ack": [1]}"#.into(), "ack"),
    ] {
        let answer = post(&url).bearer(&setup.token).body(body.clone()).send().await.expect(400);
        assert_eq!(answer.header(CONTENT_TYPE), "application/problem+json");
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains(&format!("`{named}`")), "{body}: {detail}");
    }
    assert_eq!(setup.waiting().await.len(), 1);
}

/// SSF §7.1.1.
#[actix_web::test]
async fn poll_12_a_poll_requires_a_token_like_every_management_request() {
    let setup = Setup::polling().await;
    let url = setup.daemon.provider_url(setup.daemon.provider(), "/ssf/poll/") + &setup.stream;
    let answer = post(&url).json(&json!({})).send().await.expect(401);
    assert_eq!(answer.header(WWW_AUTHENTICATE), CHALLENGE);
    for token in ["made-up", setup.publisher.as_str()] {
        let answer = setup.daemon.poll(token, &setup.stream, &json!({})).await.expect(401);
        let challenge = answer.header(WWW_AUTHENTICATE);
        assert!(challenge.contains("invalid_token"), "{challenge}");
    }
}

/// SSF §8: no answer tells whether such a stream exists.
#[actix_web::test]
async fn poll_13_only_the_receivers_own_poll_streams_can_be_polled() {
    let setup = Setup::polling().await;
    let other = setup.daemon.receiver_token("other", &[Scope::Manage]).await;
    let theirs = setup.daemon.poll(&other, &setup.stream, &json!({})).await.expect(404);
    let unknown = setup.daemon.poll(&other, "no-such-stream", &json!({})).await.expect(404);
    assert_eq!(theirs.text(), unknown.text());

    let receiver = Receiver::accepting().await;
    let pushed = Setup::pushing_to(&receiver).await;
    assert_eq!(pushed.poll(json!({})).await.expect(404).text(), unknown.text());
}

/// SSF §8.1.2.1.
#[actix_web::test]
async fn poll_14_a_stream_that_is_not_enabled_returns_nothing_but_accepts_acknowledgements() {
    let setup = Setup::polling_with(at_once).await;
    let sets = handed_out(&setup, &["s-1", "s-2"]).await;
    setup.change_status("paused").await;
    setup.publish(&["s-3"]).await;

    let answer = poll_now(&setup, json!({"ack": sets[..1]})).await;
    assert_eq!(answer.json(), json!({"sets": {}}));

    setup.change_status("enabled").await;
    assert_eq!(subjects(&poll_now(&setup, json!({})).await), ["s-2", "s-3"]);

    setup.change_status("disabled").await;
    let answer = poll_now(&setup, json!({"ack": sets})).await;
    assert_eq!(answer.json(), json!({"sets": {}}));
}

/// The test lowers the documented limits (STAT-10). The newest SETs are kept.
#[actix_web::test]
async fn poll_15_sets_beyond_the_limit_of_a_paused_stream_are_discarded() {
    let setup = Setup::polling_with(|config| {
        (config.store.held_max, config.store.expiry_interval) = (2, Duration::from_millis(10));
    })
    .await;
    setup.change_status("paused").await;
    setup.publish(&["s-1", "s-2", "s-3", "s-4"]).await;
    eventually("two SETs are given up", async || setup.in_outbox().await == 2).await;
    setup.change_status("enabled").await;
    assert_eq!(subjects(&poll_now(&setup, json!({})).await), ["s-3", "s-4"]);
}
