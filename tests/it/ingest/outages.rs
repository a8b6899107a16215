//! Redis is down, goes away, or forgets.

use serde_json::json;

use super::{all_acknowledged, arrived, reading};
use crate::harness::{
    events::{about, key},
    eventually,
    redis::Redis,
    setup::Setup,
};

async fn ready(setup: &Setup) {
    let answers = async || setup.daemon.readiness().await.status == 200;
    eventually("the daemon is ready", answers).await;
}

/// Returns once `/readyz` says that the partition is missing.
async fn not_ready(setup: &Setup) {
    let answers = async || setup.daemon.readiness().await.status == 503;
    eventually("the daemon is not ready", answers).await;
    let answer = setup.daemon.readiness().await.expect(503).json();
    assert_eq!(answer, json!({"ready": false, "waiting_for": [key()]}));
}

#[actix_web::test]
async fn a_redis_that_is_down_at_start_is_waited_for() {
    let mut redis = Redis::down(false);
    let setup = reading(&redis).await;
    not_ready(&setup).await;

    redis.start_again().await;

    ready(&setup).await;
    redis.publish(&key(), &about("s-1")).await;
    assert_eq!(arrived(&setup, 1).await, ["s-1"]);
}

#[actix_web::test]
async fn a_redis_that_goes_away_is_read_on_once_it_is_back() {
    let mut redis = Redis::down(true);
    redis.start_again().await;
    let setup = reading(&redis).await;
    redis.publish(&key(), &about("before")).await;
    arrived(&setup, 1).await;

    redis.kill();
    not_ready(&setup).await;
    // Publishing over HTTP does not need Redis.
    setup.publish(&["meanwhile"]).await;
    redis.start_again().await;

    redis.publish(&key(), &about("after")).await;
    assert_eq!(arrived(&setup, 3).await, ["before", "meanwhile", "after"]);
    ready(&setup).await;
    all_acknowledged(&redis).await;
}

#[actix_web::test]
async fn a_redis_that_comes_back_empty_is_read_on() {
    let mut redis = Redis::start().await;
    let setup = reading(&redis).await;
    redis.publish(&key(), &about("before")).await;
    arrived(&setup, 1).await;

    redis.kill();
    redis.start_again().await;

    redis.publish(&key(), &about("after")).await;
    assert_eq!(arrived(&setup, 2).await, ["before", "after"]);
}

#[actix_web::test]
async fn a_group_that_is_gone_is_made_again_at_our_position() {
    let redis = Redis::start().await;
    let setup = reading(&redis).await;
    redis.publish(&key(), &about("before")).await;
    arrived(&setup, 1).await;

    let _: usize = redis.run(&["XGROUP", "DESTROY", &key(), "ssfd"]).await;
    redis.publish(&key(), &about("after")).await;

    assert_eq!(arrived(&setup, 2).await, ["before", "after"]);
    redis.publish(&key(), &about("last")).await;
    assert_eq!(arrived(&setup, 3).await, ["before", "after", "last"]);
    all_acknowledged(&redis).await;
}

#[actix_web::test]
async fn a_stream_that_is_deleted_or_flushed_is_read_on() {
    let redis = Redis::start().await;
    let setup = reading(&redis).await;
    redis.publish(&key(), &about("before")).await;
    arrived(&setup, 1).await;

    let _: usize = redis.run(&["DEL", &key()]).await;
    redis.publish(&key(), &about("deleted")).await;
    assert_eq!(arrived(&setup, 2).await, ["before", "deleted"]);

    let _: () = redis.run(&["FLUSHALL"]).await;
    redis.publish(&key(), &about("flushed")).await;
    assert_eq!(arrived(&setup, 3).await, ["before", "deleted", "flushed"]);
    all_acknowledged(&redis).await;
}

/// The ids are lower if the clock of a new server is behind that of the old one.
#[actix_web::test]
async fn a_stream_that_starts_over_with_lower_ids_is_read_from_its_start() {
    let redis = Redis::start().await;
    let mut setup = reading(&redis).await;
    redis.publish(&key(), &about("before")).await;
    arrived(&setup, 1).await;

    setup.daemon.stop().await;
    let _: () = redis.run(&["FLUSHALL"]).await;
    let add = async |id: &str| {
        let event = about(id).to_string();
        let _: String = redis.run(&["XADD", &key(), id, "event", &event]).await;
    };
    add("1-1").await;
    setup.daemon.start_again().await;
    assert_eq!(arrived(&setup, 2).await, ["before", "1-1"]);

    add("1-2").await;
    assert_eq!(arrived(&setup, 3).await, ["before", "1-1", "1-2"]);
    setup.daemon.restart().await;
    add("1-3").await;
    assert_eq!(arrived(&setup, 4).await, ["before", "1-1", "1-2", "1-3"]);
    all_acknowledged(&redis).await;
}

/// The store had them already: what is left was read, and comes no second time.
#[actix_web::test]
async fn a_redis_that_has_lost_its_newest_entries_is_read_on() {
    let redis = Redis::start().await;
    let mut setup = reading(&redis).await;
    for name in ["s-1", "s-2"] {
        redis.publish(&key(), &about(name)).await;
    }
    arrived(&setup, 2).await;
    all_acknowledged(&redis).await;
    setup.daemon.stop().await;
    let entries: Vec<(String, Vec<String>)> = redis.run(&["XRANGE", &key(), "-", "+"]).await;
    let _: usize = redis.run(&["XDEL", &key(), &entries[1].0]).await;
    let _: () = redis.run(&["XSETID", &key(), &entries[0].0]).await;

    setup.daemon.start_again().await;
    redis.publish(&key(), &about("s-3")).await;

    assert_eq!(arrived(&setup, 3).await, ["s-1", "s-2", "s-3"]);
}
