//! The backlog that publishers see, and the refusal of events while it is too long.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use serde_json::json;

use super::{arrived, reading_with};
use crate::harness::{
    daemon::rename_provider,
    events::{about, key},
    eventually,
    http_client::post,
    polling::{jtis, poll_now, subjects},
    redis::Redis,
    setup::Setup,
};

/// Reads these fields of the backlog hash.
async fn gauge<const N: usize>(redis: &Redis, names: [&str; N]) -> [String; N] {
    let gauge: HashMap<String, String> =
        redis.run(&["HGETALL", &format!("{}:backlog", key())]).await;
    names.map(|name| gauge.get(name).cloned().unwrap_or_default())
}

async fn publish(setup: &Setup, token: &str, subject: &str) -> (u16, bool) {
    let url = setup.daemon.internal_url("/events");
    let answer = post(&url).bearer(token).json(&about(subject)).send().await;
    (answer.status.as_u16(), answer.headers.contains_key("retry-after"))
}

#[actix_web::test]
async fn publishers_read_how_much_waits_where_they_publish() {
    let redis = Redis::start().await;
    let setup =
        reading_with(&redis, |config| config.store.backlog_interval = Duration::from_millis(20));
    let setup = setup.await;
    let shows = async |sets: &str| {
        let wanted = [sets, "0", "all"];
        eventually(sets, async || gauge(&redis, ["sets", "max", "taken"]).await == wanted).await;
    };
    shows("0").await;
    redis.publish(&key(), &about("s-1")).await;
    redis.publish(&key(), &about("s-2")).await;
    shows("2").await;
    drop(setup);
    let gone = async || redis.run::<i64>(&["EXISTS", &format!("{}:backlog", key())]).await == 0;
    eventually("a gauge that nobody writes goes", gone).await;
}

/// P1 of the design: a refused event is still with its publisher, and no accepted event is lost.
#[actix_web::test]
async fn a_full_backlog_refuses_http_first_and_then_leaves_events_in_redis() {
    let redis = Redis::start().await;
    let setup = reading_with(&redis, |config| {
        (config.store.backlog_interval, config.store.backlog_max) = (Duration::from_millis(20), 10);
    })
    .await;
    let token = setup.daemon.publisher_token().await;
    let taken = async |wanted: &str| {
        eventually(wanted, async || gauge(&redis, ["taken"]).await == [wanted]).await;
    };
    for n in 0..9 {
        assert_eq!(publish(&setup, &token, &format!("s-{n}")).await, (202, false));
    }
    taken("redis").await;
    assert_eq!(publish(&setup, &token, "refused").await, (503, true));
    redis.publish(&key(), &about("s-9")).await;
    assert_eq!(arrived(&setup, 10).await.len(), 10);

    taken("nothing").await;
    for n in 10..15 {
        redis.publish(&key(), &about(&format!("s-{n}"))).await;
    }
    assert_eq!(publish(&setup, &token, "refused").await, (503, true));
    // A read that had begun may bring some of them yet.
    let waiting = setup.waiting().await.len();
    assert!((10..=15).contains(&waiting), "{waiting}");

    // The Receiver takes what there is, and then all else comes.
    let (mut came, mut acked) = (BTreeSet::new(), Vec::new());
    let all: BTreeSet<_> = (0..15).map(|n| format!("s-{n}")).collect();
    let takes = async || {
        let polled = poll_now(&setup, json!({"ack": acked})).await;
        acked = jtis(&polled);
        came.extend(subjects(&polled));
        came == all && acked.is_empty()
    };
    eventually("all come, and nothing else", takes).await;
    taken("all").await;
    assert_eq!(publish(&setup, &token, "taken").await, (202, false));
}

#[actix_web::test]
async fn what_is_refused_is_counted() {
    let setup = Setup::polling_with(|config| {
        rename_provider(config, "overfull");
        (config.store.backlog_interval, config.store.backlog_max) = (Duration::from_millis(20), 1);
    })
    .await;
    let token = setup.daemon.publisher_token().await;
    let pressure = r#"ssfd_backlog_pressure{provider="overfull"}"#;
    // Nine tenths of one are none.
    let refused = async || 1.0 <= setup.daemon.metric(pressure).await;
    eventually("it is counted", refused).await;
    assert_eq!(publish(&setup, &token, "refused").await, (503, true));
    let count = setup.daemon.metric(r#"ssfd_events_refused_total{provider="overfull"}"#).await;
    assert!((1.0..2.0).contains(&count), "{count}");
}
