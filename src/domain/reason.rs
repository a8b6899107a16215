//! Why a stream has no SET of an event, and why a SET was not delivered.
//!
//! [`Reason`] lists every case. Metrics, dead letters, discarded SETs, records of events, `explain` and
//! the tables of docs/operate/dead-letters.md all take their labels and sentences from here. [`StoredReason`] is a reason
//! as a store keeps it: its label is text, which a later version of the daemon may have written.

use std::{convert::Infallible, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::set_error::ErrCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The publisher named other streams.
    NotNamed,
    /// The provider does not send events of this type.
    NotSupported,
    /// The stream did not ask for events of this type.
    NotRequested,
    /// The stream asked only for types that the provider does not send.
    NoneSupported,
    /// The subject is not on the stream (SSF §8.1.3).
    Subject,
    /// The subject has no identifier that the stream's Receiver knows (SSF §10.1).
    Format,
    /// The account opted out of RISC events (RISC §2.8).
    OptedOut,
    /// The stream is disabled (SSF §8.1.2.1).
    Disabled,
    /// The stream is newer than the event.
    Later,
    /// The event was withheld from more streams than are recorded.
    Unrecorded,
    /// The SET has expired or was purged, or the stream did not ask for it at the time.
    NothingKept,
    /// The Receiver refused the SET (RFC 8935 §2.3, RFC 8936 §2.6).
    Refused(ErrCode),
    /// No attempt succeeded, or no poll acknowledged it, before the SET was too old.
    Expired,
    /// A paused stream held the SET too long, or among too many (SSF §8.1.2.1).
    HoldLimit,
}

impl Reason {
    /// Why a stream has no SET of an event, or why a SET was discarded.
    pub const WITHOUT_SET: [Self; 11] = [
        Self::NotNamed,
        Self::NotSupported,
        Self::NotRequested,
        Self::NoneSupported,
        Self::Subject,
        Self::Format,
        Self::OptedOut,
        Self::Disabled,
        Self::Later,
        Self::Unrecorded,
        Self::NothingKept,
    ];

    /// Why a SET is a dead letter.
    pub const DEAD: [Self; 10] = [
        Self::Refused(ErrCode::InvalidRequest),
        Self::Refused(ErrCode::InvalidKey),
        Self::Refused(ErrCode::InvalidIssuer),
        Self::Refused(ErrCode::InvalidAudience),
        Self::Refused(ErrCode::AuthenticationFailed),
        Self::Refused(ErrCode::AccessDenied),
        Self::Refused(ErrCode::InvalidState),
        Self::Refused(ErrCode::Other),
        Self::Expired,
        Self::HoldLimit,
    ];

    /// Returns the name by which the reason is stored, counted and printed. It never changes.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotNamed => "not_named",
            Self::NotSupported => "not_supported",
            Self::NotRequested => "not_requested",
            Self::NoneSupported => "none_supported",
            Self::Subject => "subject",
            Self::Format => "format",
            Self::OptedOut => "opted_out",
            Self::Disabled => "disabled",
            Self::Later => "later",
            Self::Unrecorded => "unrecorded",
            Self::NothingKept => "nothing_kept",
            Self::Refused(code) => code.as_str(),
            Self::Expired => "expired",
            Self::HoldLimit => "hold_limit",
        }
    }

    /// Returns the reason in words for people, which are true of an event that comes now and of one
    /// that came long ago.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotNamed => "the event's `stream_ids` does not have this stream",
            Self::NotSupported => "the provider's `events_supported` does not have this type",
            Self::NotRequested => "the stream's `events_requested` does not have this type",
            Self::NoneSupported => {
                "the stream's `events_requested` has no type that the provider supports"
            }
            Self::Subject => "the event's subject is not on the stream",
            Self::Format => "the event has no identifier of its subject in the stream's form",
            Self::OptedOut => "the event's account has opted out of RISC events",
            Self::Disabled => "a stream gets no events while it is disabled",
            Self::Later => "the stream was made after the event",
            Self::Unrecorded => {
                "the event was withheld from more streams than are recorded with a reason"
            }
            Self::NothingKept => {
                "no SET is kept: it has expired or was purged, or the stream did not ask for this \
                 type when the event came"
            }
            Self::Refused(ErrCode::Other) => {
                "the Receiver refused the SET with an `err` that is not registered"
            }
            Self::Refused(_) => "the Receiver refused the SET with this `err`",
            Self::Expired => {
                "no attempt succeeded within `delivery.retry.give_up_after`, or no poll took the SET \
                 within `poll.give_up_after`"
            }
            Self::HoldLimit => "the stream was paused for too long, or held too many SETs",
        }
    }

    fn of_label(label: &str) -> Option<Self> {
        Self::WITHOUT_SET.into_iter().chain(Self::DEAD).find(|reason| reason.label() == label)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A reason as it was read from a store, or as an operator asks for it. An unknown label is kept as
/// it is, so that a store that a later version has written stays readable and can be copied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoredReason {
    Known(Reason),
    /// Never the label of a [`Reason`]: [`From`] sees to that.
    Unknown(UnknownLabel),
}

/// A label that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownLabel(String);

impl StoredReason {
    pub fn label(&self) -> &str {
        match self {
            Self::Known(reason) => reason.label(),
            Self::Unknown(UnknownLabel(label)) => label,
        }
    }

    /// Returns the reason in words for people.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::Known(reason) => reason.sentence(),
            Self::Unknown(_) => "another version of ssfd knows this reason, and this one does not",
        }
    }
}

impl From<Reason> for StoredReason {
    fn from(reason: Reason) -> Self {
        Self::Known(reason)
    }
}

impl From<String> for StoredReason {
    fn from(label: String) -> Self {
        Reason::of_label(&label).map_or(Self::Unknown(UnknownLabel(label)), Self::Known)
    }
}

impl From<&str> for StoredReason {
    fn from(label: &str) -> Self {
        Reason::of_label(label)
            .map_or_else(|| Self::Unknown(UnknownLabel(label.to_owned())), Self::Known)
    }
}

impl FromStr for StoredReason {
    type Err = Infallible;

    fn from_str(label: &str) -> Result<Self, Infallible> {
        Ok(label.into())
    }
}

impl fmt::Display for StoredReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl Serialize for StoredReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

impl<'de> Deserialize<'de> for StoredReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_is_read_back_from_its_label() {
        let all: Vec<_> = Reason::WITHOUT_SET.into_iter().chain(Reason::DEAD).collect();
        for reason in &all {
            assert_eq!(StoredReason::from(reason.label()), StoredReason::Known(*reason));
        }
        let labels: BTreeSet<_> = all.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), all.len(), "no label stands for two reasons");
        let refused = Reason::DEAD.iter().filter(|reason| matches!(reason, Reason::Refused(_)));
        assert_eq!(refused.count(), ErrCode::REGISTERED.len() + 1, "each code, and the others");
    }

    /// Returns the rows of the table of the documentation that begins with this head: labels, and what
    /// follows.
    fn table(head: &str) -> Vec<(BTreeSet<String>, String)> {
        let page = include_str!("../../docs/operate/dead-letters.md");
        let (_, table) = page.split_once(head).expect("the page has this table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let row = |line: &str| {
            let (labels, text) = line.trim_matches('|').split_once('|').expect("two columns");
            let labels = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned());
            (labels.collect(), text.trim().to_owned())
        };
        rows.map(row).collect()
    }

    #[test]
    fn the_documentation_has_each_reason() {
        let rows = table("| no SET because |");
        assert_eq!(rows.len(), Reason::WITHOUT_SET.len());
        for (reason, (labels, sentence)) in Reason::WITHOUT_SET.iter().zip(rows) {
            assert_eq!(labels, [reason.label().to_owned()].into());
            assert_eq!(sentence, reason.sentence());
        }
        let told: BTreeSet<_> =
            table("| reason | what to do |").into_iter().flat_map(|(labels, _)| labels).collect();
        let dead = Reason::DEAD.iter().map(|reason| reason.label().to_owned());
        assert_eq!(told, dead.collect());
    }

    #[test]
    fn a_label_of_a_later_version_survives() {
        let read: StoredReason = serde_json::from_str("\"too_loud\"").expect("a text");
        assert!(matches!(read, StoredReason::Unknown(_)));
        assert_eq!(serde_json::to_string(&read).expect("a text"), "\"too_loud\"");
    }
}
