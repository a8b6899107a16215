//! How the delivery of one stream stands, and one sentence that says why it does not deliver.

use std::{fmt::Write as _, time::Duration};

use humantime_serde::re::humantime;

use super::poll_log::PollMarks;
use crate::{
    delivery::courier::{BreakerReport, CourierReport, LastOutcome},
    domain::{status::StreamStatus, stream::StreamConfig, time::Timestamp},
    store::Waiting,
};

/// How the delivery of one stream stands on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryState {
    /// The SETs in the outbox.
    pub waiting: Waiting,
    /// The state of pushing or polling, as this node knows it.
    pub here: Here,
    /// See [`StreamConfig::asks_in_vain`].
    pub in_vain: bool,
}

/// The state of a stream's delivery, as this node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Here {
    /// Another node pushes the stream.
    ElsewherePushed,
    /// This node pushes the stream. `None` while no courier is at work.
    Pushed(Option<CourierReport>),
    /// Every node answers polls.
    Polled { marks: PollMarks, long_polls: usize },
}

impl DeliveryState {
    /// Says in one sentence why the stream does not deliver at `now`, or that an attempt is under way.
    pub fn sentence(&self, stream: &StreamConfig, now: Timestamp) -> String {
        let because = |reason: &Option<String>| match reason {
            Some(reason) => format!(" (reason: {reason})"),
            None => String::new(),
        };
        match stream.status {
            StreamStatus::Enabled => {}
            StreamStatus::Paused => {
                let because = because(&stream.reason);
                return format!(
                    "The stream is paused{because} and holds its SETs until it is enabled."
                );
            }
            StreamStatus::Disabled => {
                let because = because(&stream.reason);
                return format!("The stream is disabled{because} and takes no SETs.");
            }
        }
        if self.waiting.sets == 0 && self.in_vain {
            return "No SET waits, and no event will come, because the stream's `events_requested` has \
                    no type that the provider supports."
                .to_owned();
        }
        if self.waiting.sets == 0 {
            return "No SET waits.".to_owned();
        }
        match &self.here {
            Here::ElsewherePushed => {
                "Another node delivers this stream; ask that node for more.".to_owned()
            }
            Here::Pushed(Some(courier)) => pushing(courier, now),
            Here::Pushed(None) => {
                "No courier is at work; the next sweep starts one if a SET is due.".to_owned()
            }
            Here::Polled { marks, long_polls } => polling(marks, *long_polls, now),
        }
    }
}

/// Says why a courier does not deliver the SETs that wait. The first obstacle that holds all of them
/// decides.
fn pushing(courier: &CourierReport, now: Timestamp) -> String {
    let CourierReport { in_flight, next_retry, last_outcome, .. } = courier;
    let failed = last_outcome.as_ref().filter(|outcome| is_failure(outcome)).map(describe);
    let mut sentence = if courier.draining {
        "This node starts no further attempt, because it stops or hands the stream over".to_owned()
    } else {
        match (courier.breaker, courier.slowdown, in_flight) {
            (BreakerReport::Open { until }, ..) => format!(
                "The endpoint is cut off for another {}, because its last attempts failed",
                span(until.since(now)),
            ),
            (BreakerReport::Probing, ..) => {
                "One attempt probes the endpoint, which was cut off".to_owned()
            }
            (_, Some(slow), _) => format!(
                "The stream slows down to {} at a time, because its last {} failed",
                counted(slow.in_flight_max, "attempt"),
                counted(usize::try_from(slow.failures).unwrap_or(usize::MAX), "attempt"),
            ),
            (_, None, 0) if 0 < courier.room.awaited => {
                "The stream waits for room at its endpoint's host, which other streams use"
                    .to_owned()
            }
            (_, None, 0) if 0 < courier.window => "An attempt is about to start".to_owned(),
            (_, None, 0) if next_retry.is_some() => {
                "All SETs that may go wait for a retry".to_owned()
            }
            (_, None, 0) => "The courier is about to read the outbox".to_owned(),
            (_, None, 1) => "One attempt is under way".to_owned(),
            (_, None, several) => format!("{several} attempts are under way"),
        }
    };
    if let Some(at) = next_retry {
        let span = span(at.since(now));
        write!(sentence, "; the next retry is in {span}").expect("a string takes all");
    }
    if let Some(failed) = failed {
        write!(sentence, "; the last attempt failed: {failed}").expect("a string takes all");
    }
    sentence + "."
}

/// Says why the SETs of a poll stream wait.
fn polling(marks: &PollMarks, long_polls: usize, now: Timestamp) -> String {
    match (marks.last_poll, marks.unacknowledged()) {
        (None, _) => "The Receiver has not polled this node since the node started.".to_owned(),
        (Some(_), Some((at, sets))) => format!(
            "The Receiver was handed {} {} ago and has acknowledged nothing since.",
            counted(sets, "SET"),
            span(now.since(at)),
        ),
        (Some(_), None) if 0 < long_polls => {
            "A poll waits, and is answered as soon as a SET may go out.".to_owned()
        }
        (Some(at), None) => {
            let span = span(now.since(at));
            format!("The SETs wait for the next poll; the Receiver polled last {span} ago.")
        }
    }
}

fn is_failure(outcome: &LastOutcome) -> bool {
    !outcome.class.starts_with("accepted")
}

/// Returns the class of an outcome and the detail, which may be empty.
fn describe(outcome: &LastOutcome) -> String {
    match outcome.detail.as_str() {
        "" => outcome.class.to_owned(),
        detail => format!("{}, {detail}", outcome.class),
    }
}

/// Returns a span in whole seconds, as `1m 5s`.
fn span(span: Duration) -> String {
    humantime::format_duration(Duration::from_secs(span.as_secs())).to_string()
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        delivery::courier::{RoomReport, SlowdownReport},
        domain::stream::Delivery,
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[track_caller]
    fn check(stream: &StreamConfig, sets: u64, here: Here, expected: &str) {
        let waiting = Waiting { sets, oldest: None };
        let state = DeliveryState { waiting, here, in_vain: false };
        assert_eq!(state.sentence(stream, at(1000)), expected);
    }

    fn idle() -> CourierReport {
        CourierReport {
            window: 0,
            in_flight: 0,
            ready: 0,
            breaker: BreakerReport::Closed,
            slowdown: None,
            room: RoomReport::default(),
            next_retry: None,
            last_outcome: None,
            last_success: None,
            draining: false,
        }
    }

    fn timed_out() -> LastOutcome {
        LastOutcome { class: "timeout", detail: "no answer".to_owned(), at: at(0) }
    }

    #[track_caller]
    fn check_push(courier: CourierReport, expected: &str) {
        check(&StreamConfig::example("a"), 3, Here::Pushed(Some(courier)), expected);
    }

    #[test]
    fn a_status_that_is_not_enabled_comes_first() {
        let with = |status, reason: Option<&str>| StreamConfig {
            status,
            reason: reason.map(str::to_owned),
            ..StreamConfig::example("a")
        };
        let cut_off = BreakerReport::Open { until: at(1065) };
        let courier = Here::Pushed(Some(CourierReport { breaker: cut_off, ..idle() }));
        check(
            &with(StreamStatus::Paused, Some("moving house")),
            3,
            courier.clone(),
            "The stream is paused (reason: moving house) and holds its SETs until it is enabled.",
        );
        check(
            &with(StreamStatus::Paused, None),
            0,
            courier.clone(),
            "The stream is paused and holds its SETs until it is enabled.",
        );
        let expected = "The stream is disabled (reason: over) and takes no SETs.";
        check(&with(StreamStatus::Disabled, Some("over")), 0, courier, expected);
    }

    #[test]
    fn a_stream_without_sets_has_no_obstacle() {
        let stream = StreamConfig::example("a");
        for here in [Here::ElsewherePushed, Here::Pushed(None), Here::Pushed(Some(idle()))] {
            check(&stream, 0, here, "No SET waits.");
        }
    }

    #[test]
    fn the_first_obstacle_of_a_courier_is_named() {
        let stream = StreamConfig::example("a");
        check(
            &stream,
            3,
            Here::Pushed(None),
            "No courier is at work; the next sweep starts one if a SET is due.",
        );
        check(
            &stream,
            3,
            Here::ElsewherePushed,
            "Another node delivers this stream; ask that node for more.",
        );
        check_push(idle(), "The courier is about to read the outbox.");
        check_push(CourierReport { window: 2, ..idle() }, "An attempt is about to start.");
        check_push(CourierReport { in_flight: 1, ..idle() }, "One attempt is under way.");
        check_push(CourierReport { in_flight: 4, ..idle() }, "4 attempts are under way.");
        let room = RoomReport { held: 0, awaited: 1 };
        check_push(
            CourierReport { room, window: 2, ..idle() },
            "The stream waits for room at its endpoint's host, which other streams use.",
        );
        check_push(CourierReport { room, in_flight: 1, ..idle() }, "One attempt is under way.");
        check_push(
            CourierReport { next_retry: Some(at(1065)), last_outcome: Some(timed_out()), ..idle() },
            "All SETs that may go wait for a retry; the next retry is in 1m 5s; \
             the last attempt failed: timeout, no answer.",
        );
        let slowdown = Some(SlowdownReport { failures: 12, in_flight_max: 1 });
        check_push(
            CourierReport { slowdown, room, last_outcome: Some(timed_out()), ..idle() },
            "The stream slows down to 1 attempt at a time, because its last 12 attempts failed; the \
             last attempt failed: timeout, no answer.",
        );
        let breaker = BreakerReport::Open { until: at(1065) };
        check_push(
            CourierReport { breaker, slowdown, last_outcome: Some(timed_out()), ..idle() },
            "The endpoint is cut off for another 1m 5s, because its last attempts \
             failed; the last attempt failed: timeout, no answer.",
        );
        check_push(
            CourierReport { breaker: BreakerReport::Probing, in_flight: 1, ..idle() },
            "One attempt probes the endpoint, which was cut off.",
        );
        check_push(
            CourierReport { breaker, draining: true, ..idle() },
            "This node starts no further attempt, because it stops or hands the stream over.",
        );
        let accepted = LastOutcome { class: "accepted", detail: String::new(), at: at(0) };
        check_push(
            CourierReport { in_flight: 1, last_outcome: Some(accepted), ..idle() },
            "One attempt is under way.",
        );
    }

    #[test]
    fn a_poll_stream_waits_for_its_receiver() {
        let stream = StreamConfig { delivery: Delivery::Poll, ..StreamConfig::example("a") };
        let here = |last_poll, handed_out, last_acknowledged, long_polls| Here::Polled {
            marks: PollMarks { last_poll, handed_out, last_acknowledged },
            long_polls,
        };
        check(
            &stream,
            2,
            here(None, None, None, 0),
            "The Receiver has not polled this node since the node started.",
        );
        let handed =
            "The Receiver was handed 2 SETs 16m 35s ago and has acknowledged nothing since.";
        check(&stream, 2, here(Some(at(9)), Some((at(5), 2)), None, 0), handed);
        check(&stream, 2, here(Some(at(9)), Some((at(5), 2)), Some(at(4)), 1), handed);
        check(
            &stream,
            2,
            here(Some(at(9)), Some((at(5), 2)), Some(at(6)), 0),
            "The SETs wait for the next poll; the Receiver polled last 16m 31s ago.",
        );
        check(
            &stream,
            2,
            here(Some(at(9)), None, None, 1),
            "A poll waits, and is answered as soon as a SET may go out.",
        );
    }
}
