//! The subject format of a stream.

use serde_json::{Value, json};
use ssfd::{
    config::Config,
    domain::{
        grant::{Holder, Scope},
        subject::format::SubjectFormat,
    },
};

use crate::harness::{
    daemon::{Daemon, provider, with_provider},
    events::{about, about_with},
    receiver::claims,
    setup::Setup,
    streams::by_poll,
    subjects::opaque,
};

fn in_form(format: SubjectFormat) -> impl FnOnce(&mut Config) {
    with_provider(move |provider| provider.subject_format = format)
}

fn email() -> Value {
    json!({"format": "email", "email": "kim@example.com"})
}

fn iss_sub() -> Value {
    json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "u-17"})
}

impl Setup {
    /// Returns the identifiers in the unsettled SETs.
    async fn carried(&self) -> Vec<Value> {
        let waiting = self.waiting().await;
        let claims = |set| serde_json::from_str::<Value>(set).expect("claims are JSON");
        waiting.iter().map(|set| claims(&set.claims)["sub_id"].clone()).collect()
    }
}

/// SEC-03 (SSF §10.1)
#[actix_web::test]
async fn a_set_carries_the_one_identifier_that_its_receiver_knows() {
    let several = json!({"sub_id": iss_sub(), "subject_identifiers": [email(), opaque("u-17")]});
    let aliases = json!({"format": "aliases", "identifiers": [iss_sub(), email()]});
    for (format, simple) in [
        (SubjectFormat::AsPublished, iss_sub()),
        (SubjectFormat::IssSub, iss_sub()),
        (SubjectFormat::Email, email()),
        (SubjectFormat::Opaque, opaque("u-17")),
    ] {
        let setup = Setup::polling_with(in_form(format)).await;
        let event = about_with("", several.clone());
        setup.daemon.publish(&setup.publisher, &event).await.expect(202);
        assert_eq!(setup.carried().await, [simple], "{format:?}");
    }
    let setup = Setup::polling_with(in_form(SubjectFormat::Email)).await;
    assert!(setup.reaches(&aliases).await);
    let session = json!({"format": "complex", "user": aliases, "session": opaque("s-88")});
    assert!(setup.reaches(&session).await);
    let in_form = json!({"format": "complex", "user": email(), "session": opaque("s-88")});
    assert_eq!(setup.carried().await, [email(), in_form]);
    // The SET is sent with the identifier that it has in the outbox.
    let answer = setup.poll(json!({})).await.expect(200).json();
    let sets = answer["sets"].as_object().expect("an object of SETs").values();
    let sent = sets.map(|set| claims(set.as_str().expect("a JWS"))["sub_id"]["format"].clone());
    let mut sent: Vec<_> = sent.collect();
    sent.sort_by_key(Value::to_string);
    assert_eq!(sent, ["complex", "email"]);
}

/// An event that does not go to a stream is counted with its reason.
#[actix_web::test]
async fn an_event_without_an_identifier_in_the_format_is_counted_and_not_sent() {
    const NAME: &str = "formatting";
    let mut config = provider("https://tx.example/formatting");
    config.subject_format = SubjectFormat::PhoneNumber;
    let daemon = Daemon::with(|all| {
        all.providers.clear();
        all.providers.insert(NAME.parse().expect("a name"), config);
    })
    .await;
    let token = daemon.receiver_token_at(NAME, "rx", &[Scope::Manage]).await;
    for _ in 0..2 {
        daemon.create_stream_at(NAME, &token, by_poll()).await;
    }
    let publisher =
        daemon.token(Holder::Publisher { provider: NAME.parse().expect("a name") }).await;
    let complex = json!({"format": "complex", "user": email()});
    let events: Vec<_> = [email(), iss_sub(), complex]
        .into_iter()
        .map(|subject| about_with("", json!({"sub_id": subject})))
        .collect();
    let answer = daemon.publish(&publisher, &json!(events)).await.expect(202).json();
    assert_eq!(answer["accepted"], 3);
    assert_eq!(daemon.backlog().await, 0);
    let series = format!(r#"ssfd_events_suppressed_total{{provider="{NAME}",reason="format"}}"#);
    assert!((daemon.metric(&series).await - 6.0).abs() < f64::EPSILON);
}

/// RISC-02 (RISC §2.5): the event says that this very identifier has changed.
#[actix_web::test]
async fn an_identifier_that_changed_is_not_replaced() {
    let changed = "https://schemas.openid.net/secevent/risc/event-type/identifier-changed";
    let phone = json!({"format": "phone_number", "phone_number": "+12065550100"});
    let event = json!({"type": changed, "sub_id": email(),
        "subject_identifiers": [phone, iss_sub()], "event": {"new-value": "kim.new@example.com"}});
    for format in SubjectFormat::ALL {
        let setup = Setup::polling_with(in_form(format)).await;
        setup.update(json!({"events_requested": [changed]})).await;
        setup.daemon.publish(&setup.publisher, &event).await.expect(202);
        let kept = matches!(format, SubjectFormat::AsPublished | SubjectFormat::Email);
        let expected = if kept { vec![email()] } else { vec![] };
        assert_eq!(setup.carried().await, expected, "{format:?}");
    }
}

/// A stream keeps its format until an operator changes it, even if the provider's format changes.
#[actix_web::test]
async fn a_stream_keeps_its_own_format() {
    let mut setup = Setup::polling_with(in_form(SubjectFormat::Opaque)).await;
    in_form(SubjectFormat::AsPublished)(setup.daemon.config());
    setup.daemon.restart().await;
    assert!(!setup.reaches(&email()).await && setup.reaches(&opaque("s-1")).await);

    setup.set_subject_format(SubjectFormat::Email).await;
    // Unsettled SETs keep their identifier, and new ones get the new format.
    assert!(setup.reaches(&email()).await && !setup.reaches(&opaque("s-1")).await);
    assert_eq!(setup.carried().await, [opaque("s-1"), email()]);
    setup.daemon.restart().await;
    assert!(setup.reaches(&email()).await && !setup.reaches(&opaque("s-1")).await);
}

/// SID-10: control events name the stream itself, which the Receiver knows.
#[actix_web::test]
async fn a_verification_names_the_stream_in_every_format() {
    let setup = Setup::polling_with(in_form(SubjectFormat::Email)).await;
    setup.daemon.verify_stream(&setup.token, &setup.stream, "n-1").await.expect(204);
    assert_eq!(setup.carried().await, [opaque(&setup.stream)]);
}

/// Streams with different formats get one event, each in its own format.
#[actix_web::test]
async fn one_event_goes_to_each_stream_in_its_format() {
    let mut setup = Setup::polling().await;
    let mut streams = vec![(setup.stream.clone(), Some(iss_sub()))];
    for (format, expected) in [
        (SubjectFormat::Email, Some(email())),
        (SubjectFormat::Email, Some(email())),
        (SubjectFormat::Complex, None),
    ] {
        setup.stream = setup.daemon.create_stream(&setup.token, by_poll()).await;
        setup.set_subject_format(format).await;
        streams.push((setup.stream.clone(), expected));
    }
    let mut event = about("");
    (event["sub_id"], event["subject_identifiers"]) = (iss_sub(), json!([email()]));
    let answer = setup.daemon.publish(&setup.publisher, &event).await.expect(202).json();
    assert_eq!(answer["events"][0]["streams"], 3);
    for (stream, expected) in streams {
        let body = json!({"returnImmediately": true});
        let answer = setup.daemon.poll(&setup.token, &stream, &body).await.expect(200).json();
        let sets = answer["sets"].as_object().expect("an object of SETs").values();
        let sent = sets.map(|set| claims(set.as_str().expect("a JWS"))["sub_id"].clone());
        assert_eq!(sent.collect::<Vec<_>>(), Vec::from_iter(expected));
    }
}
