//! Dead letters are listed, shown, redriven and purged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use super::refusing;
use crate::{
    harness::{
        daemon::rename_provider, events::SESSION_REVOKED, receiver::Receiver, setup::Setup,
        streams::push_to,
    },
    scripted_server::{Reply, Seen},
};

#[actix_web::test]
async fn a_refused_set_is_listed_shown_and_redriven() {
    let mut receiver = refusing(1).await;
    let name = "redrives";
    let setup = Setup::pushing_with(&receiver, |config| rename_provider(config, name)).await;
    let daemon = &setup.daemon;
    setup.publish(&["s-1"]).await;
    let refused = receiver.next().await;
    setup.settled().await;
    let jti = refused.jti();

    let letters = setup.dead_letters().await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((&letter["jti"], &letter["stream_id"]), (&json!(jti), &json!(setup.stream)));
    assert_eq!(
        (&letter["provider"], &letter["event_type"]),
        (&json!(name), &json!(SESSION_REVOKED))
    );
    assert_eq!((&letter["reason"], &letter["attempts"]), (&json!("invalid_audience"), &json!(1)));
    assert_eq!(letter["detail"], "invalid_audience: who?");
    assert!(letter.get("claims").is_none(), "a list does not show subjects");
    let text = daemon.ssfd_says(&["dead", "list", "--stream", &setup.stream]).await;
    assert!(text.starts_with("JTI  ") && text.contains(&jti), "{text}");
    assert!(text.contains("caep:session-revoked"), "{text}");

    let shown = daemon.ssfd_json(&["dead", "show", &jti]).await;
    assert_eq!(shown["claims"], refused.claims());
    let text = daemon.ssfd_says(&["dead", "show", &jti]).await;
    assert!(text.contains("detail       invalid_audience: who?\n"), "{text}");

    let gauge = format!(r#"ssfd_dead_letters{{provider="{name}",reason="invalid_audience"}}"#);
    assert_eq!(daemon.metric(&gauge).await.to_string(), "1");
    let redrive = ["dead", "redrive", "--stream", &setup.stream, "--reason", "invalid_audience"];
    let counted = daemon.ssfd_says(&[&redrive[..], &["--dry-run"]].concat()).await;
    assert_eq!(counted, "1 would be redriven\n");
    assert_eq!(setup.dead_letters().await.len(), 1);
    assert!(receiver.rest().is_empty());

    assert_eq!(daemon.ssfd_says(&redrive).await, "1 redriven\n");
    let again = receiver.next().await;
    assert_eq!(again.claims(), refused.claims());
    setup.settled().await;
    assert!(setup.dead_letters().await.is_empty());
    assert_eq!(daemon.metric(&gauge).await.to_string(), "0");
    let redriven = format!(r#"ssfd_sets_redriven_total{{provider="{name}"}}"#);
    assert_eq!(daemon.metric(&redriven).await.to_string(), "1");
    assert_eq!(daemon.ssfd_says(&redrive).await, "0 redriven\n");
}

/// The age of a redriven SET counts from the redrive. Otherwise the next failure would end it.
#[actix_web::test]
async fn a_redriven_set_has_the_whole_time_to_give_up_again() {
    let works = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&works);
    let script = move |works: bool| Reply::status(if works { 202 } else { 503 });
    let mut receiver = Receiver::start(move |_, _| script(answers.load(Ordering::SeqCst))).await;
    let mut setup = Setup::pushing_with(&receiver, |config| {
        config.delivery.retry.give_up_after = Duration::from_millis(100);
    })
    .await;
    setup.publish(&["s-1"]).await;
    let first = receiver.next().await;
    setup.settled().await;
    let letters = setup.dead_letters().await;
    assert_eq!((&letters[0]["reason"], letters.len()), (&json!("expired"), 1));
    assert!(letters[0]["attempts"].as_u64() > Some(1), "{letters:?}");
    assert_eq!(letters[0]["detail"], "unavailable: status 503");

    // After the redrive the SET fails at least once more, which must not end it.
    setup.daemon.config().delivery.retry.give_up_after = Duration::from_hours(72);
    setup.daemon.restart().await;
    receiver.rest();
    assert_eq!(setup.daemon.ssfd_says(&["dead", "redrive", "--all"]).await, "1 redriven\n");
    assert_eq!(receiver.next().await.claims(), first.claims());
    works.store(true, Ordering::SeqCst);
    setup.settled().await;
    assert!(setup.dead_letters().await.is_empty());
}

#[actix_web::test]
async fn redriven_sets_of_one_subject_keep_their_order() {
    let mut receiver = refusing(6).await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.publish(&["s-1", "s-2", "s-1", "s-2", "s-1", "s-1"]).await;
    let mut refused = receiver.next_few(6).await;
    setup.settled().await;

    let redriven = setup.daemon.ssfd_says(&["dead", "redrive", "--all"]).await;
    assert_eq!(redriven, "6 redriven\n");

    let mut again = receiver.next_few(6).await;
    for sets in [&mut refused, &mut again] {
        sets.retain(|set| set.subject() == "s-1");
    }
    let jtis = |sets: &[Seen]| sets.iter().map(Seen::jti).collect::<Vec<_>>();
    assert_eq!(jtis(&refused), jtis(&again));
}

/// A Receiver refuses a polled SET by `setErrs` (RFC 8936 §2.2).
#[actix_web::test]
async fn a_set_that_was_refused_by_poll_can_be_polled_again() {
    let setup = Setup::polling().await;
    setup.publish(&["s-1"]).await;
    let polled = setup.poll(json!({"returnImmediately": true})).await.expect(200).json();
    let jti = polled["sets"].as_object().expect("SETs").keys().next().expect("one").clone();
    let refusal = json!({&jti: {"err": "invalid_audience", "description": "not for us"}});
    setup.poll(json!({"returnImmediately": true, "setErrs": refusal})).await.expect(200);

    let letters = setup.dead_letters().await;
    assert_eq!(letters[0]["detail"], "invalid_audience: not for us");
    let redriven = setup.daemon.ssfd_says(&["dead", "redrive", "--jti", &jti]).await;
    assert_eq!(redriven, "1 redriven\n");
    let again = setup.take_by_poll().await;
    assert_eq!(again.keys().collect::<Vec<_>>(), [&jti]);
    assert!(setup.dead_letters().await.is_empty());
}

#[actix_web::test]
async fn a_purge_removes_only_the_dead_letters_of_its_filter() {
    let receiver = refusing(usize::MAX).await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.publish(&["s-1", "s-1", "s-2"]).await;
    setup.settled().await;
    let subject = json!({"format": "opaque", "id": "s-1"}).to_string();
    let purge = ["dead", "purge", "--subject", &subject, "--type", "caep:session-revoked"];

    let counted = setup.daemon.ssfd_json(&[&purge[..], &["--dry-run"]].concat()).await;
    assert_eq!(counted, json!({"dry_run": true, "sets": 2, "left": 0}));
    assert_eq!(setup.dead_letters().await.len(), 3);
    assert_eq!(setup.daemon.ssfd_says(&purge).await, "2 purged\n");
    assert_eq!(setup.dead_letters().await.len(), 1);
    // A mistyped filter must not select all dead letters, so `--all` is required to select them.
    let refused = setup.daemon.ssfd_fails(&["dead", "purge"]).await;
    assert!(refused.contains("`all` must be true"), "{refused}");
    assert_eq!(setup.daemon.ssfd_says(&["dead", "purge", "--since", "1h"]).await, "1 purged\n");
    assert_eq!(setup.daemon.ssfd_says(&["dead", "purge", "--all"]).await, "0 purged\n");
    let misspelt = setup.daemon.ssfd_fails(&["dead", "list", "--stream", "st_x"]).await;
    assert!(misspelt.contains("no such stream"), "{misspelt}");
}

/// A disabled stream gets nothing, not even at an operator's request (SSF §8.1.2.1).
#[actix_web::test]
async fn dead_letters_of_a_disabled_stream_stay_until_it_is_enabled() {
    let mut receiver = refusing(2).await;
    let setup = Setup::pushing_to(&receiver).await;
    let other = setup.daemon.create_stream(&setup.token, push_to(&receiver.url("/other"))).await;
    setup.publish(&["s-1"]).await;
    receiver.next_few(2).await;
    setup.settled().await;

    setup.change_status("disabled").await;
    for (dry_run, said) in [(true, "1 would be redriven, 1 left"), (false, "1 redriven, 1 left")] {
        let flag: &[&str] = if dry_run { &["--dry-run"] } else { &[] };
        let text = setup.daemon.ssfd_says(&[&["dead", "redrive", "--all"], flag].concat()).await;
        assert!(text.starts_with(said), "{text}");
    }
    assert_eq!(receiver.next().await.target, "/other");
    setup.settled().await;
    setup.change_status("enabled").await;
    assert_eq!(setup.daemon.ssfd_says(&["dead", "redrive", "--all"]).await, "1 redriven\n");
    assert_eq!(receiver.next().await.target, "/in");
    setup.settled().await;
    assert_eq!(
        setup.daemon.ssfd_says(&["dead", "redrive", "--stream", &other]).await,
        "0 redriven\n"
    );
}
