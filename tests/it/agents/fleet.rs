//! A thousand devices: each change of each device gives exactly one SET.

use std::collections::BTreeSet;

use serde_json::json;

use super::{BAD, Fleet, GOOD, TestDevice, all};

/// How many devices there are.
const DEVICES: usize = 1000;

/// Each device checks in at another node each time.
async fn check_in(fleet: &Fleet, devices: &[TestDevice], turn: usize, facts: &str, status: &str) {
    let nodes = fleet.nodes.len();
    all(devices, |at, device| async move {
        device.is((at + turn) % nodes, facts, status).await;
    })
    .await;
}

/// Asserts that exactly one SET about each device waits, with this status.
async fn assert_told(fleet: &Fleet, status: &str) {
    let changes = fleet.changes().await;
    assert_eq!(changes.len(), DEVICES, "one SET for each device");
    let devices: BTreeSet<_> = changes.iter().map(|(device, _)| device).collect();
    assert_eq!(devices.len(), DEVICES);
    assert!(changes.iter().all(|(_, told)| told == status), "{status}");
}

async fn each_change_gives_one_set(fleet: Fleet) {
    let mut devices = Vec::with_capacity(DEVICES);
    for n in 0..DEVICES {
        devices.push(fleet.add(&format!("dev-{n:04}"), json!({})).await);
    }
    check_in(&fleet, &devices, 0, GOOD, "compliant").await;
    assert_eq!(fleet.changes().await, [], "nothing has changed");
    check_in(&fleet, &devices, 1, BAD, "not-compliant").await;
    assert_told(&fleet, "not-compliant").await;
    check_in(&fleet, &devices, 2, BAD, "not-compliant").await;
    assert_eq!(fleet.changes().await, [], "nothing has changed");
    check_in(&fleet, &devices, 0, GOOD, "compliant").await;
    assert_told(&fleet, "compliant").await;
    assert_eq!(fleet.changes().await, []);
}

#[actix_web::test]
async fn each_change_of_a_thousand_devices_gives_one_set_on_sqlite() {
    each_change_gives_one_set(Fleet::new("agents-fleet-sqlite", json!({})).await).await;
}

#[actix_web::test]
async fn each_change_of_a_thousand_devices_gives_one_set_on_three_nodes() {
    each_change_gives_one_set(Fleet::on_redis("agents-fleet-redis", 3, json!({})).await).await;
}

/// All nodes get the check-ins of one device at the same moment. Whatever their order, the SETs alternate,
/// and the last of them says how the device stands.
#[actix_web::test]
async fn check_ins_of_one_device_at_all_nodes_are_one_after_the_other() {
    const ROUNDS: usize = 12;
    let members = json!({"challenges_max": 64});
    let fleet = Fleet::on_redis("agents-fleet-one", 3, members).await;
    let device = fleet.add("dev-1", json!({})).await;
    let registered = fleet.stored("dev-1").await.standing.seq;
    for _ in 0..ROUNDS {
        let at_once =
            device.clients.iter().zip([GOOD, BAD, GOOD]).map(|(client, facts)| async move {
                client.check_in(facts, ssfd::clock::now()).await.expect("it counts").status
            });
        futures_util::future::join_all(at_once).await;
    }
    let changes = fleet.sets().await.iter().map(super::change).collect::<Vec<_>>();
    assert!(!changes.is_empty(), "a bad check-in came first or in between");
    let device = fleet.stored("dev-1").await;
    let told = usize::try_from(device.standing.seq - registered).expect("it grows");
    assert_eq!(changes.len(), told, "one SET for each change");
    assert_eq!(device.pending, None);
}
