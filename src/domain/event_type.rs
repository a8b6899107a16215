//! Event types: those that CAEP, RISC and SSF define, and URIs that only a publisher and a Receiver
//! know.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::schema::{self, FAMILIES, Family, FamilyOrigin, Schema};

/// The type of the event that an authorization server publishes for a token that it revokes (OET §3.2).
const TOKEN_REVOKED: &str = "https://schemas.openid.net/secevent/oauth/event-type/token-revoked";

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
        "ssf:verification".parse().expect("SSF defines it")
    }

    pub fn stream_updated() -> Self {
        "ssf:stream-updated".parse().expect("SSF defines it")
    }

    pub fn session_revoked() -> Self {
        "caep:session-revoked".parse().expect("CAEP defines it")
    }

    /// Returns the type of the event that is published for a revoked OAuth token (OET §3.2).
    pub fn token_revoked() -> Self {
        Self(TOKEN_REVOKED.to_owned())
    }

    pub fn is_token_revoked(&self) -> bool {
        self.0 == TOKEN_REVOKED
    }

    /// Returns the definition of this type, if one of the specifications has it.
    pub fn definition(&self) -> Option<(&'static Family, &'static Schema)> {
        schema::find(&self.0)
    }

    /// Tells whether CAEP or RISC define this type. Every provider takes these types.
    pub fn is_profiled(&self) -> bool {
        self.definition().is_some_and(|(family, _)| family.origin == FamilyOrigin::Profile)
    }

    /// Returns the name of a type below RISC's prefix, whether RISC defines the type or not.
    pub fn risc_name(&self) -> Option<&str> {
        let risc = FAMILIES.iter().find(|family| family.prefix == "risc:");
        self.0.strip_prefix(risc.expect("RISC is a family").base)
    }

    /// Tells whether the definition fixes the format of the subject. Such an event is about the
    /// identifier itself.
    pub fn fixes_subject(&self) -> bool {
        self.definition().is_some_and(|(_, schema)| !schema.subjects.is_empty())
    }

    /// Returns the short name, such as `caep:session-revoked`, or the URI if the type has none.
    pub fn short_name(&self) -> String {
        self.definition().map_or_else(
            || self.0.clone(),
            |(family, schema)| format!("{}{}", family.prefix, schema.name),
        )
    }

    /// Tells whether only the Transmitter itself may issue this type (SSF §8.1.4, §8.1.5).
    pub fn is_control(&self) -> bool {
        let mut control = FAMILIES.iter().filter(|family| family.origin == FamilyOrigin::Control);
        control.any(|family| self.0.starts_with(family.base))
    }

    /// Returns the types that a provider offers unless its configuration names others: all of CAEP
    /// and RISC except the deprecated ones.
    pub fn offered_by_default() -> Vec<Self> {
        let profiles = FAMILIES.iter().filter(|family| family.origin == FamilyOrigin::Profile);
        let offered = profiles.flat_map(|family| {
            let types = family.types.iter().filter(|schema| schema.replaced_by.is_none());
            types.map(|schema| Self(format!("{}{}", family.base, schema.name)))
        });
        offered.collect()
    }

    /// Returns all types of the family with this prefix.
    pub fn of_family(prefix: &str) -> impl Iterator<Item = Self> {
        let family = FAMILIES.into_iter().find(|family| family.prefix == prefix);
        family.into_iter().flat_map(|family| {
            family.types.iter().map(|schema| Self(format!("{}{}", family.base, schema.name)))
        })
    }
}

impl TryFrom<String> for EventType {
    type Error = InvalidEventType;

    /// Takes the URI, or a short name such as `caep:session-revoked`.
    fn try_from(raw: String) -> Result<Self, InvalidEventType> {
        for family in FAMILIES {
            if let Some(name) = raw.strip_prefix(family.prefix) {
                let uri = family.of_name(name).map(|_| Self(format!("{}{name}", family.base)));
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
    fn check(raw: &str, uri: &str, profiled: bool, control: bool) {
        let event_type: EventType = raw.parse().expect("a valid event type");
        assert_eq!(event_type.as_str(), uri);
        assert_eq!(event_type.is_profiled(), profiled, "{raw} profiled");
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
        check("ssf:verification", ssf, false, true);
        let scim = "urn:ietf:params:scim:event:prov:create:notice";
        check("scim:prov:create:notice", scim, false, false);
        check(
            "https://idp.example/events/badge-lost",
            "https://idp.example/events/badge-lost",
            false,
            false,
        );
        check("urn:example:badge-lost", "urn:example:badge-lost", false, false);
    }

    #[test]
    fn a_type_gives_back_its_short_name() {
        for raw in ["caep:session-revoked", "ssf:verification", "urn:example:badge-lost"] {
            assert_eq!(raw.parse::<EventType>().expect("valid").short_name(), raw);
        }
        let unknown = "https://schemas.openid.net/secevent/caep/event-type/unknown";
        assert_eq!(unknown.parse::<EventType>().expect("a URI").short_name(), unknown);
    }

    #[test]
    fn a_text_that_is_neither_uri_nor_short_name_is_refused() {
        for raw in
            ["", "session-revoked", "caep:", "caep:nothing", "risc:session-revoked", "urn:a b"]
        {
            assert!(raw.parse::<EventType>().is_err(), "{raw}");
        }
        assert!(format!("urn:x:{}", "y".repeat(LENGTH_MAX)).parse::<EventType>().is_err());
    }

    #[track_caller]
    fn offers(prefix: &str, names: &[&str]) {
        let family = FAMILIES.into_iter().find(|f| f.prefix == prefix).expect("a family");
        let offered = EventType::offered_by_default();
        let offered = offered.iter().filter_map(|uri| uri.as_str().strip_prefix(family.base));
        assert_eq!(offered.collect::<Vec<_>>(), names);
    }

    /// CAEP-01 (CAEP §3).
    #[test]
    fn all_types_of_caep_are_offered_under_their_uris() {
        offers(
            "caep:",
            &[
                "session-revoked",
                "token-claims-change",
                "credential-change",
                "assurance-level-change",
                "device-compliance-change",
                "session-established",
                "session-presented",
                "risk-level-change",
            ],
        );
    }

    /// RISC-01 and RISC-04 (RISC §2): all except the one that new Transmitters must not send.
    #[test]
    fn all_types_of_risc_are_offered_under_their_uris_but_the_deprecated_one() {
        offers(
            "risc:",
            &[
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
            ],
        );
        let deprecated: EventType = "risc:sessions-revoked".parse().expect("it is known");
        assert!(deprecated.is_profiled());
    }

    /// OET-01.
    #[test]
    fn types_defined_outside_ssf_are_known_but_not_offered() {
        for prefix in ["oauth:", "scim:", "ssf:"] {
            offers(prefix, &[]);
        }
        let revoked: EventType = "oauth:token-revoked".parse().expect("it is known");
        assert_eq!((revoked.clone(), revoked.is_profiled()), (EventType::token_revoked(), false));
        assert!(revoked.is_token_revoked() && !EventType::session_revoked().is_token_revoked());
    }
}
