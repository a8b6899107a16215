//! Whether a stream delivers (SSF §8.1.2).

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamStatus {
    Enabled,
    /// Holds its SETs and delivers them once enabled again.
    Paused,
    /// Takes no SETs; what it had is discarded.
    Disabled,
}

/// What has to be done beside keeping the new status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The SETs that wait are discarded (SSF §8.1.2.1).
    Discard,
    /// Delivery goes on with what was held.
    Resume,
}

impl StreamStatus {
    /// What a change takes that the Receiver asked for. It is not announced by a stream-updated
    /// event, since the Receiver knows of it (SSF §8.1.5).
    pub fn steps_to(self, to: Self) -> &'static [Step] {
        use {Step::*, StreamStatus::*};
        match (self, to) {
            (Enabled | Paused, Disabled) => &[Discard],
            (Paused | Disabled, Enabled) => &[Resume],
            (Enabled, Enabled | Paused) | (Paused, Paused) | (Disabled, Disabled | Paused) => &[],
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

#[cfg(test)]
mod tests {
    use super::{Step::*, StreamStatus::*, *};

    #[track_caller]
    fn check(from: StreamStatus, to: StreamStatus, steps: &[Step]) {
        assert_eq!(from.steps_to(to), steps, "{from:?} to {to:?}");
    }

    #[test]
    fn disabling_discards_and_enabling_resumes() {
        check(Enabled, Paused, &[]);
        check(Paused, Enabled, &[Resume]);
        check(Enabled, Disabled, &[Discard]);
        check(Paused, Disabled, &[Discard]);
        check(Disabled, Enabled, &[Resume]);
        check(Disabled, Paused, &[]);
        check(Enabled, Enabled, &[]);
    }
}
