//! Decides which event is appended next. A value without clock, async or IO: [`super::scheduler`] asks
//! it and performs.
//!
//! A *short* event is one step of the store, a *long* one is several. Short events are appended at once,
//! together with the others of their batch, and the schedule only counts them. Entered into the schedule
//! is an event that is long, or that has to wait for another one.
//!
//! - **Order.** Events that share an [`OrderKey`] (a subject of a provider, or an account) are appended
//!   in the order in which they were entered. Nothing else waits.
//! - **Fairness.** One step of a long event is under way at a time. Before the next one, all short
//!   events have ended that came before the step did, so that both alternate. The providers take
//!   turns in taking steps, and so do the long events of one provider.
//! - **Failure.** A [`SequenceId`] is a partition or a request, within which events have an order. If one
//!   of its events fails, none behind it goes on: the whole sequence is read or sent again.

use std::collections::{HashMap, VecDeque};

use crate::{
    delivery::lane::Lane,
    domain::{id::ProviderName, subject::keys::SubjectKey},
};

/// The most long events that one sequence has in the schedule. Events behind one more of them wait. A
/// long event that waits holds the event and its list of streams, and no claims.
pub(super) const LONG_PER_SEQUENCE_MAX: usize = 64;

/// The most short events of one sequence that wait for others.
pub(super) const WAITING_PER_SEQUENCE_MAX: usize = 1000;

/// Events that share one keep their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum OrderKey {
    Lane(ProviderName, Lane),
    Account(SubjectKey),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Short,
    Long,
}

/// Names a partition or a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SequenceId(u64);

/// Names an event that was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// Tells that it is the turn of an event: a short one is to be appended, a long one takes one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) ticket: Ticket,
    /// Whether the event may go on. Otherwise its sequence is broken, and it has to leave.
    pub(super) goes_on: bool,
}

/// The sequence is broken: one of its events failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// Names the steps between which short events began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round(u64);

#[derive(Debug, Default)]
pub(super) struct Schedule {
    named: u64,
    sequences: HashMap<SequenceId, SequenceState>,
    entries: HashMap<Ticket, Entry>,
    /// For each key the events that share it, in their order; no list is empty.
    lines: HashMap<OrderKey, VecDeque<Ticket>>,
    /// Long events that can take their next step, by provider. The first of the first provider is next.
    providers: VecDeque<(ProviderName, VecDeque<Ticket>)>,
    /// The long event whose step is under way.
    stepping: Option<Ticket>,
    /// Granted to short events, or to such as have to leave, and not fetched yet.
    granted: Vec<Grant>,
    round: u64,
    /// Batches of short events under way that began before this round, and in it.
    shorts_before: usize,
    shorts_now: usize,
}

#[derive(Debug, Default)]
struct SequenceState {
    long: usize,
    waiting: usize,
    broken: bool,
}

#[derive(Debug)]
struct Entry {
    sequence: SequenceId,
    provider: ProviderName,
    size: Size,
    keys: Vec<OrderKey>,
    /// Whether what its batch appends first is durable.
    released: bool,
    /// Whether its turn has come: a short event was granted, a long one takes steps.
    begun: bool,
}

impl Schedule {
    pub(super) fn open_sequence(&mut self) -> SequenceId {
        let id = SequenceId(self.next_name());
        self.sequences.insert(id, SequenceState::default());
        id
    }

    /// Its events have all left.
    pub(super) fn close_sequence(&mut self, id: SequenceId) {
        self.sequences.remove(&id);
    }

    /// Whether nothing is entered: then every short event can be appended at once.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn is_broken(&self, sequence: SequenceId) -> bool {
        self.sequences.get(&sequence).is_none_or(|sequence| sequence.broken)
    }

    /// Whether no event with one of these keys was entered.
    pub(super) fn is_free(&self, keys: &[OrderKey]) -> bool {
        self.lines.is_empty() || !keys.iter().any(|key| self.lines.contains_key(key))
    }

    pub(super) fn has_room(&self, sequence: SequenceId, size: Size) -> bool {
        let state = self.sequences.get(&sequence);
        state.is_none_or(|state| match size {
            Size::Short => state.waiting < WAITING_PER_SEQUENCE_MAX,
            Size::Long => state.long < LONG_PER_SEQUENCE_MAX,
        })
    }

    /// Enters an event behind all that were entered before. Its turn comes after
    /// [`Self::on_released`] at the earliest.
    pub(super) fn enter(
        &mut self,
        sequence: SequenceId,
        provider: &ProviderName,
        size: Size,
        keys: Vec<OrderKey>,
    ) -> Ticket {
        let ticket = Ticket(self.next_name());
        let state = self.sequences.entry(sequence).or_default();
        match size {
            Size::Short => state.waiting += 1,
            Size::Long => state.long += 1,
        }
        for key in &keys {
            self.lines.entry(key.clone()).or_default().push_back(ticket);
        }
        let provider = provider.clone();
        let entry = Entry { sequence, provider, size, keys, released: false, begun: false };
        self.entries.insert(ticket, entry);
        ticket
    }

    /// The events that were before this one in its batch and were not entered are durable.
    pub(super) fn on_released(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        entry.released = true;
        self.begin_if_ready(ticket);
    }

    pub(super) fn on_shorts_began(&mut self) -> Round {
        self.shorts_now += 1;
        Round(self.round)
    }

    pub(super) fn on_shorts_ended(&mut self, round: Round) {
        if round.0 < self.round {
            self.shorts_before -= 1;
        } else {
            self.shorts_now -= 1;
        }
    }

    /// A step of a long event is durable, and the event has more of them.
    pub(super) fn on_step_ended(&mut self, ticket: Ticket) {
        if self.stepping == Some(ticket) {
            self.end_step();
            self.line_up(ticket);
        }
    }

    /// All of an event is durable.
    pub(super) fn on_done(&mut self, ticket: Ticket) {
        self.leave(ticket);
    }

    /// An event was not appended, or not all of it. Whatever of its sequence has not begun leaves.
    pub(super) fn on_failed(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get(&ticket) else { return };
        self.on_broken(entry.sequence);
        self.leave(ticket);
    }

    /// Events of a sequence were not appended.
    pub(super) fn on_broken(&mut self, sequence: SequenceId) {
        if let Some(state) = self.sequences.get_mut(&sequence) {
            state.broken = true;
        }
        let of_sequence = |entry: &Entry| entry.sequence == sequence && !entry.begun;
        let behind = self.entries.iter_mut().filter(|(_, entry)| of_sequence(entry));
        for (ticket, entry) in behind {
            entry.begun = true;
            self.granted.push(Grant { ticket: *ticket, goes_on: false });
        }
    }

    /// Returns whose turn it is now. To be asked after every change.
    pub(super) fn next(&mut self) -> Vec<Grant> {
        let mut grants = std::mem::take(&mut self.granted);
        if self.stepping.is_none()
            && self.shorts_before == 0
            && let Some((provider, mut line)) = self.providers.pop_front()
        {
            let ticket = line.pop_front().expect("no line is empty");
            if !line.is_empty() {
                self.providers.push_back((provider, line));
            }
            self.stepping = Some(ticket);
            grants.push(Grant { ticket, goes_on: true });
        }
        grants
    }

    fn next_name(&mut self) -> u64 {
        self.named += 1;
        self.named
    }

    fn begin_if_ready(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        let is_first = |key| self.lines.get(key).and_then(VecDeque::front) == Some(&ticket);
        if entry.begun || !entry.released || !entry.keys.iter().all(is_first) {
            return;
        }
        entry.begun = true;
        match entry.size {
            Size::Short => self.granted.push(Grant { ticket, goes_on: true }),
            Size::Long => self.line_up(ticket),
        }
    }

    /// Puts a long event behind the others of its provider, and a provider that has no other one behind
    /// the other providers.
    fn line_up(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get(&ticket) else { return };
        match self.providers.iter_mut().find(|(provider, _)| *provider == entry.provider) {
            Some((_, line)) => line.push_back(ticket),
            None => self.providers.push_back((entry.provider.clone(), VecDeque::from([ticket]))),
        }
    }

    /// Short events that are under way now go before the next step.
    fn end_step(&mut self) {
        self.stepping = None;
        self.round += 1;
        self.shorts_before += std::mem::take(&mut self.shorts_now);
    }

    fn leave(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.remove(&ticket) else { return };
        if let Some(state) = self.sequences.get_mut(&entry.sequence) {
            match entry.size {
                Size::Short => state.waiting -= 1,
                Size::Long => state.long -= 1,
            }
        }
        if self.stepping == Some(ticket) {
            self.end_step();
        }
        for (_, line) in &mut self.providers {
            line.retain(|one| *one != ticket);
        }
        self.providers.retain(|(_, line)| !line.is_empty());
        for key in entry.keys {
            let line = self.lines.get_mut(&key).expect("its events are in it");
            line.retain(|one| *one != ticket);
            match line.front().copied() {
                Some(next) => self.begin_if_ready(next),
                None => drop(self.lines.remove(&key)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(n: i64) -> OrderKey {
        OrderKey::Lane("acme".parse().expect("valid"), Lane::from_i64(n))
    }

    /// Enters an event about one subject, whose batch appends nothing before it.
    fn enter(
        schedule: &mut Schedule,
        sequence: SequenceId,
        provider: &str,
        size: Size,
        subject: i64,
    ) -> Ticket {
        let provider = provider.parse().expect("a valid name");
        let ticket = schedule.enter(sequence, &provider, size, vec![key(subject)]);
        schedule.on_released(ticket);
        ticket
    }

    fn turns(schedule: &mut Schedule) -> Vec<Ticket> {
        schedule.next().iter().map(|grant| grant.ticket).collect()
    }

    #[test]
    fn long_events_of_all_providers_take_steps_by_turns() {
        let mut schedule = Schedule::default();
        let sequence = schedule.open_sequence();
        let mut long =
            |provider, subject| enter(&mut schedule, sequence, provider, Size::Long, subject);
        let many = [long("many", 1), long("many", 2), long("many", 3)];
        let single = long("single", 4);
        let mut steps = Vec::new();
        for _ in 0..8 {
            let [ticket] = turns(&mut schedule)[..] else { panic!("one step at a time") };
            steps.push(ticket);
            schedule.on_step_ended(ticket);
        }
        let of_single = steps.iter().filter(|ticket| **ticket == single).count();
        assert_eq!(of_single, 4, "each provider has one half");
        assert!(many.iter().all(|one| steps.contains(one)), "{steps:?}");
    }

    #[test]
    fn short_events_that_came_during_a_step_go_before_the_next_one() {
        let mut schedule = Schedule::default();
        let sequence = schedule.open_sequence();
        let long = enter(&mut schedule, sequence, "acme", Size::Long, 1);
        assert_eq!(turns(&mut schedule), [long]);
        let round = schedule.on_shorts_began();
        schedule.on_step_ended(long);
        assert_eq!(turns(&mut schedule), [], "the short events go first");
        let later = schedule.on_shorts_began();
        schedule.on_shorts_ended(round);
        assert_eq!(turns(&mut schedule), [long], "and those that came later wait for nobody");
        schedule.on_shorts_ended(later);
        schedule.on_done(long);
        assert!(schedule.is_empty());
    }

    #[test]
    fn an_event_waits_for_those_before_it_about_its_subject_and_for_no_others() {
        let mut schedule = Schedule::default();
        let sequence = schedule.open_sequence();
        let long = enter(&mut schedule, sequence, "acme", Size::Long, 1);
        assert!(schedule.is_free(&[key(2)]) && !schedule.is_free(&[key(1), key(2)]));
        let same = enter(&mut schedule, sequence, "acme", Size::Short, 1);
        let other = enter(&mut schedule, sequence, "acme", Size::Short, 2);
        assert_eq!(turns(&mut schedule), [other, long]);
        schedule.on_step_ended(long);
        assert_eq!(turns(&mut schedule), [long]);
        schedule.on_done(long);
        assert_eq!(turns(&mut schedule), [same]);
    }

    #[test]
    fn a_sequence_breaks_as_a_whole_and_others_go_on() {
        let mut schedule = Schedule::default();
        let (one, other) = (schedule.open_sequence(), schedule.open_sequence());
        let long = enter(&mut schedule, one, "acme", Size::Long, 1);
        let behind = enter(&mut schedule, one, "acme", Size::Short, 1);
        let of_other = enter(&mut schedule, other, "acme", Size::Short, 1);
        assert_eq!(turns(&mut schedule), [long]);
        schedule.on_failed(long);
        assert!(schedule.is_broken(one) && !schedule.is_broken(other));
        assert_eq!(schedule.next(), [Grant { ticket: behind, goes_on: false }]);
        schedule.on_failed(behind);
        assert_eq!(schedule.next(), [Grant { ticket: of_other, goes_on: true }]);
    }

    #[test]
    fn a_sequence_has_a_bounded_number_of_events_in_the_schedule() {
        let mut schedule = Schedule::default();
        let sequence = schedule.open_sequence();
        for n in (0..).take(LONG_PER_SEQUENCE_MAX) {
            assert!(schedule.has_room(sequence, Size::Long), "{n}");
            enter(&mut schedule, sequence, "acme", Size::Long, n);
        }
        assert!(!schedule.has_room(sequence, Size::Long));
        assert!(schedule.has_room(sequence, Size::Short));
        let ticket = schedule.next()[0].ticket;
        schedule.on_done(ticket);
        assert!(schedule.has_room(sequence, Size::Long));
    }

    /// An event of the trial: which provider, how many steps, about which subject.
    fn any_event() -> impl Strategy<Value = (usize, usize, i64)> {
        (0..3usize, 0..5usize, 0..4i64)
    }

    proptest! {
        /// Every event is appended, those about one subject in their order, and between two steps of
        /// a provider that has more to do every other such provider takes one.
        #[test]
        fn order_is_kept_nobody_starves_and_all_is_done(
            events in prop::collection::vec(any_event(), 1..24),
        ) {
            let providers = ["a", "b", "c"];
            let mut schedule = Schedule::default();
            let sequence = schedule.open_sequence();
            let mut left = BTreeMap::new();
            let mut of_subject: BTreeMap<i64, VecDeque<Ticket>> = BTreeMap::new();
            for (provider, steps, subject) in events {
                let size = if steps < 2 { Size::Short } else { Size::Long };
                let ticket = enter(&mut schedule, sequence, providers[provider], size, subject);
                left.insert(ticket, (provider, steps.max(1)));
                of_subject.entry(subject).or_default().push_back(ticket);
            }
            let mut waited = [0; 3];
            while !left.is_empty() {
                let granted = turns(&mut schedule);
                prop_assert!(!granted.is_empty(), "somebody has the turn: {schedule:?}");
                for ticket in granted {
                    let line = of_subject.values_mut().find(|line| line.contains(&ticket));
                    let line = line.expect("it was entered");
                    prop_assert_eq!(line.front(), Some(&ticket), "in the order of its subject");
                    let (provider, steps) = left.get_mut(&ticket).expect("it is not done");
                    let ready: Vec<_> =
                        schedule.providers.iter().map(|(name, _)| name.clone()).collect();
                    for (n, waited) in waited.iter_mut().enumerate() {
                        let waits = ready.iter().any(|name| name.as_str() == providers[n]);
                        *waited = if waits && n != *provider { *waited + 1 } else { 0 };
                        prop_assert!(*waited <= 2 * providers.len() * 24, "provider {n} starves");
                    }
                    *steps -= 1;
                    if *steps == 0 {
                        line.pop_front();
                        left.remove(&ticket);
                        schedule.on_done(ticket);
                    } else {
                        schedule.on_step_ended(ticket);
                    }
                }
            }
            prop_assert!(schedule.is_empty() && schedule.lines.is_empty());
        }
    }
}
