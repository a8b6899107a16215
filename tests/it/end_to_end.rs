//! From a plain Redis client, as an IdP in another language would be one, to the Receiver.

use serde_json::{Value, json};
use ssfd::domain::grant::Scope;

use crate::harness::{
    daemon::{Daemon, ISSUER, PROVIDER, provider},
    events::{SESSION_REVOKED, about, about_with, key},
    eventually,
    receiver::{self, Receiver},
    redis::Redis,
    streams::{by_poll, push_to},
};

/// PUSH-01, PUSH-02: the request of RFC 8935 §2.1, and the event as it was published.
#[actix_web::test]
async fn an_event_that_upstream_adds_is_pushed_as_a_verified_set() {
    let redis = Redis::start().await;
    let daemon = Daemon::with(|config| config.ingest.redis.url = Some(redis.url())).await;
    let token = daemon.receiver_token("rx", &[Scope::Manage]).await;
    let mut receiver = Receiver::accepting().await;
    daemon.create_stream(&token, push_to(&receiver.url("/in"))).await;

    redis.publish(&key(), &about("s-88")).await;

    let request = receiver.next().await;
    let header = |name| request.headers.get(name).map(|value| value.to_str().expect("text"));
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/in"));
    assert_eq!(header("content-type"), Some("application/secevent+jwt"));
    assert_eq!(header("accept"), Some("application/json"));
    let set = daemon.verifier(PROVIDER).await.verify(request.jws()).expect("a SET of ours");
    let claims = Value::Object(set.claims);
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], "https://rx.example");
    assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": "s-88"}));
    assert_eq!(claims["events"], json!({SESSION_REVOKED: {"event_timestamp": 1_775_000_099}}));
    eventually("it is settled", async || daemon.backlog().await == 0).await;
}
