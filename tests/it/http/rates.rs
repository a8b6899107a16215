//! How often callers may ask (`public.rates`).

use hyper::header::RETRY_AFTER;
use serde_json::json;
use ssfd::domain::grant::Scope;

use super::assert_refused;
use crate::harness::{
    daemon::{Daemon, PROVIDER, with_provider},
    eventually,
    http_client::{Answer, Call, get, post},
    streams::by_poll,
};

#[track_caller]
fn assert_limited(answer: &Answer) {
    assert_refused(answer, 429, "");
    let wait: u64 = answer.header(RETRY_AFTER).parse().expect("seconds");
    assert!(1 <= wait, "{wait}");
}

/// Sends calls until one is limited.
async fn until_limited(call: impl Fn() -> Call) -> Answer {
    let mut last = None;
    eventually("too many requests", async || {
        let answer = call().send().await;
        let limited = answer.status == 429;
        last = Some(answer);
        limited
    })
    .await;
    last.expect("an answer")
}

#[actix_web::test]
async fn the_requests_of_one_receiver_are_limited_whatever_its_credential() {
    let daemon = Daemon::with(|config| config.public.rates.receiver_per_second_max = 1).await;
    let url = daemon.provider_url(PROVIDER, "/ssf/streams");
    let tokens = [
        daemon.receiver_token("rx", &[Scope::Read]).await,
        daemon.receiver_token("rx", &[Scope::Read]).await,
    ];
    for token in &tokens {
        assert_limited(&until_limited(|| get(&url).bearer(token)).await);
    }
    // A new Receiver has a rate of its own, and documents need no credential.
    let other = daemon.receiver_token("other", &[Scope::Read]).await;
    get(&url).bearer(&other).send().await.expect(200);
    get(&daemon.provider_url(PROVIDER, "/jwks.json")).send().await.expect(200);
}

/// Refused credentials and requests without one use up nothing that a good credential needs.
#[actix_web::test]
async fn strangers_are_limited_by_address_and_lock_no_receiver_out() {
    let daemon = Daemon::with(|config| {
        config.public.rates.address_per_second_max = 1;
        config.public.rates.refused_per_second_max = 1;
    })
    .await;
    let url = daemon.provider_url(PROVIDER, "/ssf/streams");
    let token = daemon.receiver_token("rx", &[Scope::Read]).await;
    let documents = daemon.provider_url(PROVIDER, "/jwks.json");
    assert_limited(&until_limited(|| get(&documents)).await);
    assert_limited(&until_limited(|| get(&url)).await);
    assert_limited(&until_limited(|| get(&url).bearer("ssfd_made_up")).await);
    let publish = daemon.internal_url("/events");
    let made_up = || post(&publish).bearer("ssfd_made_up").json(&json!({}));
    assert_limited(&until_limited(made_up).await);
    for _ in 0..20 {
        get(&url).bearer(&token).send().await.expect(200);
    }
}

/// Behind a proxy that is trusted, each caller has an address of its own.
#[actix_web::test]
async fn a_trusted_proxy_tells_callers_apart() {
    let strict = |trusted: bool| {
        Daemon::with(move |config| {
            config.public.rates.address_per_second_max = 1;
            if trusted {
                config.public.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
            }
        })
    };
    for trusted in [true, false] {
        let daemon = strict(trusted).await;
        let url = daemon.provider_url(PROVIDER, "/jwks.json");
        let from = |address: &str| get(&url).header("x-forwarded-for", address);
        let mut answered = 0;
        for n in 1..=40 {
            let answer = from(&format!("192.0.2.{n}")).send().await;
            answered += usize::from(answer.status == 200);
        }
        assert_eq!(answered == 40, trusted, "{answered}");
        assert_limited(&until_limited(|| from("192.0.2.1")).await);
    }
}

/// Some Receivers poll a deleted stream again at once and for ever, whatever they are answered.
#[actix_web::test]
async fn a_receiver_that_polls_a_deleted_stream_for_ever_is_slowed_down() {
    let daemon = Daemon::with(|config| config.public.rates.absent_per_second_max = 20).await;
    let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
    let id = daemon.create_stream(&token, by_poll()).await;
    daemon.delete_stream(&token, &id).await.expect(204);
    let began = ssfd::clock::instant();
    let polls = 60;
    for _ in 0..polls {
        let answer = daemon.poll(&token, &id, &json!({"returnImmediately": true})).await;
        assert!([404, 429].contains(&answer.status.as_u16()), "{}", answer.text());
    }
    // 20 answers come at once, and each further one after a twentieth of a second. Slow machines only
    // take longer.
    let took = ssfd::clock::instant().saturating_duration_since(began);
    assert!(1.9 < took.as_secs_f64(), "{took:?}");
    // The same Receiver is answered at once about what it has.
    daemon.create_stream(&token, by_poll()).await;
}

/// `min_verification_interval` is not reset by a new stream in place of the old one.
#[actix_web::test]
async fn creating_verifying_and_deleting_in_a_loop_does_not_get_around_the_interval() {
    let daemon = Daemon::with(with_provider(|provider| {
        provider.min_verification_interval = std::time::Duration::from_hours(1);
    }))
    .await;
    let verify = async |receiver: &str| {
        let token = daemon.receiver_token(receiver, &[Scope::Manage]).await;
        let id = daemon.create_stream(&token, by_poll()).await;
        let url = daemon.provider_url(PROVIDER, "/ssf/verify");
        let answer = post(&url).bearer(&token).json(&json!({"stream_id": id})).send().await;
        daemon.delete_stream(&token, &id).await.expect(204);
        answer
    };
    verify("rx").await.expect(204);
    for _ in 0..5 {
        assert_limited(&verify("rx").await);
    }
    verify("other").await.expect(204);
}
