//! One attempt: room at the host, a signature, a push, and what came of it.

use ssfd::delivery::{
    machine::Verdict,
    outbox::{Disposition, PendingSet},
    outcome::{FailureClass, Outcome},
    pace::Load,
};

use super::{Address, Attempt, Call, Revision, Wire};
use crate::simulation::{
    stranger::Key,
    world::{Happening, World},
};

/// How often signing fails, in a thousand batches.
const SIGNING_FAULTS: u64 = 3;

impl World {
    pub(super) fn start_attempts(&mut self, at: Address, count: usize) {
        let Some(endpoint) = self.node.known[at.stream].endpoint() else { return };
        let (host, now) = (self.host_of[endpoint], self.agenda.now());
        let actor = self.node.actor(at).expect("it performs");
        let (mut rooms, elsewhere): (Vec<_>, Vec<_>) =
            std::mem::take(&mut actor.granted).into_iter().partition(|room| *room == host);
        let more = count.saturating_sub(rooms.len());
        let claimed = self.node.hosts[host].claim(&self.ids[at.stream], more);
        rooms.extend(std::iter::repeat_n(host, claimed));
        for room in elsewhere {
            self.release(room, at.stream, Load::Unknown);
        }
        let actor = self.node.actor(at).expect("it performs");
        let started = actor.machine.start(rooms.len(), now);
        let unused = rooms.split_off(started.len());
        let judged_at = actor.revision;
        let mut unsigned = Vec::new();
        let mut signed = Vec::new();
        for attempt in started.into_iter().zip(rooms) {
            match actor.signed.remove(&attempt.0.seq) {
                Some(key) => signed.push((attempt, key)),
                None => unsigned.push(attempt),
            }
        }
        for room in unused {
            self.release(room, at.stream, Load::Unknown);
        }
        for (attempt, key) in signed {
            self.push(at, attempt, Some(key), judged_at);
        }
        if !unsigned.is_empty() {
            let key =
                (self.well || !self.chance.happens(SIGNING_FAULTS)).then_some(self.newest_key);
            self.say(0..=10, Call::Signed { to: at, attempts: unsigned, key, judged_at });
        }
    }

    pub(super) fn push(
        &mut self,
        at: Address,
        (set, room): Attempt,
        key: Option<Key>,
        judged_at: Revision,
    ) {
        if self.node.actor(at).is_none() {
            return;
        }
        self.catch_up(at);
        let now = self.agenda.now();
        let unchanged = self.node.actor(at).expect("seen above").revision == judged_at;
        let Some(endpoint) = self.node.known[at.stream].endpoint().filter(|_| unchanged) else {
            self.with(at, |machine| machine.on_attempt_withdrawn(set.seq, now));
            return self.release(room, at.stream, Load::Unknown);
        };
        let Some(key) = key else {
            let outcome = Outcome::failed(FailureClass::Signing, "");
            self.attempt_ended(at, &set, None, &outcome);
            return self.release(room, at.stream, Load::Unknown);
        };
        self.check_push(at.stream, &set, endpoint);
        let number = self.node.next_number();
        let wire = Wire { stream: at.stream, set, endpoint, key, to: at, arrived: false };
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

    pub(super) fn push_ended(&mut self, at: Address, number: u64, outcome: &Outcome) {
        let Some(wire) = self.node.wire.remove(&number) else { return };
        let now = self.agenda.now();
        let room = self.host_of[wire.endpoint];
        self.release(room, at.stream, Load::of(outcome));
        let endpoint = self.node.known[at.stream].endpoint();
        let has_left = endpoint.is_some_and(|endpoint| endpoint != wire.endpoint);
        if matches!(outcome, Outcome::Failed { .. }) && has_left {
            self.with(at, |machine| machine.on_attempt_withdrawn(wire.set.seq, now));
        } else {
            self.attempt_ended(at, &wire.set, Some(wire.key), outcome);
        }
    }

    fn attempt_ended(
        &mut self,
        at: Address,
        set: &PendingSet,
        key: Option<Key>,
        outcome: &Outcome,
    ) {
        let (now, dice) = (self.agenda.now(), self.chance.dice());
        self.promises.on_outcome(at.stream, set, outcome);
        let actor = self.node.actor(at).expect("what is under way keeps its actor");
        let (verdict, actions) = actor.machine.on_attempt_ended(set.seq, outcome, now, dice);
        if let (Verdict::Settle(Disposition::RetryAt { .. }), Some(key)) = (verdict, key)
            && !matches!(outcome, Outcome::Refused(_))
        {
            actor.signed.insert(set.seq, key);
            while self.settings.window_max < actor.signed.len() {
                actor.signed.pop_first();
            }
        }
        self.perform(at, actions);
    }

    // What the hosts do.

    pub(super) fn release(&mut self, host: usize, stream: usize, load: Load) {
        let now = self.agenda.now();
        self.node.hosts[host].release(&self.ids[stream], load, now);
        while let Some(next) = self.node.hosts[host].grant_next() {
            let stream = self.ids.iter().position(|id| *id == next).expect("a stream of ours");
            // An actor that is gone gives the room back.
            let birth = self.node.actors[stream].as_ref().map_or(0, |actor| actor.birth);
            let (to, life) = (Address { stream, birth }, self.node.life);
            self.say(0..=1, Call::Granted { to, host, life });
        }
    }
}
