//! One event becomes one SET, however often it is read (P2 of the design).

use serde_json::json;

use super::{all_acknowledged, arrived, pending, reading, reading_with};
use crate::harness::{
    daemon::{PROVIDER, provider},
    events::{about, about_with, key},
    eventually,
    redis::Redis,
};

/// A crash before the store has the events leaves entries that were handed out but not appended.
#[actix_web::test]
async fn entries_that_were_handed_out_and_not_kept_are_read_again() {
    let redis = Redis::start().await;
    let mut setup = reading(&redis).await;
    let ready = async || setup.daemon.readiness().await.status == 200;
    eventually("it has made its group", ready).await;
    setup.daemon.stop().await;
    redis.publish(&key(), &about("s-1")).await;
    let read = ["XREADGROUP", "GROUP", "ssfd", "ssfd", "STREAMS", &key(), ">"];
    let _: redis::Value = redis.run(&read).await;
    assert_eq!(pending(&redis, &key()).await, 1);

    setup.daemon.start_again().await;
    redis.publish(&key(), &about("s-2")).await;

    assert_eq!(arrived(&setup, 2).await, ["s-1", "s-2"]);
    all_acknowledged(&redis).await;
}

/// A crash between the store and the acknowledgement leaves entries that were handed out and
/// appended.
#[actix_web::test]
async fn entries_that_were_kept_and_not_acknowledged_become_no_second_set() {
    let redis = Redis::start().await;
    let mut setup = reading(&redis).await;
    redis.publish(&key(), &about("s-1")).await;
    redis.publish(&key(), &about("s-2")).await;
    arrived(&setup, 2).await;
    all_acknowledged(&redis).await;
    setup.daemon.stop().await;
    let _: () = redis.run(&["XGROUP", "SETID", &key(), "ssfd", "0"]).await;
    let read = ["XREADGROUP", "GROUP", "ssfd", "ssfd", "COUNT", "1", "STREAMS", &key(), ">"];
    let _: redis::Value = redis.run(&read).await;
    assert_eq!(pending(&redis, &key()).await, 1);

    setup.daemon.start_again().await;
    redis.publish(&key(), &about("s-3")).await;

    assert_eq!(arrived(&setup, 3).await, ["s-1", "s-2", "s-3"]);
    all_acknowledged(&redis).await;
}

#[actix_web::test]
async fn a_group_that_is_set_back_while_we_read_brings_no_second_set() {
    let redis = Redis::start().await;
    let setup = reading(&redis).await;
    redis.publish(&key(), &about("s-1")).await;
    arrived(&setup, 1).await;

    let _: () = redis.run(&["XGROUP", "SETID", &key(), "ssfd", "0"]).await;
    redis.publish(&key(), &about("s-2")).await;

    assert_eq!(arrived(&setup, 2).await, ["s-1", "s-2"]);
    // The next one shows that all before it has been read.
    redis.publish(&key(), &about("s-3")).await;
    assert_eq!(arrived(&setup, 3).await, ["s-1", "s-2", "s-3"]);
}

#[actix_web::test]
async fn a_publishers_id_makes_one_event_of_two_entries_and_a_request() {
    let redis = Redis::start().await;
    let setup = reading(&redis).await;
    let event = about_with("s-1", json!({"id": "evt-8841"}));
    redis.publish(&key(), &event).await;
    redis.publish(&key(), &event).await;
    redis.publish(&key(), &about("behind")).await;
    assert_eq!(arrived(&setup, 2).await, ["s-1", "behind"]);

    let answer = setup.daemon.publish(&setup.publisher, &event).await.expect(202).json();
    assert_eq!(answer["events"], json!([{"status": "duplicate"}]));
    let other = about_with("s-2", json!({"id": "evt-8842"}));
    setup.daemon.publish(&setup.publisher, &other).await.expect(202);
    redis.publish(&key(), &other).await;
    redis.publish(&key(), &about("last")).await;
    assert_eq!(arrived(&setup, 4).await, ["s-1", "behind", "s-2", "last"]);
}

#[actix_web::test]
async fn a_publishers_id_is_its_own_at_each_provider() {
    let redis = Redis::start().await;
    let setup = reading_with(&redis, |config| {
        let other = provider("https://tx.example/t/other");
        config.providers.insert("other".parse().expect("a name"), other);
    })
    .await;
    let event = about_with("s-1", json!({"id": "evt-8841"}));
    redis.publish("ssf:events:other", &event).await;
    let read = async || pending(&redis, "ssf:events:other").await == 0;
    eventually("the other provider has read it", read).await;

    redis.publish(&format!("ssf:events:{PROVIDER}"), &event).await;
    assert_eq!(arrived(&setup, 1).await, ["s-1"]);
}
