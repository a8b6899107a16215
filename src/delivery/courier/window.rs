//! The SETs of one stream that are in memory.
//!
//! In memory are SETs that can go out, and no others: of each lane the head, if it is due. SETs that
//! wait for a retry, and SETs behind another of their lane, wait in the store and take no room here.
//! So a lane that can be delivered is delivered, however many others cannot.

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::delivery::{
    lane::Lane,
    outbox::{PendingSet, Seq, SetKind},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetState {
    /// An attempt can begin.
    Ready,
    /// An attempt is under way.
    InFlight,
    /// The attempt is over and its result is being recorded. The lane stays closed until the record
    /// is durable: after a crash the SETs behind this one must not have overtaken it.
    Settling {
        /// The Receiver has the SET, and would see it again after a crash.
        accepted: bool,
    },
}

#[derive(Debug)]
struct Entry {
    set: PendingSet,
    state: SetState,
    signed_again: bool,
}

/// Invariants: the window holds at most one SET of a lane and kind whose attempt is not over; a SET
/// that is `Ready` is in one of the two queues, once, and no other SET is in them.
#[derive(Debug, Default)]
pub(super) struct Window {
    entries: BTreeMap<Seq, Entry>,
    /// Events in the window, and those of them in flight.
    events: usize,
    events_in_flight: usize,
    /// Events that the Receiver has accepted and that are not recorded yet.
    events_unrecorded: usize,
    in_flight: usize,
    /// SETs that are ready, in the order in which they were read: a SET that fails again and again
    /// comes behind those that were not tried yet.
    ready_control: VecDeque<Seq>,
    ready_events: VecDeque<Seq>,
}

impl Window {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn events_in_flight(&self) -> usize {
        self.events_in_flight
    }

    pub(super) fn events_unrecorded(&self) -> usize {
        self.events_unrecorded
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// No attempt is under way, and no result is to be recorded.
    pub(super) fn is_quiet(&self) -> bool {
        self.entries.len() == self.ready_len()
    }

    pub(super) fn seqs(&self) -> impl Iterator<Item = Seq> {
        self.entries.keys().copied()
    }

    pub(super) fn ready_len(&self) -> usize {
        self.ready_control.len() + self.ready_events.len()
    }

    pub(super) fn ready_control(&self) -> usize {
        self.ready_control.len()
    }

    pub(super) fn ready_events(&self) -> usize {
        self.ready_events.len()
    }

    /// The SETs that go out next, in order.
    pub(super) fn ready(&self) -> impl Iterator<Item = &PendingSet> {
        let ready = self.ready_control.iter().chain(&self.ready_events);
        ready.map(|seq| &self.entries[seq].set)
    }

    pub(super) fn next_ready(&self) -> Option<Seq> {
        self.ready_control.front().or_else(|| self.ready_events.front()).copied()
    }

    pub(super) fn find(&self, seq: Seq) -> Option<&PendingSet> {
        self.entries.get(&seq).map(|entry| &entry.set)
    }

    pub(super) fn set(&self, seq: Seq) -> &PendingSet {
        &self.entries[&seq].set
    }

    /// The lanes of SETs that are ready or in flight. If the store returns the next SET of a lane
    /// whose result is being recorded, that record is already durable, because the store hands out
    /// only heads. `on_settled` may simply not have been called yet.
    pub(super) fn open_lanes(&self) -> impl Iterator<Item = (Lane, SetKind)> {
        let open = self.entries.values();
        let open = open.filter(|entry| !matches!(entry.state, SetState::Settling { .. }));
        open.map(|entry| (entry.set.lane, entry.set.kind))
    }

    fn has_lanes_apart(&self) -> bool {
        let mut seen = HashSet::new();
        self.open_lanes().all(|lane| seen.insert(lane))
    }

    pub(super) fn admit(&mut self, set: PendingSet) {
        let (seq, kind) = (set.seq, set.kind);
        self.events += usize::from(kind == SetKind::Event);
        let entry = Entry { set, state: SetState::Ready, signed_again: false };
        let displaced = self.entries.insert(seq, entry);
        debug_assert!(displaced.is_none(), "a read passes over SETs in the window");
        debug_assert!(self.has_lanes_apart(), "only heads are read");
        self.queue(kind).push_back(seq);
    }

    fn queue(&mut self, kind: SetKind) -> &mut VecDeque<Seq> {
        match kind {
            SetKind::Announcement | SetKind::Control => &mut self.ready_control,
            SetKind::Event => &mut self.ready_events,
        }
    }

    /// Begins an attempt at the SET that goes out next.
    pub(super) fn start_next(&mut self) -> PendingSet {
        let seq = self.ready_control.pop_front().or_else(|| self.ready_events.pop_front());
        let seq = seq.expect("the caller has seen a SET that is ready");
        let entry = self.entries.get_mut(&seq).expect("a SET that is ready is in the window");
        entry.state = SetState::InFlight;
        self.in_flight += 1;
        self.events_in_flight += usize::from(entry.set.kind == SetKind::Event);
        entry.set.clone()
    }

    /// Ends an attempt with a result that is to be recorded; `accepted` if the Receiver has the SET.
    pub(super) fn settling(&mut self, seq: Seq, accepted: bool) {
        let entry = self.ended(seq);
        entry.state = SetState::Settling { accepted };
        let counts = accepted && entry.set.kind == SetKind::Event;
        self.events_unrecorded += usize::from(counts);
    }

    /// Ends an attempt that is to be made again: the SET goes out next. Returns `false` if the SET
    /// was signed again before, in which case nothing is changed.
    pub(super) fn sign_again(&mut self, seq: Seq) -> bool {
        let entry = self.entries.get_mut(&seq).expect("a SET in flight stays in the window");
        let first = !entry.signed_again;
        entry.signed_again = true;
        first
    }

    /// Ends an attempt that was withdrawn or is to be made again: the SET goes out next.
    pub(super) fn put_back(&mut self, seq: Seq) {
        let entry = self.ended(seq);
        entry.state = SetState::Ready;
        let kind = entry.set.kind;
        self.queue(kind).push_front(seq);
    }

    fn ended(&mut self, seq: Seq) -> &mut Entry {
        let entry = self.entries.get_mut(&seq).expect("a SET in flight stays in the window");
        debug_assert_eq!(entry.state, SetState::InFlight);
        self.in_flight -= 1;
        self.events_in_flight -= usize::from(entry.set.kind == SetKind::Event);
        entry
    }

    /// Ends an attempt, and forgets the SET: it is read again.
    pub(super) fn drop_in_flight(&mut self, seq: Seq) {
        self.ended(seq);
        self.release(seq);
    }

    /// Forgets a SET whose result is recorded.
    pub(super) fn release(&mut self, seq: Seq) -> PendingSet {
        let entry = self.entries.remove(&seq).expect("a SET being settled stays in the window");
        debug_assert_ne!(entry.state, SetState::Ready);
        if entry.set.kind == SetKind::Event {
            self.events -= 1;
            let accepted = entry.state == SetState::Settling { accepted: true };
            self.events_unrecorded -= usize::from(accepted);
        }
        entry.set
    }

    /// Takes SETs that are ready out of the queues, to be recorded without an attempt.
    pub(super) fn settle_ready(&mut self, which: impl Fn(&PendingSet) -> bool) -> Vec<Seq> {
        let mut taken = Vec::new();
        let entries = &mut self.entries;
        for ready in [&mut self.ready_control, &mut self.ready_events] {
            ready.retain(|seq| {
                let entry = entries.get_mut(seq).expect("a SET that is ready is in the window");
                let goes = which(&entry.set);
                if goes {
                    entry.state = SetState::Settling { accepted: false };
                    taken.push(*seq);
                }
                !goes
            });
        }
        taken
    }

    /// Forgets all SETs that are ready: they are read again.
    pub(super) fn clear_ready(&mut self) {
        self.ready_control.clear();
        self.ready_events.clear();
        self.entries.retain(|_, entry| entry.state != SetState::Ready);
        let kinds = self.entries.values().map(|entry| entry.set.kind);
        self.events = kinds.filter(|kind| *kind == SetKind::Event).count();
    }
}
