//! The status of a stream (SSF §8.1.2).

use serde_json::{Value, json};

use super::{Caller, UNKNOWN, assert_refused};
use crate::harness::daemon::{Daemon, PROVIDER};

async fn status(caller: &Caller<'_>, id: &str) -> Value {
    caller.get(&format!("/ssf/status?stream_id={id}")).await.expect(200).json()
}

async fn change(caller: &Caller<'_>, members: &Value) -> Value {
    caller.send("POST", "/ssf/status", members).await.expect(200).json()
}

/// STAT-01 (SSF §8.1.2.1).
#[actix_web::test]
async fn a_new_stream_is_enabled() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let id = caller.new_stream().await;
    assert_eq!(status(&caller, &id).await, json!({"stream_id": id, "status": "enabled"}));
}

/// STAT-02 (SSF §8.1.2.2). CONF repeats the `stream_id` in the query; the one in the body counts.
#[actix_web::test]
async fn each_status_can_be_set_from_each_and_is_echoed() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let id = caller.new_stream().await;
    let all = ["enabled", "paused", "disabled"];
    for (from, to) in all.into_iter().flat_map(|from| all.map(|to| (from, to))) {
        change(&caller, &json!({"stream_id": id, "status": from})).await;
        let said = json!({"stream_id": id, "status": to, "reason": format!("not {from}")});
        let answer = caller.send("POST", "/ssf/status?stream_id=another", &said).await.expect(200);
        assert_eq!(answer.json(), said);
        assert_eq!(status(&caller, &id).await, said);
    }
}

/// STAT-02: `reason` belongs to the status that it was given with.
#[actix_web::test]
async fn a_reason_is_kept_over_a_restart_until_the_status_is_set_again() {
    let mut daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let (id, token) = (caller.new_stream().await, caller.token.clone());
    let said = json!({"stream_id": id, "status": "paused", "reason": "Wartung \u{1f6e0} bis 4"});
    change(&caller, &said).await;
    daemon.restart().await;
    let caller = daemon.caller_with(PROVIDER, &token);
    assert_eq!(status(&caller, &id).await, said);
    // Neither a change of the configuration nor a refused one touches it.
    caller.send("PATCH", "/ssf/streams", &json!({"stream_id": id, "description": "d"})).await;
    caller.send("POST", "/ssf/status", &json!({"stream_id": id, "status": "gone"})).await;
    assert_eq!(status(&caller, &id).await, said);
    let plain = json!({"stream_id": id, "status": "paused"});
    assert_eq!(change(&caller, &plain).await, plain);
    assert_eq!(status(&caller, &id).await, plain);
}

/// A Receiver's text is bounded, and carries nothing that would disturb a terminal.
#[actix_web::test]
async fn a_long_reason_is_cut() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let id = caller.new_stream().await;
    let reason = format!("\u{1b}[31m{}", "ü".repeat(10_000));
    let said = json!({"stream_id": id, "status": "paused", "reason": reason});
    let kept = change(&caller, &said).await["reason"].as_str().map(str::to_owned);
    assert_eq!(kept, Some(format!("[31m{}", "ü".repeat(252))));
}

/// STAT-03.
#[actix_web::test]
async fn a_request_that_breaks_a_rule_names_it_and_changes_nothing() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let id = caller.new_stream().await;
    for (body, detail) in [
        (json!({"stream_id": id, "status": "Paused"}), "`status` must be `enabled`, `paused` or"),
        (json!({"stream_id": id, "status": ""}), "`status` must be"),
        (json!({"stream_id": id, "status": null}), "`status` must be a string"),
        (json!({"stream_id": id, "status": 1}), "`status` must be a string"),
        (json!({"stream_id": id}), "`status` is required"),
        (json!({"status": "paused"}), "`stream_id` is required"),
        (json!({"stream_id": 1, "status": "paused"}), "`stream_id` must be a string"),
        (json!({"stream_id": null, "status": "paused"}), "`stream_id` must be a string"),
        (json!({"stream_id": id, "status": "paused", "reason": 7}), "`reason` must be a string"),
        (json!({"stream_id": id, "status": "paused", "reason": null}), "`reason` must be"),
    ] {
        let path = format!("/ssf/status?stream_id={id}");
        assert_refused(&caller.send("POST", &path, &body).await, 400, detail);
    }
    assert_refused(&caller.get("/ssf/status").await, 400, "`stream_id` is required");
    let twice = caller.get(&format!("/ssf/status?stream_id={id}&stream_id={id}")).await;
    assert_refused(&twice, 400, "`stream_id` must be given once");
    assert_eq!(status(&caller, &id).await["status"], "enabled");
}

/// STAT-03, CFG-18 (SSF §8): another Receiver's stream is none.
#[actix_web::test]
async fn an_unknown_stream_and_anothers_are_not_found() {
    let daemon = Daemon::start().await;
    let (owner, other) = (daemon.caller("rx").await, daemon.caller("other").await);
    let id = owner.new_stream().await;
    for id in [&id[..], UNKNOWN, "a%20b", ""] {
        let answer = other.get(&format!("/ssf/status?stream_id={id}")).await;
        assert_refused(&answer, 404, "no such stream");
        let body = json!({"stream_id": id, "status": "disabled"});
        assert_refused(&other.send("POST", "/ssf/status", &body).await, 404, "no such stream");
    }
    assert_eq!(status(&owner, &id).await["status"], "enabled");
}
