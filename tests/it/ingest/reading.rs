//! The entries that are read, and their order (design, section 4).

use super::{all_acknowledged, arrived, reading, reading_with};
use crate::harness::{
    events::{about, key},
    redis::Redis,
    setup::Setup,
};

#[actix_web::test]
async fn events_are_read_in_their_order_over_many_batches() {
    let redis = Redis::start().await;
    let mut setup = reading_with(&redis, |config| config.ingest.redis.batch_max = 7).await;
    setup.daemon.stop().await;
    let names: Vec<String> = (0..100).map(|n| format!("s-{n}")).collect();
    for name in &names {
        redis.publish(&key(), &about(name)).await;
    }

    setup.daemon.start_again().await;

    assert_eq!(arrived(&setup, names.len()).await, names);
    all_acknowledged(&redis).await;
}

#[actix_web::test]
async fn events_that_were_added_before_the_daemon_was_first_told_to_read_are_read() {
    let redis = Redis::start().await;
    redis.publish(&key(), &about("s-1")).await;
    let mut setup = Setup::polling().await;

    setup.daemon.config().ingest.redis.url = Some(redis.url());
    setup.daemon.restart().await;

    assert_eq!(arrived(&setup, 1).await, ["s-1"]);
}

/// P1, P2 of the design.
#[actix_web::test]
async fn a_restart_goes_on_where_reading_ended() {
    let redis = Redis::start().await;
    let mut setup = reading(&redis).await;
    redis.publish(&key(), &about("before")).await;
    arrived(&setup, 1).await;

    setup.daemon.stop().await;
    redis.publish(&key(), &about("meanwhile")).await;
    setup.daemon.start_again().await;
    redis.publish(&key(), &about("after")).await;

    assert_eq!(arrived(&setup, 3).await, ["before", "meanwhile", "after"]);
    all_acknowledged(&redis).await;
}

#[actix_web::test]
async fn each_partition_is_read_in_its_own_order() {
    let redis = Redis::start().await;
    let setup = reading_with(&redis, |config| config.ingest.redis.partitions = 2).await;
    for n in 0..4 {
        for partition in 0..2 {
            let key = format!("{}:{partition}", key());
            redis.publish(&key, &about(&format!("{partition}-{n}"))).await;
        }
    }
    // The stream without a number is not one of them.
    redis.publish(&key(), &about("elsewhere")).await;

    let all = arrived(&setup, 8).await;
    let of = |partition: &str| -> Vec<_> {
        all.iter().filter_map(|name| name.strip_prefix(partition)).collect()
    };
    assert_eq!((of("0-"), of("1-")), (vec!["0", "1", "2", "3"], vec!["0", "1", "2", "3"]));
    assert_eq!(all.len(), 8);
}

#[actix_web::test]
async fn other_fields_of_an_entry_are_left_alone() {
    let redis = Redis::start().await;
    let setup = reading(&redis).await;
    let event = about("s-1").to_string();
    let _: String =
        redis.run(&["XADD", &key(), "*", "v", "1", "event", &event, "source", "idp-7"]).await;

    assert_eq!(arrived(&setup, 1).await, ["s-1"]);
}
