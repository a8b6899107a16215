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
    /// About the largest answer, in bytes. One SET goes out however large it is.
    pub answer_bytes_max: usize,
    /// The longest time that a long poll waits for a SET. The default is below the 30 s after which
    /// several Receivers and proxies give up a request.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
    /// The most long polls of one stream that wait at a time. If there is a further one, the oldest is
    /// answered. With 0, each poll is answered at once.
    pub waiting_max: usize,
    /// How long a SET that was handed out and not acknowledged stays away from further polls
    /// (RFC 8936 §2.4).
    #[serde(with = "humantime_serde")]
    pub redelivery_interval: Duration,
    /// The age at which a SET that no poll acknowledged becomes a dead letter.
    #[serde(with = "humantime_serde")]
    pub give_up_after: Duration,
}

impl Default for PollSettings {
    fn default() -> Self {
        Self {
            events_default: 100,
            events_max: 1000,
            answer_bytes_max: 4 << 20,
            wait: Duration::from_secs(25),
            waiting_max: 16,
            redelivery_interval: Duration::from_secs(30),
            give_up_after: Duration::from_hours(30 * 24),
        }
    }
}

/// One poll (RFC 8936 §2.2). The defaults are those of an empty object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PollRequest {
    pub max_events: Option<usize>,
    pub return_immediately: bool,
    /// The longest time to wait, which is no member of RFC 8936 but one that Receivers send.
    pub timeout: Option<Duration>,
    pub ack: Vec<Jti>,
    pub set_errs: Vec<(Jti, SetError)>,
}

impl PollRequest {
    /// How much may go into the answer.
    pub fn limit(&self, settings: &PollSettings) -> PollLimit {
        let sets = self.max_events.unwrap_or(settings.events_default).min(settings.events_max);
        PollLimit { sets, bytes: settings.answer_bytes_max }
    }

    /// How long the poll may wait.
    pub fn wait(&self, settings: &PollSettings) -> Duration {
        self.timeout.map_or(settings.wait, |timeout| timeout.min(settings.wait))
    }
}

/// How much one poll may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollLimit {
    pub sets: usize,
    /// The bytes of the answer. The first SET may exceed them, because it could never go out otherwise.
    pub bytes: usize,
}

impl PollLimit {
    /// The bytes of an answer that a SET takes besides its claims: its header, its signature by a key of
    /// 4096 bits, and its `jti`.
    pub const SET_OVERHEAD: usize = 1024;

    /// Returns a limit on the number of SETs alone.
    pub fn of(sets: usize) -> Self {
        Self { sets, bytes: usize::MAX }
    }

    pub fn room(self) -> PollRoom {
        PollRoom { limit: self, sets: 0, bytes: 0 }
    }

    /// Returns how many of these SETs may be taken, from the first on, by the lengths of their claims.
    pub fn fit(self, claims: impl IntoIterator<Item = usize>) -> usize {
        let mut room = self.room();
        claims.into_iter().take_while(|claims| room.takes(*claims)).count()
    }
}

/// The room that is left in the answer to one poll.
#[derive(Debug)]
pub struct PollRoom {
    limit: PollLimit,
    sets: usize,
    bytes: usize,
}

impl PollRoom {
    /// Returns whether a SET with claims of this length may be taken as well, and reckons with it.
    pub fn takes(&mut self, claims: usize) -> bool {
        // The claims are encoded in base64.
        self.bytes = self.bytes.saturating_add(claims.div_ceil(3) * 4 + PollLimit::SET_OVERHEAD);
        self.sets += 1;
        self.sets <= self.limit.sets && (self.sets == 1 || self.bytes <= self.limit.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(max_events: Option<usize>, limit: usize) {
        let request = PollRequest { max_events, ..PollRequest::default() };
        let expected = PollLimit { sets: limit, bytes: 4 << 20 };
        assert_eq!(request.limit(&PollSettings::default()), expected);
    }

    #[test]
    fn an_answer_is_bounded_in_sets_and_bytes_but_has_one_set_of_any_size() {
        let fit =
            |sets, bytes, claims: &[usize]| PollLimit { sets, bytes }.fit(claims.iter().copied());
        assert_eq!(fit(2, usize::MAX, &[300; 3]), 2);
        assert_eq!(fit(0, usize::MAX, &[300; 3]), 0);
        let two = 2 * (400 + PollLimit::SET_OVERHEAD);
        assert_eq!(fit(9, two, &[300; 3]), 2);
        assert_eq!(fit(9, two - 1, &[300; 3]), 1);
        assert_eq!(fit(9, 1, &[300; 3]), 1);
        assert_eq!(fit(9, 1, &[]), 0);
    }

    #[test]
    fn the_receiver_bounds_an_answer_within_our_bound() {
        check(None, 100);
        check(Some(0), 0);
        check(Some(250), 250);
        check(Some(1_000_000), 1000);
    }

    #[test]
    fn the_receiver_bounds_a_wait_within_our_bound() {
        for (timeout, wait) in [(None, 25), (Some(0), 0), (Some(10), 10), (Some(3600), 25)] {
            let timeout = timeout.map(Duration::from_secs);
            let request = PollRequest { timeout, ..PollRequest::default() };
            assert_eq!(request.wait(&PollSettings::default()), Duration::from_secs(wait));
        }
    }
}
