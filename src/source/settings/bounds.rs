//! How a source answers, and how much it takes.

use std::time::Duration;

use serde::Deserialize;

use super::{SourceMistake, list, mistake, number};
use crate::source::handshake::Handshake;

/// The body of an answer to a request that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerBody {
    #[default]
    None,
    /// How many records were accepted, dropped and rejected.
    Counts,
}

/// The keys of a source's table about its answers and its bounds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BoundSettings {
    pub handshake: Handshake,
    /// The status of the answer to a request that was taken in: 200, 202 or 204.
    #[serde(deserialize_with = "number")]
    pub answer: u16,
    pub answer_body: AnswerBody,
    /// The status of the answer to a verified body that cannot be read: 400, or 200 for senders that repeat
    /// such a request for ever.
    #[serde(deserialize_with = "number")]
    pub malformed_answer: u16,
    /// The longest time from the end of a request to its answer. A slower one is answered 503, and the work
    /// goes on.
    #[serde(with = "humantime_serde")]
    pub answer_timeout: Duration,
    /// The largest body, in bytes. A larger one is answered 413.
    #[serde(deserialize_with = "number")]
    pub body_bytes_max: usize,
    /// The most records of one body.
    #[serde(deserialize_with = "number")]
    pub records_max: usize,
    /// How long the ids of the source's events are remembered. `None` stands for the time of the store.
    #[serde(with = "humantime_serde")]
    pub event_id_retention: Option<Duration>,
    /// A record that is older is rejected, because it comes from a replay.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
    /// The most events in a minute. Further ones are held for an operator. 0 means no limit.
    #[serde(deserialize_with = "number")]
    pub events_per_minute_max: u32,
    /// The most events that are held. Further requests are answered 503.
    #[serde(deserialize_with = "number")]
    pub held_max: usize,
    #[serde(with = "humantime_serde")]
    pub held_retention: Duration,
    /// The most rejected records that are kept. The oldest go first.
    #[serde(deserialize_with = "number")]
    pub rejected_max: usize,
    #[serde(with = "humantime_serde")]
    pub rejected_retention: Duration,
    /// The places, as JSON Pointers, whose values are replaced before a rejected record is kept.
    #[serde(deserialize_with = "list")]
    pub redact: Vec<String>,
    /// How long the last value of an on-change gate is remembered.
    #[serde(with = "humantime_serde")]
    pub gate_retention: Duration,
}

impl Default for BoundSettings {
    fn default() -> Self {
        Self {
            handshake: Handshake::None,
            answer: 200,
            answer_body: AnswerBody::None,
            malformed_answer: 400,
            answer_timeout: Duration::from_millis(500),
            body_bytes_max: 1 << 20,
            records_max: 10_000,
            event_id_retention: None,
            max_age: Duration::from_hours(7 * 24),
            events_per_minute_max: 600,
            held_max: 10_000,
            held_retention: Duration::from_hours(7 * 24),
            rejected_max: 1000,
            rejected_retention: Duration::from_hours(7 * 24),
            redact: Vec::new(),
            gate_retention: Duration::from_hours(400 * 24),
        }
    }
}

/// The largest body that a source may allow, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;
/// The most records that a source may allow in a body.
const RECORDS_MAX: usize = 100_000;
/// The longest time until an answer.
const ANSWER_TIMEOUT_MAX: Duration = Duration::from_mins(1);
/// The most events that a source may hold, and the most records that it may keep. They are read at once.
const KEPT_MAX: usize = 100_000;
/// The longest time for which ids are remembered.
const ID_RETENTION_MAX: Duration = Duration::from_hours(366 * 24);

impl BoundSettings {
    /// The names of the keys.
    pub const KEYS: [&'static str; 16] = [
        "handshake",
        "answer",
        "answer_body",
        "malformed_answer",
        "answer_timeout",
        "body_bytes_max",
        "records_max",
        "event_id_retention",
        "max_age",
        "events_per_minute_max",
        "held_max",
        "held_retention",
        "rejected_max",
        "rejected_retention",
        "redact",
        "gate_retention",
    ];

    /// Has the ids of a source that polls remembered for as long as its records may come. A record that came
    /// by webhook would otherwise give another event when the poll brings it days later.
    pub(super) fn remember_polled(&mut self) -> Result<(), SourceMistake> {
        match self.event_id_retention {
            None => self.event_id_retention = Some(self.max_age),
            Some(retention) if retention < self.max_age => {
                let rule = "must be at least `max_age` for a source that polls, because a poll may bring a \
                            record that late";
                return mistake("event_id_retention", rule);
            }
            Some(_) => {}
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), SourceMistake> {
        if ![200, 202, 204].contains(&self.answer) {
            return mistake("answer", "must be 200, 202 or 204");
        }
        if self.answer == 204 && self.answer_body == AnswerBody::Counts {
            return mistake("answer_body", "must be `none` with `answer = 204`, which has no body");
        }
        if ![400, 200].contains(&self.malformed_answer) {
            return mistake("malformed_answer", "must be 400 or 200");
        }
        if self.answer_timeout.is_zero() || ANSWER_TIMEOUT_MAX < self.answer_timeout {
            return mistake("answer_timeout", "must be longer than 0 and at most 1m");
        }
        for (key, value, most) in [
            ("body_bytes_max", self.body_bytes_max, BODY_BYTES_MAX),
            ("records_max", self.records_max, RECORDS_MAX),
            ("held_max", self.held_max, KEPT_MAX),
            ("rejected_max", self.rejected_max, KEPT_MAX),
        ] {
            if !(1..=most).contains(&value) {
                return mistake(key, format!("must be between 1 and {most}"));
            }
        }
        for (key, span) in [
            ("max_age", self.max_age),
            ("held_retention", self.held_retention),
            ("rejected_retention", self.rejected_retention),
            ("gate_retention", self.gate_retention),
        ] {
            if span.is_zero() {
                return mistake(key, "must be longer than 0");
            }
        }
        if self.event_id_retention.is_some_and(|retention| ID_RETENTION_MAX < retention) {
            return mistake("event_id_retention", "must be at most 366 days");
        }
        if let Some(pointer) = self.redact.iter().find(|pointer| !pointer.starts_with('/')) {
            let rule = format!("lists `{pointer}`, which is no JSON Pointer: begin it with `/`");
            return mistake("redact", rule);
        }
        Ok(())
    }
}
