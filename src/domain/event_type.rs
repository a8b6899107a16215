//! The kinds of events: what CAEP, RISC and SSF define, and URIs that only publisher and Receiver
//! know.

use std::fmt;

use serde::{Deserialize, Serialize};

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

/// CAEP 1.0 §3.
const CAEP_TYPES: [&str; 8] = [
    "session-revoked",
    "token-claims-change",
    "credential-change",
    "assurance-level-change",
    "device-compliance-change",
    "session-established",
    "session-presented",
    "risk-level-change",
];

/// RISC 1.0 §2. `sessions-revoked` is deprecated for new Transmitters (RISC §2.11): it is known,
/// since Receivers still ask for it, but not offered unless a provider lists it.
const RISC_TYPES: [&str; 14] = [
    "account-credential-change-required",
    "account-purged",
    "account-disabled",
    "account-enabled",
    "identifier-changed",
    "identifier-recycled",
    "credential-compromise",
    "opt-in",
    "opt-out-initiated",
    "opt-out-cancelled",
    "opt-out-effective",
    "recovery-activated",
    "recovery-information-changed",
    RISC_DEPRECATED,
];
const RISC_DEPRECATED: &str = "sessions-revoked";

/// SSF §8.1.4, §8.1.5.
const SSF_TYPES: [&str; 2] = ["verification", "stream-updated"];

/// The prefix of short names, the base of URIs, and the names.
const FAMILIES: [(&str, &str, &[&str]); 3] =
    [("caep:", CAEP, &CAEP_TYPES), ("risc:", RISC, &RISC_TYPES), ("ssf:", SSF, &SSF_TYPES)];

/// The longest URI that an event type may have.
const LENGTH_MAX: usize = 512;

/// The URI of an event type, the key under `events` in a SET (RFC 8417 §2.2).
///
/// Invariant: an absolute URI without white space, 512 bytes at most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventType(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEventType {
    #[error(
        "must be an event type URI of at most 512 bytes, or `caep:` or `risc:` and a name, not `{0}`"
    )]
    NotAUri(String),
    #[error("`{0}` names no event type of its specification")]
    UnknownShortName(String),
}

impl EventType {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn verification() -> Self {
        Self(format!("{SSF}verification"))
    }

    /// Whether CAEP, RISC or SSF define this type.
    pub fn is_known(&self) -> bool {
        self.family().is_some()
    }

    /// The short name, as `caep:session-revoked`; the URI where there is none.
    pub fn short_name(&self) -> String {
        self.family().map_or_else(|| self.0.clone(), |(prefix, name)| format!("{prefix}{name}"))
    }

    /// The prefix of the short name, and what follows it.
    fn family(&self) -> Option<(&'static str, &str)> {
        FAMILIES.iter().find_map(|(prefix, base, names)| {
            let name = self.0.strip_prefix(base)?;
            names.contains(&name).then_some((*prefix, name))
        })
    }

    /// Whether only the Transmitter itself may issue this type (SSF §8.1.4, §8.1.5).
    pub fn is_control(&self) -> bool {
        self.0.starts_with(SSF)
    }

    /// What a provider offers unless its configuration says otherwise: all of CAEP and RISC but
    /// what is deprecated.
    pub fn offered_by_default() -> Vec<Self> {
        let caep = CAEP_TYPES.iter().map(|name| format!("{CAEP}{name}"));
        let risc = RISC_TYPES.iter().filter(|name| **name != RISC_DEPRECATED);
        caep.chain(risc.map(|name| format!("{RISC}{name}"))).map(Self).collect()
    }
}

impl TryFrom<String> for EventType {
    type Error = InvalidEventType;

    /// Takes the URI, or a short name such as `caep:session-revoked`.
    fn try_from(raw: String) -> Result<Self, InvalidEventType> {
        for (prefix, base, names) in FAMILIES {
            if let Some(name) = raw.strip_prefix(prefix) {
                let known = names.contains(&name);
                let uri = known.then(|| Self(format!("{base}{name}")));
                return uri.ok_or(InvalidEventType::UnknownShortName(raw));
            }
        }
        let absolute = url::Url::parse(&raw).is_ok();
        let plain = !raw.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control());
        if absolute && plain && raw.len() <= LENGTH_MAX {
            Ok(Self(raw))
        } else {
            let shown = raw.chars().take(LENGTH_MAX).collect();
            Err(InvalidEventType::NotAUri(shown))
        }
    }
}

impl std::str::FromStr for EventType {
    type Err = InvalidEventType;

    fn from_str(raw: &str) -> Result<Self, InvalidEventType> {
        Self::try_from(raw.to_owned())
    }
}

impl From<EventType> for String {
    fn from(event_type: EventType) -> Self {
        event_type.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, uri: &str, known: bool, control: bool) {
        let event_type: EventType = raw.parse().expect("a valid event type");
        assert_eq!(event_type.as_str(), uri);
        assert_eq!(event_type.is_known(), known, "{raw} known");
        assert_eq!(event_type.is_control(), control, "{raw} control");
    }

    #[test]
    fn short_names_become_the_uris_of_their_specifications() {
        let caep = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        check("caep:session-revoked", caep, true, false);
        check(caep, caep, true, false);
        let risc = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
        check("risc:account-disabled", risc, true, false);
        let ssf = "https://schemas.openid.net/secevent/ssf/event-type/verification";
        check("ssf:verification", ssf, true, true);
        check(
            "https://idp.example/events/badge-lost",
            "https://idp.example/events/badge-lost",
            false,
            false,
        );
        check("urn:example:badge-lost", "urn:example:badge-lost", false, false);
    }

    #[test]
    fn a_short_name_is_had_back() {
        for raw in ["caep:session-revoked", "ssf:verification", "urn:example:badge-lost"] {
            assert_eq!(raw.parse::<EventType>().expect("valid").short_name(), raw);
        }
        let unknown = format!("{CAEP}unknown");
        assert_eq!(unknown.parse::<EventType>().expect("a URI").short_name(), unknown);
    }

    #[test]
    fn what_is_neither_uri_nor_short_name_is_refused() {
        for raw in
            ["", "session-revoked", "caep:", "caep:nothing", "risc:session-revoked", "urn:a b"]
        {
            assert!(raw.parse::<EventType>().is_err(), "{raw}");
        }
        assert!(format!("urn:x:{}", "y".repeat(LENGTH_MAX)).parse::<EventType>().is_err());
    }

    #[test]
    fn the_deprecated_type_is_not_offered() {
        let offered = EventType::offered_by_default();
        assert_eq!(offered.len(), CAEP_TYPES.len() + RISC_TYPES.len() - 1);
        assert!(offered.iter().all(|t| t.is_known() && !t.as_str().ends_with("/sessions-revoked")));
    }
}
