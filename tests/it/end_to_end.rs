//! An event from a plain Redis client, such as any publisher has, to the Receiver.

use serde_json::{Value, json};
use ssfd::domain::grant::Scope;

use crate::harness::{
    daemon::{Daemon, ISSUER, PROVIDER, provider},
    events::{SESSION_REVOKED, about, key},
    eventually,
    receiver::{Receiver, subject},
    redis::Redis,
    streams::{by_poll, push_to},
};

/// Verifies a SET with the published keys of its provider. Returns its claims.
async fn verified(daemon: &Daemon, provider: &str, jws: &str) -> Value {
    let verifier = daemon.verifier(provider).await;
    Value::Object(verifier.verify(jws).expect("a SET of this provider").claims)
}

/// Polls the stream and returns the claims of its only SET.
async fn polled(daemon: &Daemon, provider: &str, token: &str, stream: &str) -> Value {
    let answer = daemon.poll_at(provider, token, stream, &json!({})).await.expect(200).json();
    let sets = answer["sets"].as_object().expect("an object of SETs");
    assert_eq!(sets.len(), 1, "{answer}");
    let (jti, jws) = sets.iter().next().expect("there is one");
    let claims = verified(daemon, provider, jws.as_str().expect("a compact JWS")).await;
    assert_eq!(claims["jti"], json!(jti));
    claims
}

/// PUSH-01, PUSH-02 (RFC 8935 §2.1): the request, and in it the event as it was published.
#[actix_web::test]
async fn an_event_added_to_redis_is_pushed_as_a_verified_set() {
    let redis = Redis::start().await;
    let daemon = Daemon::with(|config| config.ingest.redis.url = Some(redis.url())).await;
    let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
    let mut receiver = Receiver::accepting().await;
    daemon.create_stream(&token, push_to(&receiver.url("/in"))).await;

    redis.publish(&key(), &about("s-88")).await;

    let request = receiver.next().await;
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/in"));
    assert_eq!(request.headers["content-type"], "application/secevent+jwt");
    assert_eq!(request.headers["accept"], "application/json");
    assert_eq!(request.headers["content-length"], request.body.len().to_string());
    // The body is the compact SET and nothing else. Otherwise the signature would not verify.
    let claims = verified(&daemon, PROVIDER, request.jws()).await;
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], "https://rx.example");
    assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": "s-88"}));
    assert_eq!(claims["events"], json!({SESSION_REVOKED: {"event_timestamp": 1_775_000_099}}));
    eventually("the SET is settled", async || daemon.backlog().await == 0).await;
    assert!(receiver.rest().is_empty());
}

#[actix_web::test]
async fn an_event_published_over_http_is_pushed_as_a_verified_set() {
    let daemon = Daemon::start().await;
    let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
    let mut receiver = Receiver::accepting().await;
    daemon.create_stream(&token, push_to(&receiver.url("/in"))).await;

    daemon.publish_about(&daemon.publisher_token().await, &["s-88"]).await;

    let set = receiver.next().await;
    assert_eq!(subject(&verified(&daemon, PROVIDER, set.jws()).await), "s-88");
}

/// POLL-01 (RFC 8936 §2.4).
#[actix_web::test]
async fn an_event_added_to_redis_is_polled_as_a_verified_set() {
    let redis = Redis::start().await;
    let daemon = Daemon::with(|config| config.ingest.redis.url = Some(redis.url())).await;
    let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
    let stream = daemon.create_stream(&token, by_poll()).await;

    redis.publish(&key(), &about("s-88")).await;

    let claims = polled(&daemon, PROVIDER, &token, &stream).await;
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["events"], json!({SESSION_REVOKED: {"event_timestamp": 1_775_000_099}}));
    let ack = json!({"ack": [claims["jti"]], "returnImmediately": true});
    let answer = daemon.poll(&token, &stream, &ack).await.expect(200);
    assert_eq!(answer.json(), json!({"sets": {}}));
    assert_eq!(daemon.backlog().await, 0);
}

/// SSF §7.2: an issuer may have a path.
#[actix_web::test]
async fn the_events_of_one_provider_do_not_reach_the_streams_of_another() {
    let redis = Redis::start().await;
    let daemon = Daemon::with(|config| {
        config.ingest.redis.url = Some(redis.url());
        let bare = provider("https://tx.example");
        config.providers.insert("bare".parse().expect("a name"), bare);
    })
    .await;
    for (name, issuer) in [(PROVIDER, ISSUER), ("bare", "https://tx.example")] {
        let token = daemon.receiver_token_at(name, "rx", &[Scope::Manage]).await;
        let stream = daemon.create_stream_at(name, &token, by_poll()).await;

        redis.publish(&format!("ssf:events:{name}"), &about(name)).await;

        let claims = polled(&daemon, name, &token, &stream).await;
        assert_eq!((claims["iss"].as_str(), subject(&claims).as_str()), (Some(issuer), name));
        let other = if name == PROVIDER { "bare" } else { PROVIDER };
        daemon.poll_at(other, &token, &stream, &json!({})).await.expect(401);
    }
}

/// PUSH-10 (RFC 8935 §5.3).
#[actix_web::test]
async fn a_set_goes_over_tls_to_a_receiver_whose_authority_is_configured() {
    let redis = Redis::start().await;
    let mut receiver = Receiver::accepting_over_tls().await;
    let roots = receiver.roots();
    let daemon = Daemon::with(|config| {
        config.ingest.redis.url = Some(redis.url());
        config.push.trusted_roots = Some(roots);
    })
    .await;
    let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
    let url = receiver.url("/in");
    assert!(url.starts_with("https://"), "{url}");
    daemon.create_stream(&token, push_to(&url)).await;

    redis.publish(&key(), &about("s-88")).await;

    let set = receiver.next().await;
    assert_eq!(subject(&verified(&daemon, PROVIDER, set.jws()).await), "s-88");
    eventually("the SET is settled", async || daemon.backlog().await == 0).await;
}
