//! The events that a stream gets because of its list of subjects.

use ssfd::{
    config::ProviderSettings,
    domain::{
        grant::{Holder, Scope},
        subject::list::DefaultSubjects,
    },
};

use super::{none_by_default, opaque, with_provider};
use crate::harness::{daemon::provider, setup::Setup, streams::by_poll};

/// SUBJ-05: a list belongs to one stream of one Receiver.
#[actix_web::test]
async fn a_list_of_subjects_belongs_to_one_stream() {
    let setup = Setup::polling_with(none_by_default).await;
    let other = setup.daemon.receiver_token("other", &[Scope::Manage]).await;
    setup.daemon.create_stream(&other, by_poll()).await;
    setup.add(&opaque("s-88")).await;
    // `reaches` fails if more than one stream gets the event.
    assert!(setup.reaches(&opaque("s-88")).await);
}

/// META-09: `default_subjects` applies to new streams. A stream keeps its default and its list.
#[actix_web::test]
async fn a_stream_keeps_its_default_and_its_list_over_a_restart() {
    let mut setup = Setup::polling_with(none_by_default).await;
    setup.add(&opaque("added")).await;
    let default = |provider: &mut ProviderSettings| {
        provider.default_subjects = DefaultSubjects::All;
    };
    with_provider(default)(setup.daemon.config());
    setup.daemon.restart().await;
    assert!(setup.reaches(&opaque("added")).await);
    assert!(!setup.reaches(&opaque("s-88")).await);

    let mut setup = Setup::polling().await;
    setup.remove(&opaque("removed")).await;
    setup.daemon.restart().await;
    assert!(!setup.reaches(&opaque("removed")).await);
    assert!(setup.reaches(&opaque("s-88")).await);
}

/// An event that does not go to a stream is counted with its reason.
#[actix_web::test]
async fn an_event_suppressed_because_of_its_subject_is_counted() {
    // All tests of the process share the recorder, so this provider is used by this test only.
    const NAME: &str = "suppressing";
    let setup = Setup::polling_with(|config| {
        let mut suppressing = provider("https://tx.example/suppressing");
        suppressing.default_subjects = DefaultSubjects::None;
        config.providers.insert(NAME.parse().expect("a name"), suppressing);
    })
    .await;
    let token = setup.daemon.receiver_token_at(NAME, "rx", &[Scope::Manage]).await;
    for _ in 0..2 {
        setup.daemon.create_stream_at(NAME, &token, by_poll()).await;
    }
    let provider = NAME.parse().expect("a name");
    let holder = Holder::Publisher { provider };
    let publisher = setup.daemon.token(holder).await;
    setup.daemon.publish_about(&publisher, &["s-1", "s-2", "s-3"]).await;
    let series = format!(r#"ssfd_events_suppressed_total{{provider="{NAME}",reason="subject"}}"#);
    assert!((setup.daemon.metric(&series).await - 6.0).abs() < f64::EPSILON);
}
