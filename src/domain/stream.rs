//! The agreement with a Receiver: where its SETs go and which events it gets (SSF §8.1.1).

use std::sync::Arc;

use url::Url;

use super::{
    audience::Audience,
    endpoint_policy::EndpointPolicy,
    endpoint_url,
    event_type::EventType,
    id::{ProviderName, ReceiverId, StreamId},
    provider::{DESCRIPTION_CHARS_MAX, Provider},
    secret::Secret,
    status::StreamStatus,
    subject::{format::SubjectFormat, list::DefaultSubjects},
    time::Timestamp,
};

/// The URN of push delivery (SSF §6.1.1).
pub const METHOD_PUSH: &str = "urn:ietf:rfc:8935";
/// The URN of poll delivery (SSF §6.1.2).
pub const METHOD_POLL: &str = "urn:ietf:rfc:8936";

/// The most values of `events_requested`, and the most bytes of one.
pub const EVENTS_REQUESTED_MAX: usize = 256;
const EVENT_TEXT_LENGTH_MAX: usize = 512;
const ENDPOINT_LENGTH_MAX: usize = 2048;
const AUTHORIZATION_LENGTH_MAX: usize = 8192;

/// The configuration and the status of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    pub id: StreamId,
    pub provider: ProviderName,
    pub receiver: ReceiverId,
    /// Fixed when the stream is created (SSF §8.1.1).
    pub audience: Audience,
    /// The Receiver's own list, with values that we do not know. `None` if the Receiver gave none.
    pub events_requested: Option<Vec<String>>,
    pub delivery: Delivery,
    pub description: Option<String>,
    /// Fixed when the stream is created, because the stream's list of subjects depends on it.
    pub default_subjects: DefaultSubjects,
    /// The identifier that SETs carry. The provider sets it at creation, and an operator may change
    /// it.
    pub subject_format: SubjectFormat,
    pub status: StreamStatus,
    /// The reason for the current status.
    pub reason: Option<String>,
    /// Rises by one with each change. The store refuses a change that was made from an older
    /// version.
    pub version: u64,
    pub created_at: Timestamp,
}

/// Differs once a stream was changed, a subject was removed from it, or its signing keys were replaced.
/// Good within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revision {
    /// The version of the stream, 0 if there is none.
    pub version: u64,
    /// How often subjects were removed, or keys replaced.
    pub changes: u64,
}

/// The method by which SETs are delivered (SSF §6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    Push(PushEndpoint),
    Poll,
}

/// The address to which the SETs of a push stream are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushEndpoint {
    /// The text that the Receiver gave. It is shown to the Receiver, because the parsed form may
    /// look different.
    given: String,
    /// Invariant: https, or http if the provider allows it; with a host and without user or
    /// fragment.
    url: Url,
    /// The value of `Authorization` on every push, unchanged (SSF §6.1.1).
    ///
    /// Invariant: only visible ASCII and spaces, so that the value cannot add another header.
    authorization_header: Option<Secret>,
}

/// The members that a Receiver may set in the body of a create, PATCH or PUT request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiverMembers {
    pub events_requested: Option<Vec<String>>,
    /// A push endpoint without an `authorization_header` keeps the one that the stream has for the
    /// same URL, because a Receiver never reads the header and so cannot repeat it.
    pub delivery: Option<Delivery>,
    pub description: Option<String>,
    pub removed: RemovedMembers,
}

/// The members that a PATCH removes by `null` (RFC 7396).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemovedMembers {
    pub events_requested: bool,
    pub description: bool,
    pub authorization_header: bool,
}

/// A member of a stream's configuration that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{member}` {rule}")]
pub struct InvalidMember {
    pub member: &'static str,
    pub rule: String,
}

fn invalid<T>(member: &'static str, rule: impl Into<String>) -> Result<T, InvalidMember> {
    Err(InvalidMember { member, rule: rule.into() })
}

/// The name of a push endpoint's URL in errors.
const ENDPOINT_MEMBER: &str = "delivery.endpoint_url";

impl PushEndpoint {
    /// Makes the endpoint that a Receiver asks for. A host that is a literal address is judged by the
    /// policy here, and a name when it is dialled.
    pub fn requested(
        endpoint_url: &str,
        authorization_header: Option<Secret>,
        insecure_allowed: bool,
        policy: &EndpointPolicy,
    ) -> Result<Self, InvalidMember> {
        if let Err(rule) = endpoint_url::check(endpoint_url) {
            return invalid(ENDPOINT_MEMBER, rule);
        }
        let endpoint = Self::new(endpoint_url, authorization_header, insecure_allowed)?;
        let host = endpoint.url.host_str().expect("an endpoint has a host");
        let port = endpoint.url.port_or_known_default().expect("both schemes have a port");
        match policy.check(host, port) {
            Ok(()) => Ok(endpoint),
            Err(refused) => invalid(ENDPOINT_MEMBER, format!("must not be used: {refused}")),
        }
    }

    /// Makes an endpoint without judging whether it may be dialled.
    pub fn new(
        endpoint_url: &str,
        authorization_header: Option<Secret>,
        insecure_allowed: bool,
    ) -> Result<Self, InvalidMember> {
        const MEMBER: &str = ENDPOINT_MEMBER;
        if ENDPOINT_LENGTH_MAX < endpoint_url.len() {
            return invalid(MEMBER, format!("must be at most {ENDPOINT_LENGTH_MAX} bytes long"));
        }
        let url = match Url::parse(endpoint_url) {
            Ok(url) => url,
            Err(error) => return invalid(MEMBER, format!("must be an https URL: {error}")),
        };
        // The parser would ignore white space and control characters.
        if endpoint_url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return invalid(MEMBER, "must be an https URL without white space");
        }
        if url.scheme() != "https" && !(insecure_allowed && url.scheme() == "http") {
            return invalid(MEMBER, "must be an https URL (RFC 8935 §2.1)");
        }
        if !url.has_host() || !url.username().is_empty() || url.password().is_some() {
            return invalid(MEMBER, "must have a host and no user name or password");
        }
        if url.fragment().is_some() {
            return invalid(MEMBER, "must have no fragment");
        }
        if let Some(secret) = &authorization_header {
            let text = secret.expose();
            let visible = text.bytes().all(|b| matches!(b, b' '..=b'~'));
            let trimmed = !text.is_empty() && text.trim() == text;
            if !visible || !trimmed || AUTHORIZATION_LENGTH_MAX < text.len() {
                return invalid(
                    "delivery.authorization_header",
                    format!(
                        "must be 1 to {AUTHORIZATION_LENGTH_MAX} visible ASCII characters or inner \
                         spaces"
                    ),
                );
            }
        }
        Ok(Self { given: endpoint_url.to_owned(), url, authorization_header })
    }

    pub fn as_given(&self) -> &str {
        &self.given
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns scheme, host and port. Limits for a host apply to this value.
    pub fn origin(&self) -> Arc<str> {
        self.url.origin().ascii_serialization().into()
    }

    pub fn authorization_header(&self) -> Option<&Secret> {
        self.authorization_header.as_ref()
    }
}

impl ReceiverMembers {
    /// Applies the limits: refuses a list that is too long, and truncates the description (SSF
    /// §8.1.1).
    pub fn bounded(mut self) -> Result<Self, InvalidMember> {
        if let Some(requested) = &self.events_requested {
            let short = requested.iter().all(|uri| uri.len() <= EVENT_TEXT_LENGTH_MAX);
            if EVENTS_REQUESTED_MAX < requested.len() || !short {
                return invalid(
                    "events_requested",
                    format!(
                        "must have at most {EVENTS_REQUESTED_MAX} values of at most \
                         {EVENT_TEXT_LENGTH_MAX} bytes"
                    ),
                );
            }
        }
        self.description =
            self.description.map(|text| text.chars().take(DESCRIPTION_CHARS_MAX).collect());
        Ok(self)
    }
}

impl StreamConfig {
    /// Applies a PATCH: sets the members that are given and keeps the others (SSF §8.1.1.3).
    #[must_use]
    pub fn patched(&self, given: ReceiverMembers) -> Self {
        let RemovedMembers { events_requested, description, .. } = given.removed;
        let delivery = self.delivery_by(&given).unwrap_or_else(|| self.delivery.clone());
        let kept = |removed: bool| (!removed).then_some(self);
        Self {
            events_requested: given
                .events_requested
                .or_else(|| kept(events_requested)?.events_requested.clone()),
            delivery,
            description: given.description.or_else(|| kept(description)?.description.clone()),
            ..self.next()
        }
    }

    /// Applies a PUT: deletes the members that are absent. Without `delivery` the method becomes
    /// poll (SSF §8.1.1.4).
    #[must_use]
    pub fn replaced(&self, given: ReceiverMembers) -> Self {
        Self {
            delivery: self.delivery_by(&given).unwrap_or(Delivery::Poll),
            events_requested: given.events_requested,
            description: given.description,
            ..self.next()
        }
    }

    /// Returns the delivery that is asked for, with the header that the stream has for the same URL.
    fn delivery_by(&self, given: &ReceiverMembers) -> Option<Delivery> {
        let mut delivery = given.delivery.clone()?;
        if let (Delivery::Push(endpoint), Some(own)) = (&mut delivery, self.endpoint())
            && endpoint.authorization_header.is_none()
            && endpoint.url == own.url
            && !given.removed.authorization_header
        {
            endpoint.authorization_header.clone_from(&own.authorization_header);
        }
        Some(delivery)
    }

    #[must_use]
    pub fn with_status(&self, status: StreamStatus, reason: Option<String>) -> Self {
        Self { status, reason, ..self.next() }
    }

    #[must_use]
    pub fn with_subject_format(&self, subject_format: SubjectFormat) -> Self {
        Self { subject_format, ..self.next() }
    }

    fn next(&self) -> Self {
        Self { version: self.version + 1, ..self.clone() }
    }

    /// Returns the types that the Transmitter can send on this stream (SSF §8.1.1): the types that
    /// the provider offers and, if the provider takes custom types, the other types that the
    /// Receiver asks for.
    pub fn events_supported(&self, provider: &Provider) -> Vec<EventType> {
        let requested = self.events_requested.as_deref().unwrap_or_default();
        let custom = requested.iter().filter(|_| provider.custom_event_types);
        let custom = custom.filter_map(|uri| EventType::try_from(uri.clone()).ok());
        let mut supported = provider.events_supported.clone();
        for event_type in custom.filter(|event_type| !event_type.is_control()) {
            if !supported.contains(&event_type) {
                supported.push(event_type);
            }
        }
        supported
    }

    /// Returns the types of the events that this stream gets besides control events: types that are
    /// requested and supported, in the provider's order. A stream that requested nothing gets
    /// nothing (SSF §8.1.1).
    pub fn events_delivered(&self, provider: &Provider) -> Vec<EventType> {
        let requested = self.events_requested.as_deref().unwrap_or_default();
        let mut delivered = self.events_supported(provider);
        delivered.retain(|event_type| requested.iter().any(|uri| uri == event_type.as_str()));
        delivered
    }

    /// Tells whether the Receiver asks for events and will get none, because the provider supports none
    /// of the types that it asks for, as with `*`, which is no wildcard (SSF §8.1.1).
    pub fn asks_in_vain(&self, provider: &Provider) -> bool {
        let asks = self.events_requested.as_ref().is_some_and(|requested| !requested.is_empty());
        asks && self.events_delivered(provider).is_empty()
    }

    /// Returns the push endpoint, or `None` for a poll stream.
    pub fn endpoint(&self) -> Option<&PushEndpoint> {
        match &self.delivery {
            Delivery::Push(endpoint) => Some(endpoint),
            Delivery::Poll => None,
        }
    }
}

#[cfg(test)]
impl StreamConfig {
    /// Returns an enabled poll stream of the provider `acme`.
    pub(crate) fn example(id: &str) -> Self {
        Self {
            id: id.parse().expect("a valid id"),
            provider: "acme".parse().expect("a valid name"),
            receiver: "rx".parse().expect("a valid id"),
            audience: Audience::one("https://rx.example").expect("not empty"),
            events_requested: None,
            delivery: Delivery::Poll,
            description: None,
            default_subjects: DefaultSubjects::All,
            subject_format: SubjectFormat::AsPublished,
            status: StreamStatus::Enabled,
            reason: None,
            version: 1,
            created_at: Timestamp::EPOCH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(url: &str) -> Result<PushEndpoint, InvalidMember> {
        PushEndpoint::new(url, None, false)
    }

    #[track_caller]
    fn refuses(url: &str, rule: &str) {
        let error = push(url).expect_err(url).to_string();
        assert!(error.contains(rule), "{error}");
    }

    #[test]
    fn a_push_endpoint_is_https() {
        assert!(push("https://rx.example/in/7?tenant=1").is_ok());
        refuses("http://rx.example/in", "https URL");
        refuses("ftp://rx.example/in", "https URL");
        refuses("rx.example/in", "https URL");
        refuses("https://kim:pw@rx.example/in", "no user name");
        refuses("https://rx.example/in#x", "no fragment");
        refuses("https://rx.example/in\n", "white space");
        assert!(PushEndpoint::new("http://127.0.0.1:9/in", None, true).is_ok());
    }

    #[test]
    fn an_authorization_header_cannot_smuggle_another() {
        let with = |value: &str| {
            PushEndpoint::new("https://rx.example/", Some(Secret::new(value)), false).is_ok()
        };
        assert!(with("Bearer abc"));
        for value in ["Bearer abc\r\nX: y", "Bearer abc\n", "", " abc", "schlüssel"] {
            assert!(!with(value), "{value:?}");
        }
    }

    #[test]
    fn patch_keeps_and_put_deletes_what_is_absent() {
        let before = StreamConfig {
            events_requested: Some(vec!["urn:x:1".into()]),
            delivery: Delivery::Push(push("https://rx.example/").expect("valid")),
            description: Some("prod".into()),
            ..StreamConfig::example("st_1")
        };
        let given =
            || ReceiverMembers { description: Some("eu".into()), ..ReceiverMembers::default() };

        let patched = before.patched(given());
        assert_eq!(patched.description.as_deref(), Some("eu"));
        assert_eq!(patched.events_requested, before.events_requested);
        assert_eq!(patched.delivery, before.delivery);

        let replaced = before.replaced(given());
        assert_eq!(replaced.description.as_deref(), Some("eu"));
        assert_eq!((replaced.events_requested, replaced.delivery), (None, Delivery::Poll));
        assert_eq!((patched.version, replaced.version), (2, 2));
    }

    #[test]
    fn a_change_keeps_the_header_of_the_same_url_and_no_other() {
        let push_to = |url: &str, header: Option<&str>| {
            let endpoint = PushEndpoint::new(url, header.map(Secret::new), false);
            Delivery::Push(endpoint.expect("valid"))
        };
        let (url, same) = ("https://rx.example/in", "https://RX.example:443/in");
        let delivery = push_to(url, Some("Bearer a"));
        let before = StreamConfig { delivery, ..StreamConfig::example("st_1") };
        let header = |given: Delivery, removed: bool| {
            let removed = RemovedMembers { authorization_header: removed, ..Default::default() };
            let given = ReceiverMembers { delivery: Some(given), removed, ..Default::default() };
            let [patched, replaced] =
                [before.patched(given.clone()), before.replaced(given)].map(|after| {
                    let header = after.endpoint()?.authorization_header()?;
                    Some(header.expose().to_owned())
                });
            assert_eq!(patched, replaced);
            patched
        };
        for url in [url, same] {
            assert_eq!(header(push_to(url, None), false).as_deref(), Some("Bearer a"));
            assert_eq!(header(push_to(url, Some("b")), false).as_deref(), Some("b"));
            assert_eq!(header(push_to(url, None), true), None);
        }
        for elsewhere in
            ["https://rx.example/", "https://evil.example/in", "https://rx.example:8443/in"]
        {
            assert_eq!(header(push_to(elsewhere, None), false), None);
        }
        assert_eq!(header(Delivery::Poll, false), None);
    }

    #[test]
    fn a_patch_removes_what_is_null() {
        let before = StreamConfig {
            events_requested: Some(vec!["urn:x:1".into()]),
            description: Some("prod".into()),
            ..StreamConfig::example("st_1")
        };
        let removed =
            RemovedMembers { events_requested: true, description: true, ..Default::default() };
        let after = before.patched(ReceiverMembers { removed, ..ReceiverMembers::default() });
        assert_eq!((after.events_requested, after.description), (None, None));
    }

    #[test]
    fn an_endpoint_that_must_not_be_dialled_is_not_taken() {
        let policy = EndpointPolicy::default();
        let requested = |url: &str| PushEndpoint::requested(url, None, true, &policy);
        for url in ["https://rx.example/in", "https://localhost/in", "https://1.1.1.1:8443/in"] {
            assert!(requested(url).is_ok(), "{url}");
        }
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "0177.0.0.1",
            "2130706433",
            "0x7F000001",
            "127.0.0.1.",
            "10.0.0.1",
            "169.254.169.254",
            "0xA9FEA9FE",
            "0",
            "[::1]",
            "[::]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::a00:1]",
            "[fd00::1]",
            "[fe80::1]",
        ] {
            for url in [format!("https://{host}/in"), format!("http://{host}:8443")] {
                let error = requested(&url).expect_err(&url).to_string();
                assert!(error.contains("is not a public address"), "{url}: {error}");
            }
        }
    }

    #[test]
    fn only_what_is_requested_and_supported_is_delivered() {
        let provider = Provider::example();
        let uri = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        let with =
            |events_requested| StreamConfig { events_requested, ..StreamConfig::example("st_1") };
        let some = with(Some(vec!["urn:unknown:thing".into(), uri.into()]));
        let delivered: Vec<_> =
            some.events_delivered(&provider).into_iter().map(String::from).collect();
        assert_eq!(delivered, [uri]);
        assert!(with(None).events_delivered(&provider).is_empty());
        assert!(with(Some(vec![])).events_delivered(&provider).is_empty());
    }

    #[test]
    fn a_custom_type_is_supported_where_its_provider_carries_any() {
        let uri = "urn:example:badge-lost";
        let control = EventType::verification().to_string();
        let requested = vec![uri.into(), "no uri".into(), control, "caep:session-revoked".into()];
        let stream =
            StreamConfig { events_requested: Some(requested), ..StreamConfig::example("st_1") };
        assert!(stream.events_delivered(&Provider::example()).is_empty());
        let carrying = Provider { custom_event_types: true, ..Provider::example() };
        let delivered: Vec<_> =
            stream.events_delivered(&carrying).into_iter().map(String::from).collect();
        assert_eq!(delivered, [uri]);
        let supported = stream.events_supported(&carrying);
        assert_eq!(supported.len(), Provider::example().events_supported.len() + 1);
    }
}
