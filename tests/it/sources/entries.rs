//! Native records from a Redis stream.

use serde_json::{Value, json};

use super::{Stand, logout};
use crate::harness::{eventually, redis::Redis};

const KEY: &str = "native:kc";

async fn reading(provider: &str, redis: &Redis, members: Value) -> Stand {
    let mut members = members;
    members["redis_key"] = KEY.into();
    let url = redis.url();
    Stand::with(provider, members, |config| {
        config.sources.listen = None;
        config.ingest.redis.url = Some(url);
    })
    .await
}

async fn arrived(stand: &Stand, count: usize) -> Vec<String> {
    eventually("the events arrive", async || count <= stand.setup.waiting().await.len()).await;
    stand.users().await
}

#[actix_web::test]
async fn native_records_are_mapped_in_order_and_once() {
    let redis = Redis::start().await;
    let mut stand = reading("entries-order", &redis, json!({"events_per_minute_max": 0})).await;
    let names: Vec<_> = (0..50).map(|n| format!("u-{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        redis.publish(KEY, &logout(&n.to_string(), name)).await;
    }
    redis.publish(KEY, &json!({"type": "NOISE"})).await;
    // The same record under another entry is a duplicate.
    redis.publish(KEY, &logout("7", "u-7")).await;
    assert_eq!(arrived(&stand, 50).await, names);
    let done = async || stand.records("duplicate").await == 1;
    eventually("the last entry is taken in", done).await;

    stand.setup.daemon.restart().await;
    redis.publish(KEY, &logout("last", "last")).await;
    assert_eq!(arrived(&stand, 51).await.last().map(String::as_str), Some("last"));
}

#[actix_web::test]
async fn entries_that_are_no_records_are_kept_with_the_reason_and_hold_nothing_up() {
    let redis = Redis::start().await;
    let stand = reading("entries-bad", &redis, json!({})).await;
    let _: String = redis.run(&["XADD", KEY, "*", "event", "{\"broken"]).await;
    let _: String = redis.run(&["XADD", KEY, "*", "other", "x"]).await;
    redis.publish(KEY, &json!({"type": "REFUSED"})).await;
    redis.publish(KEY, &logout("1", "kim")).await;
    assert_eq!(arrived(&stand, 1).await, ["kim"]);
    let kept = async || stand.records("rejected").await == 3;
    eventually("all are counted", kept).await;
}

/// One record with two events, each of which has a place of its own.
#[actix_web::test]
async fn a_record_may_give_several_events() {
    let redis = Redis::start().await;
    let rules = json!([{
        "name": "all",
        "each": "$.sessions[*]",
        "emit": "caep:session-revoked",
        "subject": {"user": {"opaque": "{/user}"}, "session": {"opaque": "{each:/id}"}},
    }]);
    let stand = reading("entries-several", &redis, json!({"rules": rules})).await;
    let sessions = json!([{"id": "s-1"}, {"id": "s-2"}, {"id": "s-3"}]);
    redis.publish(KEY, &json!({"id": "1", "user": "kim", "sessions": sessions})).await;
    assert_eq!(arrived(&stand, 3).await, ["kim", "kim", "kim"]);
    let jtis: std::collections::BTreeSet<_> =
        stand.claims().await.iter().map(|claims| claims["jti"].to_string()).collect();
    assert_eq!(jtis.len(), 3);
}

/// A source without a scheme takes no requests.
#[actix_web::test]
async fn a_source_that_reads_redis_alone_takes_no_requests() {
    let redis = Redis::start().await;
    let url = redis.url();
    let members = json!({"redis_key": KEY});
    let stand = Stand::with("entries-alone", members, |config| {
        config.ingest.redis.url = Some(url);
    })
    .await;
    stand.send(logout("1", "kim")).await.expect(404);
}
