//! The courier in a small world, in any order that chance brings: steps that it must never take, and
//! ends that it must always come to.

mod endpoint;
mod new_key;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use self::world::{CONTROL_LANE, Pending, World, settings};
use super::*;
use crate::{
    delivery::{
        lane::Lane,
        outbox::{Seq, SetKind},
        outcome::{FailureClass, Outcome},
    },
    domain::set_error::SetError,
};

const ACCEPTED: Outcome = Outcome::Accepted { status: 202 };

fn failed(class: FailureClass) -> Outcome {
    Outcome::failed(class, "")
}

fn key_refused() -> Outcome {
    Outcome::Refused(SetError::new("invalid_key", "unknown kid"))
}

#[derive(Debug, Clone)]
enum Move {
    Append {
        lane: i64,
        control: bool,
    },
    Complete {
        index: usize,
        dice: u8,
    },
    /// The store has a change of which the courier is not told yet.
    Foresee {
        flow: Flow,
    },
    Change {
        flow: Flow,
        announced: bool,
    },
    Advance {
        millis: u64,
    },
    HostRoom {
        room: usize,
    },
    Lease {
        confirmed: bool,
    },
    Signing {
        slow: bool,
    },
    RemoveSubjects,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let flow = || prop_oneof![Just(Flow::All), Just(Flow::Announcements), Just(Flow::Nothing)];
    let one = prop_oneof![
        4 => (0..9i64, prop::bool::weighted(0.1)).prop_map(|(lane, control)| Move::Append {
            lane: if control { CONTROL_LANE } else { lane },
            control,
        }),
        8 => (any::<usize>(), any::<u8>())
            .prop_map(|(index, dice)| Move::Complete { index, dice }),
        1 => flow().prop_map(|flow| Move::Foresee { flow }),
        2 => (flow(), any::<bool>())
            .prop_map(|(flow, announced)| Move::Change { flow, announced }),
        2 => (0..400_000u64).prop_map(|millis| Move::Advance { millis }),
        1 => (0..4usize).prop_map(|room| Move::HostRoom { room }),
        1 => any::<bool>().prop_map(|confirmed| Move::Lease { confirmed }),
        1 => any::<bool>().prop_map(|slow| Move::Signing { slow }),
        1 => Just(Move::RemoveSubjects),
    ];
    prop::collection::vec(one, 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    /// Nothing is lost, nothing is sent after it was settled, a lane keeps its order also where its
    /// head is not in memory, and the bounds hold, under any interleaving.
    #[test]
    fn every_set_is_settled_once_and_in_its_order(moves in moves()) {
        let mut world = World::new(settings());
        for one in moves {
            match one {
                Move::Append { lane, control } => {
                    world.append(lane, if control { SetKind::Control } else { SetKind::Event });
                }
                Move::Complete { index, dice } => world.complete(index, dice),
                Move::Foresee { flow } => world.stored = flow,
                Move::Change { flow, announced } => world.change(flow, announced),
                Move::Advance { millis } => world.advance(Duration::from_millis(millis)),
                Move::HostRoom { room } => {
                    world.host_room = room;
                    world.nudge();
                }
                Move::Lease { confirmed } => world.leased = confirmed,
                Move::Signing { slow } => world.signs_slowly = slow,
                Move::RemoveSubjects => world.remove_subjects(),
            }
        }
        world.finish();
    }

    /// However many lanes fail and whenever: while no time passes, so that no retry is due, all
    /// others are delivered.
    #[test]
    fn a_lane_that_can_be_delivered_is_whatever_fails(
        failing in prop::collection::btree_set(0..60i64, 0..60),
        appended in prop::collection::vec(0..60i64, 1..150),
    ) {
        let mut world = World::new(settings());
        for lane in &appended {
            world.append(*lane, SetKind::Event);
        }
        let fails = |lane: Lane| failing.contains(&lane.as_i64());
        world.run(|set| if fails(set.lane) { failed(FailureClass::Unavailable) } else { ACCEPTED });
        for row in world.rows.values() {
            prop_assert_eq!(row.settled, !fails(row.set.lane), "{:?}", row.set);
        }
        prop_assert!(world.courier.window.is_empty(), "a SET that waits for a retry takes no room");
    }
}

#[test]
fn a_set_that_waits_holds_back_its_own_lane_only() {
    let mut world = World::new(settings());
    for lane in [1, 1, 2] {
        world.append(lane, SetKind::Event);
    }
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [Seq(1), Seq(3)]);
    world.attempt_ends(Seq(1), &failed(FailureClass::Unavailable));
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [Seq(3)]);
}

/// The store answers reads beside recordings, and either answer may come first.
#[test]
fn a_read_may_know_of_a_recording_before_the_courier_does() {
    let mut world = World::new(settings());
    let (first, second) = (world.append(1, SetKind::Event), world.append(1, SetKind::Event));
    world.drain_but_attempts();
    world.input(|courier, view| courier.on_wake(false, view));
    world.attempt_ends(first, &ACCEPTED);
    let Some(Pending::Settle(_)) = world.pending.pop() else { panic!("{:?}", world.pending) };
    assert!(matches!(world.pending.pop(), Some(Pending::Read(..))));

    let read = vec![world.rows[&second].set.clone()];
    world.rows.get_mut(&first).expect("appended").settled = true;
    world.input(|courier, view| courier.on_read(read, None, view));
    assert_eq!(world.attempts(), [second]);
    world.input(|courier, view| courier.on_settled(true, view));
    assert_eq!(world.pending.len(), 2, "a read, and no more");
}

/// The head of a lane was discarded while its attempt was under way, and the courier was not told yet.
#[test]
fn nothing_overtakes_an_attempt_at_a_set_that_the_store_has_discarded() {
    let mut world = World::new(settings());
    let (first, second) = (world.append(1, SetKind::Event), world.append(1, SetKind::Event));
    world.drain_but_attempts();
    world.input(|courier, view| courier.on_wake(false, view));
    assert!(matches!(world.pending.pop(), Some(Pending::Read(..))));
    let read = vec![world.rows[&second].set.clone()];
    world.input(|courier, view| courier.on_read(read, None, view));
    assert_eq!(world.attempts(), [first]);

    world.remove_subjects();
    assert_eq!(world.attempts(), [first]);
    world.attempt_ends(first, &ACCEPTED);
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [second]);
}

/// Retries that are due all the time, more of them than the window holds, leave half of it to SETs
/// that were not tried yet.
#[test]
fn new_sets_are_not_starved_by_retries() {
    for window_max in [1, 2, 3, 6] {
        let mut settings = DeliverySettings { in_flight_max: 1, window_max, ..settings() };
        settings.retry.schedule = vec![Duration::ZERO];
        let mut world = World::new(settings);
        for lane in 0..40 {
            world.append(lane, SetKind::Event);
        }
        let mut attempts = 0;
        while world.received.len() < 3 {
            world.drain_but_attempts();
            let seq = world.attempts()[0];
            let good = 40 <= world.rows[&seq].set.lane.as_i64();
            world.attempt_ends(seq, &if good { ACCEPTED } else { failed(FailureClass::Throttled) });
            attempts += 1;
            if attempts == 100 {
                for lane in 40..43 {
                    world.append(lane, SetKind::Event);
                }
            }
        }
        assert!(attempts < 100 + 4 * window_max + 6, "{attempts} with a window of {window_max}");
    }
}

/// And the other way round.
#[test]
fn retries_are_not_starved_by_new_sets() {
    for window_max in [1, 2, 6] {
        let mut settings = DeliverySettings { in_flight_max: 1, window_max, ..settings() };
        settings.retry.schedule = vec![Duration::ZERO];
        let mut world = World::new(settings);
        let first = world.append(0, SetKind::Event);
        for lane in 1..100 {
            world.append(lane, SetKind::Event);
        }
        world.drain_but_attempts();
        world.attempt_ends(first, &failed(FailureClass::Throttled));
        let mut attempts = 0;
        while !world.rows[&first].settled {
            world.drain_but_attempts();
            let seq = world.attempts()[0];
            world.attempt_ends(seq, &ACCEPTED);
            world.drain_but_attempts();
            attempts += 1;
        }
        assert!(attempts < 3 * window_max + 4, "{attempts} with a window of {window_max}");
    }
}

/// Other streams have the capacity that a failing stream leaves, and its first success ends that.
#[test]
fn attempts_are_apart_while_all_fail() {
    let apart = Duration::from_millis(50);
    let mut settings = DeliverySettings { failing_attempt_interval: apart, ..settings() };
    settings.retry.schedule = vec![Duration::from_hours(1)];
    let mut world = World::new(settings);
    for lane in 0..30 {
        world.append(lane, SetKind::Event);
    }
    world.run(|_| failed(FailureClass::Unavailable));
    // The fifth failure in a row, and two that were under way with it.
    assert_eq!(world.attempts_made, 7);
    for n in 0..3 {
        let before = world.now;
        world.until_attempts();
        assert_eq!((world.now.since(before), world.attempts().len()), (apart, 1));
        let control = world.append(CONTROL_LANE + n, SetKind::Control);
        world.drain_but_attempts();
        assert_eq!(world.attempts().last(), Some(&control), "a control event waits for no event");
        world.run(|_| failed(FailureClass::Unavailable));
    }
    world.until_attempts();
    let first = world.attempts()[0];
    world.attempt_ends(first, &ACCEPTED);
    world.drain_but_attempts();
    assert_eq!(world.attempts().len(), 3);
    world.finish();
}

/// The same holds behind a breaker.
#[test]
fn sets_of_an_endpoint_that_has_long_failed_are_given_up_by_their_age() {
    let apart = Duration::from_millis(50);
    let mut settings = DeliverySettings { failing_attempt_interval: apart, ..settings() };
    settings.retry.schedule = vec![Duration::from_hours(1)];
    let mut world = World::new(settings);
    for lane in 0..7 {
        world.append(lane, SetKind::Event);
    }
    world.run(|_| failed(FailureClass::Unavailable));
    let old: Vec<_> = (7..40).map(|lane| world.append(lane, SetKind::Event)).collect();
    world.drain_but_attempts();
    world.now = world.now + world.settings.retry.give_up_after + Duration::from_millis(1);
    let attempts = world.attempts_made;
    world.append(0, SetKind::Event);
    world.run(|_| failed(FailureClass::Unavailable));
    assert!(old.iter().all(|seq| world.rows[seq].settled));
    assert!(world.attempts_made < attempts + 3, "most of them without an attempt");
}

#[test]
fn a_control_event_passes_a_window_that_is_full() {
    let mut world = World::new(settings());
    for lane in 0..20 {
        world.append(lane, SetKind::Event);
    }
    world.drain_but_attempts();
    assert_eq!(world.attempts().len(), 3);
    let control = world.append(CONTROL_LANE, SetKind::Control);
    world.drain_but_attempts();
    assert_eq!(world.attempts().last(), Some(&control));
}

#[test]
fn an_endpoint_out_of_reach_is_probed_by_one_set_at_a_time() {
    let mut world = World::new(settings());
    for lane in 0..10 {
        world.append(lane, SetKind::Event);
    }
    world.run(|_| failed(FailureClass::Connect));
    assert!(world.cut_off());
    // The fifth failure in a row, and two that were under way with it.
    assert_eq!(world.attempts_made, 7);

    let opened_at = world.now;
    for secs in [5, 10, 20, 40, 80, 160, 300, 300] {
        let (before, probed_at) = (world.now, world.attempts_made + 1);
        world.until_attempts();
        assert_eq!(world.now.since(before), Duration::from_secs(secs));
        assert_eq!((world.attempts().len(), world.attempts_made), (1, probed_at));
        world.run(|_| failed(FailureClass::Timeout));
    }
    assert!(opened_at < world.now);
    // One that gets through lets all others go.
    world.until_attempts();
    let probe = world.attempts()[0];
    world.attempt_ends(probe, &ACCEPTED);
    world.drain_but_attempts();
    assert_eq!(world.attempts().len(), 3);
    world.finish();
}

#[test]
fn a_report_tells_why_nothing_goes_out() {
    let mut world = World::new(settings());
    for lane in 0..10 {
        world.append(lane, SetKind::Event);
    }
    world.run(|_| failed(FailureClass::Connect));
    let report = world.courier.report();
    let until = world.now + world.settings.breaker.open_for;
    assert_eq!(report.breaker, BreakerReport::Open { until });
    assert_eq!((report.in_flight, report.last_success), (0, None));
    assert_eq!(report.last_outcome.map(|last| last.class), Some("connect"));
}

/// One that was not tried by itself is given up by its age like the others, once the endpoint has
/// long been out of reach.
#[test]
fn sets_behind_an_open_breaker_are_given_up_by_their_age() {
    let mut world = World::new(settings());
    let old: Vec<_> = (0..30).map(|lane| world.append(lane, SetKind::Event)).collect();
    world.run(|_| failed(FailureClass::Connect));
    world.now = world.now + world.settings.retry.give_up_after - Duration::from_hours(1);
    let young = world.append(0, SetKind::Event);
    while !old.iter().all(|seq| world.rows[seq].settled) {
        assert!(world.wait(), "a probe is planned");
        world.run(|_| failed(FailureClass::Connect));
    }
    assert!(20 < world.given_up, "{}", world.given_up);
    assert!(!world.rows[&young].settled);
    assert!(world.received.is_empty());
}

#[test]
fn a_set_whose_signature_is_refused_is_signed_again_once() {
    let mut world = World::new(settings());
    let (first, second) = (world.append(1, SetKind::Event), world.append(1, SetKind::Event));
    world.drain_but_attempts();
    world.attempt_ends(first, &key_refused());
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [first], "at once, and before the next of its lane");
    world.attempt_ends(first, &key_refused());
    world.drain_but_attempts();
    assert!(world.rows[&first].settled, "dead");
    assert_eq!(world.attempts(), [second]);
}

#[test]
fn many_refused_signatures_pause_the_stream_and_hold_the_last_set() {
    let mut world = World::new(settings());
    for lane in 0..30 {
        world.append(lane, SetKind::Event);
    }
    world.drain_but_attempts();
    while let Some(seq) = world.attempts().first().copied() {
        world.attempt_ends(seq, &key_refused());
        // All but the request to pause, which is not answered yet.
        while let Some(index) = world
            .pending
            .iter()
            .position(|pending| matches!(pending, Pending::Read(..) | Pending::Settle(_)))
        {
            world.complete(index, 255);
        }
    }
    assert_eq!(world.rows.values().filter(|row| row.settled).count(), 9);
    assert!(matches!(world.pending[..], [Pending::Pause]), "{:?}", world.pending);
    world.complete(0, 255);
    world.run(|_| ACCEPTED);
    assert!(world.pending.is_empty(), "paused, and that was announced");
    world.finish();
    assert_eq!(world.received.len(), 21);
}

#[test]
fn an_endpoint_at_fault_for_long_has_its_stream_paused_and_starts_afresh_after() {
    let mut world = World::new(settings());
    for lane in 0..10 {
        world.append(lane, SetKind::Event);
    }
    let began = world.now;
    world.run(|_| failed(FailureClass::Credentials));
    while !world.pending.iter().any(|pending| matches!(pending, Pending::Pause)) {
        assert!(world.wait(), "a probe is planned");
        while let Some(index) =
            world.pending.iter().position(|pending| !matches!(pending, Pending::Pause))
        {
            match &world.pending[index] {
                Pending::Attempt(_) => {
                    let seq = world.attempts()[0];
                    world.attempt_ends(seq, &failed(FailureClass::Misconfigured));
                }
                _ => world.complete(index, 255),
            }
        }
    }
    let lasted = world.now.since(began);
    let limit = world.settings.fault.pause_after;
    assert!(limit <= lasted && lasted < limit + Duration::from_mins(10), "{lasted:?}");
    assert!(world.rows.values().all(|row| !row.settled), "all are held");
    world.complete(0, 255);
    // The stream is not paused a second time, whatever becomes of the announcement.
    world.run(|_| failed(FailureClass::Credentials));
    assert!(world.pending.is_empty() && !world.cut_off());

    world.change(Flow::All, false);
    assert!(!world.cut_off());
    world.now = world.now + Duration::from_hours(2);
    world.nudge();
    world.drain_but_attempts();
    assert_eq!(world.attempts().len(), 3, "no probe, but all that may");
    world.run(|_| failed(FailureClass::Credentials));
    assert!(world.pending.is_empty(), "the count begins anew");
}

/// After a crash these SETs come again.
#[test]
fn sets_in_flight_and_accepted_but_not_recorded_are_bounded_together() {
    let mut world = World::new(settings());
    for lane in 0..20 {
        world.append(lane, SetKind::Event);
    }
    world.drain_but_attempts();
    let mut accepted = 0;
    // The store records nothing meanwhile.
    while let Some(seq) = world.attempts().first().copied() {
        world.attempt_ends(seq, &ACCEPTED);
        accepted += 1;
    }
    assert_eq!(accepted, world.settings.in_flight_max);
    world.run(|_| ACCEPTED);
    world.finish();
    assert_eq!(world.received.len(), 20);
}

#[test]
fn a_removed_subject_does_not_give_the_endpoint_a_fresh_start() {
    let mut world = World::new(settings());
    for lane in 0..10 {
        world.append(lane, SetKind::Event);
    }
    world.run(|_| failed(FailureClass::Connect));
    world.remove_subjects();
    assert!(world.cut_off());
    assert!(matches!(world.pending[..], [Pending::Read(..)]), "{:?}", world.pending);
}

/// STAT-08 (SSF §8.1.5): the last word waits until what is under way has ended, and what is queued
/// stays behind it.
#[test]
fn a_stream_that_stops_says_so_when_all_is_quiet_and_nothing_after() {
    let mut world = World::new(settings());
    for lane in [1, 1, 2] {
        world.append(lane, SetKind::Event);
    }
    world.drain_but_attempts();
    world.change(Flow::Announcements, true);
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [Seq(1), Seq(3)]);
    world.attempt_ends(Seq(3), &ACCEPTED);
    world.drain_but_attempts();
    // This one fails, and is not retried.
    world.attempt_ends(Seq(1), &failed(FailureClass::Unavailable));
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [Seq(4)]);
    world.attempt_ends(Seq(4), &ACCEPTED);
    world.append(3, SetKind::Event);
    world.append(CONTROL_LANE, SetKind::Control);
    world.drain_but_attempts();
    assert!(world.attempts().is_empty() && world.courier.window.is_quiet());
    world.finish();
}

/// The endpoint is dead: what is to be said to it gives way to what is true now.
#[test]
fn an_announcement_that_fails_gives_way_to_the_next() {
    let mut world = World::new(settings());
    world.change(Flow::Announcements, true);
    world.drain_but_attempts();
    world.attempt_ends(Seq(1), &failed(FailureClass::Connect));
    world.drain_but_attempts();
    assert!(world.attempts().is_empty());
    world.append(1, SetKind::Event);
    world.change(Flow::All, true);
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [Seq(3), Seq(2)]);
}

#[test]
fn a_drain_ends_once_attempts_are_over_and_recorded() {
    let mut world = World::new(settings());
    let (first, _) = (world.append(1, SetKind::Event), world.append(1, SetKind::Event));
    world.drain_but_attempts();
    world.input(Courier::on_drain);
    assert!(!world.stopped && world.courier.report().draining);
    world.attempt_ends(first, &ACCEPTED);
    assert!(!world.stopped, "the result is not recorded yet");
    world.complete(0, 255);
    assert!(world.stopped);
    assert_eq!(world.attempts_made, 1);
}

#[test]
fn no_attempt_begins_until_the_lease_is_confirmed() {
    let mut world = World::new(settings());
    world.leased = false;
    let seq = world.append(1, SetKind::Event);
    world.drain_but_attempts();
    assert!(world.wait() && world.attempts().is_empty());
    world.leased = true;
    assert!(world.wait());
    assert_eq!(world.attempts(), [seq]);
}

#[test]
fn calls_of_the_store_that_failed_are_repeated_after_a_while() {
    let mut world = World::new(settings());
    let seq = world.append(1, SetKind::Event);
    world.complete(0, 0);
    world.append(2, SetKind::Event);
    assert!(world.pending.is_empty(), "a wake-up does not hasten it");
    let before = world.now;
    assert!(world.wait());
    assert_eq!(world.now.since(before), RETRY_INTERVAL);
    world.drain_but_attempts();
    world.attempt_ends(seq, &ACCEPTED);
    let settle = |pending: &Pending| matches!(pending, Pending::Settle(_));
    let index = world.pending.iter().position(settle).expect("the result is recorded");
    world.complete(index, 0);
    assert!(!world.pending.iter().any(settle));
    assert!(world.wait() && world.pending.iter().any(settle));
}

#[test]
fn a_courier_ends_when_another_node_serves_its_stream() {
    let mut world = World::new(settings());
    world.append(1, SetKind::Event);
    let view = world.view();
    world.courier.on_read_failed(StoreFailure::Fenced, &view);
    let actions: Vec<_> = std::iter::from_fn(|| world.courier.next_action()).collect();
    assert!(matches!(actions[..], [CourierAction::LeaseLost, CourierAction::Stop]), "{actions:?}");
    world.courier.on_wake(true, &view);
    assert_eq!(world.courier.next_action(), None);
}
