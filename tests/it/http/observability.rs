//! Health and metrics.

use hyper::{
    Method,
    header::{ALLOW, CONTENT_TYPE},
};
use serde_json::json;

use super::assert_refused;
use crate::harness::{
    daemon::{Daemon, provider},
    events::about,
    eventually,
    http_client::{Call, get, post},
    receiver::Receiver,
    streams::{by_poll, push_to},
};
use crate::scripted_server::Reply;

/// Starts a daemon whose one provider has this name. All daemons of the process share the metrics, so
/// each test has a provider of its own.
async fn serving(name: &str) -> Daemon {
    Daemon::with(|config| {
        config.providers.clear();
        config.providers.insert(name.parse().expect("a name"), provider("https://tx.example"));
    })
    .await
}

/// Makes a token to publish for the provider of this name.
async fn publisher(daemon: &Daemon, name: &str) -> String {
    let provider = name.parse().expect("a name");
    daemon.token(ssfd::domain::grant::Holder::Publisher { provider }).await
}

#[actix_web::test]
async fn a_daemon_that_runs_is_alive_and_ready() {
    let daemon = Daemon::start().await;
    let alive = get(&daemon.internal_url("/healthz")).send().await.expect(200);
    assert_eq!(alive.text(), "ok\n");
    let ready = daemon.readiness().await.expect(200);
    assert_eq!(ready.json(), json!({"ready": true, "waiting_for": []}));
}

/// The daemon is alive, because a restart would not help.
#[actix_web::test]
async fn a_daemon_whose_redis_is_away_is_alive_and_says_what_it_waits_for() {
    let daemon = Daemon::with(|config| {
        config.ingest.redis.url = Some("redis+unix:///nowhere/redis.sock".into());
    })
    .await;
    eventually("it knows", async || daemon.readiness().await.status == 503).await;
    let waiting = daemon.readiness().await.expect(503).json();
    assert_eq!(waiting, json!({"ready": false, "waiting_for": ["ssf:events:acme"]}));
    get(&daemon.internal_url("/healthz")).send().await.expect(200);
}

/// Each listener has its own resources only.
#[actix_web::test]
async fn the_listeners_share_nothing() {
    let daemon = Daemon::start().await;
    for path in ["/healthz", "/readyz", "/metrics", "/events", "/openapi.json"] {
        assert_refused(&get(&daemon.public_url(path)).send().await, 404, "");
        assert_refused(&post(&daemon.public_url(path)).send().await, 404, "");
        let below = format!("/t/acme{path}");
        assert_refused(&get(&daemon.public_url(&below)).send().await, 404, "");
    }
    for path in [
        "/.well-known/ssf-configuration/t/acme",
        "/t/acme/jwks.json",
        "/t/acme/ssf/streams",
        "/t/acme/ssf/status",
        "/t/acme/ssf/openapi.json",
        "/ssf/openapi.json",
        "/ssf/streams",
    ] {
        assert_refused(&get(&daemon.internal_url(path)).send().await, 404, "");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let url = daemon.internal_url(path);
        let head = Call::new(Method::HEAD, &url).send().await.expect(200);
        assert!(head.body.is_empty());
        let answer = post(&url).send().await;
        assert_refused(&answer, 405, "");
        assert_eq!(answer.header(ALLOW), "GET, HEAD");
    }
}

/// The steps go from the event that is published to the SET that is accepted.
#[actix_web::test]
async fn a_delivery_is_counted_at_each_step() {
    const P: &str = r#"provider="delivers""#;
    let daemon = serving("delivers").await;
    let client = daemon.client_at("delivers", "rx").await;
    let mut receiver = Receiver::answering([500, 200]).await;
    let push = push_to(&receiver.url("/in"));
    daemon.create_stream_at("delivers", &client.token, push).await;
    let poll = daemon.create_stream_at("delivers", &client.token, by_poll()).await;
    let publisher = publisher(&daemon, "delivers").await;
    let event = json!({"id": "e-1", "type": "caep:session-revoked",
        "sub_id": {"format": "opaque", "id": "s-88"}});
    let events = json!([event, event, about("s-89"), {"type": "caep:session-revoked"}]);
    daemon.publish(&publisher, &events).await.expect(202);
    receiver.next_few(3).await;
    let polled = daemon.poll_at("delivers", &client.token, &poll, &json!({})).await.expect(200);
    let jtis: Vec<_> = polled.json()["sets"].as_object().expect("SETs").keys().cloned().collect();
    let ack = json!({"ack": jtis, "returnImmediately": true});
    daemon.poll_at("delivers", &client.token, &poll, &ack).await.expect(200);
    eventually("all is settled", async || daemon.backlog().await == 0).await;

    for (series, value) in [
        (format!(r#"ssfd_events_ingested_total{{{P},source="http"}}"#), 4.0),
        (format!("ssfd_events_duplicate_total{{{P}}}"), 1.0),
        (format!(r#"ssfd_events_rejected_total{{{P},reason="invalid_field"}}"#), 1.0),
        (format!("ssfd_sets_appended_total{{{P}}}"), 4.0),
        (format!(r#"ssfd_sets_delivered_total{{{P},method="push"}}"#), 2.0),
        (format!(r#"ssfd_sets_delivered_total{{{P},method="poll"}}"#), 2.0),
        (format!(r#"ssfd_push_attempts_total{{{P},outcome="unavailable"}}"#), 1.0),
        // A 200 in place of the 202 of RFC 8935 §2.2.
        (format!("ssfd_push_deviations_total{{{P}}}"), 1.0),
        (format!("ssfd_push_duration_seconds_count{{{P}}}"), 3.0),
        (format!(r#"ssfd_set_age_seconds_count{{{P},method="push"}}"#), 2.0),
        (format!(r#"ssfd_set_age_seconds_count{{{P},method="poll"}}"#), 2.0),
        (format!(r#"ssfd_signatures_total{{{P},algorithm="ES256"}}"#), 4.0),
    ] {
        assert!((daemon.metric(&series).await - value).abs() < 0.5, "{series} is not {value}");
    }
}

#[actix_web::test]
async fn a_dead_letter_and_an_event_that_nobody_wants_are_counted() {
    const P: &str = r#"provider="refuses""#;
    let daemon = serving("refuses").await;
    let client = daemon.client_at("refuses", "rx").await;
    let publisher = publisher(&daemon, "refuses").await;
    daemon.publish_about(&publisher, &["s-1"]).await;
    let refusal = "{\"err\": \"invalid_request\"}";
    let json = [("content-type", "application/json")];
    let mut receiver = Receiver::start(move |_, _| Reply::full(400, &json, refusal)).await;
    let push = push_to(&receiver.url("/in"));
    daemon.create_stream_at("refuses", &client.token, push).await;
    let poll = daemon.create_stream_at("refuses", &client.token, by_poll()).await;
    daemon.publish_about(&publisher, &["s-2"]).await;
    receiver.next().await;
    let polled = daemon.poll_at("refuses", &client.token, &poll, &json!({})).await.expect(200);
    let sets = polled.json()["sets"].clone();
    let (jti, _) = sets.as_object().and_then(|sets| sets.iter().next()).expect("a SET");
    let errors = json!({"setErrs": {jti: {"err": "invalid_request"}}, "returnImmediately": true});
    daemon.poll_at("refuses", &client.token, &poll, &errors).await.expect(200);
    eventually("all is settled", async || daemon.backlog().await == 0).await;

    let unmatched = daemon.metric(&format!("ssfd_events_unmatched_total{{{P}}}")).await;
    assert!((unmatched - 1.0).abs() < 0.5, "{unmatched}");
    let dead =
        daemon.metric(&format!(r#"ssfd_sets_dead_total{{{P},reason="invalid_request"}}"#)).await;
    assert!((dead - 2.0).abs() < 0.5, "{dead}");
}

/// The backlog is counted at each request for the metrics.
#[actix_web::test]
async fn the_backlog_rises_and_falls_to_zero() {
    let daemon = serving("waits").await;
    let sets = async || daemon.metric(r#"ssfd_backlog_sets{provider="waits"}"#).await;
    let oldest = async || daemon.metric(r#"ssfd_backlog_oldest_seconds{provider="waits"}"#).await;
    assert!(sets().await < 0.5 && oldest().await <= 0.0);
    let token = daemon.client_at("waits", "rx").await.token;
    let id = daemon.create_stream_at("waits", &token, by_poll()).await;
    let publisher = publisher(&daemon, "waits").await;
    daemon.publish_about(&publisher, &["s-1", "s-2"]).await;
    assert!((sets().await - 2.0).abs() < 0.5);
    eventually("the oldest grows older", async || oldest().await > 0.0).await;

    let polled = daemon.poll_at("waits", &token, &id, &json!({})).await.expect(200).json();
    assert!((sets().await - 2.0).abs() < 0.5, "handed out is not settled");
    let ack: Vec<_> = polled["sets"].as_object().expect("SETs").keys().collect();
    let body = json!({"ack": ack, "returnImmediately": true});
    daemon.poll_at("waits", &token, &id, &body).await.expect(200);
    assert!(sets().await < 0.5 && oldest().await <= 0.0);
}

#[actix_web::test]
async fn requests_are_counted_by_listener_and_class_and_the_version_is_told() {
    let daemon = Daemon::start().await;
    get(&daemon.public_url("/nowhere")).send().await.expect(404);
    let counted =
        daemon.metric(r#"ssfd_http_requests_total{listener="public",status="4xx"}"#).await;
    assert!(counted >= 1.0, "{counted}");
    let version = env!("CARGO_PKG_VERSION");
    let build_info = daemon.metric(&format!(r#"ssfd_build_info{{version="{version}"}}"#)).await;
    assert!(build_info >= 1.0);
    let metrics = get(&daemon.internal_url("/metrics")).send().await.expect(200);
    assert!(metrics.header(CONTENT_TYPE).starts_with("text/plain; version=0.0.4"));
    for line in metrics.text().lines().filter(|line| line.starts_with("# HELP ssfd_")) {
        assert!(line.split(' ').count() > 4, "{line}");
    }
}
