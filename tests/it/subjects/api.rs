//! The two endpoints that add and remove subjects.

use serde_json::json;
use ssfd::domain::grant::Scope;

use super::{none_by_default, opaque, with_provider};
use crate::harness::setup::Setup;

/// SUBJ-03: another Receiver's stream and a stream that does not exist get the same answer.
#[actix_web::test]
async fn the_stream_of_another_is_not_found() {
    let setup = Setup::polling().await;
    let other = setup.daemon.receiver_token("other", &[Scope::Manage]).await;
    for operation in ["add", "remove"] {
        for subject in [opaque("s-88"), json!({"format": "nonsense"})] {
            let body = |stream: &str| json!({"stream_id": stream, "subject": subject});
            let foreign = setup.subject_request_by(&other, operation, &body(&setup.stream)).await;
            let unknown = setup.subject_request_by(&other, operation, &body("st_unknown")).await;
            assert_eq!(foreign.expect(404).comparable(), unknown.expect(404).comparable());
        }
    }
    assert!(setup.reaches(&opaque("s-88")).await);
}

/// CAEP-IOP §2.7.2
#[actix_web::test]
async fn changing_subjects_needs_the_scope_to_manage() {
    let setup = Setup::polling().await;
    let reader = setup.daemon.receiver_token("rx", &[Scope::Read]).await;
    let body = json!({"stream_id": setup.stream, "subject": opaque("s-88")});
    for operation in ["add", "remove"] {
        setup.subject_request_by(&reader, operation, &body).await.expect(403);
        setup.subject_request_by("no-token-of-ours", operation, &body).await.expect(401);
    }
    assert!(setup.reaches(&opaque("s-88")).await);
}

/// SSF §8.1.3.2: the status is not 429, because waiting makes no room.
#[actix_web::test]
async fn a_full_list_is_answered_403() {
    let setup = Setup::polling_with(|config| {
        none_by_default(config);
        with_provider(|provider| provider.subjects_per_stream_max = 2)(config);
    })
    .await;
    setup.add(&opaque("a")).await;
    setup.add(&opaque("b")).await;
    let third = json!({"stream_id": setup.stream, "subject": opaque("c")});
    setup.subject_request("add", &third).await.expect(403);
    // A subject on the list stays there and may be added again.
    setup.add(&opaque("a")).await;
    assert!(setup.reaches(&opaque("a")).await && !setup.reaches(&opaque("c")).await);
    setup.remove(&opaque("a")).await;
    setup.add(&opaque("c")).await;
}
