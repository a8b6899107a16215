//! Creating a stream (SSF §8.1.1.1).

use serde_json::{Value, json};
use ssfd::domain::stream::METHOD_POLL;

use super::{super::assert_refused, broken_members};
use crate::harness::{
    daemon::{Daemon, PROVIDER, with_provider},
    streams::push_to,
};

#[actix_web::test]
async fn members_that_the_transmitter_sets_are_refused() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let stream = client.create(&json!({})).await;
    let before = client.list().await;
    for member in [
        "stream_id",
        "iss",
        "aud",
        "events_supported",
        "events_delivered",
        "min_verification_interval",
        "inactivity_timeout",
    ] {
        // The refusal does not depend on the value.
        for value in [stream[member].clone(), Value::Null] {
            let answer = client.send("POST", "/ssf/streams", &json!({ member: value })).await;
            assert_refused(&answer, 400, &format!("`{member}` is for the Transmitter to say"));
        }
    }
    assert_eq!(client.list().await, before);
}

/// SSF §4.2.3. Members of former drafts are unknown, too.
#[actix_web::test]
async fn unknown_members_are_ignored() {
    let daemon = Daemon::start().await;
    let members = json!({"format": "email", "status": "paused", "x": [null],
        "delivery": {"method": METHOD_POLL, "x": 1}});
    let stream = daemon.client("rx").await.create(&members).await;
    assert!(["format", "status", "x"].iter().all(|member| stream.get(member).is_none()));
}

/// CFG-22, and all other rules for members.
#[actix_web::test]
async fn a_member_that_breaks_a_rule_is_named_and_nothing_is_made() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    for (members, detail) in broken_members() {
        assert_refused(&client.send("POST", "/ssf/streams", &members).await, 400, detail);
    }
    assert_eq!(client.list().await, json!([]));
}

/// SSF §8.1.1: also after a restart.
#[actix_web::test]
async fn an_endpoint_url_is_shown_as_it_was_given() {
    let mut daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let urls = ["https://rx.example", "https://RX.example:443/a/../in?x=%7e&y=\u{fc}"];
    for url in urls {
        let stream = client.create(&json!({"delivery": push_to(url)})).await;
        assert_eq!(stream["delivery"]["endpoint_url"], url);
    }
    let (before, token) = (client.list().await, client.token.clone());
    daemon.restart().await;
    assert_eq!(daemon.client_with(PROVIDER, &token).list().await, before);
}

/// CFG-04: the limit of streams.
#[actix_web::test]
async fn the_limit_holds_for_requests_at_the_same_time() {
    let three_each = with_provider(|provider| provider.streams_per_receiver_max = 3);
    let daemon = Daemon::with(three_each).await;
    let client = daemon.client("rx").await;
    let members = json!({});
    let creates = (0..12).map(|_| client.send("POST", "/ssf/streams", &members));
    let answers = futures_util::future::join_all(creates).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(409)), (3, 9));
    assert_eq!(client.list().await.as_array().map(Vec::len), Some(3));
}
