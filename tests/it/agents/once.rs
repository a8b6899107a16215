//! No challenge works twice, and no change is told twice or never, whatever breaks off.

use futures_util::future::join_all;
use serde_json::{Value, json};
use ssfd::{
    clock,
    domain::{
        posture::{Cause, Change, Compliance, Device},
        time::Timestamp,
    },
    store::records::device::DeviceStore as _,
};

use super::{BAD, Fleet, GOOD, TestDevice, assert_refused};
use crate::harness::eventually;

/// One answer is sent to every node at the same moment, several times.
async fn counts_once(fleet: &Fleet, device: &TestDevice) -> String {
    const COPIES: usize = 4;
    let challenge = device.clients[0].challenge().await.expect("a challenge");
    let answer = device.clients[0].answer(&challenge, GOOD, clock::now());
    let sent = (0..COPIES).flat_map(|_| &device.clients).map(|client| client.send(&answer, GOOD));
    let results = join_all(sent).await;
    let counted = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(counted, 1, "{results:?}");
    for result in results.into_iter().filter(Result::is_err) {
        assert_refused(result);
    }
    assert!(1 <= fleet.refused("replayed").await);
    answer
}

#[actix_web::test]
async fn no_challenge_works_twice_also_not_after_a_restart() {
    let mut fleet = Fleet::new("agents-once-sqlite", json!({})).await;
    let device = fleet.add("dev-1", json!({})).await;
    let answer = counts_once(&fleet, &device).await;
    let unused = device.clients[0].challenge().await.expect("a challenge");
    fleet.nodes[0].restart().await;
    let device = fleet.device("dev-1", &device.token);
    let before = fleet.stored("dev-1").await;
    assert_refused(device.clients[0].send(&answer, GOOD).await);
    assert_eq!(fleet.stored("dev-1").await, before, "a replayed answer changes nothing");
    let answer = device.clients[0].answer(&unused, GOOD, clock::now());
    device.clients[0].send(&answer, GOOD).await.expect("a challenge outlives a restart");
}

#[actix_web::test]
async fn no_challenge_works_twice_on_three_nodes() {
    let fleet = Fleet::on_redis("agents-once-redis", 3, json!({})).await;
    let device = fleet.add("dev-1", json!({})).await;
    for _ in 0..5 {
        let answer = counts_once(&fleet, &device).await;
        for client in &device.clients {
            assert_refused(client.send(&answer, GOOD).await);
        }
    }
}

/// A wrong answer does not use up the challenge.
#[actix_web::test]
async fn a_challenge_survives_a_wrong_answer_to_it() {
    let fleet = Fleet::new("agents-once-wrong", json!({})).await;
    let device = fleet.add("dev-1", json!({})).await;
    let client = &device.clients[0];
    let challenge = client.challenge().await.expect("a challenge");
    let stranger = fleet.device("dev-1", "a-token-that-somebody-has-made-up-for-this");
    let forged = stranger.clients[0].answer(&challenge, GOOD, clock::now());
    assert_refused(stranger.clients[0].send(&forged, GOOD).await);
    let answer = client.answer(&challenge, GOOD, clock::now());
    assert_refused(client.send(&answer, BAD).await);
    client.send(&answer, GOOD).await.expect("the right facts count");
}

/// A device may use up a few challenges within the lifetime of one, and is then told to wait.
#[actix_web::test]
async fn a_device_that_checks_in_too_often_has_to_wait() {
    let fleet = Fleet::new("agents-once-often", json!({"challenges_max": 3})).await;
    let device = fleet.add("dev-1", json!({})).await;
    for _ in 0..3 {
        device.is(0, GOOD, "compliant").await;
    }
    let error = device.check_in(BAD).await.expect_err("too often").to_string();
    assert!(error.contains("429"), "{error}");
    assert_eq!(fleet.changes().await, [], "and the check-in changed nothing");
}

/// Writes a change as pending, as a crash may leave it: `published` tells whether it was published before.
async fn crash(fleet: &Fleet, id: &str, published: bool) -> Device {
    let store = fleet.node().store();
    let found = store.device(&fleet.key(id)).await.expect("readable").expect("registered");
    let device = if published {
        // The change is told already, and only the note is missing.
        let last = found.record.standing.seq;
        let at = found.record.standing.changed_at.expect("it has changed");
        let cause = Cause::Failed(vec!["disk".parse().expect("a name")]);
        let pending = Change { seq: last, to: Compliance::NotCompliant, at, cause };
        Device { pending: Some(pending), ..found.record }
    } else {
        let failure = ssfd::domain::posture::Failure {
            rule: "disk".parse().expect("a name"),
            grace: std::time::Duration::ZERO,
        };
        let (standing, pending) = found.record.standing.checked_in(&[failure], clock::now());
        Device { standing, pending, ..found.record }
    };
    assert!(device.pending.is_some());
    store.replace_device(&device, found.version, "a crash".to_owned()).await.expect("written");
    device
}

async fn is_settled(fleet: &Fleet, id: &str) {
    eventually("the change is not pending any more", async || {
        fleet.stored(id).await.pending.is_none()
    })
    .await;
}

#[actix_web::test]
async fn a_change_that_a_crash_left_pending_is_told_once() {
    let members = json!({"interval": "1s", "lost_after": 1000});
    let mut fleet = Fleet::new("agents-once-pending", members).await;
    let device = fleet.add("dev-1", json!({})).await;
    device.is(0, GOOD, "compliant").await;

    // Before it was published.
    crash(&fleet, "dev-1", false).await;
    fleet.nodes[0].restart().await;
    is_settled(&fleet, "dev-1").await;
    assert_eq!(fleet.changes().await, [("dev-1".to_owned(), "not-compliant".to_owned())]);

    // After it was published.
    crash(&fleet, "dev-1", true).await;
    fleet.nodes[0].restart().await;
    is_settled(&fleet, "dev-1").await;
    assert_eq!(fleet.changes().await, [], "it was told before");

    // The device comes back before the sweep finds the change.
    crash(&fleet, "dev-1", true).await;
    let device = fleet.device("dev-1", &device.token);
    device.is(0, GOOD, "compliant").await;
    assert_eq!(fleet.changes().await, [("dev-1".to_owned(), "compliant".to_owned())]);
}

/// The event of a change has an id that derives from the change, and so has each SET.
#[actix_web::test]
async fn the_event_is_named_by_the_change() {
    let fleet = Fleet::new("agents-once-named", json!({})).await;
    let user = json!({"format": "email", "email": "kim@example.com"});
    let device = fleet.add("dev-1", json!({"user": user})).await;
    device.is(0, BAD, "not-compliant").await;
    let seq = fleet.stored("dev-1").await.standing.seq;
    let sets = fleet.sets().await;
    assert_eq!(sets.len(), 1);
    let subject = json!({
        "format": "complex", "device": {"format": "opaque", "id": "dev-1"}, "user": user,
    });
    assert_eq!(sets[0]["sub_id"], subject);
    let provider = fleet.node().provider();
    let path = format!("/events?provider={provider}&event_id=posture/laptops/dev-1/{seq}");
    let traced = fleet.node().admin(&fleet.operator, hyper::Method::GET, &path);
    let traced: Value = traced.send().await.expect(200).json();
    assert!(traced.to_string().contains(sets[0]["jti"].as_str().expect("a jti")), "{traced}");
}

/// A device that is registered again under its id tells its changes anew.
#[actix_web::test]
async fn a_device_that_is_registered_again_repeats_no_number() {
    let fleet = Fleet::new("agents-once-again", json!({})).await;
    let first = fleet.add("dev-1", json!({})).await;
    first.is(0, BAD, "not-compliant").await;
    let seq = fleet.stored("dev-1").await.standing.seq;
    fleet.operate(hyper::Method::DELETE, "dev-1", "").await;
    eventually("the clock has moved on", async || Timestamp::from_millis(seq) < clock::now()).await;
    let second = fleet.add("dev-1", json!({})).await;
    assert_refused(first.check_in(GOOD).await);
    second.is(0, BAD, "not-compliant").await;
    assert_eq!(fleet.changes().await.len(), 2);
}
