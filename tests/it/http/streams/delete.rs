//! Deleting a stream (SSF §8.1.1.5).

use serde_json::json;

use super::super::{UNKNOWN, assert_refused, deletion};
use crate::harness::{daemon::Daemon, streams::by_poll};

/// CFG-15.
#[actix_web::test]
async fn the_sets_that_wait_are_discarded() {
    let daemon = Daemon::start().await;
    let token = daemon.client("rx").await.token;
    let publisher = daemon.publisher_token().await;
    let id = daemon.create_stream(&token, by_poll()).await;
    daemon.publish_about(&publisher, &["s-1", "s-2"]).await;
    assert_eq!(daemon.backlog().await, 2);
    daemon.delete_stream(&token, &id).await.expect(204);
    assert_eq!(daemon.backlog().await, 0);
    daemon.publish_about(&publisher, &["s-3"]).await;
    assert_eq!(daemon.backlog().await, 0);
}

/// CFG-18.
#[actix_web::test]
async fn an_unknown_stream_and_anothers_are_not_found_and_stay() {
    let daemon = Daemon::start().await;
    let (owner, other) = (daemon.client("rx").await, daemon.client("other").await);
    let stream = owner.create(&json!({})).await;
    let id = stream["stream_id"].as_str().expect("a string");
    for id in [id, UNKNOWN, "a%20b", ""] {
        assert_refused(&other.delete(&deletion(id).1).await, 404, "no such stream");
    }
    assert_eq!(owner.read(id).await, stream);
    assert_refused(&owner.delete("/ssf/streams").await, 400, "`stream_id` is required");
    let twice = format!("/ssf/streams?stream_id={id}&stream_id={id}");
    assert_refused(&owner.delete(&twice).await, 400, "`stream_id` must be given once");
    // A deletion names its stream in the query, and not in the body.
    let body = json!({"stream_id": id});
    let answer = owner.send("DELETE", "/ssf/streams", &body).await;
    assert_refused(&answer, 400, "`stream_id` is required");
    assert_eq!(owner.read(id).await, stream);
}
