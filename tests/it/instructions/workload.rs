//! What is counted.

use std::hint::black_box;

use serde_json::{Value, json};
use ssfd::{
    config::Config,
    directory::Directory,
    domain::{
        audience::Audience,
        event::Event,
        provider::Provider,
        set::{EventsClaim, Origin, SetClaims},
        status::StreamStatus,
        stream::{Delivery, StreamConfig},
        subject::{
            format::SubjectFormat,
            list::{DefaultSubjects, Listed},
        },
        time::Timestamp,
    },
    signing::keys::SigningKey,
};

use crate::harness::{events::SESSION_REVOKED, test_key};

/// How often each is done.
const TIMES: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// An event is read as JSON of any kind, and written again.
    PlainJson,
    /// The streams of an event are found: one of 10.
    MatchingFew,
    /// The same: one of 1,000.
    MatchingMany,
    /// An event is read as it is published.
    Reading,
    /// The claims of a SET are written.
    Writing,
    /// Claims become a SET.
    Signing,
    /// The same bytes are signed.
    Signature,
}

/// Only what happens in here is counted.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    for _ in 0..TIMES {
        work();
    }
}

impl Workload {
    pub(crate) const ALL: [Self; 7] = [
        Self::PlainJson,
        Self::MatchingFew,
        Self::MatchingMany,
        Self::Reading,
        Self::Writing,
        Self::Signing,
        Self::Signature,
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.name() == name)
    }

    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn run(self) {
        let provider = Config::default().providers().expect("valid").remove(0);
        let json = event().to_string();
        match self {
            Self::PlainJson => counted(&mut || {
                let value: Value = serde_json::from_str(black_box(&json)).expect("JSON");
                black_box(value.to_string());
            }),
            Self::MatchingFew => match_among(10, &provider),
            Self::MatchingMany => match_among(1_000, &provider),
            Self::Reading => counted(&mut || {
                black_box(Event::parse(black_box(json.as_bytes()), &provider).expect("valid"));
            }),
            Self::Writing => write(&provider, |claims| {
                counted(&mut || {
                    black_box(black_box(claims).to_json());
                });
            }),
            Self::Signing => write(&provider, |claims| {
                let (key, claims) = (key(), claims.to_json());
                counted(&mut || {
                    black_box(key.sign_set(black_box(&claims)).expect("signed"));
                });
            }),
            Self::Signature => write(&provider, |claims| {
                let key = key();
                let set = key.sign_set(&claims.to_json()).expect("signed");
                let end = set.iter().rposition(|byte| *byte == b'.').expect("three parts");
                counted(&mut || {
                    black_box(key.sign(black_box(&set[..end])).expect("signed"));
                });
            }),
        }
    }
}

fn event() -> Value {
    json!({
        "type": SESSION_REVOKED,
        "sub_id": {"format": "complex", "user": {"format": "email", "email": "kim@example.com"},
            "session": {"format": "opaque", "id": "s-88"}},
        "event": {"event_timestamp": 1_775_000_099, "initiating_entity": "user",
            "reason_admin": {"en": "signed out"}},
        "txn": "c-991",
    })
}

/// One of them gets it. Every other one of the rest wants its type but has no subjects.
fn match_among(streams: usize, provider: &Provider) {
    let others = (1..streams).map(|n| StreamConfig {
        default_subjects: DefaultSubjects::None,
        events_requested: (n % 2 == 0).then(|| vec![SESSION_REVOKED.to_owned()]),
        ..stream(provider, n)
    });
    let all = others.chain([stream(provider, 0)]).collect();
    let directory = Directory::new(vec![provider.clone()], all);
    let event = Event::from_json(event(), provider).expect("valid");
    let listed = Listed::default();
    counted(&mut || {
        let found = directory.addressees(&provider.name, black_box(&event), &listed);
        assert_eq!(found.streams.len(), 1);
    });
}

fn stream(provider: &Provider, n: usize) -> StreamConfig {
    StreamConfig {
        id: format!("st_{n}").parse().expect("a valid id"),
        provider: provider.name.clone(),
        receiver: "rx".parse().expect("a valid id"),
        audience: Audience::one("https://rx.example").expect("not empty"),
        events_requested: Some(vec![SESSION_REVOKED.to_owned()]),
        delivery: Delivery::Poll,
        description: None,
        default_subjects: DefaultSubjects::All,
        subject_format: SubjectFormat::AsPublished,
        status: StreamStatus::Enabled,
        reason: None,
        version: 1,
        created_at: Timestamp::from_millis(1_775_000_099_000),
    }
}

/// Hands over the claims of a SET that the event became.
fn write(provider: &Provider, then: impl FnOnce(&SetClaims<'_>)) {
    let event = Event::from_json(event(), provider).expect("valid");
    let stream = stream(provider, 0);
    let place = "ssf:events:default/0/1775000099000-0";
    let origin = Origin::of_place(&provider.name, place, stream.created_at);
    then(&SetClaims {
        iss: &provider.issuer,
        iat: stream.created_at,
        jti: &origin.jti(&stream.id),
        aud: &stream.audience,
        txn: event.txn.as_deref(),
        sub_id: event.subject.id(),
        events: EventsClaim { event_type: &event.event_type, payload: &event.payload },
    });
}

/// Ed25519 takes the same for every signature of as many bytes.
fn key() -> SigningKey {
    let pem = std::fs::read(test_key("test-ed25519-pkcs8.pem")).expect("a file");
    SigningKey::from_pem(&pem).expect("a usable key")
}
