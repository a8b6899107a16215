//! A store, a host and a Receiver of a few lines each, and a clock that moves when it is told to.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::super::*;
use crate::{
    delivery::{
        lane::Lane,
        new_key::NewKey,
        outbox::{Disposition, OutboxQuery, PendingSet, Seq, SetKind, Settlement},
        outcome::{FailureClass, Outcome},
        parcel::Outcomes,
        retry::RetryPolicy,
    },
    domain::{
        set_error::SetError,
        status::StreamStatus,
        stream::{Delivery, PushEndpoint, StreamConfig},
    },
};

/// A SET as the store has it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) set: PendingSet,
    pub(super) settled: bool,
}

/// An action of the courier that was not answered yet.
#[derive(Debug)]
pub(super) enum Pending {
    /// The SETs that the store held when it was read.
    Read(Vec<PendingSet>, Option<Timestamp>),
    Sign(SigningBatch),
    Settle(Vec<Settlement>),
    Attempt(Attempt),
    Pause,
}

pub(super) struct World {
    pub(super) courier: Courier,
    pub(super) settings: DeliverySettings,
    pub(super) now: Timestamp,
    pub(super) rows: BTreeMap<Seq, Row>,
    pub(super) pending: Vec<Pending>,
    tick_at: Option<Timestamp>,
    /// The SETs that the stream lets through, as the courier can see.
    pub(super) flow: Flow,
    /// The same as the store knows it, and the courier may not yet.
    pub(super) stored: Flow,
    revision: Revision,
    stream: Option<Arc<StreamConfig>>,
    /// The key that signs, if it followed another one.
    pub(super) new_key: Option<NewKey>,
    /// Whether the lease allows attempts.
    pub(super) leased: bool,
    /// Whether signing takes its time, or is done at once.
    pub(super) signs_slowly: bool,
    /// How many attempts the endpoint's host takes at a time.
    pub(super) host_room: usize,
    /// Room at the host that the courier has, beside that of the attempts under way.
    room: usize,
    /// For each lane the SETs that the Receiver got, in order.
    pub(super) received: BTreeMap<Lane, Vec<Seq>>,
    pub(super) attempts_made: usize,
    pub(super) given_up: usize,
    pub(super) stopped: bool,
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

/// A stream that lets this through.
fn stream(flow: Flow, version: u64) -> Option<Arc<StreamConfig>> {
    let status = match flow {
        Flow::All => StreamStatus::Enabled,
        Flow::Announcements => StreamStatus::Paused,
        Flow::Nothing => return None,
    };
    let endpoint = PushEndpoint::new("https://rx.example/in", None, false).expect("valid");
    let delivery = Delivery::Push(endpoint);
    Some(Arc::new(StreamConfig { delivery, status, version, ..StreamConfig::example("a") }))
}

fn set_of(attempt: &Attempt) -> &PendingSet {
    let [one] = attempt.parcel.sets() else { panic!("a push carries one SET") };
    &one.set
}

impl World {
    pub(super) fn new(settings: DeliverySettings) -> Self {
        let now = Timestamp::from_millis(1_000_000);
        let (revision, stream) = (Revision { version: 1, changes: 0 }, stream(Flow::All, 1));
        let view = View {
            now,
            ages_by: now,
            revision,
            stream: stream.clone(),
            new_key: None,
            may_begin: true,
        };
        Self {
            courier: Courier::new(settings.clone(), &view),
            settings,
            now,
            rows: BTreeMap::new(),
            pending: Vec::new(),
            tick_at: None,
            flow: Flow::All,
            stored: Flow::All,
            revision,
            stream,
            new_key: None,
            leased: true,
            signs_slowly: false,
            host_room: usize::MAX,
            room: 0,
            received: BTreeMap::new(),
            attempts_made: 0,
            given_up: 0,
            stopped: false,
        }
    }

    pub(super) fn view(&self) -> View {
        let (revision, stream) = (self.revision, self.stream.clone());
        let (now, new_key, may_begin) = (self.now, self.new_key, self.leased);
        View { now, ages_by: now, revision, stream, new_key, may_begin }
    }

    /// Gives the courier an input, and performs what can be done at once.
    pub(super) fn input(&mut self, input: impl FnOnce(&mut Courier, &View)) {
        let view = self.view();
        // A courier that ended for want of work is made anew at the next input.
        if std::mem::take(&mut self.stopped) {
            self.courier = Courier::new(self.settings.clone(), &view);
            self.courier.on_wake(true, &view);
        }
        input(&mut self.courier, &view);
        while let Some(action) = self.courier.next_action() {
            self.perform(action, &view);
        }
        assert_eq!(self.courier.report().room.held, self.room);
        let working =
            self.pending.iter().any(|p| matches!(p, Pending::Read(..) | Pending::Sign(_)));
        assert!(self.room == 0 || working, "room is held for nothing");
        self.check_bounds();
    }

    fn perform(&mut self, action: CourierAction, view: &View) {
        match action {
            CourierAction::Read(query) => {
                let (sets, next_retry) = self.read(&query);
                self.pending.push(Pending::Read(sets, next_retry));
            }
            CourierAction::Claim { count, .. } => {
                let taken = self.attempts().len() + self.room;
                let granted = self.host_room.saturating_sub(taken).min(count);
                self.room += granted;
                self.courier.on_claimed(granted, view);
            }
            CourierAction::Release { count, .. } => self.room -= count,
            CourierAction::Sign(batch) if self.signs_slowly => {
                self.pending.push(Pending::Sign(batch));
            }
            CourierAction::Sign(batch) => {
                let signed = vec![Bytes::from_static(b"a.b.c"); batch.claims.len()];
                self.courier.on_signed(&batch, signed, view);
            }
            CourierAction::Push(attempt) => self.push(attempt),
            CourierAction::Settle(settlements) => self.pending.push(Pending::Settle(settlements)),
            CourierAction::TickAt(at) => {
                assert!(self.now < at, "a tick that is over");
                self.tick_at = Some(at);
            }
            CourierAction::Pause { .. } => self.pending.push(Pending::Pause),
            CourierAction::Stop => {
                self.pending.retain(|pending| !matches!(pending, Pending::Sign(_)));
                assert!(self.pending.is_empty(), "stopped, though {:?}", self.pending);
                (self.stopped, self.room, self.tick_at) = (true, 0, None);
            }
            CourierAction::LeaseLost => panic!("no result was refused"),
            CourierAction::Note(CourierNote::GivenUp { sets }) => self.given_up += sets,
            CourierAction::Note(_) => {}
        }
    }

    fn push(&mut self, attempt: Attempt) {
        let set = set_of(&attempt).clone();
        assert!(self.leased, "{set:?} is attempted without a lease");
        let let_through = self.flow.lets_through(set.kind);
        assert!(let_through, "{set:?} is attempted on a stream that takes none");
        // The announcement is not sent while other attempts are under way (SSF §8.1.5).
        let alone = self.flow == Flow::All || self.attempts().is_empty();
        assert!(alone, "{set:?} is attempted beside {:?}", self.attempts());
        assert!(!self.rows[&set.seq].settled, "{:?} is settled", set.seq);
        assert!(self.is_head(&set), "{:?} overtakes its lane", set.seq);
        assert!(set.due_at <= self.now, "{:?} is attempted too early", set.seq);
        self.attempts_made += 1;
        self.room = self.room.checked_sub(1).expect("an attempt has room");
        self.pending.push(Pending::Attempt(attempt));
    }

    pub(super) fn append(&mut self, lane: i64, kind: SetKind) -> Seq {
        let seq = self.insert(lane, kind);
        self.input(|courier, view| courier.on_wake(kind != SetKind::Event, view));
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

    /// The heads of all lanes, in one pass.
    fn heads(&self) -> Vec<&PendingSet> {
        let mut seen = HashSet::new();
        let waiting = self.rows.values().filter(|row| !row.settled);
        let heads = waiting.filter(|row| seen.insert((row.set.lane, row.set.kind)));
        heads.map(|row| &row.set).collect()
    }

    /// Reads like `Store::read_due`.
    fn read(&self, reading: &OutboxQuery) -> (Vec<PendingSet>, Option<Timestamp>) {
        let mut heads = self.heads();
        heads.retain(|set| self.stored.lets_through(set.kind));
        let mut sets = Vec::new();
        for kind in [SetKind::Announcement, SetKind::Control, SetKind::Event] {
            let due = || {
                let of_kind = heads.iter().copied().filter(move |set| set.kind == kind);
                of_kind.filter(|set| !reading.busy.contains(&set.seq))
            };
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
            sets.extend(failed.into_iter().chain(fresh).cloned());
        }
        let later = heads.iter().filter(|set| set.attempts != 0 && self.now < set.due_at);
        (sets, later.map(|set| set.due_at).min())
    }

    fn check_bounds(&self) {
        let of = |seq: &Seq| (self.rows[seq].set.lane, row_kind(&self.rows[seq]));
        let mut lanes: Vec<_> = self.attempts().iter().map(of).collect();
        let events =
            self.attempts().iter().filter(|seq| self.rows[seq].set.kind == SetKind::Event).count();
        let open = events + self.courier.window.events_unrecorded();
        assert!(open <= self.settings.in_flight_max, "{events} in flight, {open} to come again");
        lanes.sort();
        assert!(lanes.is_sorted_by(|a, b| a < b), "two of one lane in flight");
        let (mut settle, mut read) = (0, 0);
        for pending in &self.pending {
            settle += usize::from(matches!(pending, Pending::Settle(_)));
            read += usize::from(matches!(pending, Pending::Read(..)));
        }
        assert!(settle <= 1 && read <= 1, "{settle} recordings and {read} reads at a time");
        let window = &self.courier.window;
        assert!(window.events() <= self.settings.window_max, "{} in the window", window.events());
        let under_way = settle + lanes.len();
        assert!(under_way == 0 || !window.is_quiet(), "{under_way} under way, and quiet");
    }

    /// Completes one thing that is under way, well or badly.
    pub(super) fn complete(&mut self, index: usize, dice: u8) {
        if self.pending.is_empty() {
            return;
        }
        match self.pending.remove(index % self.pending.len()) {
            Pending::Read(..) if dice < 20 => {
                self.input(|courier, view| courier.on_read_failed(StoreFailure::Unavailable, view));
            }
            Pending::Read(sets, next_retry) => {
                self.input(|courier, view| courier.on_read(sets, next_retry, view));
            }
            Pending::Sign(batch) if dice < 20 => {
                self.input(|courier, view| courier.on_signing_failed(&batch, 0.5, view));
            }
            Pending::Sign(batch) => {
                let signed = vec![Bytes::from_static(b"a.b.c"); batch.claims.len()];
                self.input(|courier, view| courier.on_signed(&batch, signed, view));
            }
            Pending::Settle(_) if dice < 20 => {
                let failure = StoreFailure::Unavailable;
                self.input(|courier, view| courier.on_settle_failed(failure, view));
            }
            Pending::Settle(settlements) => {
                let goes_on = settlements.into_iter().fold(false, |on, one| self.record(one) | on);
                self.input(|courier, view| courier.on_settled(goes_on, view));
            }
            Pending::Pause if dice < 100 => {
                self.input(|courier, view| courier.on_pause_ended(false, view));
            }
            Pending::Pause => {
                self.change(Flow::Announcements, true);
                self.input(|courier, view| courier.on_pause_ended(true, view));
            }
            Pending::Attempt(attempt) => {
                let outcome = match dice {
                    0..30 => Outcome::failed(FailureClass::Unavailable, "status 503"),
                    30..50 => Outcome::failed(FailureClass::Connect, "refused"),
                    50..60 => Outcome::failed(FailureClass::Credentials, "status 401"),
                    60..70 => Outcome::Refused(SetError::new("invalid_request", "")),
                    70..80 => Outcome::Refused(SetError::new("invalid_key", "")),
                    80.. => Outcome::Accepted { status: 202 },
                };
                self.end(attempt, outcome);
            }
        }
    }

    /// Whether another SET is the head of the lane now.
    fn record(&mut self, settlement: Settlement) -> bool {
        let row = self.rows.get_mut(&settlement.seq).expect("what is settled was appended");
        if row.settled {
            // The SET was withdrawn meanwhile.
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

    fn end(&mut self, attempt: Attempt, outcome: Outcome) {
        let (lane, seq) = (set_of(&attempt).lane, set_of(&attempt).seq);
        if matches!(outcome, Outcome::Accepted { .. }) {
            self.received.entry(lane).or_default().push(seq);
        }
        let ended = vec![Attempted { attempt, outcomes: Outcomes::All(outcome) }];
        self.input(|courier, view| courier.on_attempts_ended(ended, 0.5, view));
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
        self.revision.version += 1;
        self.stream = stream(flow, self.revision.version);
        self.input(|courier, view| courier.on_wake(true, view));
    }

    /// The Receiver names another endpoint, so that everything is due at once.
    pub(super) fn move_to(&mut self, url: &str) {
        for row in self.rows.values_mut() {
            row.set.due_at = self.now;
        }
        self.change(self.flow, false);
        let endpoint = PushEndpoint::new(url, None, false).expect("valid");
        let stream = self.stream.take().expect("the stream was not deleted");
        let delivery = Delivery::Push(endpoint);
        self.revision.version += 1;
        let version = self.revision.version;
        self.stream = Some(Arc::new(StreamConfig { delivery, version, ..(*stream).clone() }));
        self.input(|courier, view| courier.on_wake(true, view));
    }

    /// Another key signs from now on.
    pub(super) fn change_key(&mut self) {
        self.new_key = Some(NewKey { since: self.now, grace: Duration::from_mins(15) });
        self.revision.changes += 1;
        self.input(|courier, view| courier.on_wake(true, view));
    }

    /// Subjects are removed from the stream.
    pub(super) fn remove_subjects(&mut self) {
        self.revision.changes += 1;
        self.input(|courier, view| courier.on_wake(true, view));
    }

    pub(super) fn advance(&mut self, span: Duration) {
        self.now = self.now + span;
        if self.tick_at.is_some_and(|at| at <= self.now) {
            self.tick_at = None;
            self.input(Courier::on_tick);
        }
    }

    /// Moves the clock to the time that the courier waits for; `false` if it waits for none.
    pub(super) fn wait(&mut self) -> bool {
        let Some(at) = self.tick_at else { return false };
        self.advance(at.since(self.now));
        true
    }

    /// The host tells that there may be room.
    pub(super) fn nudge(&mut self) {
        self.input(Courier::on_tick);
    }

    /// Everything goes well from now on: nothing may stay behind.
    pub(super) fn finish(&mut self) {
        (self.host_room, self.leased) = (usize::MAX, true);
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
        assert!(self.stopped, "a courier without work ends");
        self.received.remove(&Lane::from_i64(CONTROL_LANE));
        for (lane, received) in &self.received {
            assert!(received.is_sorted_by(|a, b| a < b), "{lane:?} got {received:?}");
        }
    }

    pub(super) fn attempts(&self) -> Vec<Seq> {
        let attempts = self.pending.iter().filter_map(|pending| match pending {
            Pending::Attempt(attempt) => Some(set_of(attempt).seq),
            _ => None,
        });
        attempts.collect()
    }

    pub(super) fn cut_off(&self) -> bool {
        self.courier.report().breaker != BreakerReport::Closed
    }

    /// Ends the attempt at a SET.
    pub(super) fn attempt_ends(&mut self, seq: Seq, outcome: &Outcome) {
        let is = |pending: &Pending| matches!(pending, Pending::Attempt(attempt) if set_of(attempt).seq == seq);
        let index = self.pending.iter().position(is).expect("the attempt is under way");
        let Pending::Attempt(attempt) = self.pending.remove(index) else {
            unreachable!("it was just found")
        };
        self.end(attempt, outcome.clone());
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
