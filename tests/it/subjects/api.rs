//! The two endpoints, as a Receiver sees them.

use serde_json::{Value, json};
use ssfd::domain::grant::Scope;

use super::{complex, none_by_default, opaque, with_provider};
use crate::harness::{eventually, http_client::Answer, scene::Scene, streams::by_poll};

/// All of an answer but when it was made.
fn told(answer: Answer) -> (u16, Vec<(String, String)>, String) {
    let text = answer.text();
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| {
        (name.to_string(), value.to_str().expect("a header of text").to_owned())
    });
    (answer.status.as_u16(), headers.collect(), text)
}

/// SUBJ-01, SSF §8.1.3.2, §8.1.3.3
#[actix_web::test]
async fn an_addition_is_answered_200_and_a_removal_204_without_a_body() {
    for scene in [Scene::polling().await, Scene::polling_with(none_by_default).await] {
        for subject in [opaque("s-88"), complex(&[("user", "u"), ("device", "d")])] {
            for answer in [scene.add(&subject).await, scene.remove(&subject).await] {
                assert!(answer.body.is_empty());
                assert_eq!(answer.headers["cache-control"], "no-store");
            }
        }
    }
}

/// SUBJ-04, SSF §9.1: who there is cannot be learned. Events were published about one of these
/// subjects and never about the other.
#[actix_web::test]
async fn a_subject_that_nobody_knows_is_answered_like_any_other() {
    for scene in [Scene::polling().await, Scene::polling_with(none_by_default).await] {
        scene.publish(&["known"]).await;
        assert_eq!(
            told(scene.add(&opaque("known")).await),
            told(scene.add(&opaque("unknown")).await)
        );
        assert_eq!(
            told(scene.remove(&opaque("known")).await),
            told(scene.remove(&opaque("unknown")).await)
        );
    }
}

/// SUBJ-07
#[actix_web::test]
async fn a_request_that_is_repeated_is_answered_as_before() {
    let scene = Scene::polling_with(none_by_default).await;
    let subject = opaque("s-88");
    scene.remove(&subject).await;
    for _ in 0..2 {
        scene.add(&subject).await;
    }
    assert!(scene.reaches(&subject).await);
    for _ in 0..2 {
        scene.remove(&subject).await;
    }
    assert!(!scene.reaches(&subject).await);
}

/// SUBJ-02, SSF §8.1.3.2
#[actix_web::test]
async fn verified_is_a_boolean_or_absent() {
    let scene = Scene::polling_with(none_by_default).await;
    let body = |id: &str, verified: Value| json!({"stream_id": scene.stream, "subject": opaque(id), "verified": verified});
    for verified in [true, false] {
        let id = format!("verified-{verified}");
        scene.subject_request("add", &body(&id, json!(verified))).await.expect(200);
        assert!(scene.reaches(&opaque(&id)).await);
    }
    for verified in [json!("true"), json!(1), json!(null)] {
        let answer = scene.subject_request("add", &body("s-88", verified)).await.expect(400);
        assert!(answer.text().contains("`verified` must be true or false"), "{}", answer.text());
    }
    assert!(!scene.reaches(&opaque("s-88")).await);
}

/// SUBJ-03, SID-11, SSF §8.1.3.2, §8.1.3.3: a refusal names the member and the rule.
#[actix_web::test]
async fn a_malformed_subject_is_refused() {
    let scene = Scene::polling().await;
    let refused = [
        (json!(null), "`subject` must be an object"),
        (json!("kim@example.com"), "`subject` must be an object"),
        (json!({"email": "kim@example.com"}), "`format` is required"),
        (json!({"subject_type": "email", "email": "kim@example.com"}), "`format` is required"),
        (json!({"format": "phone", "phone_number": "+12065550100"}), "is `phone_number`"),
        (json!({"format": "email"}), "`email` is required"),
        (json!({"format": "complex"}), "`complex` must have"),
        (json!({"format": "complex", "user": complex(&[("user", "u")])}), "must not be a complex"),
    ];
    for operation in ["add", "remove"] {
        for (subject, rule) in &refused {
            let body = json!({"stream_id": scene.stream, "subject": subject});
            let answer = scene.subject_request(operation, &body).await.expect(400);
            assert!(answer.text().contains(rule), "{}", answer.text());
        }
        let without_subject = json!({"stream_id": scene.stream});
        let answer = scene.subject_request(operation, &without_subject).await.expect(400);
        assert!(answer.text().contains("`subject` is required"), "{}", answer.text());
        let without_stream = json!({"subject": opaque("s-88")});
        let answer = scene.subject_request(operation, &without_stream).await.expect(400);
        assert!(answer.text().contains("`stream_id` is required"), "{}", answer.text());
    }
}

/// SUBJ-03: another's stream is like no stream, whatever else the request says.
#[actix_web::test]
async fn the_stream_of_another_is_not_found() {
    let scene = Scene::polling().await;
    let other = scene.daemon.receiver_token("other", &[Scope::Manage]).await;
    for operation in ["add", "remove"] {
        for subject in [opaque("s-88"), json!({"format": "nonsense"})] {
            let body = |stream: &str| json!({"stream_id": stream, "subject": subject});
            let foreign = scene.subject_request_by(&other, operation, &body(&scene.stream)).await;
            let unknown = scene.subject_request_by(&other, operation, &body("st_unknown")).await;
            assert_eq!(told(foreign.expect(404)), told(unknown.expect(404)));
        }
    }
    assert!(scene.reaches(&opaque("s-88")).await);
}

/// CAEP-IOP §2.7.2
#[actix_web::test]
async fn to_change_subjects_takes_the_scope_to_manage() {
    let scene = Scene::polling().await;
    let reader = scene.daemon.receiver_token("rx", &[Scope::Read]).await;
    let body = json!({"stream_id": scene.stream, "subject": opaque("s-88")});
    for operation in ["add", "remove"] {
        scene.subject_request_by(&reader, operation, &body).await.expect(403);
        scene.subject_request_by("no-token-of-ours", operation, &body).await.expect(401);
    }
    assert!(scene.reaches(&opaque("s-88")).await);
}

/// SUBJ-06, SSF §8.1.3.2, §8.1.3.3
#[actix_web::test]
async fn a_flood_is_answered_429_and_one_stream_does_not_hold_up_another() {
    let slow = with_provider(|provider| provider.subject_changes_per_second_max = 1);
    let scene = Scene::polling_with(slow).await;
    let other = scene.daemon.create_stream(&scene.token, by_poll()).await;
    for operation in ["add", "remove"] {
        let body = |stream: &str| json!({"stream_id": stream, "subject": opaque("s-88")});
        eventually("two requests come in one second", async || {
            let answer = scene.subject_request(operation, &body(&scene.stream)).await;
            let flooded = answer.status == 429;
            assert_eq!(flooded, answer.headers.contains_key("retry-after"));
            flooded
        })
        .await;
        eventually("the other stream is served", async || {
            scene.subject_request(operation, &body(&other)).await.status.is_success()
        })
        .await;
    }
}

/// SSF §8.1.3.2: not 429, since no wait makes room.
#[actix_web::test]
async fn a_full_list_is_answered_403() {
    let scene = Scene::polling_with(|config| {
        none_by_default(config);
        with_provider(|provider| provider.subjects_per_stream_max = 2)(config);
    })
    .await;
    scene.add(&opaque("a")).await;
    scene.add(&opaque("b")).await;
    let third = json!({"stream_id": scene.stream, "subject": opaque("c")});
    scene.subject_request("add", &third).await.expect(403);
    // What is there stays there, and may be said again.
    scene.add(&opaque("a")).await;
    assert!(scene.reaches(&opaque("a")).await && !scene.reaches(&opaque("c")).await);
    scene.remove(&opaque("a")).await;
    scene.add(&opaque("c")).await;
}
