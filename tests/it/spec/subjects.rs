//! The subjects of a stream (SSF §8.1.3).

use std::time::Duration;

use serde_json::{Value, json};
use ssfd::domain::subject::list::DefaultSubjects;

use crate::harness::{
    daemon::with_provider,
    eventually,
    receiver_client::{UNKNOWN, assert_refused},
    setup::Setup,
    streams::by_poll,
    subjects::{complex, none_by_default, opaque},
};

#[actix_web::test]
async fn subj_01_an_addition_is_answered_200_and_a_removal_204_without_a_body() {
    for setup in [Setup::polling().await, Setup::polling_with(none_by_default).await] {
        for subject in [opaque("s-88"), complex(&[("user", "u"), ("device", "d")])] {
            for answer in [setup.add(&subject).await, setup.remove(&subject).await] {
                assert!(answer.body.is_empty());
                assert_eq!(answer.headers["cache-control"], "no-store");
            }
        }
    }
}

#[actix_web::test]
async fn subj_02_verified_is_a_boolean_or_absent() {
    let setup = Setup::polling_with(none_by_default).await;
    setup.add(&opaque("verified-absent")).await;
    assert!(setup.reaches(&opaque("verified-absent")).await);
    let body = |id: &str, verified: Value| json!({"stream_id": setup.stream, "subject": opaque(id), "verified": verified});
    for verified in [true, false] {
        let id = format!("verified-{verified}");
        setup.subject_request("add", &body(&id, json!(verified))).await.expect(200);
        assert!(setup.reaches(&opaque(&id)).await);
    }
    for verified in [json!("true"), json!(1)] {
        let answer = setup.subject_request("add", &body("s-88", verified)).await.expect(400);
        assert!(answer.text().contains("`verified` must be true or false"), "{}", answer.text());
    }
    assert!(!setup.reaches(&opaque("s-88")).await);
}

/// A refusal names the member and the rule.
#[actix_web::test]
async fn subj_03_a_malformed_subject_is_refused_and_an_unknown_stream_not_found() {
    let setup = Setup::polling().await;
    let refused = [
        (json!(null), "`subject` is required"),
        (json!("kim@example.com"), "`subject` must be an object"),
        (json!({"email": "kim@example.com"}), "`format` is required"),
        (json!({"subject_type": "email", "email": "kim@example.com"}), "`format` is required"),
        (json!({"format": "phone", "phone_number": "+12065550100"}), "is `phone_number`"),
        (json!({"format": "oauth_client", "client_id": "c-1"}), "is for events of `oauth:`"),
        (json!({"format": "email"}), "`email` is required"),
        (json!({"format": "complex"}), "`complex` must have"),
        (json!({"format": "complex", "user": complex(&[("user", "u")])}), "must not be a complex"),
    ];
    for operation in ["add", "remove"] {
        for (subject, rule) in &refused {
            let body = json!({"stream_id": setup.stream, "subject": subject});
            let answer = setup.subject_request(operation, &body).await.expect(400);
            assert!(answer.text().contains(rule), "{}", answer.text());
        }
        let without_subject = json!({"stream_id": setup.stream});
        let answer = setup.subject_request(operation, &without_subject).await.expect(400);
        assert!(answer.text().contains("`subject` is required"), "{}", answer.text());
        let without_stream = json!({"subject": opaque("s-88")});
        let answer = setup.subject_request(operation, &without_stream).await.expect(400);
        assert!(answer.text().contains("`stream_id` is required"), "{}", answer.text());
        let unknown = json!({"stream_id": UNKNOWN, "subject": opaque("s-88")});
        assert_refused(&setup.subject_request(operation, &unknown).await, 404, "no such stream");
    }
}

/// A Receiver cannot find out which subjects exist (SSF §9.1). Events were published about one of
/// these subjects and never about the other. The daemon does not look up whether a subject is
/// known.
#[actix_web::test]
async fn subj_04_an_unknown_subject_is_answered_like_any_other() {
    for setup in [Setup::polling().await, Setup::polling_with(none_by_default).await] {
        setup.publish(&["known"]).await;
        let (known, unknown) = (opaque("known"), opaque("unknown"));
        assert_eq!(setup.add(&known).await.comparable(), setup.add(&unknown).await.comparable());
        assert_eq!(
            setup.remove(&known).await.comparable(),
            setup.remove(&unknown).await.comparable()
        );
    }
}

/// Removing a subject from an `ALL` stream removes the identical subject only, and no other subject
/// that would match it.
#[actix_web::test]
async fn subj_05_none_streams_get_added_subjects_and_all_streams_those_not_removed() {
    let kim = json!({"format": "email", "email": "kim@example.com"});
    let none = Setup::polling_with(none_by_default).await;
    assert!(!none.reaches(&kim).await);
    none.add(&kim).await;
    assert!(none.reaches(&kim).await);
    assert!(!none.reaches(&opaque("s-88")).await);
    none.remove(&kim).await;
    assert!(!none.reaches(&kim).await);

    let all = Setup::polling().await;
    // Adding a subject that the stream has already changes nothing.
    all.add(&kim).await;
    assert!(all.reaches(&kim).await);
    all.remove(&kim).await;
    assert!(!all.reaches(&kim).await);
    assert!(all.reaches(&opaque("s-88")).await);
    all.add(&kim).await;
    assert!(all.reaches(&kim).await);
    all.remove(&complex(&[("tenant", "t")])).await;
    assert!(!all.reaches(&complex(&[("tenant", "t")])).await);
    assert!(all.reaches(&complex(&[("tenant", "t"), ("user", "u")])).await);
}

#[actix_web::test]
async fn subj_06_too_many_requests_are_answered_429_and_only_for_that_stream() {
    let slow = with_provider(|provider| provider.subject_changes_per_second_max = 1);
    let setup = Setup::polling_with(slow).await;
    let other = setup.daemon.create_stream(&setup.token, by_poll()).await;
    for operation in ["add", "remove"] {
        let body = |stream: &str| json!({"stream_id": stream, "subject": opaque("s-88")});
        eventually("two requests arrive within one second", async || {
            let answer = setup.subject_request(operation, &body(&setup.stream)).await;
            let flooded = answer.status == 429;
            assert_eq!(flooded, answer.headers.contains_key("retry-after"));
            flooded
        })
        .await;
        eventually("the other stream is served", async || {
            setup.subject_request(operation, &body(&other)).await.status.is_success()
        })
        .await;
    }
}

#[actix_web::test]
async fn subj_07_a_repeated_request_is_answered_like_the_first() {
    let setup = Setup::polling_with(none_by_default).await;
    let subject = opaque("s-88");
    setup.remove(&subject).await;
    for _ in 0..2 {
        setup.add(&subject).await;
    }
    assert!(setup.reaches(&subject).await);
    for _ in 0..2 {
        setup.remove(&subject).await;
    }
    assert!(!setup.reaches(&subject).await);
}

/// SSF §9.3.
#[actix_web::test]
async fn subj_08_a_removed_subject_still_gets_events_during_the_grace() {
    for default in [DefaultSubjects::All, DefaultSubjects::None] {
        let with_grace = |millis: u64| {
            with_provider(move |provider| {
                provider.default_subjects = default;
                provider.subject_removal_grace = Duration::from_millis(millis);
            })
        };
        let long = Setup::polling_with(with_grace(3_600_000)).await;
        long.add(&opaque("s-88")).await;
        long.remove(&opaque("s-88")).await;
        assert!(long.reaches(&opaque("s-88")).await);

        let short = Setup::polling_with(with_grace(20)).await;
        short.add(&opaque("s-88")).await;
        short.remove(&opaque("s-88")).await;
        eventually("the grace ends", async || !short.reaches(&opaque("s-88")).await).await;
    }
}
