//! Creating a stream (SSF §8.1.1.1).

use serde_json::{Value, json};
use ssfd::domain::stream::METHOD_POLL;

use super::{super::assert_refused, broken_members};
use crate::harness::{
    daemon::{Daemon, ISSUER, PROVIDER, with_provider},
    events::SESSION_REVOKED,
    streams::{id_of, push_to},
};

/// Real Receivers send these members at every create: empty, or as they were in another stream.
#[actix_web::test]
async fn members_that_the_transmitter_sets_are_ignored() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let earlier = client.create(&json!({})).await;
    let created = async |members: Value| {
        let mut stream = client.create(&members).await;
        let id = id_of(&stream).to_owned();
        assert_ne!(id, id_of(&earlier));
        stream["delivery"]["endpoint_url"] = earlier["delivery"]["endpoint_url"].clone();
        stream["stream_id"] = earlier["stream_id"].clone();
        assert_eq!(stream, earlier, "{members}");
        daemon.delete_stream(&client.token, &id).await.expect(204);
    };
    for member in [
        "stream_id",
        "iss",
        "aud",
        "events_supported",
        "events_delivered",
        "min_verification_interval",
        "inactivity_timeout",
    ] {
        for value in [Value::Null, json!(""), json!([]), earlier[member].clone()] {
            created(json!({ member: value })).await;
        }
        if !["iss", "aud"].contains(&member) {
            for value in [json!("x"), json!(7), json!([SESSION_REVOKED])] {
                created(json!({ member: value })).await;
            }
        }
    }
    created(json!({"aud": ["https://rx.example"]})).await;
    created(earlier.clone()).await;
    for url in [json!(""), Value::Null, json!("https://x.example"), json!("x")] {
        created(json!({"delivery": {"method": METHOD_POLL, "endpoint_url": url}})).await;
    }
}

/// The Receiver would wait in vain for SETs with its own value.
#[actix_web::test]
async fn another_issuer_or_audience_is_refused() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    for (member, value) in [
        ("iss", json!("https://other.example")),
        ("iss", json!([ISSUER])),
        ("aud", json!("https://other.example")),
        ("aud", json!(["https://rx.example", "https://other.example"])),
        ("aud", json!(7)),
    ] {
        let answer = client.send("POST", "/ssf/streams", &json!({ member: value })).await;
        assert_refused(&answer, 400, &format!("`{member}` is for the Transmitter to say"));
    }
    assert_eq!(client.list().await, json!([]));
}

/// Each provider says whom it lets its Receivers name, in addition to what all may.
#[actix_web::test]
async fn endpoints_are_judged_by_the_policy_of_the_provider() {
    let daemon = Daemon::with(with_provider(|provider| {
        provider.allow_networks = vec!["10.0.0.0/8".parse().expect("a network")];
        provider.allow_ports = vec![443, 8443];
        provider.allow_hosts = vec!["rx.example".into(), "*.okta.com".into()];
    }))
    .await;
    let client = daemon.client("rx").await;
    for url in [
        "https://rx.example/in",
        "https://RX.example:8443/in",
        "https://acme.okta.com/in",
        "https://10.1.2.3/in",
        "https://127.0.0.1/in",
    ] {
        client.create(&json!({"delivery": push_to(url)})).await;
    }
    for (url, rule) in [
        ("https://rx.example:444/in", "port 444 is none of the allowed ports"),
        ("https://other.example/in", "its host is none of the allowed hosts"),
        ("https://1.1.1.1/in", "its host is none of the allowed hosts"),
        ("https://192.168.0.1/in", "192.168.0.1 is not a public address"),
    ] {
        let answer = client.send("POST", "/ssf/streams", &json!({"delivery": push_to(url)})).await;
        let rule = format!("`delivery.endpoint_url` must not be used: {rule}");
        assert_refused(&answer, 400, &rule);
    }
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
