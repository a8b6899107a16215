//! Reading streams (SSF §8.1.1.2).

use serde_json::json;

use super::super::assert_refused;
use crate::harness::{
    daemon::{Daemon, PROVIDER},
    streams::{every_member, id_of},
};

#[actix_web::test]
async fn one_stream_is_read_by_its_id() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    client.new_stream().await;
    let stream = client.create(&every_member()).await;
    assert_eq!(client.read(id_of(&stream)).await, stream);
}

#[actix_web::test]
async fn a_stream_id_given_twice_is_refused() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    let answer = client.get(&format!("/ssf/streams?stream_id={id}&stream_id={id}")).await;
    assert_refused(&answer, 400, "`stream_id` must be given once");
    // Other members of the query are ignored.
    client.get(&format!("/ssf/streams?x=1&stream_id={id}&x=2")).await.expect(200);
}

#[actix_web::test]
async fn streams_survive_a_restart() {
    let mut daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    client.create(&every_member()).await;
    client.create(&json!({"events_requested": []})).await;
    let (before, token) = (client.list().await, client.token.clone());
    daemon.restart().await;
    assert_eq!(daemon.client_with(PROVIDER, &token).list().await, before);
}
