//! A store that does not serve, or takes no new events. What is accepted is durable, what is stored is
//! delivered as long as that is possible, and `/readyz` tells the truth.

mod redis;
mod sqlite;

use serde_json::{Value, json};

use crate::harness::{
    daemon::Daemon,
    events::about,
    eventually,
    http_client::{Answer, get},
};

/// Asks whether the daemon is ready for some.
async fn ready_for(daemon: &Daemon, asked: &str) -> Answer {
    get(&daemon.internal_url(&format!("/readyz?for={asked}"))).send().await
}

/// Returns once this part is missing. Returns the reason that is given.
async fn missing(daemon: &Daemon, part: &str) -> String {
    eventually("a part is missing", async || {
        let answer = daemon.readiness().await;
        answer.status == 503
            && answer.json()["waiting_for"].as_array().expect("a list").contains(&json!(part))
    })
    .await;
    let answer = daemon.readiness().await.expect(503).json();
    answer["reasons"][part].as_str().unwrap_or_default().to_owned()
}

async fn ready(daemon: &Daemon) {
    eventually("the daemon is ready", async || daemon.readiness().await.status == 200).await;
}

/// Publishes one event about each subject, and asserts that none is accepted.
async fn refuses(daemon: &Daemon, publisher: &str, subjects: &[&str]) {
    for subject in subjects {
        daemon.publish(publisher, &Value::Array(vec![about(subject)])).await.expect(503);
    }
}
