//! The state machine of one push stream: which SETs go out now, which wait, and what is read and
//! recorded.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    delivery::{
        lane::Lane,
        outbox::{Cursor, Disposition, Kind, PendingSet, Seq, Settlement},
        outcome::Outcome,
        retry::RetryPolicy,
    },
    domain::{status::StreamStatus, stream::StreamConfig, time::Timestamp},
};

/// The bounds of one stream's work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliverySettings {
    /// SETs of one stream in flight at a time, each of another lane; 1 is strict order.
    pub in_flight_max: usize,
    /// SETs of one stream in memory at a time; all others wait in the store.
    pub window_max: usize,
    /// How long a stream's actor stays without anything to do.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// How often the store is searched for work whose wake-up was lost.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    pub retry: RetryPolicy,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            in_flight_max: 32,
            window_max: 256,
            idle_timeout: Duration::from_secs(30),
            sweep_interval: Duration::from_secs(5),
            retry: RetryPolicy::default(),
        }
    }
}

/// How many SETs a read may ask for when the window has no room, so that a control event gets
/// through all the same.
const CONTROL_RESERVE: usize = 8;

/// What the machine wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Read SETs behind the cursor, then call `on_read`.
    Read { after: Cursor, limit: usize },
    /// Sign and push each, then call `on_attempt_ended` or `on_attempt_withdrawn` for each.
    Attempt(Vec<PendingSet>),
    /// Record results, then call `on_settled` or `on_settle_failed`.
    Settle(Vec<Settlement>),
    /// Call `on_tick` then, instead of at any time named before.
    TickAt(Timestamp),
}

/// What a stream lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    All,
    /// The word that it has stopped, and nothing after it (SSF §8.1.5).
    Announcements,
    Nothing,
}

impl Flow {
    /// By push, that is. What the Receiver of a stream that is not enabled may still get is in its
    /// outbox as an announcement, and none is if it asked for the status itself.
    pub fn of(stream: &StreamConfig) -> Self {
        match (stream.endpoint(), stream.status) {
            (None, _) => Self::Nothing,
            (Some(_), StreamStatus::Enabled) => Self::All,
            (Some(_), StreamStatus::Paused | StreamStatus::Disabled) => Self::Announcements,
        }
    }

    fn lets_through(self, kind: Kind) -> bool {
        match self {
            Self::All => true,
            Self::Announcements => kind == Kind::Announcement,
            Self::Nothing => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for its turn or for its time.
    Queued,
    /// An attempt is under way.
    InFlight,
    /// The attempt is over and its result is being recorded. The lane stays closed until it is
    /// durable: after a crash the SETs behind it must not have overtaken it.
    Settling,
}

#[derive(Debug)]
struct Slot {
    set: PendingSet,
    state: State,
}

/// Invariants: a lane has at most one SET that is not `Queued`, and it is the lane's first; at most
/// `in_flight_max` event SETs are in flight; at most `window_max` event SETs are in memory; what is
/// in memory was let through when it was read.
#[derive(Debug)]
pub struct StreamMachine {
    settings: DeliverySettings,
    window: BTreeMap<Seq, Slot>,
    /// Each lane's SETs in order.
    lanes: HashMap<Lane, VecDeque<Seq>>,
    /// Heads of idle lanes, by the time at which they are due.
    waiting: BTreeSet<(Timestamp, Seq)>,
    /// Heads of idle lanes that are due; control events first.
    ready: BTreeSet<(Rank, Seq)>,
    /// Event SETs in the window, and those of them in flight.
    events: usize,
    in_flight: usize,
    cursor: Cursor,
    unread: Unread,
    reading: bool,
    /// What was read is void: the stream was changed, and its outbox is to be read anew.
    stale: bool,
    /// What may be read and attempted.
    flow: Flow,
    /// Results that are to be recorded, and those that are being recorded.
    unrecorded: Vec<Settlement>,
    recording: Vec<Settlement>,
    tick_at: Option<Timestamp>,
}

/// What the store may hold behind the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unread {
    Nothing,
    Events,
    /// A control event among them, which is worth a read even when the window has no room.
    Control,
}

/// The order among SETs that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Control,
    Event,
}

impl Rank {
    fn of(set: &PendingSet) -> Self {
        match set.kind {
            Kind::Announcement | Kind::Control => Self::Control,
            Kind::Event => Self::Event,
        }
    }
}

impl StreamMachine {
    pub fn new(settings: DeliverySettings, flow: Flow) -> Self {
        Self {
            settings,
            flow,
            window: BTreeMap::new(),
            lanes: HashMap::new(),
            waiting: BTreeSet::new(),
            ready: BTreeSet::new(),
            events: 0,
            in_flight: 0,
            cursor: Cursor::default(),
            unread: Unread::Nothing,
            reading: false,
            stale: false,
            unrecorded: Vec::new(),
            recording: Vec::new(),
            tick_at: None,
        }
    }

    /// Nothing in memory, nothing under way, nothing to be read.
    pub fn is_idle(&self) -> bool {
        self.window.is_empty() && !self.reading && !self.has_unread()
    }

    /// Whether a read may bring what is let through.
    fn has_unread(&self) -> bool {
        match self.flow {
            Flow::All => self.unread != Unread::Nothing,
            Flow::Announcements => self.unread == Unread::Control,
            Flow::Nothing => false,
        }
    }

    /// Nothing under way: no attempt, at a control event neither, and no result that is not
    /// recorded.
    pub fn is_quiet(&self) -> bool {
        self.window.values().all(|slot| slot.state == State::Queued)
    }

    /// There may be new SETs in the outbox; `control` if one of them is a control event.
    pub fn on_wake(&mut self, control: bool, now: Timestamp) -> Vec<Action> {
        self.unread = self.unread.max(if control { Unread::Control } else { Unread::Events });
        self.step(now)
    }

    /// The stream was changed: what is in memory may have been discarded, settled elsewhere or
    /// addressed to another endpoint. Attempts under way end as they do; all else is read anew.
    pub fn on_changed(&mut self, flow: Flow, now: Timestamp) -> Vec<Action> {
        self.flow = flow;
        self.stale = true;
        self.unread = Unread::Control;
        self.waiting.clear();
        self.ready.clear();
        self.window.retain(|_, slot| slot.state != State::Queued);
        self.events = self.window.values().filter(|slot| slot.set.kind == Kind::Event).count();
        let window = &self.window;
        self.lanes.retain(|_, lane| {
            lane.retain(|seq| window.contains_key(seq));
            !lane.is_empty()
        });
        self.step(now)
    }

    /// No new attempts from now on; those under way end as they do.
    pub fn hold(&mut self) {
        self.flow = Flow::Nothing;
    }

    /// `sets` came of the last [`Action::Read`], `limit` as it said.
    pub fn on_read(&mut self, sets: Vec<PendingSet>, limit: usize, now: Timestamp) -> Vec<Action> {
        self.reading = false;
        if !self.stale {
            if sets.len() == limit {
                self.unread = self.unread.max(Unread::Events);
            }
            for set in sets {
                let fits = set.kind != Kind::Event || 0 < self.room();
                // The store may know of a change that we have not been told of yet.
                if !fits || !self.flow.lets_through(set.kind) {
                    // Left in the store, and so are those behind it.
                    self.unread = self.unread.max(Unread::Events);
                    break;
                }
                self.cursor.pass(&set);
                self.admit(set);
            }
        }
        self.step(now)
    }

    /// The last [`Action::Read`] failed. Nothing is asked for at once: the caller wakes the machine
    /// after a while.
    pub fn on_read_failed(&mut self) {
        self.reading = false;
        self.unread = Unread::Control;
    }

    /// An attempt is over. `dice` (`0.0..=1.0`) spreads a retry.
    pub fn on_attempt_ended(
        &mut self,
        seq: Seq,
        outcome: &Outcome,
        now: Timestamp,
        dice: f64,
    ) -> (Disposition, Vec<Action>) {
        let slot = self.window.get_mut(&seq).expect("a SET in flight stays in the window");
        debug_assert_eq!(slot.state, State::InFlight);
        slot.state = State::Settling;
        let disposition = self.settings.retry.judge(&slot.set, outcome, now, dice);
        self.in_flight -= usize::from(slot.set.kind == Kind::Event);
        self.unrecorded.push(Settlement { seq, disposition: disposition.clone() });
        (disposition, self.step(now))
    }

    /// An attempt was not made after all, or does not count: the stream takes no push any more, or
    /// takes it elsewhere.
    pub fn on_attempt_withdrawn(&mut self, seq: Seq, now: Timestamp) -> Vec<Action> {
        let slot = self.window.get_mut(&seq).expect("a SET in flight stays in the window");
        slot.state = State::Queued;
        self.in_flight -= usize::from(slot.set.kind == Kind::Event);
        if self.stale {
            self.release(seq);
        } else {
            self.queue_head(seq);
        }
        self.step(now)
    }

    /// The last [`Action::Settle`] is durable.
    pub fn on_settled(&mut self, now: Timestamp) -> Vec<Action> {
        for Settlement { seq, disposition } in std::mem::take(&mut self.recording) {
            match disposition {
                Disposition::Delivered | Disposition::Dead { .. } => self.release(seq),
                // It will be read again, if it is still there.
                Disposition::RetryAt { .. } if self.stale => self.release(seq),
                Disposition::RetryAt { due_at, .. } => self.requeue(seq, due_at),
            }
        }
        self.step(now)
    }

    /// The last [`Action::Settle`] failed; its results stay to be recorded with the next. The
    /// caller wakes the machine after a while.
    pub fn on_settle_failed(&mut self) {
        let mut recording = std::mem::take(&mut self.recording);
        recording.append(&mut self.unrecorded);
        self.unrecorded = recording;
    }

    /// The time named by [`Action::TickAt`] has come.
    pub fn on_tick(&mut self, now: Timestamp) -> Vec<Action> {
        self.tick_at = None;
        self.step(now)
    }

    fn room(&self) -> usize {
        self.settings.window_max.saturating_sub(self.events)
    }

    fn admit(&mut self, set: PendingSet) {
        let (seq, lane) = (set.seq, set.lane);
        self.events += usize::from(set.kind == Kind::Event);
        let displaced = self.window.insert(seq, Slot { set, state: State::Queued });
        debug_assert!(displaced.is_none(), "the cursor lies behind every SET in the window");
        let lane = self.lanes.entry(lane).or_default();
        lane.push_back(seq);
        if lane.len() == 1 {
            self.queue_head(seq);
        }
    }

    /// The head of an idle lane waits for its time.
    fn queue_head(&mut self, seq: Seq) {
        if let Some(slot) = self.window.get(&seq) {
            self.waiting.insert((slot.set.due_at, seq));
        }
    }

    fn release(&mut self, seq: Seq) {
        let slot = self.window.remove(&seq).expect("a SET being settled stays in the window");
        self.events -= usize::from(slot.set.kind == Kind::Event);
        let lane = self.lanes.get_mut(&slot.set.lane).expect("a SET in the window has a lane");
        debug_assert_eq!(lane.front(), Some(&seq), "only the head of a lane is in flight");
        lane.pop_front();
        match lane.front().copied() {
            Some(next) => self.queue_head(next),
            None => _ = self.lanes.remove(&slot.set.lane),
        }
    }

    fn requeue(&mut self, seq: Seq, due_at: Timestamp) {
        let slot = self.window.get_mut(&seq).expect("a SET being settled stays in the window");
        slot.state = State::Queued;
        slot.set.due_at = due_at;
        slot.set.attempts = slot.set.attempts.saturating_add(1);
        self.queue_head(seq);
    }

    fn step(&mut self, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        self.record(&mut actions);
        self.read(&mut actions);
        self.attempt(now, &mut actions);
        actions
    }

    /// One recording at a time; what ends meanwhile goes with the next.
    fn record(&mut self, actions: &mut Vec<Action>) {
        if self.recording.is_empty() && !self.unrecorded.is_empty() {
            self.recording = std::mem::take(&mut self.unrecorded);
            actions.push(Action::Settle(self.recording.clone()));
        }
    }

    fn read(&mut self, actions: &mut Vec<Action>) {
        if self.reading || !self.has_unread() {
            return;
        }
        if self.stale {
            // A read that runs beside a recording could bring back what was just settled.
            if !self.window.is_empty() {
                return;
            }
            self.stale = false;
            self.cursor = Cursor::default();
        }
        let room = self.room();
        // Half a window at a time rather than for each SET that leaves, unless there is nothing
        // else to do.
        let worthwhile = self.settings.window_max <= room * 2
            || (0 < room && self.in_flight == 0 && self.ready.is_empty());
        if !worthwhile && self.unread != Unread::Control {
            return;
        }
        self.reading = true;
        self.unread = Unread::Nothing;
        let limit = room.max(CONTROL_RESERVE);
        actions.push(Action::Read { after: self.cursor, limit });
    }

    fn attempt(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.flow == Flow::Nothing {
            return;
        }
        while let Some((due_at, seq)) = self.waiting.first().copied() {
            if now < due_at {
                break;
            }
            self.waiting.pop_first();
            let rank = Rank::of(&self.window[&seq].set);
            self.ready.insert((rank, seq));
        }
        let mut attempts = Vec::new();
        while let Some((rank, seq)) = self.ready.first().copied() {
            // A control event waits for nobody.
            if rank == Rank::Event && self.settings.in_flight_max <= self.in_flight {
                break;
            }
            self.ready.pop_first();
            let slot = self.window.get_mut(&seq).expect("what is ready is in the window");
            slot.state = State::InFlight;
            self.in_flight += usize::from(rank == Rank::Event);
            attempts.push(slot.set.clone());
        }
        if !attempts.is_empty() {
            actions.push(Action::Attempt(attempts));
        }
        if let Some((due_at, _)) = self.waiting.first().copied()
            && self.tick_at.is_none_or(|at| due_at < at)
        {
            self.tick_at = Some(due_at);
            actions.push(Action::TickAt(due_at));
        }
    }
}

#[cfg(test)]
mod tests;
