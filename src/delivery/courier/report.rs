//! How the pushing of one stream stands, as a value that an operator may be shown.

use crate::{delivery::outcome::Outcome, domain::time::Timestamp};

/// The state of one courier at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourierReport {
    /// SETs in memory: ready, in flight, or with a result that is being recorded.
    pub window: usize,
    /// SETs whose attempt is under way.
    pub in_flight: usize,
    /// SETs that wait in memory for an attempt.
    pub ready: usize,
    pub breaker: BreakerReport,
    /// `None` while attempts are not slowed down.
    pub slowdown: Option<SlowdownReport>,
    pub room: RoomReport,
    /// When the store has a further SET to try again, as far as it is known.
    pub next_retry: Option<Timestamp>,
    /// `None` until the first attempt has ended.
    pub last_outcome: Option<LastOutcome>,
    /// When the Receiver last accepted a SET.
    pub last_success: Option<Timestamp>,
    /// No further attempt starts, because this node stops or hands the stream over.
    pub draining: bool,
}

/// Whether the endpoint is tried at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerReport {
    Closed,
    /// No attempt starts before `until`; the first one after that probes the endpoint.
    Open {
        until: Timestamp,
    },
    /// One attempt probes the endpoint.
    Probing,
}

/// How far attempts are slowed down because all of them fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowdownReport {
    /// Attempts that failed in a row.
    pub failures: u32,
    /// How many attempts may be under way at a time.
    pub in_flight_max: usize,
}

/// Room for attempts at the endpoint's host, beside what the attempts under way take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoomReport {
    /// Attempts for which there is room and that have not begun.
    pub held: usize,
    /// Attempts for which room is waited for.
    pub awaited: usize,
}

/// The last attempt that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastOutcome {
    /// [`Outcome::class`], a metric label.
    pub class: &'static str,
    /// The answer of the Receiver, or why the endpoint was not reached; bounded, and empty after a success.
    pub detail: String,
    pub at: Timestamp,
}

impl LastOutcome {
    pub(in crate::delivery) fn of(outcome: &Outcome, at: Timestamp) -> Self {
        let detail = match outcome {
            Outcome::Accepted { .. } => String::new(),
            Outcome::Refused(error) => format!("{}: {}", error.err, error.description),
            Outcome::Failed { detail, .. } => detail.clone(),
        };
        Self { class: outcome.class(), detail, at }
    }
}
