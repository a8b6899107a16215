//! Inactive streams (SSF §8.1.1).

use std::time::Duration;

use serde_json::{Value, json};
use ssfd::{
    clock,
    domain::{id::StreamId, time::Timestamp},
    store::ActivityStore as _,
};

use crate::{
    harness::{eventually, setup::Setup},
    operating::inactivity::after,
};

/// Every request that names the stream is recorded as activity, and the record survives a restart.
#[actix_web::test]
async fn cfg_25_an_inactive_stream_is_paused_and_the_receiver_is_told() {
    let mut setup = Setup::polling_with(after(Duration::from_hours(1))).await;
    let id = setup.stream.clone();
    let of_stream = |resource: &str| format!("{resource}?stream_id={id}");
    let subject = json!({"format": "email", "email": "kim@example.com"});
    for (method, path, body) in [
        ("GET", of_stream("/ssf/streams"), Value::Null),
        ("PATCH", "/ssf/streams".to_owned(), json!({"stream_id": id})),
        ("PUT", "/ssf/streams".to_owned(), json!({"stream_id": id})),
        ("GET", of_stream("/ssf/status"), Value::Null),
        ("POST", "/ssf/status".to_owned(), json!({"stream_id": id, "status": "enabled"})),
        ("POST", "/ssf/verify".to_owned(), json!({"stream_id": id})),
        ("POST", "/ssf/subjects/add".to_owned(), json!({"stream_id": id, "subject": subject})),
        ("POST", "/ssf/subjects/remove".to_owned(), json!({"stream_id": id, "subject": subject})),
        ("POST", format!("/ssf/poll/{id}"), json!({"returnImmediately": true})),
    ] {
        let before = clock::now();
        setup.calls(method, &path, &body).await;
        let noticed = async || setup.recorded().await.is_some_and(|at| before <= at);
        eventually(&format!("{method} {path} is recorded"), noticed).await;
    }

    let stream: StreamId = setup.stream.parse().expect("an id");
    let long_ago = clock::now() - Duration::from_hours(2);
    // The latest activity stays, unless nobody watched the stream in between.
    for at in [Timestamp::from_millis(i64::MAX), long_ago] {
        let record = setup.daemon.store().record_activity(vec![(stream.clone(), at)], None).await;
        record.expect("recorded");
    }
    setup.daemon.restart().await;
    setup.is_paused_eventually().await;
    let said = setup.client().polled(&setup.stream).await;
    let reason = setup.shown().await["reason"].clone();
    setup.assert_announced(&said[0], "paused", reason.as_str().expect("a reason"));
}
