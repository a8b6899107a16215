//! How the delivery of a stream stands, as operators see it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    delivery::courier::{BreakerReport, CourierReport},
    domain::time::Timestamp,
    transmitter::poll_log::PollMarks,
};

/// How the courier of a push stream stands on the node that answers. Times are seconds since 1970.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CourierState")]
pub struct CourierView {
    /// SETs in memory.
    pub window: usize,
    /// SETs whose attempt is under way.
    pub in_flight: usize,
    /// SETs in memory that wait for an attempt.
    pub ready: usize,
    pub breaker: BreakerView,
    /// Present while attempts are slowed down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slowdown: Option<SlowdownView>,
    pub room: RoomView,
    /// When the next SET is tried again, as far as the courier knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_retry_at: Option<i64>,
    /// The last attempt that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_outcome: Option<LastOutcomeView>,
    /// When the Receiver last accepted a SET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<i64>,
    /// Whether this node starts no further attempt, because it stops or hands the stream over.
    pub draining: bool,
}

/// Whether the endpoint is tried at all.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BreakerState")]
pub struct BreakerView {
    /// `closed`, `open` while the endpoint is cut off, or `probing` while one attempt tries it.
    pub state: String,
    /// Until when the endpoint is cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

/// How far attempts are slowed down, because all of them fail.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SlowdownState")]
pub struct SlowdownView {
    /// Attempts that failed in a row.
    pub failures: u32,
    /// The most attempts that may be under way at a time.
    pub in_flight_max: usize,
}

/// Room for attempts at the endpoint's host, beside that of the attempts under way.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RoomState")]
pub struct RoomView {
    /// Attempts that have room and have not begun.
    pub held: usize,
    /// Attempts that wait for room.
    pub awaited: usize,
}

/// An attempt that ended.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LastOutcome")]
pub struct LastOutcomeView {
    /// A label of `ssfd_push_attempts_total`.
    pub outcome: String,
    /// The Receiver's answer, or why the Receiver was not reached. Empty after a success.
    pub detail: String,
    pub at: i64,
}

/// How a poll stream was polled on the node that answers, since the node started. Times are seconds
/// since 1970.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PollingState")]
pub struct PollingView {
    /// Polls that wait for a SET.
    pub long_polls: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_poll_at: Option<i64>,
    /// When SETs were last handed out, and how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handed_out_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handed_out: Option<usize>,
    /// When the Receiver last acknowledged or refused SETs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<i64>,
}

impl From<CourierReport> for CourierView {
    fn from(report: CourierReport) -> Self {
        let last = report.last_outcome;
        Self {
            window: report.window,
            in_flight: report.in_flight,
            ready: report.ready,
            breaker: report.breaker.into(),
            slowdown: report.slowdown.map(|slow| SlowdownView {
                failures: slow.failures,
                in_flight_max: slow.in_flight_max,
            }),
            room: RoomView { held: report.room.held, awaited: report.room.awaited },
            next_retry_at: report.next_retry.map(Timestamp::as_secs),
            last_outcome: last.map(|last| LastOutcomeView {
                outcome: last.class.to_owned(),
                detail: last.detail,
                at: last.at.as_secs(),
            }),
            last_success_at: report.last_success.map(Timestamp::as_secs),
            draining: report.draining,
        }
    }
}

impl From<BreakerReport> for BreakerView {
    fn from(breaker: BreakerReport) -> Self {
        let (state, until) = match breaker {
            BreakerReport::Closed => ("closed", None),
            BreakerReport::Open { until } => ("open", Some(until.as_secs())),
            BreakerReport::Probing => ("probing", None),
        };
        Self { state: state.to_owned(), until }
    }
}

impl PollingView {
    pub(super) fn of(marks: PollMarks, long_polls: usize) -> Self {
        Self {
            long_polls,
            last_poll_at: marks.last_poll.map(Timestamp::as_secs),
            handed_out_at: marks.handed_out.map(|(at, _)| at.as_secs()),
            handed_out: marks.handed_out.map(|(_, sets)| sets),
            acknowledged_at: marks.last_acknowledged.map(Timestamp::as_secs),
        }
    }
}
