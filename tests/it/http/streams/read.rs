//! Reading streams (SSF §8.1.1.2).

use serde_json::json;

use super::{
    super::{UNKNOWN, assert_refused},
    every_member,
};
use crate::harness::daemon::{Daemon, PROVIDER};

/// CFG-08.
#[actix_web::test]
async fn without_a_stream_id_it_is_a_list_however_many_there_are() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    assert_eq!(caller.list().await, json!([]));
    let one = caller.create(&every_member()).await;
    assert_eq!(caller.list().await, json!([one]));
    let two = caller.create(&json!({})).await;
    let list = caller.list().await;
    let list = list.as_array().expect("an array");
    assert!(list.len() == 2 && list.contains(&one) && list.contains(&two), "{list:?}");
}

#[actix_web::test]
async fn one_stream_is_read_by_its_id() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    caller.new_stream().await;
    let stream = caller.create(&every_member()).await;
    assert_eq!(caller.read(stream["stream_id"].as_str().expect("a string")).await, stream);
}

/// CFG-09, CFG-18 (SSF §8): never the list, and another Receiver's stream is none.
#[actix_web::test]
async fn an_unknown_stream_and_anothers_are_not_found() {
    let daemon = Daemon::start().await;
    let (owner, other) = (daemon.caller("rx").await, daemon.caller("other").await);
    let id = owner.new_stream().await;
    for id in [&id[..], UNKNOWN, "", "a%20b", "%00"] {
        let answer = other.get(&format!("/ssf/streams?stream_id={id}")).await;
        assert_refused(&answer, 404, "no such stream");
    }
    assert_eq!(other.list().await, json!([]));
}

#[actix_web::test]
async fn a_stream_id_given_twice_is_refused() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let id = caller.new_stream().await;
    let answer = caller.get(&format!("/ssf/streams?stream_id={id}&stream_id={id}")).await;
    assert_refused(&answer, 400, "`stream_id` must be given once");
    // Other members of the query are ignored.
    caller.get(&format!("/ssf/streams?x=1&stream_id={id}&x=2")).await.expect(200);
}

#[actix_web::test]
async fn streams_survive_a_restart() {
    let mut daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    caller.create(&every_member()).await;
    caller.create(&json!({"events_requested": []})).await;
    let (before, token) = (caller.list().await, caller.token.clone());
    daemon.restart().await;
    assert_eq!(daemon.caller_with(PROVIDER, &token).list().await, before);
}
