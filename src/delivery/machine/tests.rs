//! The machine against a store and a Receiver of a few lines each, in any order that chance
//! brings: what it must never do, and what it must always come to.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{delivery::outcome::FailureClass, domain::set_error::SetError};

/// A SET as the store has it.
#[derive(Debug, Clone)]
struct Row {
    set: PendingSet,
    settled: bool,
}

/// What the machine asked for and was not yet told of.
#[derive(Debug)]
enum Pending {
    /// What the store held when it was read, and the limit.
    Read(Vec<PendingSet>, usize),
    Settle(Vec<Settlement>),
    Attempt(PendingSet),
}

struct World {
    machine: StreamMachine,
    now: Timestamp,
    rows: BTreeMap<Seq, Row>,
    pending: Vec<Pending>,
    tick_at: Option<Timestamp>,
    /// What the stream lets through, as the machine was told.
    flow: Flow,
    /// The same as the store knows it, and the machine may not yet.
    stored: Flow,
    /// For each lane what the Receiver got, in order.
    received: BTreeMap<Lane, Vec<Seq>>,
}

const SETTINGS: fn() -> DeliverySettings =
    || DeliverySettings { in_flight_max: 3, window_max: 6, ..DeliverySettings::default() };

/// Of the stream's own subject. Kinds go by rank there, so that only the events' lanes are in order.
const CONTROL_LANE: i64 = 99;

impl World {
    fn new() -> Self {
        Self {
            machine: StreamMachine::new(SETTINGS(), Flow::All),
            now: Timestamp::from_millis(1_000_000),
            rows: BTreeMap::new(),
            pending: Vec::new(),
            tick_at: None,
            flow: Flow::All,
            stored: Flow::All,
            received: BTreeMap::new(),
        }
    }

    fn append(&mut self, lane: i64, kind: Kind) {
        self.insert(lane, kind);
        let actions = self.machine.on_wake(kind != Kind::Event, self.now);
        self.take(actions);
    }

    fn insert(&mut self, lane: i64, kind: Kind) {
        let seq = Seq(i64::try_from(self.rows.len()).expect("few") + 1);
        let set = PendingSet {
            seq,
            jti: format!("j{}", seq.0).parse().expect("a valid jti"),
            lane: Lane::from_i64(lane),
            kind,
            claims: Arc::from("{}"),
            appended_at: self.now,
            attempts: 0,
            due_at: self.now,
        };
        self.rows.insert(seq, Row { set, settled: false });
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Read { after, limit } => {
                    let read = self.read(after, limit);
                    self.pending.push(Pending::Read(read, limit));
                }
                Action::Settle(settlements) => self.pending.push(Pending::Settle(settlements)),
                Action::TickAt(at) => self.tick_at = Some(at),
                Action::Attempt(sets) => {
                    for set in sets {
                        let let_through = self.flow.lets_through(set.kind);
                        assert!(let_through, "{set:?} is attempted on a stream that takes none");
                        // The last word is not said while others speak (SSF §8.1.5).
                        let alone = self.flow == Flow::All || self.attempts().is_empty();
                        assert!(alone, "{set:?} is attempted beside {:?}", self.attempts());
                        let row = &self.rows[&set.seq];
                        assert!(!row.settled, "{:?} is attempted after it was settled", set.seq);
                        assert!(set.due_at <= self.now, "{:?} is attempted too early", set.seq);
                        self.pending.push(Pending::Attempt(set));
                    }
                }
            }
        }
        self.check_bounds();
    }

    fn read(&self, after: Cursor, limit: usize) -> Vec<PendingSet> {
        let stored = self.stored;
        let behind = |kind: Kind, after: Seq| {
            let rows = self.rows.values().filter(move |row| !row.settled && row.set.kind == kind);
            let rows = rows.filter(move |_| stored.lets_through(kind));
            rows.filter(move |row| after < row.set.seq).map(|row| row.set.clone())
        };
        let announced = behind(Kind::Announcement, after.announcement);
        let control = announced.chain(behind(Kind::Control, after.control));
        control.chain(behind(Kind::Event, after.event)).take(limit).collect()
    }

    fn check_bounds(&self) {
        let attempts: Vec<_> = self
            .pending
            .iter()
            .filter_map(|pending| match pending {
                Pending::Attempt(set) => Some(set),
                Pending::Read(..) | Pending::Settle(_) => None,
            })
            .collect();
        let events = attempts.iter().filter(|set| set.kind == Kind::Event).count();
        assert!(events <= SETTINGS().in_flight_max, "{events} in flight");
        for (index, set) in attempts.iter().enumerate() {
            let lane = attempts[..index].iter().filter(|other| other.lane == set.lane).count();
            assert_eq!(lane, 0, "two of one lane in flight");
        }
        let (settle, read) = self.pending.iter().fold((0, 0), |(s, r), pending| match pending {
            Pending::Settle(_) => (s + 1, r),
            Pending::Read(..) => (s, r + 1),
            Pending::Attempt(_) => (s, r),
        });
        assert!(settle <= 1 && read <= 1, "{settle} recordings and {read} reads at a time");
        assert!(self.machine.events <= SETTINGS().window_max, "the window is too wide");
        let under_way = settle + attempts.len();
        assert!(under_way == 0 || !self.machine.is_quiet(), "{under_way} under way, and quiet");
    }

    /// Completes one thing that is under way, well or badly.
    fn complete(&mut self, index: usize, dice: u8) {
        if self.pending.is_empty() {
            return;
        }
        match self.pending.remove(index % self.pending.len()) {
            Pending::Read(..) if dice < 20 => {
                self.machine.on_read_failed();
                // As the actor does after a while.
                let actions = self.machine.on_tick(self.now);
                self.take(actions);
            }
            Pending::Read(sets, limit) => {
                let actions = self.machine.on_read(sets, limit, self.now);
                self.take(actions);
            }
            Pending::Settle(_) if dice < 20 => {
                self.machine.on_settle_failed();
                let actions = self.machine.on_tick(self.now);
                self.take(actions);
            }
            Pending::Settle(settlements) => {
                for settlement in settlements {
                    self.record(settlement);
                }
                let actions = self.machine.on_settled(self.now);
                self.take(actions);
            }
            // It had not begun yet; what has begun ends as it does.
            Pending::Attempt(set)
                if !self.flow.lets_through(set.kind) && dice.is_multiple_of(2) =>
            {
                let actions = self.machine.on_attempt_withdrawn(set.seq, self.now);
                self.take(actions);
            }
            Pending::Attempt(set) => self.attempt(&set, dice),
        }
    }

    fn record(&mut self, settlement: Settlement) {
        let row = self.rows.get_mut(&settlement.seq).expect("what is settled was appended");
        match settlement.disposition {
            Disposition::Delivered | Disposition::Dead { .. } => row.settled = true,
            Disposition::RetryAt { due_at, .. } => row.set.due_at = due_at,
        }
    }

    fn attempt(&mut self, set: &PendingSet, dice: u8) {
        let outcome = match dice {
            0..60 => Outcome::failed(FailureClass::Unavailable, "status 503"),
            60..80 => Outcome::Refused(SetError::new("invalid_request", "")),
            80.. => Outcome::Accepted { status: 202 },
        };
        if matches!(outcome, Outcome::Accepted { .. }) {
            self.received.entry(set.lane).or_default().push(set.seq);
        }
        let (_, actions) = self.machine.on_attempt_ended(set.seq, &outcome, self.now, 0.5);
        self.take(actions);
    }

    /// The stream is changed, and perhaps that is announced, in place of what was before.
    fn change(&mut self, flow: Flow, announced: bool) {
        for row in self.rows.values_mut() {
            row.settled |= row.set.kind == Kind::Announcement;
        }
        if announced {
            self.insert(CONTROL_LANE, Kind::Announcement);
        }
        (self.flow, self.stored) = (flow, flow);
        let actions = self.machine.on_changed(flow, self.now);
        self.take(actions);
    }

    fn advance(&mut self, span: Duration) {
        self.now = self.now + span;
        if self.tick_at.is_some_and(|at| at <= self.now) {
            self.tick_at = None;
            let actions = self.machine.on_tick(self.now);
            self.take(actions);
        }
    }

    /// Everything goes well from now on: nothing may stay behind.
    fn finish(&mut self) {
        self.change(Flow::All, true);
        for _ in 0..10_000 {
            if !self.pending.is_empty() {
                self.complete(0, 255);
            } else if let Some(at) = self.tick_at {
                self.advance(at.since(self.now));
            } else {
                break;
            }
        }
        assert!(self.rows.values().all(|row| row.settled), "left behind: {:?}", self.rows);
        assert!(self.machine.is_idle() && self.machine.is_quiet());
        self.received.remove(&Lane::from_i64(CONTROL_LANE));
        for (lane, received) in &self.received {
            assert!(received.is_sorted_by(|a, b| a < b), "{lane:?} got {received:?}");
        }
    }

    fn attempts(&self) -> Vec<Seq> {
        let attempts = self.pending.iter().filter_map(|pending| match pending {
            Pending::Attempt(set) => Some(set.seq),
            Pending::Read(..) | Pending::Settle(_) => None,
        });
        attempts.collect()
    }

    fn attempt_of(&mut self, seq: Seq, dice: u8) {
        let is = |pending: &Pending| matches!(pending, Pending::Attempt(set) if set.seq == seq);
        let index = self.pending.iter().position(is).expect("the attempt is under way");
        self.complete(index, dice);
    }

    /// Completes reads and recordings until only attempts are under way.
    fn drain_but_attempts(&mut self) {
        while let Some(index) = self.pending.iter().position(|p| !matches!(p, Pending::Attempt(_)))
        {
            self.complete(index, 255);
        }
    }
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
    /// The store has a change of which the machine is not told yet.
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
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let flow = || prop_oneof![Just(Flow::All), Just(Flow::Announcements), Just(Flow::Nothing)];
    let one = prop_oneof![
        4 => (0..5i64, prop::bool::weighted(0.1)).prop_map(|(lane, control)| Move::Append {
            lane: if control { CONTROL_LANE } else { lane },
            control,
        }),
        8 => (any::<usize>(), any::<u8>())
            .prop_map(|(index, dice)| Move::Complete { index, dice }),
        1 => flow().prop_map(|flow| Move::Foresee { flow }),
        2 => (flow(), any::<bool>())
            .prop_map(|(flow, announced)| Move::Change { flow, announced }),
        2 => (0..40_000u64).prop_map(|millis| Move::Advance { millis }),
    ];
    prop::collection::vec(one, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Nothing is lost, nothing is sent after it was settled, a lane keeps its order, and the
    /// bounds hold, under any interleaving.
    #[test]
    fn every_set_is_settled_once_and_in_its_order(moves in moves()) {
        let mut world = World::new();
        for one in moves {
            match one {
                Move::Append { lane, control } => {
                    world.append(lane, if control { Kind::Control } else { Kind::Event });
                }
                Move::Complete { index, dice } => world.complete(index, dice),
                Move::Foresee { flow } => world.stored = flow,
                Move::Change { flow, announced } => world.change(flow, announced),
                Move::Advance { millis } => world.advance(Duration::from_millis(millis)),
            }
        }
        world.finish();
    }
}

#[test]
fn a_set_that_waits_holds_back_its_own_lane_only() {
    let mut world = World::new();
    for lane in [1, 1, 2] {
        world.append(lane, Kind::Event);
    }
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [Seq(1), Seq(3)]);
    world.attempt_of(Seq(1), 0);
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [Seq(3)]);
}

#[test]
fn a_control_event_passes_a_window_that_is_full_of_waiting_sets() {
    let mut world = World::new();
    for lane in 0..20 {
        world.append(lane, Kind::Event);
    }
    while !world.pending.is_empty() {
        world.complete(0, 30);
    }
    world.append(CONTROL_LANE, Kind::Control);
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [Seq(21)]);
}

/// STAT-08 (SSF §8.1.5): the last word waits until what is under way has ended, and what is queued
/// stays behind it.
#[test]
fn a_stream_that_stops_says_so_when_all_is_quiet_and_nothing_after() {
    let mut world = World::new();
    for lane in [1, 1, 2] {
        world.append(lane, Kind::Event);
    }
    world.drain_but_attempts();
    world.change(Flow::Announcements, true);
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [Seq(1), Seq(3)]);
    world.attempt_of(Seq(3), 255);
    world.drain_but_attempts();
    // This one fails, and is not retried.
    world.attempt_of(Seq(1), 1);
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [Seq(4)]);
    world.attempt_of(Seq(4), 255);
    world.append(3, Kind::Event);
    world.append(CONTROL_LANE, Kind::Control);
    world.drain_but_attempts();
    assert!(world.attempts().is_empty() && world.machine.is_quiet());
    world.finish();
}

/// The endpoint is dead: what is to be said to it gives way to what is true now.
#[test]
fn an_announcement_that_fails_gives_way_to_the_next() {
    let mut world = World::new();
    world.change(Flow::Announcements, true);
    world.drain_but_attempts();
    world.attempt_of(Seq(1), 0);
    world.drain_but_attempts();
    assert!(world.attempts().is_empty());
    world.append(1, Kind::Event);
    world.change(Flow::All, true);
    world.drain_but_attempts();
    assert_eq!(world.attempts(), [Seq(3), Seq(2)]);
}
