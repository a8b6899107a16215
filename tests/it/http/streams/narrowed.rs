//! SETs of types that their stream stops asking for while they wait (SSF §8.1.1.3).

use std::time::Duration;

use serde_json::{Value, json};
use ssfd::config::Config;

use crate::{
    harness::{
        daemon::rename_provider,
        events::{CREDENTIAL_CHANGE, SESSION_REVOKED, about_with},
        eventually,
        receiver::{Receiver, event},
        setup::Setup,
        streams::{by_poll, push_to},
    },
    scripted_server::{Reply, Seen},
};

/// Starts a daemon whose stream asks for two types.
async fn asking_for_both(
    delivery: Value,
    provider: &str,
    change: impl FnOnce(&mut Config),
) -> Setup {
    let setup = Setup::new(delivery, |config| {
        rename_provider(config, provider);
        change(config);
    })
    .await;
    setup.update(json!({"events_requested": [SESSION_REVOKED, CREDENTIAL_CHANGE]})).await;
    setup
}

impl Setup {
    /// Publishes an event of each type about each subject.
    async fn publish_both(&self, subjects: &[&str]) {
        for subject in subjects {
            let change = json!({"credential_type": "password", "change_type": "update"});
            let events = json!([
                about_with(subject, json!({"type": CREDENTIAL_CHANGE, "event": change})),
                about_with(subject, json!({"type": SESSION_REVOKED})),
            ]);
            self.daemon.publish(&self.publisher, &events).await.expect(202);
        }
    }

    async fn narrow(&self) {
        self.update(json!({"events_requested": [SESSION_REVOKED]})).await;
    }

    /// Returns how many SETs were discarded because their type is not asked for any more.
    async fn unrequested(&self) -> usize {
        let provider = self.daemon.provider();
        let series = format!(
            r#"ssfd_events_suppressed_total{{provider="{provider}",reason="not_requested"}}"#
        );
        let count = self.daemon.metric(&series).await.to_string();
        count.parse().expect("a counter is a whole number")
    }
}

fn arrived(requests: &[Seen]) -> Vec<(String, String)> {
    let of = |seen: &Seen| (event(&seen.claims()).0, seen.subject());
    requests.iter().map(of).collect()
}

fn revoked(subject: &str) -> (String, String) {
    (SESSION_REVOKED.to_owned(), subject.to_owned())
}

/// The SETs that are still wanted are behind the others in their lanes.
#[actix_web::test]
async fn a_push_stream_sends_only_what_it_still_asks_for() {
    let mut receiver = Receiver::accepting().await;
    let setup = asking_for_both(push_to(&receiver.url("/in")), "narrowed-push", |_| {}).await;
    setup.change_status("paused").await;
    setup.publish_both(&["s-1", "s-2"]).await;
    setup.narrow().await;
    setup.change_status("enabled").await;
    let mut sent = arrived(&receiver.next_few(2).await);
    sent.sort();
    assert_eq!(sent, [revoked("s-1"), revoked("s-2")]);
    setup.settled().await;
    assert!(receiver.rest().is_empty());
    assert_eq!(setup.unrequested().await, 2);

    // A type that is asked for again is sent again.
    setup.update(json!({"events_requested": [SESSION_REVOKED, CREDENTIAL_CHANGE]})).await;
    setup.publish_both(&["s-3"]).await;
    assert_eq!(receiver.next_few(2).await.len(), 2);
}

#[actix_web::test]
async fn a_set_that_waits_for_a_retry_is_not_sent_again() {
    let mut receiver = Receiver::start(|_, request| {
        let wanted = event(&request.claims()).0 == SESSION_REVOKED;
        Reply::status(if wanted { 202 } else { 503 })
    })
    .await;
    let delivery = push_to(&receiver.url("/in"));
    let setup = asking_for_both(delivery, "narrowed-retry", |config| {
        config.delivery.retry.schedule = vec![Duration::from_millis(50)];
    })
    .await;
    setup.publish_both(&["s-1"]).await;
    assert_ne!(arrived(&[receiver.next().await]), [revoked("s-1")]);
    eventually("the failure is recorded", async || {
        setup.waiting().await.iter().any(|set| 0 < set.attempts)
    })
    .await;

    setup.narrow().await;

    setup.settled().await;
    assert_eq!(arrived(&receiver.rest()).last(), Some(&revoked("s-1")));
    assert_eq!(setup.unrequested().await, 1);
}

/// A SET that was handed out and is not acknowledged would be handed out again.
#[actix_web::test]
async fn a_poll_hands_out_only_what_is_still_asked_for() {
    let setup = asking_for_both(by_poll(), "narrowed-poll", |config| {
        config.poll.redelivery_interval = Duration::ZERO;
    })
    .await;
    setup.publish_both(&["s-1", "s-2"]).await;
    let request = json!({"returnImmediately": true});
    let polled = async || {
        let answer = setup.poll(request.clone()).await.expect(200).json();
        answer["sets"].as_object().expect("an object of SETs").len()
    };
    assert_eq!(polled().await, 4);
    setup.narrow().await;
    assert_eq!(polled().await, 2);
    assert_eq!(setup.unrequested().await, 2);
    assert_eq!(setup.daemon.backlog().await, 2);

    // Nothing is left, and a control event is sent whatever is asked for.
    setup.update(json!({"events_requested": null})).await;
    assert_eq!(polled().await, 0);
    setup.daemon.verify_stream(&setup.token, &setup.stream, "n-1").await.expect(204);
    assert_eq!(polled().await, 1);
    assert_eq!(setup.unrequested().await, 4);
}
