//! Performs the actions of a courier and tells it of their ends, as `ssfd::actor::stream` does.

use bytes::Bytes;
use ssfd::{
    delivery::{
        courier::{
            Attempt, Attempted, Changed, Courier, CourierAction, CourierNote, SigningBatch,
            StoreFailure, View,
        },
        fault::Fault,
        outbox::{Disposition, OutboxQuery, Settlement},
        outcome::{FailureClass, Outcome},
        pace::Load,
        parcel::Outcomes,
    },
    domain::{
        status::{Initiator, StreamStatus},
        stream::Revision,
    },
};

use super::{Address, Call, Wire, endpoint_at, host_at};
use crate::simulation::world::{Happening, World};

/// How often signing fails, in a thousand batches.
const SIGNING_FAULTS: u64 = 3;

impl World {
    /// Gives a courier an input, and performs the actions that follow.
    pub(super) fn input(&mut self, at: Address, input: impl FnOnce(&mut Courier, &View)) {
        if self.node.actor(at).is_none() {
            return;
        }
        self.notice_change(at);
        let view = self.view(at.stream);
        input(&mut self.node.actor(at).expect("seen above").courier, &view);
        while let Some(action) = self.node.actor(at).and_then(|actor| actor.courier.next_action()) {
            self.perform(at, action, &view);
        }
        self.check_room(at);
    }

    /// The next input of a courier finds its stream changed.
    fn notice_change(&mut self, at: Address) {
        let known = self.node.known(at.stream);
        let (revision, stream) = (known.revision(), known.stream.clone());
        let Some(actor) = self.node.actor(at).filter(|actor| actor.revision != revision) else {
            return;
        };
        let same = actor.revision.version == revision.version;
        let changed = match (&actor.stream, &stream) {
            _ if same => Changed::SubjectsOrKeys,
            (Some(old), Some(new))
                if old.endpoint().is_some()
                    && (old.endpoint(), old.status) == (new.endpoint(), new.status) =>
            {
                Changed::Configuration
            }
            _ => Changed::Stream,
        };
        (actor.revision, actor.stream, actor.starts_over) = (revision, stream, Some(changed));
        self.promises.on_changed(at.stream, changed);
    }

    /// Ends a read or a signature, and tells the courier of it.
    pub(super) fn prepared(&mut self, at: Address, input: impl FnOnce(&mut Courier, &View)) {
        if let Some(actor) = self.node.actor(at) {
            actor.preparing -= 1;
            self.input(at, input);
        }
    }

    fn perform(&mut self, at: Address, action: CourierAction, view: &View) {
        match action {
            CourierAction::Read(query) => {
                self.check_query(at.stream, &query);
                let actor = self.node.actor(at).expect("it performs");
                // P4: of the streams of a host, only those with room hold SETs.
                let has_room = !actor.rooms.is_empty() || !query.busy.is_empty();
                assert!(has_room, "stream {} reads without room", at.stream);
                actor.preparing += 1;
                self.say(0..=5, Call::Read { to: at, query });
            }
            CourierAction::Claim { host, count } => {
                let host = host_at(&host);
                let granted = self.node.hosts[host].claim(&self.ids[at.stream], count);
                let actor = self.node.actor(at).expect("it performs");
                actor.rooms.extend(std::iter::repeat_n(host, granted));
                actor.courier.on_claimed(granted, view);
            }
            CourierAction::Release { host, count } => {
                for _ in 0..count {
                    let host = self.take_room(at, host_at(&host));
                    self.release(host, at.stream, Load::Unknown);
                }
            }
            CourierAction::Sign(batch) => {
                self.node.actor(at).expect("it performs").preparing += 1;
                let asked_at = self.node.known(at.stream).revision();
                let fails = !self.well && self.chance.happens(SIGNING_FAULTS);
                let latest = self.chance.pick(&[0, 10, 10, 300]);
                self.say(0..=latest, Call::Signed { to: at, batch, asked_at, fails });
            }
            CourierAction::Push(attempt) => self.push(at, attempt),
            CourierAction::Settle(settlements) => {
                self.check_settlements(at.stream, &settlements);
                self.say(0..=20, Call::Settle { to: at, settlements });
            }
            CourierAction::Pause { version, fault } => {
                self.check_fault(at.stream, &fault);
                self.say(0..=20, Call::Pause { to: at, version, fault });
            }
            CourierAction::TickAt(due_at) => {
                let wait = due_at.since(self.agenda.now());
                let number = self.node.next_number();
                self.node.actor(at).expect("it performs").tick = number;
                self.agenda.after(wait, Happening::Call(Call::Tick { to: at, number }));
            }
            CourierAction::LeaseLost => self.lease_lost(at.stream),
            CourierAction::Stop => {
                let actor = self.node.actors[at.stream].take().expect("it performs");
                for host in actor.rooms {
                    self.release(host, at.stream, Load::Unknown);
                }
            }
            CourierAction::Note(note) => self.note(at, &note),
        }
    }

    fn note(&mut self, at: Address, note: &CourierNote) {
        match note {
            CourierNote::StartedOver(changed) => {
                let expected = self.node.actor(at).expect("it performs").starts_over.take();
                assert_eq!(Some(*changed), expected, "stream {} starts over", at.stream);
            }
            CourierNote::Judged {
                set, disposition: Disposition::RetryAt { error, .. }, ..
            } if error.starts_with(FailureClass::Signing.as_str()) => {
                self.promises.on_unsigned(at.stream, set);
            }
            _ => {}
        }
    }

    fn take_room(&mut self, at: Address, host: usize) -> usize {
        let rooms = &mut self.node.actor(at).expect("it performs").rooms;
        let place = rooms.iter().position(|room| *room == host);
        rooms.swap_remove(place.expect("the courier counts the room that is here"))
    }

    /// The signature says with which key it was made, and of which revision of the stream.
    pub(super) fn signed(
        &mut self,
        to: Address,
        batch: &SigningBatch,
        asked_at: Revision,
        fails: bool,
    ) {
        let stamp = format!("{} {} {}", self.newest_key, asked_at.version, asked_at.changes);
        let signed = vec![Bytes::from(stamp); batch.claims.len()];
        let dice = self.chance.dice();
        self.prepared(to, |courier, view| {
            if fails {
                courier.on_signing_failed(batch, dice, view);
            } else {
                courier.on_signed(batch, signed, view);
            }
        });
    }

    fn push(&mut self, at: Address, attempt: Attempt) {
        let endpoint = endpoint_at(attempt.destination.endpoint());
        self.take_room(at, self.host_of[endpoint]);
        let [one] = attempt.parcel.sets() else { panic!("a push carries one SET") };
        let stamp = std::str::from_utf8(&one.jws).expect("it was made of a string");
        let mut stamp = stamp.split(' ').map(|part| part.parse().expect("a number"));
        let mut next = || stamp.next().expect("three numbers");
        let (key, version, changes) = (next(), next(), next());
        let set = one.set.clone();
        self.check_push(at.stream, &set, endpoint, Revision { version, changes });
        let number = self.node.next_number();
        let stream = at.stream;
        let wire = Wire { stream, set, endpoint, key, to: at, arrived: false, attempt };
        self.node.wire.insert(number, wire);
        self.check_hosts();
        self.say(0..=50, Call::Arrive { number });
    }

    /// The stranger has it, or not, and answers.
    pub(in crate::simulation) fn arrive(&mut self, number: u64) {
        let elapsed = self.agenda.elapsed();
        let Some(wire) = self.node.wire.get_mut(&number).filter(|wire| !wire.arrived) else {
            return;
        };
        wire.arrived = true;
        let newest = wire.key == self.newest_key;
        let stranger = &mut self.strangers[wire.endpoint];
        let answer = stranger.answer(wire.set.seq, newest, elapsed, &mut self.chance);
        if answer.got {
            self.promises.on_got(wire.stream, &wire.set);
        }
        let call = Call::PushEnded { to: wire.to, number, outcome: answer.outcome };
        self.agenda.after(answer.after, Happening::Call(call));
    }

    pub(super) fn push_ended(&mut self, at: Address, number: u64, outcome: Outcome) {
        let Some(wire) = self.node.wire.remove(&number) else { return };
        let outcomes = Outcomes::All(outcome);
        self.release(self.host_of[wire.endpoint], at.stream, Load::of(&outcomes));
        let Some(actor) = self.node.actor(at) else { return };
        let first = actor.ended.is_empty();
        actor.ended.push(Attempted { attempt: wire.attempt, outcomes });
        if first {
            self.say(0..=2, Call::TellEnded { to: at });
        }
    }

    pub(super) fn tell_ended(&mut self, at: Address) {
        let Some(actor) = self.node.actor(at) else { return };
        let ended = std::mem::take(&mut actor.ended);
        let dice = self.chance.dice();
        self.notice_change(at);
        for one in &ended {
            let set = &one.attempt.parcel.sets()[0].set;
            self.promises.on_outcome(at.stream, set, one.outcomes.of(0));
        }
        self.input(at, |courier, view| courier.on_attempts_ended(ended, dice, view));
    }

    // The store, and the Transmitter beside it.

    pub(super) fn read(&mut self, to: Address, query: &OutboxQuery) {
        let now = self.agenda.now();
        if self.node.actor(to).is_none() {
            return;
        }
        let due = (!self.store_fails()).then(|| self.outboxes[to.stream].read_due(query, now));
        self.say(0..=15, Call::ReadEnded { to, due });
    }

    pub(super) fn settle(&mut self, to: Address, settlements: &[Settlement]) {
        if self.node.actor(to).is_none() {
            return;
        }
        let elapsed = self.agenda.elapsed();
        let recorded = if self.fenced[to.stream] {
            Err(StoreFailure::Fenced)
        } else if self.store_fails() {
            Err(StoreFailure::Unavailable)
        } else {
            self.promises.on_settled(to.stream, settlements, elapsed);
            Ok(self.outboxes[to.stream].settle(settlements))
        };
        self.say(0..=15, Call::SettleEnded { to, recorded });
    }

    /// The Transmitter is told of an endpoint at fault.
    pub(super) fn pause(&mut self, to: Address, version: u64, fault: &Fault) {
        if self.node.actor(to).is_none() {
            return;
        }
        let done = !self.store_fails();
        let config = self.outboxes[to.stream].config.as_ref();
        let unchanged = config.is_some_and(|config| {
            config.version == version && config.status == StreamStatus::Enabled
        });
        if done && unchanged {
            let (reason, by) = (fault.to_string(), Initiator::Transmitter);
            self.turn(to.stream, StreamStatus::Paused, by, &reason);
        }
        self.say(0..=15, Call::PauseEnded { to, done });
    }

    pub(super) fn store_fails(&mut self) -> bool {
        self.store_down || self.chance.happens(self.store_faults)
    }

    /// Room is held for SETs that are being read or signed, and for nothing else.
    fn check_room(&mut self, at: Address) {
        let Some(actor) = self.node.actor(at) else { return };
        assert_eq!(actor.starts_over, None, "stream {} goes on as it was", at.stream);
        let counted = actor.courier.report().room.held;
        assert_eq!(counted, actor.rooms.len(), "stream {} counts its room wrongly", at.stream);
        let held_for_nothing = counted != 0 && actor.preparing == 0;
        assert!(!held_for_nothing, "stream {} holds room for nothing", at.stream);
    }
}
