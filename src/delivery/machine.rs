//! The state machine of one push stream: which SETs go out now, and what is read and recorded.
//!
//! In memory are SETs that can go out, and no others: of each lane the head, if it is due. What
//! waits for its retry, and what waits behind it, waits in the store and takes no room here, so
//! that a lane that can be delivered is, however many others cannot.

mod step;

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::{
    delivery::{
        breaker::Breaker,
        courier::{CourierReport, LastOutcome, RoomReport},
        fault::{Fault, Faults},
        lane::Lane,
        outbox::{Disposition, OutboxQuery, PendingSet, Seq, SetKind, Settlement},
        outcome::{Blame, Outcome},
        settings::DeliverySettings,
        slowdown::Slowdown,
    },
    domain::{status::StreamStatus, stream::StreamConfig, time::Timestamp},
};

/// What the machine wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Read what can be pushed, then call `on_read` or `on_read_failed`.
    Read(OutboxQuery),
    /// Up to `count` attempts can start: call `start` with as many as there is room for at the
    /// endpoint's host. It is said again, with whatever holds then, after every step.
    Attempt { count: usize },
    /// Record results, then call `on_settled` or `on_settle_failed`.
    Settle(Vec<Settlement>),
    /// These were given up by their age without an attempt; a [`Action::Settle`] records it.
    GivenUp(Vec<PendingSet>),
    /// The endpoint is at fault: have the stream paused, so that `on_changed` is called, or else
    /// call `on_pause_failed`. Nothing starts meanwhile.
    Pause(Fault),
    /// Call `on_tick` then, instead of at any time named before.
    TickAt(Timestamp),
}

/// What becomes of a SET after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Settle(Disposition),
    /// It goes out again at once, signed with the current key: its signature was refused, and the
    /// key may have been replaced since it was signed. This happens to a SET once.
    SignAgain,
}

/// What happened to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Subjects were removed from it.
    Subjects,
    /// Its configuration or status was changed: the endpoint is given a fresh start.
    Stream,
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

    fn lets_through(self, kind: SetKind) -> bool {
        match self {
            Self::All => true,
            Self::Announcements => kind == SetKind::Announcement,
            Self::Nothing => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for its turn.
    Ready,
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
    signed_again: bool,
}

/// What the store may hold that was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unread {
    Nothing,
    Events,
    /// A control event among them, which is worth a read even when the window has no room.
    Control,
}

/// Invariants: the window holds at most one SET of a lane and kind whose attempt is not over, and at
/// most `window_max` events, all of which were let through when they were read; at most
/// `in_flight_max` events are in flight; what is `Ready` is in one of the two queues, once.
#[derive(Debug)]
pub struct StreamMachine {
    settings: DeliverySettings,
    window: BTreeMap<Seq, Slot>,
    /// Events in the window, and those of them in flight.
    events: usize,
    in_flight: usize,
    /// What goes out next, in the order in which it was read: whatever fails again and again comes
    /// behind what has not had its turn.
    ready_control: VecDeque<Seq>,
    ready_events: VecDeque<Seq>,
    unread: Unread,
    /// When the store has something more to read, if nothing happens until then.
    next_retry: Option<Timestamp>,
    /// How many events the read that is under way asked for.
    reading: Option<usize>,
    /// Whether the odd place of the next read goes to a SET that failed before.
    odd_to_retries: bool,
    /// What was read is void: the stream was changed, and its outbox is to be read anew.
    stale: bool,
    /// What may be read and attempted.
    flow: Flow,
    /// It was asked for the stream to be paused: no new attempts until that is done, or is not.
    pausing: bool,
    breaker: Breaker,
    slowdown: Slowdown,
    faults: Faults,
    /// Results that are to be recorded, and those that are being recorded.
    unrecorded: Vec<Settlement>,
    recording: Vec<Settlement>,
    tick_at: Option<Timestamp>,
    last_outcome: Option<LastOutcome>,
    last_success: Option<Timestamp>,
}

impl StreamMachine {
    pub fn new(settings: DeliverySettings, flow: Flow) -> Self {
        Self {
            window: BTreeMap::new(),
            events: 0,
            in_flight: 0,
            ready_control: VecDeque::new(),
            ready_events: VecDeque::new(),
            unread: Unread::Nothing,
            next_retry: None,
            reading: None,
            odd_to_retries: false,
            stale: false,
            flow,
            pausing: false,
            breaker: Breaker::new(settings.breaker.clone()),
            slowdown: Slowdown::new(&settings),
            faults: Faults::new(settings.fault.clone()),
            unrecorded: Vec::new(),
            recording: Vec::new(),
            tick_at: None,
            last_outcome: None,
            last_success: None,
            settings,
        }
    }

    /// Nothing in memory, nothing under way, nothing to be read that is let through, now or later.
    /// So what is known of the endpoint is not forgotten while SETs wait for it.
    pub fn is_idle(&self) -> bool {
        self.window.is_empty()
            && self.reading.is_none()
            && !self.has_unread()
            && self.next_retry.is_none()
    }

    /// Whether a read may bring what is let through.
    fn has_unread(&self) -> bool {
        match self.flow {
            Flow::All => self.unread != Unread::Nothing,
            Flow::Announcements => self.unread == Unread::Control,
            Flow::Nothing => false,
        }
    }

    /// No SET is in memory.
    pub fn holds_nothing(&self) -> bool {
        self.window.is_empty()
    }

    /// A read is under way.
    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Nothing under way: no attempt, at a control event neither, and no result that is not
    /// recorded.
    pub fn is_quiet(&self) -> bool {
        self.window.values().all(|slot| slot.state == State::Ready)
    }

    /// Whether the endpoint is not reached at present, and only probed.
    pub fn is_cut_off(&self) -> bool {
        self.breaker.is_open()
    }

    /// How the work stands, for an operator; the caller knows of the room and of a drain.
    pub fn report(&self, room: RoomReport, draining: bool) -> CourierReport {
        let in_flight = self.window.values().filter(|slot| slot.state == State::InFlight).count();
        CourierReport {
            window: self.window.len(),
            in_flight,
            ready: self.ready_control.len() + self.ready_events.len(),
            breaker: self.breaker.report(),
            slowdown: self.slowdown.report(self.settings.in_flight_max),
            room,
            next_retry: self.next_retry,
            last_outcome: self.last_outcome.clone(),
            last_success: self.last_success,
            draining,
        }
    }

    /// There may be new SETs in the outbox; `control` if one of them is a control event.
    pub fn on_wake(&mut self, control: bool, now: Timestamp) -> Vec<Action> {
        self.unread = self.unread.max(if control { Unread::Control } else { Unread::Events });
        self.step(now)
    }

    /// The stream was changed: what is in memory may have been discarded, settled elsewhere or
    /// addressed to another endpoint. Attempts under way end as they do; all else is read anew.
    pub fn on_changed(&mut self, change: Change, flow: Flow, now: Timestamp) -> Vec<Action> {
        if change == Change::Stream {
            self.pausing = false;
            self.breaker = Breaker::new(self.settings.breaker.clone());
            self.slowdown = Slowdown::new(&self.settings);
            self.faults = Faults::new(self.settings.fault.clone());
        }
        self.flow = flow;
        self.stale = true;
        self.unread = Unread::Control;
        self.next_retry = None;
        self.ready_control.clear();
        self.ready_events.clear();
        self.window.retain(|_, slot| slot.state != State::Ready);
        self.events = self.window.values().filter(|slot| slot.set.kind == SetKind::Event).count();
        self.step(now)
    }

    /// No new attempts from now on; those under way end as they do.
    pub fn hold(&mut self) {
        self.flow = Flow::Nothing;
    }

    /// The last [`Action::Pause`] came to nothing: the endpoint is tried on.
    pub fn on_pause_failed(&mut self, now: Timestamp) -> Vec<Action> {
        self.pausing = false;
        self.step(now)
    }

    /// `sets` came of the last [`Action::Read`], and so did the time at which there is more.
    pub fn on_read(
        &mut self,
        sets: Vec<PendingSet>,
        next_retry: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<Action> {
        let asked = self.reading.take().unwrap_or(0);
        if !self.stale {
            let events = sets.iter().filter(|set| set.kind == SetKind::Event).count();
            if asked <= events {
                // There may be more.
                self.unread = self.unread.max(Unread::Events);
            }
            self.next_retry = [self.next_retry, next_retry].into_iter().flatten().min();
            let taken: HashSet<_> = self.open_lanes().collect();
            for set in sets {
                // What was the head of this lane is gone, by a change that we will be told of. An
                // attempt at it is perhaps under way, and must not be overtaken.
                if taken.contains(&(set.lane, set.kind)) {
                    continue;
                }
                // The store may know of a change that we have not been told of yet.
                if !self.flow.lets_through(set.kind) {
                    self.unread = self.unread.max(Unread::Events);
                    continue;
                }
                self.admit(set);
            }
        }
        self.step(now)
    }

    /// The last [`Action::Read`] failed. Nothing is asked for at once: the caller calls `on_tick`
    /// after a while.
    pub fn on_read_failed(&mut self) {
        self.reading = None;
        self.unread = Unread::Control;
    }

    /// What goes out next, in order.
    pub fn ready(&self) -> impl Iterator<Item = &PendingSet> {
        let ready = self.ready_control.iter().chain(&self.ready_events);
        ready.map(|seq| &self.window.get(seq).expect("what is ready is in the window").set)
    }

    /// Takes up to `room` SETs to push now, in the order of [`Self::ready`], no more than the last [`Action::Attempt`]
    /// said. For each of them `on_attempt_ended` or `on_attempt_withdrawn` is to be called.
    pub fn start(&mut self, room: usize, now: Timestamp) -> Vec<PendingSet> {
        let mut started = Vec::new();
        for _ in 0..room.min(self.startable(now)) {
            let Some(seq) =
                self.ready_control.pop_front().or_else(|| self.ready_events.pop_front())
            else {
                break;
            };
            let slot = self.window.get_mut(&seq).expect("what is ready is in the window");
            slot.state = State::InFlight;
            self.in_flight += usize::from(slot.set.kind == SetKind::Event);
            started.push(slot.set.clone());
            self.breaker.on_started();
            self.slowdown.on_started(now);
        }
        started
    }

    /// An attempt is over. `dice` (`0.0..=1.0`) spreads a retry.
    pub fn on_attempt_ended(
        &mut self,
        seq: Seq,
        outcome: &Outcome,
        now: Timestamp,
        dice: f64,
    ) -> (Verdict, Vec<Action>) {
        let slot = self.window.get_mut(&seq).expect("a SET in flight stays in the window");
        debug_assert_eq!(slot.state, State::InFlight);
        self.in_flight -= usize::from(slot.set.kind == SetKind::Event);
        self.last_outcome = Some(LastOutcome::of(outcome, now));
        if matches!(outcome, Outcome::Accepted { .. }) {
            self.last_success = Some(now);
        }
        match outcome {
            Outcome::Accepted { .. } | Outcome::Refused(_) => {
                self.slowdown.on_succeeded();
                self.breaker.on_reached();
            }
            Outcome::Failed { class, .. } => {
                self.slowdown.on_failed(now);
                match class.blame() {
                    Blame::Transport | Blame::Endpoint => self.breaker.on_unreached(now),
                    Blame::Load => self.breaker.on_reached(),
                    Blame::Nothing => self.breaker.on_nothing_learnt(now),
                }
            }
        }
        let key_refused = match outcome {
            Outcome::Refused(error) if error.blames_key() => Some(error),
            _ => None,
        };
        if key_refused.is_some() && !slot.signed_again {
            slot.signed_again = true;
            self.put_back(seq);
            return (Verdict::SignAgain, self.step(now));
        }
        let may_be_paused = self.flow == Flow::All && !self.pausing;
        let fault = self.faults.on_outcome(outcome, now).filter(|_| may_be_paused);
        self.pausing |= fault.is_some();
        let stopped = self.pausing || self.flow != Flow::All;
        let slot = self.window.get_mut(&seq).expect("a SET in flight stays in the window");
        slot.state = State::Settling;
        let retry = &self.settings.retry;
        let disposition = match key_refused {
            // It is the endpoint that refuses, so the SET is held with the others.
            Some(error) if stopped && slot.set.kind == SetKind::Event => {
                retry.put_off(&slot.set, None, error.err.clone(), now, dice)
            }
            _ => retry.judge(&slot.set, outcome, now, dice),
        };
        self.unrecorded.push(Settlement { seq, disposition: disposition.clone() });
        let mut actions = self.step(now);
        actions.extend(fault.map(Action::Pause));
        (Verdict::Settle(disposition), actions)
    }

    /// An attempt was not made after all, or does not count: the stream takes no push any more, or
    /// takes it elsewhere.
    pub fn on_attempt_withdrawn(&mut self, seq: Seq, now: Timestamp) -> Vec<Action> {
        let slot = self.window.get_mut(&seq).expect("a SET in flight stays in the window");
        debug_assert_eq!(slot.state, State::InFlight);
        self.in_flight -= usize::from(slot.set.kind == SetKind::Event);
        self.breaker.on_nothing_learnt(now);
        self.put_back(seq);
        self.step(now)
    }

    /// The last [`Action::Settle`] is durable. `lane_goes_on` if a SET that was settled had another
    /// behind it in its lane.
    pub fn on_settled(&mut self, lane_goes_on: bool, now: Timestamp) -> Vec<Action> {
        for Settlement { seq, disposition } in std::mem::take(&mut self.recording) {
            let set = self.release(seq);
            if lane_goes_on {
                let what = match set.kind {
                    SetKind::Announcement | SetKind::Control => Unread::Control,
                    SetKind::Event => Unread::Events,
                };
                self.unread = self.unread.max(what);
            }
            if let Disposition::RetryAt { due_at, .. } = disposition
                && !self.stale
            {
                self.next_retry = Some(self.next_retry.map_or(due_at, |at| at.min(due_at)));
            }
        }
        self.step(now)
    }

    /// The last [`Action::Settle`] failed; its results stay to be recorded with the next. The
    /// caller calls `on_tick` after a while.
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

    fn admit(&mut self, set: PendingSet) {
        let (seq, kind) = (set.seq, set.kind);
        let slot = Slot { set, state: State::Ready, signed_again: false };
        let displaced = self.window.insert(seq, slot);
        debug_assert!(displaced.is_none(), "what is in the window is passed over by a read");
        debug_assert!(self.has_lanes_apart(), "only heads are read");
        match kind {
            SetKind::Announcement | SetKind::Control => self.ready_control.push_back(seq),
            SetKind::Event => {
                self.events += 1;
                self.ready_events.push_back(seq);
            }
        }
    }

    /// The lanes of what can go out or is under way. Whatever is read of the lane of a SET whose
    /// result is being recorded shows that the record is durable, though we have no word of it yet.
    fn open_lanes(&self) -> impl Iterator<Item = (Lane, SetKind)> {
        let open = self.window.values().filter(|slot| slot.state != State::Settling);
        open.map(|slot| (slot.set.lane, slot.set.kind))
    }

    fn has_lanes_apart(&self) -> bool {
        let mut seen = HashSet::new();
        self.open_lanes().all(|lane| seen.insert(lane))
    }

    /// It had its turn already, and has it again; in a stale window once it was read again.
    fn put_back(&mut self, seq: Seq) {
        if self.stale {
            self.release(seq);
            return;
        }
        let slot = self.window.get_mut(&seq).expect("what is queued is in the window");
        slot.state = State::Ready;
        match slot.set.kind {
            SetKind::Announcement | SetKind::Control => self.ready_control.push_front(seq),
            SetKind::Event => self.ready_events.push_front(seq),
        }
    }

    fn release(&mut self, seq: Seq) -> PendingSet {
        let slot = self.window.remove(&seq).expect("a SET being settled stays in the window");
        self.events -= usize::from(slot.set.kind == SetKind::Event);
        slot.set
    }
}

#[cfg(test)]
mod tests;
