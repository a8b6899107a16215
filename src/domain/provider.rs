//! A provider: one issuer with its own keys, metadata, limits and streams.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    endpoint_policy::EndpointPolicy,
    event_type::EventType,
    id::ProviderName,
    issuer::Issuer,
    subject::{InvalidSubject, SubjectId, format::SubjectFormat, list::DefaultSubjects},
    token_revoked::TokenRevoked,
};

/// The promises and limits of a provider.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Provider {
    pub name: ProviderName,
    pub issuer: Issuer,
    /// The event types that streams may ask for (SSF §8.1.1 `events_supported`).
    pub events_supported: Vec<EventType>,
    /// Allows publishers to send, and streams to ask for, types that neither CAEP nor RISC define
    /// and that `events_supported` does not list.
    pub custom_event_types: bool,
    /// The event that tells of a revoked token. `None` leaves it as it is published if the provider takes
    /// that type, because then a Receiver wants it.
    pub token_revoked: Option<TokenRevoked>,
    /// How the provider treats an event that breaks the definition of its type.
    pub event_checks: EventChecks,
    /// Also checks events against the CAEP interoperability profile.
    pub interop: bool,
    /// Allows plain http for push endpoints, for tests (RFC 8935 §2.1 asks for TLS).
    pub insecure_endpoints: bool,
    /// Decides about the push endpoints that Receivers name.
    pub endpoint_policy: EndpointPolicy,
    /// Allows requests for push and poll by their names of 2018 (RISC draft §5.2.1). These names
    /// are neither advertised nor shown.
    pub legacy_delivery_methods: bool,
    /// The shortest time between two verification requests for one stream (SSF §8.1.1).
    pub min_verification_interval: Duration,
    /// The largest number of streams of one Receiver (SSF §8.1.1.1: 409 beyond it).
    pub streams_per_receiver_max: usize,
    /// A stream is paused when its Receiver has made no request for this time, in whole seconds
    /// (SSF §8.1.1). `None` switches this off.
    pub inactivity_timeout: Option<Duration>,
    /// The default subjects of new streams (SSF §7.1). A stream keeps the value that it was created
    /// with.
    pub default_subjects: DefaultSubjects,
    /// The identifier that the SETs of new streams carry. A stream keeps the value that it was
    /// created with until an operator changes it.
    pub subject_format: SubjectFormat,
    /// How long a removed subject stays on a stream (SSF §9.3).
    pub subject_removal_grace: Duration,
    /// The largest number of subjects on the list of one stream (SSF §8.1.3.2: 403 beyond it).
    pub subjects_per_stream_max: usize,
    /// The largest number of subjects that may be added to or removed from one stream in a second
    /// (SSF §8.1.3.2: 429 beyond it).
    pub subject_changes_per_second_max: u32,
    /// Records events, so that an operator can ask what became of each one.
    pub event_ledger: bool,
}

/// How a provider treats the findings of [`super::lint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventChecks {
    /// An event that breaks a MUST is rejected.
    Strict,
    /// Every event is delivered; findings are counted and logged.
    Lint,
    /// Events are not checked.
    Off,
}

/// The longest `description` that is kept. A longer one is truncated, as SSF §8.1.1 allows.
pub const DESCRIPTION_CHARS_MAX: usize = 255;

impl Provider {
    /// Tells whether publishers may send this type even if no profile defines it.
    pub fn takes(&self, event_type: &EventType) -> bool {
        self.custom_event_types || self.events_supported.contains(event_type)
    }

    /// Tells whether the provider makes a session-revoked of events of this type.
    pub fn tells_by_session(&self, event_type: &EventType) -> bool {
        let by_session = || match self.token_revoked {
            Some(told) => told == TokenRevoked::SessionRevoked,
            None => !self.takes(event_type),
        };
        event_type.is_token_revoked() && by_session()
    }

    /// Adds the type that events of these types become, if the provider converts one of them.
    pub fn with_converted(&self, mut types: Vec<EventType>) -> Vec<EventType> {
        let converted = EventType::session_revoked();
        if types.iter().any(|one| self.tells_by_session(one)) && !types.contains(&converted) {
            types.push(converted);
        }
        types
    }

    /// Lets a subject pass if the provider knows its formats. A format that is neither registered
    /// nor defined by SSF is known if the provider takes an event type that the format was made for
    /// (SSF §3.4).
    pub fn admit_subject(&self, subject: SubjectId) -> Result<SubjectId, InvalidSubject> {
        let Some((prefix, format)) = subject.made_for() else { return Ok(subject) };
        if EventType::of_family(prefix).any(|event_type| self.takes(&event_type)) {
            return Ok(subject);
        }
        let rule =
            format!("`{format}` is for events of `{prefix}`, and this provider lists none of them");
        Err(InvalidSubject::of_format(rule))
    }

    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self {
            name: "acme".parse().expect("a valid name"),
            issuer: Issuer::try_from("https://tx.example/t/acme".to_owned()).expect("a valid URL"),
            events_supported: EventType::offered_by_default(),
            custom_event_types: false,
            token_revoked: None,
            event_checks: EventChecks::Strict,
            interop: false,
            insecure_endpoints: false,
            endpoint_policy: EndpointPolicy::default(),
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
