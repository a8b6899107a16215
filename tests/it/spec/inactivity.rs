//! Inactive streams (SSF §8.1.1).

use std::time::Duration;

use serde_json::{Value, json};
use ssfd::clock;

use crate::{
    harness::{eventually, scene::Scene},
    operating::inactivity::after,
};

/// Every request that names the stream is recorded as activity, and the record survives a restart.
#[actix_web::test]
async fn cfg_25_an_inactive_stream_is_paused_and_the_receiver_is_told() {
    let mut scene = Scene::polling_with(after(Duration::from_hours(1))).await;
    let id = scene.stream.clone();
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
        scene.calls(method, &path, &body).await;
        let noticed = async || scene.recorded().await.is_some_and(|at| before <= at);
        eventually(&format!("{method} {path} is recorded"), noticed).await;
    }

    let stream = scene.stream.parse().expect("an id");
    let long_ago = clock::now() - Duration::from_hours(2);
    let record = scene.daemon.store().record_activity(vec![(stream, long_ago)], None).await;
    record.expect("recorded");
    scene.daemon.restart().await;
    scene.is_paused_eventually().await;
    let said = scene.caller().polled(&scene.stream).await;
    let reason = scene.shown().await["reason"].clone();
    scene.assert_announced(&said[0], "paused", reason.as_str().expect("a reason"));
}
