//! The two endpoints, as a Receiver sees them.

use serde_json::json;
use ssfd::domain::grant::Scope;

use super::{none_by_default, opaque, with_provider};
use crate::harness::scene::Scene;

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
            assert_eq!(foreign.expect(404).told(), unknown.expect(404).told());
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
