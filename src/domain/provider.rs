//! A provider: one issuer with its own keys, metadata, limits and streams.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    event_type::EventType,
    id::ProviderName,
    issuer::Issuer,
    subject::{InvalidSubject, SubjectId, format::SubjectFormat, list::DefaultSubjects},
};

/// What a provider promises and allows.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Provider {
    pub name: ProviderName,
    pub issuer: Issuer,
    /// What its streams may ask for (SSF §8.1.1 `events_supported`).
    pub events_supported: Vec<EventType>,
    /// Whether upstream may publish, and streams ask for, types that neither CAEP nor RISC define
    /// and that `events_supported` does not list.
    pub custom_event_types: bool,
    /// What becomes of an event that is not what its type's definition says.
    pub event_checks: EventChecks,
    /// Whether events keep to the CAEP interoperability profile as well.
    pub interop: bool,
    /// Whether a push endpoint may be plain http, for tests (RFC 8935 §2.1 asks for TLS).
    pub insecure_endpoints: bool,
    /// Whether push and poll may be asked for by their names of 2018 (RISC draft §5.2.1). They are
    /// neither advertised nor shown.
    pub legacy_delivery_methods: bool,
    /// The least time between two verification requests for one stream (SSF §8.1.1).
    pub min_verification_interval: Duration,
    /// The most streams that one Receiver may have (SSF §8.1.1.1: 409 beyond).
    pub streams_per_receiver_max: usize,
    /// How long a stream may go without a request of its Receiver before it is paused, in whole
    /// seconds (SSF §8.1.1); `None` is for ever.
    pub inactivity_timeout: Option<Duration>,
    /// What its new streams get (SSF §7.1). A stream keeps what it began with.
    pub default_subjects: DefaultSubjects,
    /// Which identifier the SETs of its new streams carry. A stream keeps what it began with, until
    /// an operator changes it.
    pub subject_format: SubjectFormat,
    /// How long after its removal a subject is still on a stream (SSF §9.3).
    pub subject_removal_grace: Duration,
    /// The most subjects on one stream's list (SSF §8.1.3.2: 403 beyond).
    pub subjects_per_stream_max: usize,
    /// The most subjects that may be added to or removed from one stream in a second (SSF §8.1.3.2:
    /// 429 beyond).
    pub subject_changes_per_second_max: u32,
    /// Whether its events are recorded, so that it can be told what became of each.
    pub event_ledger: bool,
}

/// How a provider takes what [`super::lint`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventChecks {
    /// An event that breaks a MUST is rejected.
    Strict,
    /// Every event is delivered, and what was found is counted and logged.
    Lint,
    /// Nothing is looked for.
    Off,
}

/// The longest `description` that is kept; a longer one is truncated, as SSF §8.1.1 allows.
pub const DESCRIPTION_CHARS_MAX: usize = 255;

impl Provider {
    /// Whether upstream may publish an event of this type, were it not a known one.
    pub fn takes(&self, event_type: &EventType) -> bool {
        self.custom_event_types || self.events_supported.contains(event_type)
    }

    /// Passes a subject whose formats it knows: those that are neither registered nor SSF's own are
    /// known where the event types are taken that they were made for (SSF §3.4).
    pub fn admit_subject(&self, subject: SubjectId) -> Result<SubjectId, InvalidSubject> {
        let Some((prefix, format)) = subject.made_for() else { return Ok(subject) };
        if EventType::of_family(prefix).any(|event_type| self.takes(&event_type)) {
            return Ok(subject);
        }
        let rule =
            format!("`{format}` is for events of `{prefix}`, of which this provider lists none");
        Err(InvalidSubject::of_format(rule))
    }

    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self {
            name: "acme".parse().expect("a valid name"),
            issuer: Issuer::try_from("https://tx.example/t/acme".to_owned()).expect("a valid URL"),
            events_supported: EventType::offered_by_default(),
            custom_event_types: false,
            event_checks: EventChecks::Strict,
            interop: false,
            insecure_endpoints: false,
            legacy_delivery_methods: false,
            min_verification_interval: Duration::from_secs(30),
            streams_per_receiver_max: 100,
            inactivity_timeout: None,
            default_subjects: DefaultSubjects::All,
            subject_format: SubjectFormat::AsPublished,
            subject_removal_grace: Duration::ZERO,
            subjects_per_stream_max: 100_000,
            subject_changes_per_second_max: 1000,
            event_ledger: true,
        }
    }
}
