//! Devices that fall silent.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use ssfd::clock;

use super::{AGENTS, BAD, COMPLIANCE_CHANGE, Fleet, GOOD, TestDevice};
use crate::harness::{events::SESSION_REVOKED, eventually};

/// A table whose devices are lost after a little more than two seconds, however many they are.
fn soon(members: Value) -> Value {
    let mut all = json!({"interval": "1s", "lost_after": 2, "losses_percent_max": 100});
    for (key, value) in members.as_object().expect("members") {
        all[key] = value.clone();
    }
    all
}

async fn lost(fleet: &Fleet, id: &str) {
    eventually("the device is lost", async || {
        let device = fleet.stored(id).await;
        device.standing.lost_at.is_some() && device.pending.is_none()
    })
    .await;
}

fn told(device: &str, status: &str) -> (String, String) {
    (device.to_owned(), status.to_owned())
}

#[actix_web::test]
async fn a_device_that_falls_silent_is_told_once_and_comes_back() {
    let fleet = Fleet::new("agents-lost", soon(json!({}))).await;
    let device = fleet.add("dev-1", json!({})).await;
    let never = fleet.add("dev-2", json!({})).await;
    let failing = fleet.add("dev-3", json!({})).await;
    device.is(0, GOOD, "compliant").await;
    failing.is(0, BAD, "not-compliant").await;
    assert_eq!(fleet.changes().await, [told("dev-3", "not-compliant")]);
    lost(&fleet, "dev-1").await;
    lost(&fleet, "dev-3").await;
    let sets = fleet.sets().await;
    assert_eq!(sets.len(), 1, "one device was not compliant before, and one never checked in");
    assert_eq!(super::change(&sets[0]), told("dev-1", "not-compliant"));
    let event = &sets[0]["events"][COMPLIANCE_CHANGE];
    assert_eq!(event["initiating_entity"], "system");
    assert!(event["reason_admin"]["en"].as_str().expect("a text").contains("check-in"));
    assert_eq!(fleet.stored("dev-2").await.standing.lost_at, None);
    drop(never);

    device.is(0, GOOD, "compliant").await;
    assert_eq!(fleet.changes().await, [told("dev-1", "compliant")]);
    lost(&fleet, "dev-1").await;
    assert_eq!(fleet.changes().await, [told("dev-1", "not-compliant")], "and again");
}

/// Sessions end with the compliance, if the table says so, in the order of the events.
#[actix_web::test]
async fn sessions_end_with_the_compliance() {
    let fleet = Fleet::new("agents-lost-sessions", soon(json!({"session_revoked": true}))).await;
    let user = json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "kim"});
    let device = fleet.add("dev-1", json!({"user": user})).await;
    device.is(0, GOOD, "compliant").await;
    for facts in [BAD, GOOD] {
        device.check_in(facts).await.expect("it counts");
    }
    let types: Vec<Vec<String>> = {
        let sets = fleet.sets().await;
        let types = |set: &Value| set["events"].as_object().expect("one").keys().cloned().collect();
        sets.iter().map(types).collect()
    };
    let count = |event_type: &str| types.iter().filter(|one| one[0] == event_type).count();
    assert_eq!((count(COMPLIANCE_CHANGE), count(SESSION_REVOKED)), (2, 1));
    lost(&fleet, "dev-1").await;
    let sets = fleet.sets().await;
    let revoked = sets.iter().find(|set| set["events"].get(SESSION_REVOKED).is_some());
    let revoked = revoked.expect("a lost device ends its sessions");
    assert_eq!(sets.len(), 2);
    assert_eq!(revoked["sub_id"]["user"], user);
    assert_eq!(revoked["sub_id"]["device"]["id"], "dev-1");
}

/// After a start, every device has a whole interval to check in.
#[actix_web::test]
async fn nobody_is_judged_before_a_whole_interval_after_a_start() {
    const INTERVAL: Duration = Duration::from_secs(3);
    let members = soon(json!({"interval": "3s"}));
    let mut fleet = Fleet::new("agents-lost-start", members).await;
    let device = fleet.add("dev-1", json!({})).await;
    device.is(0, GOOD, "compliant").await;
    fleet.nodes[0].stop().await;
    let checked_in = clock::now();
    eventually("the device is overdue", async || super::later(checked_in, INTERVAL * 2)).await;
    let started = clock::now();
    fleet.nodes[0].start_again().await;
    lost(&fleet, "dev-1").await;
    let lost_at = fleet.stored("dev-1").await.standing.lost_at.expect("lost");
    assert!(INTERVAL <= lost_at.since(started), "{started} {lost_at}");
    assert_eq!(fleet.changes().await, [told("dev-1", "not-compliant")]);
}

async fn add_all(fleet: &Fleet, count: usize) -> Vec<TestDevice> {
    let mut devices = Vec::new();
    for n in 1..=count {
        let device = fleet.add(&format!("dev-{n}"), json!({})).await;
        device.is(0, GOOD, "compliant").await;
        devices.push(device);
    }
    devices
}

async fn held(fleet: &Fleet) -> Option<u64> {
    let agents = fleet.node().admin(&fleet.operator, Method::GET, "/agents");
    let agents = agents.send().await.expect(200).json();
    agents["agents"][0]["held_losses"]["devices"].as_u64()
}

/// Too many losses wait for an operator. The operator's word counts for them alone.
#[actix_web::test]
async fn too_many_losses_wait_for_an_operator() {
    let members = soon(json!({"losses_percent_max": 50}));
    let fleet = Fleet::new("agents-lost-many", members).await;
    let devices = add_all(&fleet, 4).await;
    eventually("the losses are held", async || held(&fleet).await.is_some()).await;
    assert_eq!(fleet.changes().await, []);
    let counted = async || fleet.counted("ssfd_agent_losses_held", "").await;
    eventually("all four are counted", async || counted().await == 4).await;
    let warned = fleet.node().readiness().await.json()["degraded"].to_string();
    assert!(warned.contains("release-losses"), "{warned}");
    let overdue = fleet.node().ssfd_json(&["devices", "list", AGENTS, "--overdue"]).await;
    assert_eq!(overdue.as_array().expect("a list").len(), 4);

    let released = fleet.node().ssfd_json(&["devices", "release-losses", AGENTS]).await;
    assert!(0 < released["devices"].as_u64().expect("a number"));
    for n in 1..=4 {
        lost(&fleet, &format!("dev-{n}")).await;
    }
    assert_eq!(fleet.changes().await.len(), 4);
    eventually("nothing is held", async || counted().await == 0).await;
    assert_eq!(held(&fleet).await, None);
    let nothing = fleet.node().ssfd_fails(&["devices", "release-losses", AGENTS]).await;
    assert!(nothing.contains("no losses of these agents are held"), "{nothing}");
    drop(devices);
}

/// Devices that are back end the hold by themselves.
#[actix_web::test]
async fn devices_that_are_back_are_not_lost() {
    let fleet = Fleet::new("agents-lost-back", soon(json!({"losses_percent_max": 0}))).await;
    let devices = add_all(&fleet, 3).await;
    eventually("the losses are held", async || held(&fleet).await.is_some()).await;
    eventually("nothing is held", async || {
        for device in &devices {
            device.clients[0].check_in(GOOD, clock::now()).await.ok();
        }
        held(&fleet).await.is_none()
    })
    .await;
    assert_eq!(fleet.changes().await, []);
}

/// One node of three judges the losses.
#[actix_web::test]
async fn of_several_nodes_one_judges() {
    let fleet = Fleet::on_redis("agents-lost-nodes", 3, soon(json!({}))).await;
    let device = fleet.add("dev-1", json!({})).await;
    device.is(2, GOOD, "compliant").await;
    lost(&fleet, "dev-1").await;
    assert_eq!(fleet.changes().await, [told("dev-1", "not-compliant")]);
    device.is(1, GOOD, "compliant").await;
    assert_eq!(fleet.changes().await, [told("dev-1", "compliant")]);
}
