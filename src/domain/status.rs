//! Whether a stream delivers (SSF §8.1.2).

/// Whether a stream delivers (SSF §8.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamStatus {
    Enabled,
    /// Holds its SETs and delivers them once enabled again.
    Paused,
    /// Takes no SETs; what it had is discarded.
    Disabled,
}

impl StreamStatus {
    /// Whether a change to this status discards the SETs that wait (SSF §8.1.2.1). A change that
    /// the Receiver asked for is not announced by a stream-updated event: it knows (SSF §8.1.5).
    pub fn discards(self) -> bool {
        match self {
            Self::Disabled => true,
            Self::Enabled | Self::Paused => false,
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

impl std::str::FromStr for StreamStatus {
    type Err = InvalidStatus;

    fn from_str(raw: &str) -> Result<Self, InvalidStatus> {
        [Self::Enabled, Self::Paused, Self::Disabled]
            .into_iter()
            .find(|status| status.as_str() == raw)
            .ok_or(InvalidStatus)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `enabled`, `paused` or `disabled` (SSF §8.1.2)")]
pub struct InvalidStatus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_prints_back_and_only_disabled_discards() {
        for (name, discards) in [("enabled", false), ("paused", false), ("disabled", true)] {
            let status: StreamStatus = name.parse().expect("one of the three");
            assert_eq!((status.as_str(), status.discards()), (name, discards));
        }
        assert_eq!("Enabled".parse::<StreamStatus>(), Err(InvalidStatus));
    }
}
