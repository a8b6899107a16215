//! An event that names its subject by several identifiers is about the subject under each of them.

use serde_json::{Value, json};

use crate::{
    harness::{
        events::about_with,
        receiver::{Receiver, claims},
        setup::Setup,
        subjects::{complex, none_by_default, opaque},
    },
    scripted_server::Reply,
};

fn email(local: &str) -> Value {
    json!({"format": "email", "email": format!("{local}@example.com")})
}

/// Makes an event with the first identifier as `sub_id` and the others as further identifiers.
fn named(identifiers: &[Value]) -> Value {
    about_with("", json!({"sub_id": identifiers[0], "subject_identifiers": identifiers[1..]}))
}

impl Setup {
    /// Publishes an event and tells whether it reaches the stream.
    async fn reached_by(&self, event: &Value) -> bool {
        let answer = self.daemon.publish(&self.publisher, event).await.expect(202);
        answer.json()["events"][0]["streams"] == 1
    }
}

/// SUBJ-05: the Receiver may have added any of the identifiers.
#[actix_web::test]
async fn a_stream_gets_a_subject_that_was_added_by_any_identifier() {
    let event = named(&[opaque("u-17"), email("kim"), email("k")]);
    for added in [opaque("u-17"), email("kim"), email("k")] {
        let setup = Setup::polling_with(none_by_default).await;
        assert!(!setup.reached_by(&event).await);
        setup.add(&added).await;
        assert!(setup.reached_by(&event).await, "{added}");
        // The SET carries only the identifier that the event was published under.
        let answer = setup.poll(json!({})).await.expect(200).json();
        let set = answer["sets"].as_object().expect("SETs").values().next().expect("a SET");
        assert_eq!(claims(set.as_str().expect("a JWS"))["sub_id"], opaque("u-17"));
        setup.remove(&added).await;
        assert!(!setup.reached_by(&event).await);
    }
}

/// SUBJ-05: removing one of the identifiers removes the subject.
#[actix_web::test]
async fn a_stream_gets_no_subject_that_was_removed_by_any_identifier() {
    let event = named(&[opaque("u-17"), email("kim"), email("k")]);
    for removed in [opaque("u-17"), email("kim"), email("k")] {
        let setup = Setup::polling().await;
        setup.remove(&removed).await;
        assert!(!setup.reached_by(&event).await, "{removed}");
        setup.add(&removed).await;
        assert!(setup.reached_by(&event).await);
    }
}

#[actix_web::test]
async fn aliases_are_matched_by_each_of_their_identifiers() {
    let aliases = json!({"format": "aliases", "identifiers": [opaque("u-17"), email("kim")]});
    let setup = Setup::polling_with(none_by_default).await;
    setup.add(&email("kim")).await;
    assert!(setup.reaches(&aliases).await);
    setup.remove(&email("kim")).await;
    assert!(!setup.reaches(&aliases).await);
    setup.add(&aliases).await;
    assert!(setup.reaches(&opaque("u-17")).await && setup.reaches(&email("kim")).await);
    // The same holds within a complex subject.
    setup.add(&json!({"format": "complex", "user": email("kim")})).await;
    let session = json!({"format": "complex", "user": aliases, "session": opaque("s-88")});
    assert!(setup.reaches(&session).await);
    assert!(!setup.reaches(&complex(&[("user", "other"), ("session", "s-88")])).await);
}

/// When a SET is sent, access is judged again by all identifiers of its event.
#[actix_web::test]
async fn a_waiting_set_goes_with_its_subject_under_any_identifier() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.change_status("paused").await;
    assert!(setup.reached_by(&named(&[opaque("u-17"), email("kim")])).await);
    assert!(setup.reached_by(&named(&[opaque("u-18"), email("lee")])).await);
    setup.remove(&email("kim")).await;
    setup.change_status("enabled").await;
    assert_eq!(receiver.next().await.subject(), "u-18");
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

/// Order is promised for events with the same `sub_id`, whatever further identifiers they have.
#[actix_web::test]
async fn events_keep_their_order_by_their_sub_id() {
    let fail_first = |n: usize| Reply::status(if n == 0 { 503 } else { 202 });
    let mut receiver = Receiver::start(move |n, _| fail_first(n)).await;
    let setup = Setup::pushing_to(&receiver).await;
    let events = [
        named(&[opaque("u-17"), email("kim")]),
        named(&[opaque("u-17"), email("new")]),
        about_with("u-17", json!({})),
    ];
    for (n, event) in events.into_iter().enumerate() {
        let mut event = event;
        event["txn"] = n.to_string().into();
        assert!(setup.reached_by(&event).await);
    }
    setup.settled().await;
    let order: Vec<_> = receiver.rest().iter().map(|seen| seen.claims()["txn"].clone()).collect();
    assert_eq!(order, ["0", "0", "1", "2"]);
}

#[actix_web::test]
async fn a_restart_keeps_the_identifiers_that_a_set_is_judged_by() {
    let mut setup = Setup::polling_with(none_by_default).await;
    setup.add(&email("kim")).await;
    assert!(setup.reached_by(&named(&[opaque("u-17"), email("kim")])).await);
    setup.daemon.restart().await;
    assert_eq!(setup.waiting().await.len(), 1);
    setup.remove(&email("kim")).await;
    let answer = setup.poll(json!({"returnImmediately": true})).await.expect(200).json();
    assert_eq!(answer["sets"], json!({}));
    assert_eq!(setup.daemon.backlog().await, 0);
}
