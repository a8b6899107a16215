//! Long polls that end before their time: the Receiver is gone, a newer poll takes the place, or the
//! token is revoked.

use std::time::Duration;

use serde_json::{Value, json};
use ssfd::{auth, config::Config, domain::secret::Secret, store::TokenStore as _};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    task::{JoinHandle, spawn_local},
};

use crate::harness::{
    eventually,
    http_client::{Answer, post},
    polling::{poll_now, subjects, waits_long},
    receiver_client::CHALLENGE,
    setup::Setup,
};

/// Long polls that wait longer than any test. A SET that was handed out stays away for as long.
fn patient(config: &mut Config) {
    waits_long(config);
    config.poll.redelivery_interval = Duration::from_hours(1);
}

/// How many polls of the stream wait.
async fn waiting(setup: &Setup) -> u64 {
    setup.shown().await["polling"]["long_polls"].as_u64().expect("a number")
}

async fn until_waiting(setup: &Setup, polls: u64) {
    eventually(&format!("{polls} polls wait"), async || waiting(setup).await == polls).await;
}

fn poll_url(setup: &Setup) -> String {
    setup.daemon.provider_url(setup.daemon.provider(), "/ssf/poll/") + &setup.stream
}

/// Starts a long poll, and returns once it waits together with `others`.
async fn start_poll(setup: &Setup, others: u64) -> JoinHandle<Answer> {
    let call = post(&poll_url(setup)).bearer(&setup.token).json(&json!({}));
    let poll = spawn_local(call.send());
    until_waiting(setup, others + 1).await;
    poll
}

/// Starts a long poll on a connection of its own, and returns once it waits.
async fn start_poll_on_connection(setup: &Setup) -> TcpStream {
    let url = url::Url::parse(&poll_url(setup)).expect("an URL");
    let address = (url.host_str().expect("a host"), url.port().expect("a port"));
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-length: 2\r\n\r\n{{}}",
        url.path(),
        setup.token
    );
    connection.write_all(request.as_bytes()).await.expect("it reads");
    until_waiting(setup, 1).await;
    connection
}

#[actix_web::test]
async fn a_poll_whose_receiver_is_gone_takes_nothing() {
    for with_reset in [false, true] {
        let setup = Setup::polling_with(patient).await;
        let connection = start_poll_on_connection(&setup).await;
        if with_reset {
            connection.set_zero_linger().expect("a socket");
        }
        drop(connection);
        setup.publish(&["s-1"]).await;
        assert_eq!(subjects(&poll_now(&setup, json!({})).await), ["s-1"], "reset: {with_reset}");
    }
}

#[actix_web::test]
async fn a_poll_whose_receiver_is_gone_leaves_its_place() {
    let setup = Setup::polling_with(patient).await;
    drop(start_poll_on_connection(&setup).await);
    until_waiting(&setup, 0).await;
}

#[actix_web::test]
async fn the_newest_poll_gets_the_set_and_the_next_newest_the_next_set() {
    let setup = Setup::polling_with(patient).await;
    let oldest = start_poll(&setup, 0).await;
    let middle = start_poll(&setup, 1).await;
    let newest = start_poll(&setup, 2).await;
    for (poll, subject, others) in [(newest, "s-1", 2), (middle, "s-2", 1), (oldest, "s-3", 0)] {
        setup.publish(&[subject]).await;
        assert_eq!(subjects(&poll.await.expect("an answer")), [subject]);
        until_waiting(&setup, others).await;
    }
}

#[actix_web::test]
async fn the_sets_that_an_answer_has_no_room_for_go_to_the_next_poll() {
    let setup = Setup::polling_with(|config| {
        patient(config);
        (config.poll.events_default, config.poll.events_max) = (1, 1);
    })
    .await;
    let polls = [start_poll(&setup, 0).await, start_poll(&setup, 1).await];
    setup.publish(&["s-1", "s-2"]).await;
    for (poll, subject) in polls.into_iter().rev().zip(["s-1", "s-2"]) {
        assert_eq!(subjects(&poll.await.expect("an answer")), [subject]);
    }
}

/// SEC-04: the number of waiting polls is bounded.
#[actix_web::test]
async fn the_oldest_poll_gives_way_when_all_places_are_taken() {
    let setup = Setup::polling_with(|config| {
        patient(config);
        config.poll.waiting_max = 2;
    })
    .await;
    let first = start_poll(&setup, 0).await;
    let second = start_poll(&setup, 1).await;
    let third = post(&poll_url(&setup)).bearer(&setup.token).json(&json!({}));
    let third = spawn_local(third.send());
    let gave_way = first.await.expect("an answer").expect(200);
    assert_eq!(gave_way.json(), json!({"sets": {}}));
    assert_eq!(waiting(&setup).await, 2);
    setup.publish(&["s-1"]).await;
    assert_eq!(subjects(&third.await.expect("an answer")), ["s-1"]);
    second.abort();
}

/// Neither at the next SET nor at the end of the wait.
#[actix_web::test]
async fn a_poll_whose_token_is_revoked_ends_with_401_and_hands_out_nothing() {
    for has_event in [true, false] {
        let setup = Setup::polling_with(|config| {
            patient(config);
            if !has_event {
                config.poll.wait = Duration::from_millis(500);
            }
        })
        .await;
        let other = setup.daemon.receiver_token("rx", &[ssfd::domain::grant::Scope::Read]).await;
        let poll = start_poll(&setup, 0).await;
        let hash = auth::hash(&Secret::new(&setup.token));
        assert!(setup.daemon.store().revoke_grant(&hash).await.expect("the store answers"));
        if has_event {
            setup.publish(&["s-1"]).await;
        }
        let answer = poll.await.expect("an answer").expect(401);
        let challenge = answer.header(hyper::header::WWW_AUTHENTICATE);
        assert_eq!(challenge, format!(r#"{CHALLENGE}, error="invalid_token""#));
        if has_event {
            let now = json!({"returnImmediately": true});
            let answer = setup.daemon.poll(&other, &setup.stream, &now).await;
            assert_eq!(subjects(&answer), ["s-1"]);
        }
    }
}

/// The daemon would wait for five minutes.
#[actix_web::test]
async fn a_poll_waits_no_longer_than_its_receiver_says() {
    let setup = Setup::polling_with(patient).await;
    for secs in [json!(0), json!(1)] {
        let answer = setup.poll(json!({"timeoutSecs": secs})).await.expect(200);
        assert_eq!(answer.json(), json!({"sets": {}}));
    }
    for wrong in [json!(-1), json!("10"), Value::Bool(true)] {
        setup.poll(json!({"timeoutSecs": wrong})).await.expect(400);
    }
}
