//! Devices that nobody has registered: dropped, quarantined or accepted.

use hyper::Method;
use serde_json::{Value, json};
use ssfd::domain::secret::Secret;
use tempfile::TempDir;

use super::{AGENTS, BAD, Fleet, GOOD, TestDevice, assert_refused};
use crate::harness::http_client::{Answer, post};

const SECRET: &str = "an-enrolment-secret";
const TOKEN: &str = "a-token-that-the-device-has-made-itself";

/// Starts a fleet that treats unknown devices like this.
async fn fleet(provider: &str, unknown: &str, more: Value) -> (Fleet, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).expect("writable");
    let mut members = json!({"unknown_devices": unknown, "enrolment_secret_files": [file]});
    for (key, value) in more.as_object().expect("members") {
        members[key] = value.clone();
    }
    (Fleet::new(provider, members).await, folder)
}

async fn enrol(fleet: &Fleet, device: &str, token: &str, secret: &str) -> Answer {
    let url = format!("{}/enrol", fleet.url(0));
    let body = json!({"device": device, "token": token, "platform": "macos"});
    post(&url).bearer(secret).json(&body).send().await
}

/// Registers a device by the code of the reference client.
async fn enrolled(fleet: &Fleet, id: &str) -> TestDevice {
    let device = fleet.device(id, &format!("{TOKEN}-{id}"));
    assert_refused(device.check_in(GOOD).await);
    let enrolled = device.clients[0].enrol(&Secret::new(SECRET), Some("macos")).await;
    enrolled.expect("the secret is right");
    device
}

#[actix_web::test]
async fn an_unknown_device_is_dropped() {
    let fleet = Fleet::new("agents-enrol-drop", json!({})).await;
    enrol(&fleet, "dev-1", TOKEN, SECRET).await.expect(404);
    assert_refused(fleet.device("dev-1", TOKEN).check_in(GOOD).await);
    let all = fleet.node().ssfd_json(&["devices", "list"]).await;
    assert_eq!(all, json!([]));
}

#[actix_web::test]
async fn an_unknown_device_is_accepted_with_the_secret() {
    let (fleet, _folder) = fleet("agents-enrol-accept", "accept", json!({})).await;
    let device = enrolled(&fleet, "dev-1").await;
    device.is(0, BAD, "not-compliant").await;
    assert_eq!(fleet.changes().await, [("dev-1".to_owned(), "not-compliant".to_owned())]);
    let shown = fleet.shown("dev-1").await;
    assert_eq!((&shown["admission"], &shown["platform"]), (&json!("registered"), &json!("macos")));
    // The request may be repeated, and changes nothing.
    let before = fleet.stored("dev-1").await;
    enrol(&fleet, "dev-1", &device.token, SECRET).await.expect(204);
    assert_eq!(fleet.stored("dev-1").await, before);
}

#[actix_web::test]
async fn a_quarantined_device_tells_nothing_until_it_is_approved() {
    let (fleet, _folder) = fleet("agents-enrol-quarantine", "quarantine", json!({})).await;
    let device = enrolled(&fleet, "dev-1").await;
    device.is(0, GOOD, "compliant").await;
    device.is(0, BAD, "not-compliant").await;
    assert_eq!(fleet.changes().await, []);
    assert_eq!(fleet.shown("dev-1").await["admission"], "quarantined");
    let listed = fleet.node().ssfd_json(&["devices", "list", "--admission", "quarantined"]).await;
    assert_eq!(listed[0]["device"], "dev-1");
    fleet.node().ssfd_says(&["devices", "approve", AGENTS, "dev-1"]).await;
    assert_eq!(fleet.changes().await, [], "its next check-in tells how it stands");
    device.is(0, BAD, "not-compliant").await;
    assert_eq!(fleet.changes().await, [("dev-1".to_owned(), "not-compliant".to_owned())]);
    let again = fleet.node().ssfd_fails(&["devices", "approve", AGENTS, "dev-1"]).await;
    assert!(again.contains("only a quarantined one"), "{again}");
}

#[actix_web::test]
async fn nobody_takes_over_a_device_or_brings_back_a_revoked_one() {
    let (fleet, _folder) = fleet("agents-enrol-taken", "accept", json!({})).await;
    let device = enrolled(&fleet, "dev-1").await;
    let registered = fleet.add("dev-2", json!({})).await;
    for id in ["dev-1", "dev-2"] {
        let before = fleet.stored(id).await;
        enrol(&fleet, id, "another-token-of-enough-bytes-to-be-one", SECRET).await.expect(409);
        assert_eq!(fleet.stored(id).await, before);
    }
    device.is(0, GOOD, "compliant").await;
    registered.is(0, GOOD, "compliant").await;
    fleet.operate(Method::POST, "dev-1", "/revoke").await;
    enrol(&fleet, "dev-1", &device.token, SECRET).await.expect(409);
    assert_refused(device.check_in(GOOD).await);
}

#[actix_web::test]
async fn an_enrolment_needs_the_secret_and_a_good_token() {
    let more = json!({"enrolments_per_minute_max": 2});
    let (fleet, _folder) = fleet("agents-enrol-secret", "accept", more).await;
    for secret in ["", "another-secret", "an-enrolment-secre", "an-enrolment-secret2"] {
        enrol(&fleet, "dev-1", TOKEN, secret).await.expect(401);
    }
    let url = format!("{}/enrol", fleet.url(0));
    post(&url).json(&json!({"device": "dev-1", "token": TOKEN})).send().await.expect(401);
    let short = enrol(&fleet, "dev-1", "short", SECRET).await.expect(400);
    assert!(short.text().contains("`token` must have 32 to 512 bytes"), "{}", short.text());
    let all = fleet.node().ssfd_json(&["devices", "list"]).await;
    assert_eq!(all, json!([]));
    for n in 0..2 {
        enrol(&fleet, &format!("dev-{n}"), TOKEN, SECRET).await.expect(204);
    }
    let many = enrol(&fleet, "dev-3", TOKEN, SECRET).await.expect(429);
    assert_eq!(many.header(hyper::header::RETRY_AFTER), "60");
    enrol(&fleet, "dev-1", TOKEN, SECRET).await.expect(204);
}
