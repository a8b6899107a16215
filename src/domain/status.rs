//! The status of a stream, and whether its Receiver is told of a change (SSF §8.1.2, §8.1.5).

use serde_json::Map;

use super::payload::Payload;

/// Whether a stream delivers (SSF §8.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamStatus {
    Enabled,
    /// The stream keeps its SETs and delivers them when it is enabled again.
    Paused,
    /// The stream takes no SETs, and SETs that it had are discarded.
    Disabled,
}

/// The party that changes a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// The Receiver, through the status endpoint (SSF §8.1.2.2).
    Receiver,
    /// An operator, or the daemon itself.
    Transmitter,
}

/// Tells whether a stream-updated event announces a change of status. If the announcement of an
/// earlier change is still unsettled, the new change withdraws it, because it is no longer true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Announce {
    Never,
    /// Only if the change withdraws an earlier announcement.
    Instead,
    Always,
}

impl StreamStatus {
    const ALL: [Self; 3] = [Self::Enabled, Self::Paused, Self::Disabled];

    /// Tells whether a change to this status discards the unsettled SETs (SSF §8.1.2.1).
    pub fn discards(self) -> bool {
        match self {
            Self::Disabled => true,
            Self::Enabled | Self::Paused => false,
        }
    }

    /// Tells whether a change from this status to another one is announced (SSF §8.1.5).
    pub fn announced(self, to: Self, by: Initiator) -> Announce {
        use {Announce::*, Initiator::*, StreamStatus::*};
        match (self, to, by) {
            // The Receiver asked for the change and knows its result from the response.
            (_, _, Receiver) => Never,
            (Enabled, Paused | Disabled, Transmitter)
            | (Paused | Disabled, Enabled, Transmitter) => Always,
            // Whether the stream delivers does not change here. SSF §8.1.2 asks for an announcement
            // of a change between paused and disabled, but §8.1.2.1 forbids to send while the
            // stream is not enabled. So nothing is sent, unless an earlier announcement is
            // unsettled: the Receiver then gets the current status in its place.
            (Enabled, Enabled, Transmitter)
            | (Paused | Disabled, Paused | Disabled, Transmitter) => Instead,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

impl Initiator {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Transmitter => "transmitter",
        }
    }
}

impl std::str::FromStr for StreamStatus {
    type Err = InvalidStatus;

    fn from_str(raw: &str) -> Result<Self, InvalidStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == raw).ok_or(InvalidStatus)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `enabled`, `paused` or `disabled` (SSF §8.1.2)")]
pub struct InvalidStatus;

/// The payload of a stream-updated event (SSF §8.1.5).
pub fn stream_updated(status: StreamStatus, reason: Option<&str>) -> Payload {
    let mut payload = Map::new();
    payload.insert("status".to_owned(), status.as_str().into());
    payload.extend(reason.map(|reason| ("reason".to_owned(), reason.into())));
    payload.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_prints_back_and_only_disabled_discards() {
        for (name, discards) in [("enabled", false), ("paused", false), ("disabled", true)] {
            let status: StreamStatus = name.parse().expect("one of the three");
            assert_eq!((status.as_str(), status.discards()), (name, discards));
        }
        assert_eq!("Enabled".parse::<StreamStatus>(), Err(InvalidStatus));
    }

    /// STAT-11 (SSF §8.1.5).
    #[test]
    fn what_the_receiver_asked_for_is_not_announced() {
        for from in StreamStatus::ALL {
            for to in StreamStatus::ALL {
                assert_eq!(from.announced(to, Initiator::Receiver), Announce::Never);
            }
        }
    }

    /// STAT-08, STAT-09 (SSF §8.1.5).
    #[test]
    fn the_transmitter_announces_a_stop_and_a_resumption() {
        for from in StreamStatus::ALL {
            for to in StreamStatus::ALL {
                let delivers = |status| status == StreamStatus::Enabled;
                let turns = delivers(from) != delivers(to);
                let expected = if turns { Announce::Always } else { Announce::Instead };
                assert_eq!(from.announced(to, Initiator::Transmitter), expected, "{from:?} {to:?}");
            }
        }
    }

    /// EVT-03 (SSF §8.1.5).
    #[test]
    fn an_announcement_has_the_status_and_perhaps_a_reason() {
        let payload = |reason| json!(stream_updated(StreamStatus::Paused, reason));
        assert_eq!(payload(None), json!({"status": "paused"}));
        assert_eq!(payload(Some("moving")), json!({"status": "paused", "reason": "moving"}));
    }
}
