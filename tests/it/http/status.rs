//! The status of a stream (SSF §8.1.2).

use serde_json::{Value, json};

use super::ReceiverClient;
use crate::harness::daemon::{Daemon, PROVIDER};

async fn change(client: &ReceiverClient<'_>, members: &Value) -> Value {
    client.send("POST", "/ssf/status", members).await.expect(200).json()
}

/// STAT-02: `reason` belongs to the status that it was given with.
#[actix_web::test]
async fn a_reason_is_kept_over_a_restart_until_the_status_is_set_again() {
    let mut daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let (id, token) = (client.new_stream().await, client.token.clone());
    let said = json!({"stream_id": id, "status": "paused", "reason": "Wartung \u{1f6e0} bis 4"});
    change(&client, &said).await;
    daemon.restart().await;
    let client = daemon.client_with(PROVIDER, &token);
    assert_eq!(client.status(&id).await, said);
    // A change of the configuration keeps the reason, and so does a refused change.
    client.send("PATCH", "/ssf/streams", &json!({"stream_id": id, "description": "d"})).await;
    client.send("POST", "/ssf/status", &json!({"stream_id": id, "status": "gone"})).await;
    assert_eq!(client.status(&id).await, said);
    let plain = json!({"stream_id": id, "status": "paused"});
    assert_eq!(change(&client, &plain).await, plain);
    assert_eq!(client.status(&id).await, plain);
}

/// A Receiver's text is bounded, and control characters are removed.
#[actix_web::test]
async fn a_long_reason_is_cut() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    let reason = format!("\u{1b}[31m{}", "ü".repeat(10_000));
    let said = json!({"stream_id": id, "status": "paused", "reason": reason});
    let kept = change(&client, &said).await["reason"].as_str().map(str::to_owned);
    assert_eq!(kept, Some(format!("[31m{}", "ü".repeat(252))));
}
