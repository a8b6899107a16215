//! Which events a stream gets, by the subjects that are on it.

use std::time::Duration;

use serde_json::json;
use ssfd::{
    config::ProviderSettings,
    domain::{
        grant::{Holder, Scope},
        subject::list::DefaultSubjects,
    },
};

use super::{complex, none_by_default, opaque, with_provider};
use crate::harness::{daemon::provider, eventually, scene::Scene, streams::by_poll};

/// SUBJ-05, SSF §7.1
#[actix_web::test]
async fn a_stream_without_subjects_by_default_gets_those_that_were_added() {
    let scene = Scene::polling_with(none_by_default).await;
    let kim = json!({"format": "email", "email": "kim@example.com"});
    assert!(!scene.reaches(&kim).await);
    scene.add(&kim).await;
    assert!(scene.reaches(&kim).await);
    assert!(!scene.reaches(&opaque("s-88")).await);
    scene.remove(&kim).await;
    assert!(!scene.reaches(&kim).await);
}

/// SUBJ-05, SSF §7.1
#[actix_web::test]
async fn a_stream_with_all_subjects_by_default_gets_none_that_was_removed() {
    let scene = Scene::polling().await;
    let kim = json!({"format": "email", "email": "kim@example.com"});
    // Adding what is there anyway changes nothing.
    scene.add(&kim).await;
    assert!(scene.reaches(&kim).await);
    scene.remove(&kim).await;
    assert!(!scene.reaches(&kim).await);
    assert!(scene.reaches(&opaque("s-88")).await);
    scene.add(&kim).await;
    assert!(scene.reaches(&kim).await);

    // What is taken off is the identical subject, and no other that would match it.
    scene.remove(&complex(&[("tenant", "t")])).await;
    assert!(!scene.reaches(&complex(&[("tenant", "t")])).await);
    assert!(scene.reaches(&complex(&[("tenant", "t"), ("user", "u")])).await);
}

/// SUBJ-05: one Receiver's list is its own stream's alone.
#[actix_web::test]
async fn a_list_of_subjects_is_of_one_stream() {
    let scene = Scene::polling_with(none_by_default).await;
    let other = scene.daemon.receiver_token("other", &[Scope::Manage]).await;
    scene.daemon.create_stream(&other, by_poll()).await;
    scene.add(&opaque("s-88")).await;
    // `reaches` fails if more than one stream gets it.
    assert!(scene.reaches(&opaque("s-88")).await);
}

/// META-09: `default_subjects` is of new streams; a stream keeps what it began with, and its list
/// with it.
#[actix_web::test]
async fn a_stream_keeps_its_default_and_its_list_over_a_restart() {
    let mut scene = Scene::polling_with(none_by_default).await;
    scene.add(&opaque("added")).await;
    let default = |provider: &mut ProviderSettings| {
        provider.default_subjects = DefaultSubjects::All;
    };
    with_provider(default)(scene.daemon.config());
    scene.daemon.restart().await;
    assert!(scene.reaches(&opaque("added")).await);
    assert!(!scene.reaches(&opaque("s-88")).await);

    let mut scene = Scene::polling().await;
    scene.remove(&opaque("removed")).await;
    scene.daemon.restart().await;
    assert!(!scene.reaches(&opaque("removed")).await);
    assert!(scene.reaches(&opaque("s-88")).await);
}

/// SUBJ-08, SSF §9.3
#[actix_web::test]
async fn a_removed_subject_stays_for_as_long_as_the_grace() {
    for default in [DefaultSubjects::All, DefaultSubjects::None] {
        let with_grace = |millis: u64| {
            with_provider(move |provider| {
                provider.default_subjects = default;
                provider.subject_removal_grace = Duration::from_millis(millis);
            })
        };
        let long = Scene::polling_with(with_grace(3_600_000)).await;
        long.add(&opaque("s-88")).await;
        long.remove(&opaque("s-88")).await;
        assert!(long.reaches(&opaque("s-88")).await);

        let short = Scene::polling_with(with_grace(20)).await;
        short.add(&opaque("s-88")).await;
        short.remove(&opaque("s-88")).await;
        eventually("the grace ends", async || !short.reaches(&opaque("s-88")).await).await;
    }
}

/// What does not go to a stream has a counted reason.
#[actix_web::test]
async fn what_a_subject_keeps_from_a_stream_is_counted() {
    // The recorder is shared by all tests of the process; the provider is of this one alone.
    const NAME: &str = "suppressing";
    let scene = Scene::polling_with(|config| {
        let mut suppressing = provider("https://tx.example/suppressing");
        suppressing.default_subjects = DefaultSubjects::None;
        config.providers.insert(NAME.parse().expect("a name"), suppressing);
    })
    .await;
    let token = scene.daemon.receiver_token_at(NAME, "rx", &[Scope::Manage]).await;
    for _ in 0..2 {
        scene.daemon.create_stream_at(NAME, &token, by_poll()).await;
    }
    let provider = NAME.parse().expect("a name");
    let holder = Holder::Publisher { provider };
    let upstream = scene.daemon.token(holder).await;
    scene.daemon.publish_about(&upstream, &["s-1", "s-2", "s-3"]).await;
    let series = format!(r#"ssfd_events_suppressed_total{{provider="{NAME}",reason="subject"}}"#);
    assert!((scene.daemon.metric(&series).await - 6.0).abs() < f64::EPSILON);
}
