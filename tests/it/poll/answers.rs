//! The limits of an answer to a poll.

use serde_json::json;

use crate::harness::{
    events::about_with,
    polling::{poll_now, subjects},
    setup::Setup,
};

/// POLL-03 (RFC 8936 §2.2).
#[actix_web::test]
async fn an_answer_is_bounded_by_our_own_default_and_maximum() {
    let setup = Setup::polling_with(|config| {
        (config.poll.events_default, config.poll.events_max) = (2, 3);
    })
    .await;
    setup.publish(&["s-1", "s-2", "s-3", "s-4", "s-5", "s-6"]).await;

    assert_eq!(subjects(&poll_now(&setup, json!({})).await), ["s-1", "s-2"]);
    let most = poll_now(&setup, json!({"maxEvents": 1000})).await;
    assert_eq!(subjects(&most), ["s-3", "s-4", "s-5"]);
    assert_eq!(most.json()["moreAvailable"], true);
}

/// An answer that is larger than the bound consists of one SET.
#[actix_web::test]
async fn an_answer_is_bounded_in_bytes() {
    const BYTES_MAX: usize = 20_000;
    let setup = Setup::polling_with(|config| config.poll.answer_bytes_max = BYTES_MAX).await;
    let event = |subject: &String, bytes| {
        let reason = json!({"en": "x".repeat(bytes)});
        about_with(subject, json!({"event": {"reason_admin": reason}}))
    };
    let names: Vec<_> = (10..30).map(|n| format!("s-{n}")).collect();
    let events = names.iter().enumerate();
    let events = events.map(|(n, name)| event(name, if n == 7 { 3 * BYTES_MAX } else { 2000 }));
    setup.daemon.publish(&setup.publisher, &events.collect()).await.expect(202);

    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let answer = poll_now(&setup, json!({"maxEvents": 1000})).await;
        let subjects = subjects(&answer);
        sizes.push((answer.body.len(), subjects.len()));
        seen.extend(subjects);
        if answer.json()["moreAvailable"] != true {
            break;
        }
    }
    assert_eq!(seen, names);
    for (bytes, sets) in &sizes {
        assert!(*bytes <= BYTES_MAX || *sets == 1, "{sizes:?}");
    }
    assert!(sizes.len() < 10, "an answer has several SETs: {sizes:?}");
}
