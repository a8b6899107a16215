//! The outcome of an attempt by the answer of the Receiver.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    harness::{
        daemon::rename_provider, eventually, receiver::Receiver, setup::Setup, streams::push_to,
    },
    scripted_server::{Reply, Seen},
};

/// PUSH-06 (RFC 8935 §2).
#[actix_web::test]
async fn a_retried_set_is_sent_as_the_same_bytes() {
    let failures = [401, 403, 302, 404];
    let mut receiver = Receiver::answering(failures).await;
    let setup = Setup::pushing_to(&receiver).await;

    setup.publish(&["s-1"]).await;

    let attempts = receiver.next_few(failures.len() + 1).await;
    for attempt in &attempts {
        assert_eq!(attempt.body, attempts[0].body);
    }
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

/// PUSH-04: the second attempt is another JWS of the same SET.
#[actix_web::test]
async fn a_set_whose_signature_is_refused_is_signed_again_once() {
    let name = "key-refused";
    for (round, err) in ["invalid_key", "jws_signature_failed"].into_iter().enumerate() {
        let body = json!({"err": err}).to_string();
        let mut receiver = Receiver::start(move |n, _| match n {
            0..3 => Reply::full(400, &[], &body),
            _ => Reply::status(202),
        })
        .await;
        let setup = Setup::pushing_with(&receiver, |config| rename_provider(config, name)).await;

        setup.publish(&["s-1", "s-1", "s-1"]).await;

        let sets = receiver.next_few(5).await;
        let claims: Vec<_> = sets.iter().map(Seen::claims).collect();
        assert_eq!(claims[0], claims[1]);
        assert_ne!(sets[0].body, sets[1].body, "ES256 signatures of the same bytes differ");
        assert_eq!(claims[2], claims[3]);
        assert_ne!(claims[1], claims[2], "dead");
        assert_ne!(claims[3], claims[4]);
        setup.settled().await;
        assert!(receiver.rest().is_empty());
        assert_eq!(setup.attempts("accepted").await, 2 * (round + 1));
    }
}

/// PUSH-05, PUSH-06, PUSH-08: every HTTP answer has its outcome label.
#[actix_web::test]
async fn each_http_answer_is_counted_under_its_outcome_label() {
    let outcomes = [
        (500, "unavailable"),
        (408, "unavailable"),
        (429, "throttled"),
        (401, "credentials"),
        (403, "credentials"),
        (302, "misconfigured"),
        (404, "misconfigured"),
        (410, "misconfigured"),
        (413, "misconfigured"),
        (200, "accepted_other_2xx"),
        (202, "accepted"),
    ];
    let mut receiver = Receiver::answering(outcomes.map(|(status, _)| status)).await;
    let setup = Setup::pushing_with(&receiver, |config| {
        rename_provider(config, "labels");
        config.delivery.breaker.failures = u32::MAX;
    })
    .await;

    setup.publish(&["s-1", "s-1"]).await;

    receiver.next_few(outcomes.len()).await;
    setup.settled().await;
    for (_, label) in outcomes {
        let expected = outcomes.iter().filter(|(_, other)| *other == label).count();
        assert_eq!(setup.attempts(label).await, expected, "{label}");
    }
}

/// PUSH-05, PUSH-10, PUSH-12: every failure without an HTTP answer has its outcome label.
#[actix_web::test]
async fn each_failure_without_an_answer_is_counted_under_its_outcome_label() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
    let gone = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let refusing = port(&gone);
    drop(gone);
    let (with_tls, without_tls) =
        (Receiver::accepting_over_tls().await, Receiver::accepting().await);
    let cases = [
        (format!("http://localhost:{refusing}/in"), "connect"),
        (format!("http://localhost:{}/in", port(&silent)), "timeout"),
        (with_tls.url("/in"), "tls_untrusted"),
        (without_tls.url("/in").replace("http:", "https:"), "tls_incompatible"),
        (without_tls.url("/in"), "address_refused"),
    ];
    for (url, label) in cases {
        let setup = Setup::new(push_to(&url), |config| {
            rename_provider(config, "no-answer");
            config.push.attempt_timeout = Duration::from_millis(300);
            if label == "address_refused" {
                config.push.allow_networks.clear();
            }
        })
        .await;
        setup.publish(&["s-1"]).await;
        eventually(label, async || 0 < setup.attempts(label).await).await;
        assert_eq!(setup.waiting().await.len(), 1, "the SET is retried");
    }
}

/// PUSH-05: SETs that wait for a retry take no room in the window, however many there are.
#[actix_web::test]
async fn sets_that_wait_for_a_retry_block_no_other_lane() {
    const SICK: usize = 300;
    let mut receiver = Receiver::start(|_, request| {
        Reply::status(if request.subject().starts_with("sick") { 500 } else { 202 })
    })
    .await;
    let setup = Setup::pushing_with(&receiver, |config| {
        (config.delivery.in_flight_max, config.delivery.window_max) = (4, 8);
        config.delivery.retry.schedule = vec![Duration::from_hours(1)];
    })
    .await;
    let sick: Vec<_> = (0..SICK).map(|n| format!("sick-{n}")).collect();
    let mut about: Vec<_> = sick.iter().map(String::as_str).collect();
    about.extend(["well", "well"]);

    setup.publish(&about).await;

    let attempts = receiver.next_few(SICK + 2).await;
    assert_eq!(attempts.iter().filter(|set| set.subject() == "well").count(), 2);
    eventually("the results are recorded", async || setup.waiting().await.len() == SICK).await;
    assert!(receiver.rest().is_empty());
}

/// PUSH-06: these error codes blame the Transmitter's credentials and not the SET (RFC 8935 §2.4).
#[actix_web::test]
async fn a_set_survives_the_refusal_of_our_credentials() {
    let codes = ["authentication_failed", "access_denied"];
    let script = move |n: usize| match codes.get(n) {
        Some(code) => Reply::full(400, &[], &json!({"err": code}).to_string()),
        None => Reply::status(202),
    };
    let mut receiver = Receiver::start(move |n, _| script(n)).await;
    let setup = Setup::pushing_to(&receiver).await;

    setup.publish(&["s-1"]).await;

    let attempts = receiver.next_few(3).await;
    assert_eq!(attempts[0].body, attempts[2].body);
    setup.settled().await;
}

/// PUSH-11.
#[actix_web::test]
async fn a_set_is_given_up_by_its_age() {
    let receiver = Receiver::start(|_, _| Reply::status(503)).await;
    let name = "given-up";
    let setup = Setup::pushing_with(&receiver, |config| {
        rename_provider(config, name);
        config.delivery.retry.give_up_after = Duration::from_millis(100);
    })
    .await;

    setup.publish(&["s-1"]).await;

    setup.settled().await;
    let dead = format!(r#"ssfd_sets_dead_total{{provider="{name}",reason="expired"}}"#);
    assert_eq!(setup.daemon.metric(&dead).await.to_string(), "1");
}
