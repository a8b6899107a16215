//! The workloads whose instructions are counted.

use std::hint::black_box;

use serde_json::{Value, json};
use ssfd::{
    config::Config,
    directory::Directory,
    domain::{
        audience::Audience,
        event::Event,
        judgement::Judgement,
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

/// The number of times that each workload is repeated.
const TIMES: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Reads an event as generic JSON and writes it again.
    PlainJson,
    /// Finds the one of 10 streams that an event is for.
    MatchingFew,
    /// Finds the one of 1,000 streams that an event is for.
    MatchingMany,
    /// Parses an event as it is published.
    Reading,
    /// Writes the claims of a SET.
    Writing,
    /// Signs the claims as a SET.
    Signing,
    /// Signs the same bytes without building a JWS.
    Signature,
}

/// Repeats the work. Callgrind counts only the instructions within this function.
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

/// Matches an event against streams of which one gets it. Half of the others request its type but
/// have no subjects; the other half request no type.
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
        let judgement = Judgement::new(provider, black_box(&event), &listed);
        let found = directory.candidates(&provider.name, &judgement).streams;
        assert_eq!(found.len(), 1);
        assert!(judgement.of_candidate(black_box(&found[0])).is_ok());
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

/// Calls `then` with the claims of the SET for the event.
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

/// Returns an Ed25519 key, because its signatures take the same time for all inputs of one length.
fn key() -> SigningKey {
    let pem = std::fs::read(test_key("test-ed25519-pkcs8.pem")).expect("a file");
    SigningKey::from_pem(&pem).expect("a usable key")
}
