//! A store, a host and a Receiver of a few lines each, and a clock that moves when it is told to.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::super::*;
use crate::{
    delivery::{lane::Lane, outcome::FailureClass, retry::RetryPolicy},
    domain::set_error::SetError,
};

/// A SET as the store has it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) set: PendingSet,
    pub(super) settled: bool,
}

/// What the machine asked for and was not yet told of.
#[derive(Debug)]
pub(super) enum Pending {
    /// What the store held when it was read.
    Read(Vec<PendingSet>, Option<Timestamp>),
    Settle(Vec<Settlement>),
    Attempt(PendingSet),
    Pause,
}

pub(super) struct World {
    pub(super) machine: StreamMachine,
    pub(super) settings: DeliverySettings,
    pub(super) now: Timestamp,
    pub(super) rows: BTreeMap<Seq, Row>,
    pub(super) pending: Vec<Pending>,
    tick_at: Option<Timestamp>,
    /// What the stream lets through, as the machine was told.
    pub(super) flow: Flow,
    /// The same as the store knows it, and the machine may not yet.
    pub(super) stored: Flow,
    /// How many attempts the endpoint's host takes at a time.
    pub(super) host_room: usize,
    /// For each lane what the Receiver got, in order.
    pub(super) received: BTreeMap<Lane, Vec<Seq>>,
    pub(super) attempts_made: usize,
    pub(super) given_up: Vec<Seq>,
}

/// Of the stream's own subject. Kinds do not wait for one another there, so that only the events'
/// lanes are in order.
pub(super) const CONTROL_LANE: i64 = 99;

/// Nothing is decided by chance.
pub(super) fn settings() -> DeliverySettings {
    DeliverySettings {
        in_flight_max: 3,
        window_max: 6,
        failing_attempt_interval: Duration::ZERO,
        retry: RetryPolicy { jitter: 0.0, ..RetryPolicy::default() },
        ..DeliverySettings::default()
    }
}

fn row_kind(row: &Row) -> i64 {
    match row.set.kind {
        SetKind::Event => 0,
        SetKind::Control => 1,
        SetKind::Announcement => 2,
    }
}

impl World {
    pub(super) fn new(settings: DeliverySettings) -> Self {
        Self {
            machine: StreamMachine::new(settings.clone(), Flow::All),
            settings,
            now: Timestamp::from_millis(1_000_000),
            rows: BTreeMap::new(),
            pending: Vec::new(),
            tick_at: None,
            flow: Flow::All,
            stored: Flow::All,
            host_room: usize::MAX,
            received: BTreeMap::new(),
            attempts_made: 0,
            given_up: Vec::new(),
        }
    }

    pub(super) fn append(&mut self, lane: i64, kind: SetKind) -> Seq {
        let seq = self.insert(lane, kind);
        let actions = self.machine.on_wake(kind != SetKind::Event, self.now);
        self.take(actions);
        seq
    }

    fn insert(&mut self, lane: i64, kind: SetKind) -> Seq {
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
        seq
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Read(reading) => {
                    let (sets, next_retry) = self.read(&reading);
                    self.pending.push(Pending::Read(sets, next_retry));
                }
                Action::Settle(settlements) => self.pending.push(Pending::Settle(settlements)),
                Action::TickAt(at) => {
                    assert!(self.now < at, "a tick that is over");
                    self.tick_at = Some(at);
                }
                Action::Attempt { count } => self.start(count),
                Action::GivenUp(sets) => self.given_up.extend(sets.iter().map(|set| set.seq)),
                Action::Pause(_) => self.pending.push(Pending::Pause),
            }
        }
        self.check_bounds();
    }

    fn start(&mut self, count: usize) {
        let room = self.host_room.saturating_sub(self.attempts().len());
        let started = self.machine.start(room.min(count), self.now);
        assert_eq!(started.len(), room.min(count), "what can start does");
        for set in started {
            let let_through = self.flow.lets_through(set.kind);
            assert!(let_through, "{set:?} is attempted on a stream that takes none");
            // The last word is not said while others speak (SSF §8.1.5).
            let alone = self.flow == Flow::All || self.attempts().is_empty();
            assert!(alone, "{set:?} is attempted beside {:?}", self.attempts());
            assert!(!self.rows[&set.seq].settled, "{:?} is settled", set.seq);
            assert!(self.is_head(&set), "{:?} overtakes its lane", set.seq);
            assert!(set.due_at <= self.now, "{:?} is attempted too early", set.seq);
            self.attempts_made += 1;
            self.pending.push(Pending::Attempt(set));
        }
    }

    /// Waits for as long as it takes until the next attempts are under way.
    pub(super) fn until_attempts(&mut self) {
        while self.attempts().is_empty() {
            assert!(self.wait(), "the next attempt is planned");
            self.drain_but_attempts();
        }
    }

    fn is_head(&self, set: &PendingSet) -> bool {
        let same = |other: &PendingSet| (other.lane, other.kind) == (set.lane, set.kind);
        let mut lane = self.rows.values().filter(|row| !row.settled && same(&row.set));
        lane.next().is_some_and(|row| row.set.seq == set.seq)
    }

    /// As `Store::read_due` says.
    fn read(&self, reading: &OutboxQuery) -> (Vec<PendingSet>, Option<Timestamp>) {
        let heads = || {
            let rows = self.rows.values().map(|row| &row.set).filter(|set| {
                self.stored.lets_through(set.kind)
                    && !self.rows[&set.seq].settled
                    && self.is_head(set)
            });
            rows.cloned()
        };
        let mut sets = Vec::new();
        for kind in [SetKind::Announcement, SetKind::Control, SetKind::Event] {
            let due =
                || heads().filter(move |set| set.kind == kind && !reading.busy.contains(&set.seq));
            let mut failed: Vec<_> =
                due().filter(|set| set.attempts != 0 && set.due_at <= self.now).collect();
            failed.sort_by_key(|set| (set.due_at, set.seq));
            let (limit, retries) = match kind {
                SetKind::Event => (reading.fresh + reading.retries, reading.retries),
                SetKind::Control | SetKind::Announcement => (OutboxQuery::CONTROL_MAX, 2),
            };
            failed.truncate(limit);
            let places = limit - failed.len().min(retries);
            let fresh: Vec<_> = due().filter(|set| set.attempts == 0).take(places).collect();
            failed.truncate(limit - fresh.len());
            sets.extend(failed.into_iter().chain(fresh));
        }
        let later = heads().filter(|set| set.attempts != 0 && self.now < set.due_at);
        (sets, later.map(|set| set.due_at).min())
    }

    fn check_bounds(&self) {
        let of = |seq: &Seq| (self.rows[seq].set.lane, row_kind(&self.rows[seq]));
        let mut lanes: Vec<_> = self.attempts().iter().map(of).collect();
        let events =
            self.attempts().iter().filter(|seq| self.rows[seq].set.kind == SetKind::Event).count();
        assert!(events <= self.settings.in_flight_max, "{events} in flight");
        lanes.sort();
        assert!(lanes.is_sorted_by(|a, b| a < b), "two of one lane in flight");
        let (mut settle, mut read) = (0, 0);
        for pending in &self.pending {
            settle += usize::from(matches!(pending, Pending::Settle(_)));
            read += usize::from(matches!(pending, Pending::Read(..)));
        }
        assert!(settle <= 1 && read <= 1, "{settle} recordings and {read} reads at a time");
        let window = self.machine.window.values();
        let in_memory = window.filter(|slot| slot.set.kind == SetKind::Event).count();
        assert_eq!(in_memory, self.machine.events);
        assert!(in_memory <= self.settings.window_max, "{in_memory} in the window");
        let under_way = settle + lanes.len();
        assert!(under_way == 0 || !self.machine.is_quiet(), "{under_way} under way, and quiet");
    }

    /// Completes one thing that is under way, well or badly.
    pub(super) fn complete(&mut self, index: usize, dice: u8) {
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
            Pending::Read(sets, next_retry) => {
                let actions = self.machine.on_read(sets, next_retry, self.now);
                self.take(actions);
            }
            Pending::Settle(_) if dice < 20 => {
                self.machine.on_settle_failed();
                let actions = self.machine.on_tick(self.now);
                self.take(actions);
            }
            Pending::Settle(settlements) => {
                let goes_on = settlements.into_iter().fold(false, |on, one| self.record(one) | on);
                let actions = self.machine.on_settled(goes_on, self.now);
                self.take(actions);
            }
            Pending::Pause if dice < 100 => {
                let actions = self.machine.on_pause_failed(self.now);
                self.take(actions);
            }
            Pending::Pause => self.change(Flow::Announcements, true),
            // It had not begun yet; what has begun ends as it does.
            Pending::Attempt(set)
                if !self.flow.lets_through(set.kind) && dice.is_multiple_of(2) =>
            {
                let actions = self.machine.on_attempt_withdrawn(set.seq, self.now);
                self.take(actions);
            }
            Pending::Attempt(set) => {
                let outcome = match dice {
                    0..30 => Outcome::failed(FailureClass::Unavailable, "status 503"),
                    30..50 => Outcome::failed(FailureClass::Connect, "refused"),
                    50..60 => Outcome::failed(FailureClass::Credentials, "status 401"),
                    60..70 => Outcome::Refused(SetError::new("invalid_request", "")),
                    70..80 => Outcome::Refused(SetError::new("invalid_key", "")),
                    80.. => Outcome::Accepted { status: 202 },
                };
                self.end(&set, &outcome);
            }
        }
    }

    /// Whether another SET is the head of the lane now.
    fn record(&mut self, settlement: Settlement) -> bool {
        let row = self.rows.get_mut(&settlement.seq).expect("what is settled was appended");
        if row.settled {
            // It was withdrawn meanwhile.
            return false;
        }
        match settlement.disposition {
            Disposition::Delivered | Disposition::Dead { .. } | Disposition::GivenUp { .. } => {
                row.settled = true;
                let set = row.set.clone();
                let same = |other: &PendingSet| (other.lane, other.kind) == (set.lane, set.kind);
                self.rows.values().any(|row| !row.settled && same(&row.set))
            }
            Disposition::RetryAt { due_at, .. } => {
                row.set.due_at = due_at;
                row.set.attempts += 1;
                false
            }
        }
    }

    fn end(&mut self, set: &PendingSet, outcome: &Outcome) {
        if matches!(outcome, Outcome::Accepted { .. }) {
            self.received.entry(set.lane).or_default().push(set.seq);
        }
        let (_, actions) = self.machine.on_attempt_ended(set.seq, outcome, self.now, 0.5);
        self.take(actions);
    }

    /// The stream is changed, and perhaps that is announced, in place of what was before.
    pub(super) fn change(&mut self, flow: Flow, announced: bool) {
        for row in self.rows.values_mut() {
            row.settled |= row.set.kind == SetKind::Announcement;
        }
        if announced {
            self.insert(CONTROL_LANE, SetKind::Announcement);
        }
        (self.flow, self.stored) = (flow, flow);
        let actions = self.machine.on_changed(Change::Stream, flow, self.now);
        self.take(actions);
    }

    pub(super) fn advance(&mut self, span: Duration) {
        self.now = self.now + span;
        if self.tick_at.is_some_and(|at| at <= self.now) {
            self.tick_at = None;
            let actions = self.machine.on_tick(self.now);
            self.take(actions);
        }
    }

    /// Moves the clock to the time that the machine waits for; `false` if it waits for none.
    pub(super) fn wait(&mut self) -> bool {
        let Some(at) = self.tick_at else { return false };
        self.advance(at.since(self.now));
        true
    }

    /// The host tells that there may be room.
    pub(super) fn nudge(&mut self) {
        let actions = self.machine.on_tick(self.now);
        self.take(actions);
    }

    /// Everything goes well from now on: nothing may stay behind.
    pub(super) fn finish(&mut self) {
        self.host_room = usize::MAX;
        self.change(Flow::All, true);
        for _ in 0..10_000 {
            if !self.pending.is_empty() {
                self.complete(0, 255);
                if self.flow != Flow::All {
                    self.change(Flow::All, true);
                }
            } else if !self.wait() {
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

    pub(super) fn attempts(&self) -> Vec<Seq> {
        let attempts = self.pending.iter().filter_map(|pending| match pending {
            Pending::Attempt(set) => Some(set.seq),
            Pending::Read(..) | Pending::Settle(_) | Pending::Pause => None,
        });
        attempts.collect()
    }

    /// Ends the attempt at a SET.
    pub(super) fn attempt_ends(&mut self, seq: Seq, outcome: &Outcome) {
        let is = |pending: &Pending| matches!(pending, Pending::Attempt(set) if set.seq == seq);
        let index = self.pending.iter().position(is).expect("the attempt is under way");
        let Pending::Attempt(set) = self.pending.remove(index) else { unreachable!("just found") };
        self.end(&set, outcome);
    }

    /// Completes reads and recordings until only attempts are under way.
    pub(super) fn drain_but_attempts(&mut self) {
        while let Some(index) = self.pending.iter().position(|p| !matches!(p, Pending::Attempt(_)))
        {
            self.complete(index, 255);
        }
    }

    /// Ends attempts as `outcome` says, the oldest first, until nothing is under way.
    pub(super) fn run(&mut self, outcome: impl Fn(&PendingSet) -> Outcome) {
        self.drain_but_attempts();
        while let Some(seq) = self.attempts().first().copied() {
            let outcome = outcome(&self.rows[&seq].set);
            self.attempt_ends(seq, &outcome);
            self.drain_but_attempts();
        }
    }
}
