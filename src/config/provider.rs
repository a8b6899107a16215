//! The settings of one provider, and how they become a [`Provider`].

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{ConfigError, authorization, invalid};
use crate::{
    agents::settings::AgentsSettings,
    auth::settings::{OauthSettings, TokenEndpointSettings},
    domain::{
        endpoint_policy::{EndpointPolicy, HostPattern},
        event_type::EventType,
        id::{AgentsName, ProviderName, SourceName},
        issuer::Issuer,
        provider::{EventChecks, Provider},
        subject::{format::SubjectFormat, list::DefaultSubjects},
        token_revoked::TokenRevoked,
    },
    source::settings::SourceSettings,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct ProviderSettings {
    /// The https URL of the provider, exactly as Receivers know it (SSF §7.2.4).
    pub issuer: String,
    /// PEM files of private keys. The first signs, and all are published. An empty list stands for
    /// `keys/<provider>.pem`. `credential:NAME` stands for the systemd credential of that name.
    pub signing_keys: Vec<PathBuf>,
    /// The event types that streams may request. An empty list stands for all types of CAEP and
    /// RISC.
    pub events_supported: Vec<String>,
    /// Whether event types that belong neither to CAEP nor to RISC and are not listed in
    /// `events_supported` may be published and requested.
    pub custom_event_types: bool,
    /// The event that tells Receivers of a revoked OAuth token, which is published as
    /// `oauth:token-revoked`: `session-revoked`, or `oauth-event-type` for the event as it was
    /// published. `None` stands for the latter if the provider takes that type, and otherwise for the former.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_revoked: Option<TokenRevoked>,
    /// How to treat an event that breaks the definition of its type. `strict` rejects one that
    /// breaks a MUST, and counts and logs one that breaks a SHOULD. `lint` delivers both, and
    /// counts and logs them. `off` checks nothing.
    pub event_checks: EventChecks,
    /// Whether to follow the CAEP interoperability profile: an RS256 key signs, and the events of
    /// its use cases must have a `reason_admin` that is not empty.
    pub interop: bool,
    /// Whether a push endpoint may use plain http. For tests only (RFC 8935 §2.1).
    pub insecure_endpoints: bool,
    /// Networks that push endpoints may be in although they are not public, in addition to
    /// `push.allow_networks`.
    pub allow_networks: Vec<IpNet>,
    /// The only ports of push endpoints. An empty list stands for all ports.
    pub allow_ports: Vec<u16>,
    /// The only public hosts of push endpoints: names, or `*.` and a name for all names below it. An
    /// empty list stands for all hosts.
    pub allow_hosts: Vec<String>,
    /// Whether a Receiver may request push and poll by their names in the RISC profile of 2018.
    pub legacy_delivery_methods: bool,
    /// The least time between two verification requests for one stream.
    #[serde(with = "humantime_serde")]
    pub min_verification_interval: Duration,
    /// The most streams of one Receiver. The creation of a further one gets the answer 409.
    pub streams_per_receiver_max: usize,
    /// How long a stream may go without a request of its Receiver, such as a poll, before it is
    /// paused. Only whole seconds; zero means no limit.
    #[serde(with = "humantime_serde")]
    pub inactivity_timeout: Duration,
    /// The subjects of a new stream: `ALL` except those that its Receiver removes, or `NONE` except
    /// those that it adds. A stream keeps the value that it was created with.
    pub default_subjects: DefaultSubjects,
    /// The subject identifier in the SETs of a new stream: `as_published` for the event's `sub_id`,
    /// or the event's identifier of one format.
    pub subject_format: SubjectFormat,
    /// How long a removed subject stays on its stream (SSF §9.3).
    #[serde(with = "humantime_serde")]
    pub subject_removal_grace: Duration,
    /// The most subjects on the list of one stream, added or removed. A further one gets the answer
    /// 403.
    pub subjects_per_stream_max: usize,
    /// The most subjects that may be added to or removed from one stream in a second. Further
    /// requests get the answer 429.
    pub subject_changes_per_second_max: u32,
    /// How long settled SETs are kept. `None` stands for `store.event_retention`.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub event_retention: Option<Duration>,
    /// Whether each accepted event is recorded, so that `ssfd explain` can show what became of it.
    pub event_ledger: bool,
    /// The built-in authorization server, which the provider has unless `oauth` names another.
    pub token_endpoint: TokenEndpointSettings,
    /// The external authorization server.
    pub oauth: OauthSettings,
    /// The ways in for native events of identity providers, by name.
    pub sources: BTreeMap<SourceName, SourceSettings>,
    /// The devices that report their posture, by the name of their table.
    pub agents: BTreeMap<AgentsName, AgentsSettings>,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            issuer: "https://localhost".into(),
            signing_keys: Vec::new(),
            events_supported: Vec::new(),
            custom_event_types: false,
            token_revoked: None,
            event_checks: EventChecks::Strict,
            interop: false,
            insecure_endpoints: false,
            allow_networks: Vec::new(),
            allow_ports: Vec::new(),
            allow_hosts: Vec::new(),
            legacy_delivery_methods: false,
            min_verification_interval: Duration::from_secs(30),
            streams_per_receiver_max: 100,
            inactivity_timeout: Duration::ZERO,
            default_subjects: DefaultSubjects::All,
            subject_format: SubjectFormat::AsPublished,
            subject_removal_grace: Duration::ZERO,
            subjects_per_stream_max: 100_000,
            subject_changes_per_second_max: 1000,
            event_retention: None,
            event_ledger: true,
            token_endpoint: TokenEndpointSettings::default(),
            oauth: OauthSettings::default(),
            sources: BTreeMap::new(),
            agents: BTreeMap::new(),
        }
    }
}

impl ProviderSettings {
    /// Makes the provider. `networks` may be dialled for every provider.
    pub(super) fn provider(
        &self,
        name: &ProviderName,
        networks: &[IpNet],
    ) -> Result<Provider, ConfigError> {
        let key = |member: &str| format!("providers.{name}.{member}");
        let issuer = match Issuer::try_from(self.issuer.clone()) {
            Ok(issuer) => issuer,
            Err(error) => return invalid(key("issuer"), format!("is not valid: {error}")),
        };
        let mut events_supported = Vec::new();
        for raw in &self.events_supported {
            match raw.parse::<EventType>() {
                Ok(event_type) if event_type.is_control() => {
                    return invalid(
                        key("events_supported"),
                        format!(
                            "must not list `{raw}`, because the Transmitter sends it without request (SSF §8.1.4)"
                        ),
                    );
                }
                Ok(event_type) => events_supported.push(event_type),
                Err(error) => return invalid(key("events_supported"), error.to_string()),
            }
        }
        if events_supported.is_empty() {
            events_supported = EventType::offered_by_default();
        }
        check_token_revoked(self, &events_supported, key)?;
        if self.interop && self.event_checks == EventChecks::Off {
            return invalid(key("interop"), "needs `event_checks` to be `strict` or `lint`");
        }
        if self.streams_per_receiver_max == 0 {
            return invalid(key("streams_per_receiver_max"), "must be at least 1");
        }
        if self.subject_changes_per_second_max == 0 {
            return invalid(key("subject_changes_per_second_max"), "must be at least 1");
        }
        if self.inactivity_timeout.subsec_nanos() != 0 {
            // Receivers see the value in seconds (SSF §8.1.1).
            return invalid(key("inactivity_timeout"), "must be a whole number of seconds");
        }
        let inactivity_timeout = self.inactivity_timeout;
        if self.allow_ports.contains(&0) {
            return invalid(key("allow_ports"), "must have ports from 1 to 65535");
        }
        let hosts = self.allow_hosts.iter().map(|host| host.parse::<HostPattern>());
        let hosts = match hosts.collect::<Result<_, _>>() {
            Ok(hosts) => hosts,
            Err(error) => return invalid(key("allow_hosts"), format!("is not valid: {error}")),
        };
        let networks = networks.iter().chain(&self.allow_networks).copied().collect();
        authorization::check(&self.token_endpoint, &self.oauth, key)?;
        Ok(Provider {
            name: name.clone(),
            issuer,
            events_supported,
            custom_event_types: self.custom_event_types,
            token_revoked: self.token_revoked,
            event_checks: self.event_checks,
            interop: self.interop,
            insecure_endpoints: self.insecure_endpoints,
            endpoint_policy: EndpointPolicy::new(networks, self.allow_ports.clone(), hosts),
            legacy_delivery_methods: self.legacy_delivery_methods,
            min_verification_interval: self.min_verification_interval,
            streams_per_receiver_max: self.streams_per_receiver_max,
            inactivity_timeout: Some(inactivity_timeout).filter(|timeout| !timeout.is_zero()),
            default_subjects: self.default_subjects,
            subject_format: self.subject_format,
            subject_removal_grace: self.subject_removal_grace,
            subjects_per_stream_max: self.subjects_per_stream_max,
            subject_changes_per_second_max: self.subject_changes_per_second_max,
            event_ledger: self.event_ledger,
        })
    }

    pub(super) fn signing_key_files(&self, name: &ProviderName) -> Vec<PathBuf> {
        if self.signing_keys.is_empty() {
            vec![PathBuf::from(format!("keys/{name}.pem"))]
        } else {
            self.signing_keys.clone()
        }
    }
}

/// Checks that streams can ask for the event that tells of a revoked token, and do not ask in vain.
fn check_token_revoked(
    settings: &ProviderSettings,
    events_supported: &[EventType],
    key: impl Fn(&str) -> String,
) -> Result<(), ConfigError> {
    let listed = events_supported.contains(&EventType::token_revoked());
    match settings.token_revoked {
        Some(TokenRevoked::OauthEventType) if !listed && !settings.custom_event_types => invalid(
            key("token_revoked"),
            "must not be `oauth-event-type`, because no stream can ask for `oauth:token-revoked`; list \
             that type in `events_supported`",
        ),
        Some(TokenRevoked::SessionRevoked) if listed => invalid(
            key("token_revoked"),
            "must not be `session-revoked`, because streams would ask in vain for `oauth:token-revoked`; \
             remove that type from `events_supported`",
        ),
        _ => Ok(()),
    }
}
