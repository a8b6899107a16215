//! Poll delivery (RFC 8936) as plain values.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{id::Jti, set_error::SetError};

/// The longest that a long poll may be made to wait.
pub const WAIT_MAX: Duration = Duration::from_mins(5);

/// The most SETs that one poll may acknowledge, and the most that it may refuse.
pub const ACKS_MAX: usize = 10_000;

/// How poll streams are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PollSettings {
    /// SETs in one answer when the Receiver names no `maxEvents`.
    pub events_default: usize,
    /// SETs in one answer at most, whatever the Receiver asks for.
    pub events_max: usize,
    /// How long a long poll waits for a SET.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
    /// Long polls of one stream that wait at a time; a further one is answered at once.
    pub waiting_max: usize,
    /// How long a SET that was handed out and not acknowledged stays away from further polls
    /// (RFC 8936 §2.4).
    #[serde(with = "humantime_serde")]
    pub redelivery_interval: Duration,
}

impl Default for PollSettings {
    fn default() -> Self {
        Self {
            events_default: 100,
            events_max: 1000,
            wait: Duration::from_secs(30),
            waiting_max: 16,
            redelivery_interval: Duration::from_secs(30),
        }
    }
}

/// One poll (RFC 8936 §2.2). The defaults are those of an empty object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PollRequest {
    pub max_events: Option<usize>,
    pub return_immediately: bool,
    pub ack: Vec<Jti>,
    pub set_errs: Vec<(Jti, SetError)>,
}

impl PollRequest {
    /// How many SETs may go into the answer.
    pub fn limit(&self, settings: &PollSettings) -> usize {
        self.max_events.unwrap_or(settings.events_default).min(settings.events_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(max_events: Option<usize>, limit: usize) {
        let request = PollRequest { max_events, ..PollRequest::default() };
        assert_eq!(request.limit(&PollSettings::default()), limit);
    }

    #[test]
    fn the_receiver_bounds_an_answer_within_our_bound() {
        check(None, 100);
        check(Some(0), 0);
        check(Some(250), 250);
        check(Some(1_000_000), 1000);
    }
}
