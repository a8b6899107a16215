//! The order of SETs in the lanes of a stream (P3 and P4 of the design).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;

use crate::{
    harness::{receiver::Receiver, setup::Setup},
    scripted_server::{Gate, Reply, Seen},
};

fn subjects(requests: &[Seen]) -> Vec<String> {
    requests.iter().map(Seen::subject).collect()
}

#[actix_web::test]
async fn sets_about_one_subject_keep_their_order_and_another_subject_overtakes() {
    let gate = Gate::default();
    let (held, failures) = (gate.clone(), AtomicUsize::new(0));
    let mut receiver = Receiver::start(move |_, request| {
        let first = request.subject() == "one" && failures.fetch_add(1, Ordering::SeqCst) < 2;
        if first { Reply::status(500).behind(&held) } else { Reply::status(202) }
    })
    .await;
    let setup = Setup::pushing_to(&receiver).await;

    setup.publish(&["one", "one", "two", "two"]).await;

    // While the first SET is in flight, all SETs about the other subject are delivered.
    let mut first = subjects(&receiver.next_few(3).await);
    first.sort();
    assert_eq!(first, ["one", "two", "two"]);
    assert!(receiver.rest().is_empty());

    gate.open();
    let then = receiver.next_few(3).await;
    assert_eq!(subjects(&then), ["one", "one", "one"]);
    assert_eq!(then[0].body, then[1].body, "the first SET is retried until it is accepted");
    assert_ne!(then[1].body, then[2].body);
    setup.settled().await;
}

#[actix_web::test]
async fn no_more_sets_are_in_flight_than_configured() {
    const SETS: usize = 12;
    const IN_FLIGHT_MAX: usize = 3;
    let gates: Arc<[Gate]> = (0..SETS).map(|_| Gate::default()).collect();
    let held = Arc::clone(&gates);
    let mut receiver = Receiver::start(move |n, _| Reply::status(202).behind(&held[n])).await;
    let setup = Setup::pushing_with(&receiver, |config| {
        config.delivery.in_flight_max = IN_FLIGHT_MAX;
    })
    .await;

    let about: Vec<String> = (0..SETS).map(|n| format!("s-{n}")).collect();
    setup.publish(&about.iter().map(String::as_str).collect::<Vec<_>>()).await;

    receiver.next_few(IN_FLIGHT_MAX).await;
    for gate in &gates[..SETS - IN_FLIGHT_MAX] {
        assert!(receiver.rest().is_empty(), "no more SETs than configured are in flight");
        gate.open();
        receiver.next().await;
    }
    gates.iter().for_each(Gate::open);
    setup.settled().await;
}

/// A Receiver asks for a verification when the stream seems not to work, so the event must not wait
/// behind other SETs (SSF §8.1.4.2).
#[actix_web::test]
async fn a_verification_overtakes_other_sets() {
    let gate = Gate::default();
    let held = gate.clone();
    let mut receiver = Receiver::start(move |_, request| match request.subject().as_str() {
        "blocked" => Reply::status(503).behind(&held),
        _ => Reply::status(202),
    })
    .await;
    let setup = Setup::pushing_with(&receiver, |config| {
        (config.delivery.in_flight_max, config.delivery.window_max) = (1, 1);
    })
    .await;
    setup.publish(&["blocked", "blocked", "free"]).await;
    assert_eq!(receiver.next().await.subject(), "blocked");

    setup.daemon.verify_stream(&setup.token, &setup.stream, "state-7").await.expect(204);

    assert_eq!(receiver.next().await.payload(), json!({"state": "state-7"}));
    gate.open();
}
