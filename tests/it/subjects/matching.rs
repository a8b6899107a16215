//! Which events a stream gets, by the subjects that are on it.

use serde_json::{Value, json};
use ssfd::{
    config::ProviderSettings,
    domain::{
        grant::{Holder, Scope},
        subject::list::DefaultSubjects,
    },
};

use super::{complex, none_by_default, opaque, with_provider};
use crate::harness::{daemon::provider, receiver::claims, scene::Scene, streams::by_poll};

/// SID-07, SSF §8.1.3.1
#[actix_web::test]
async fn a_simple_subject_reaches_a_stream_with_the_identical_one() {
    let scene = Scene::polling_with(none_by_default).await;
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let added = r#"{"format": "iss_sub", "iss": "https://idp.example", "sub": "u-1"}"#;
    let turned = r#"{"sub": "u-1", "iss": "https://idp.example", "format": "iss_sub"}"#;
    scene.add(&parse(added)).await;
    assert!(scene.reaches(&parse(turned)).await);
    assert!(!scene.reaches(&parse(&added.replace("u-1", "U-1"))).await);
    assert!(!scene.reaches(&opaque("u-1")).await);
    // SID-11
    let within = json!({"format": "complex", "user": parse(added)});
    assert!(!scene.reaches(&within).await);
}

/// SID-08, SID-09, SSF §8.1.3.1
#[actix_web::test]
async fn a_complex_subject_reaches_a_stream_unless_a_common_member_differs() {
    let check = async |added: &[(&str, &str)], event: &[(&str, &str)], expected: bool| {
        let scene = Scene::polling_with(none_by_default).await;
        scene.add(&complex(added)).await;
        assert_eq!(scene.reaches(&complex(event)).await, expected, "{added:?} {event:?}");
        // SID-11
        assert!(!scene.reaches(&opaque(added[0].1)).await);
    };
    let (tenant, user, group) = (("tenant", "t"), ("user", "u"), ("group", "g"));
    check(&[tenant], &[tenant, user], true).await;
    check(&[user, ("device", "d")], &[user], true).await;
    check(&[user, group], &[user, ("group", "h")], false).await;
    check(&[tenant, user, group], &[tenant, user, ("session", "s")], true).await;
    check(&[tenant, user, group], &[tenant, ("user", "v"), ("session", "s")], false).await;
    // Nothing in common, so by the letter nothing differs.
    check(&[user], &[("device", "d")], true).await;
}

/// SID-10, SSF §8.1.4.1
#[actix_web::test]
async fn a_stream_always_has_its_own_subject() {
    for scene in [Scene::polling().await, Scene::polling_with(none_by_default).await] {
        let own = opaque(&scene.stream);
        scene.remove(&own).await;
        assert!(scene.reaches(&own).await);
        scene.daemon.verify_stream(&scene.token, &scene.stream, "n-4411").await.expect(204);
        let answer = scene.poll(json!({})).await.expect(200).json();
        let sets = answer["sets"].as_object().expect("an object of SETs").values();
        let subjects: Vec<_> =
            sets.map(|jws| claims(jws.as_str().expect("a JWS"))["sub_id"].clone()).collect();
        assert_eq!(subjects, [own.clone(), own]);
    }
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
