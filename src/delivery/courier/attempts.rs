//! The beginning of attempts, and the meaning of their outcomes.

use bytes::Bytes;

use super::{
    Attempt, Attempted, Courier, CourierAction, CourierNote, LastOutcome, SigningBatch, View,
};
use crate::{
    delivery::{
        breaker::Admission,
        flow::Flow,
        new_key::{NewKey, may_blame_new_key},
        outbox::{Disposition, PendingSet, Seq, SetKind},
        outcome::{Blame, FailureClass, Outcome},
        parcel::{Outcomes, Parcel, SignedSet},
        retry::Times,
    },
    domain::time::Timestamp,
};

impl Courier {
    /// A batch is signed, in its order.
    pub fn on_signed(&mut self, batch: &SigningBatch, signed: Vec<Bytes>, view: &View) {
        self.catch_up(view);
        self.signatures.arrived(batch, signed);
        self.step(view);
    }

    /// A batch could not be signed. Its SETs are put off, each by a time that `dice` (`0.0..=1.0`)
    /// spreads.
    pub fn on_signing_failed(&mut self, batch: &SigningBatch, dice: f64, view: &View) {
        self.catch_up(view);
        let failed = self.signatures.failed(batch);
        for seq in self.window.settle_ready(|set| failed.contains(&set.seq)) {
            let outcome = Outcome::failed(FailureClass::Signing, "the SET could not be signed");
            self.note(CourierNote::Answered { class: outcome.class() });
            let set = self.window.set(seq).clone();
            let disposition =
                self.settings.retry.judge(&set, &outcome, view.times(), spread(dice, seq));
            self.settle(set, &outcome, disposition);
            self.last_outcome = Some(LastOutcome::of(&outcome, view.now));
        }
        self.step(view);
    }

    /// Has signatures made for the SETs that go out next. Returns for how many attempts there are
    /// signatures and no room.
    pub(super) fn sign(&mut self, view: &View) -> usize {
        let count = self.startable(view);
        if count == 0 {
            return 0;
        }
        for batch in self.signatures.ask(self.window.ready(), count) {
            self.act(CourierAction::Sign(batch));
        }
        let signed = self.window.ready().take_while(|set| self.signatures.has(set.seq));
        signed.take(count).count().saturating_sub(self.room.held())
    }

    /// How many attempts can start now. This is judged at the last moment: the stream may have been
    /// paused, deleted or moved, and the lease may be in doubt.
    fn startable(&self, view: &View) -> usize {
        if self.is_pausing()
            || self.flow == Flow::Nothing
            || self.destination.is_none()
            || !view.may_begin
        {
            return 0;
        }
        let in_flight_max = match self.slowdown.goes_on_at(view.now) {
            None => self.slowdown.leaves(self.settings.in_flight_max),
            Some(_) => 0,
        };
        // After a crash, SETs in flight and SETs whose acceptance is not recorded come again. Together
        // they are bounded, so that a Receiver sees few copies however slow the store is.
        let open = self.window.events_in_flight() + self.window.events_unrecorded();
        let free = in_flight_max.saturating_sub(open);
        // A control event waits for no event.
        let all = self.window.ready_control() + self.window.ready_events().min(free);
        let admission = match self.breaker.admits(view.now) {
            Admission::None if self.has_new_verification() => self.breaker.admits_early(),
            admission => admission,
        };
        match admission {
            Admission::All => all,
            Admission::One if self.window.in_flight() == 0 => all.min(1),
            Admission::One | Admission::None => 0,
        }
    }

    /// Whether a verification waits that was not tried yet. A verification that failed waits for its
    /// retry like any other SET.
    fn has_new_verification(&self) -> bool {
        let mut control = self.window.ready().take(self.window.ready_control());
        control.any(|set| set.kind == SetKind::Control && set.attempts == 0)
    }

    /// Starts as many attempts as there are signatures and room for.
    pub(super) fn start(&mut self, view: &View) {
        let count = self.startable(view).min(self.room.held());
        for _ in 0..count {
            let Some(jws) = self.window.next_ready().and_then(|seq| self.signatures.take(seq))
            else {
                break;
            };
            let parcel = Parcel::one(self.window.start_next(), jws);
            self.room.take();
            self.breaker.on_started();
            self.slowdown.on_started(view.now);
            let destination = self.destination.clone().expect("attempts start at a destination");
            let generation = self.signatures.generation();
            self.act(CourierAction::Push(Attempt { parcel, destination, generation }));
        }
    }

    /// Attempts are over. `dice` (`0.0..=1.0`) spreads retries.
    pub fn on_attempts_ended(&mut self, ended: Vec<Attempted>, dice: f64, view: &View) {
        self.catch_up(view);
        for one in ended {
            self.attempt_ended(one, dice, view);
        }
        self.step(view);
    }

    fn attempt_ended(&mut self, ended: Attempted, dice: f64, view: &View) {
        let Attempted { attempt: Attempt { parcel, destination, generation }, outcomes } = ended;
        // A failure at an endpoint that the stream has left says nothing of where the SET goes now.
        let withdrawn = |outcome: &Outcome| {
            matches!(outcome, Outcome::Failed { .. }) && destination.is_left(view.stream.as_ref())
        };
        for outcome in outcomes.answers() {
            self.note(CourierNote::Answered { class: outcome.class() });
            if withdrawn(outcome) {
                self.breaker.on_nothing_learnt(view.now);
            } else {
                self.learn(outcome, view.now);
            }
        }
        for (place, signed) in parcel.into_sets().into_iter().enumerate() {
            let outcome = outcomes.of(place);
            if withdrawn(outcome) {
                self.put_back(signed.set.seq);
                continue;
            }
            if self.may_not_know_key(outcome, generation, view) {
                self.judge_for_new_key(signed, outcome, dice, view.now);
                continue;
            }
            let blames_key = matches!(outcome, Outcome::Refused(error) if error.blames_key());
            // The key may have been replaced since the SET was signed. It goes out again at once,
            // signed with the current key; this happens to a SET once.
            if blames_key && self.window.sign_again(signed.set.seq) {
                self.put_back(signed.set.seq);
                self.note(CourierNote::SignedAgain { set: signed.set });
                continue;
            }
            if place == 0 || matches!(outcomes, Outcomes::Each(_)) {
                self.find_fault(outcome, view.now);
            }
            self.judge(signed, outcome, generation, dice, view.times());
        }
    }

    /// Whether the Receiver refused a SET, perhaps because it does not know the key yet. Notes that a
    /// SET signed with the current key was accepted.
    fn may_not_know_key(&mut self, outcome: &Outcome, generation: u64, view: &View) -> bool {
        let current = generation == self.signatures.generation();
        match outcome {
            Outcome::Accepted { .. } => self.key_accepted |= current,
            Outcome::Refused(error) if may_blame_new_key(error) && !self.key_accepted => {
                let is_new = |(key, stream): (NewKey, _)| key.may_be_unknown(stream, view.now);
                return self.new_key.zip(view.stream.as_deref()).is_some_and(is_new);
            }
            Outcome::Refused(_) | Outcome::Failed { .. } => {}
        }
        false
    }

    /// Has a SET tried again that was refused, perhaps for its new key.
    fn judge_for_new_key(
        &mut self,
        signed: SignedSet,
        outcome: &Outcome,
        dice: f64,
        now: Timestamp,
    ) {
        let Outcome::Refused(error) = outcome else { return };
        let detail = format!("{}, perhaps because the signing key is new", error.err);
        let dice = spread(dice, signed.set.seq);
        let disposition = self.settings.retry.put_off(&signed.set, None, detail, now, dice);
        self.window.settling(signed.set.seq, false);
        self.settle(signed.set, outcome, disposition);
    }

    /// Learns from an answer how the endpoint is.
    fn learn(&mut self, outcome: &Outcome, now: Timestamp) {
        self.last_outcome = Some(LastOutcome::of(outcome, now));
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
        if matches!(outcome, Outcome::Accepted { .. }) {
            self.last_success = Some(now);
        }
    }

    /// Has the stream paused if its endpoint has been at fault for long enough.
    fn find_fault(&mut self, outcome: &Outcome, now: Timestamp) {
        let fault = self.faults.on_outcome(outcome, now);
        if let Some(fault) = fault
            && self.flow == Flow::All
            && !self.is_pausing()
        {
            self.pause(fault);
        }
    }

    /// Decides what becomes of a SET after an attempt.
    fn judge(
        &mut self,
        signed: SignedSet,
        outcome: &Outcome,
        generation: u64,
        dice: f64,
        times: Times,
    ) {
        let SignedSet { set, jws } = signed;
        let stopped = self.is_pausing() || self.flow != Flow::All;
        let retry = &self.settings.retry;
        let dice = spread(dice, set.seq);
        let disposition = match outcome {
            // The endpoint refuses every SET, so this one is held with the others.
            Outcome::Refused(error)
                if error.blames_key() && stopped && set.kind == SetKind::Event =>
            {
                retry.put_off(&set, None, error.err.clone(), times.now, dice)
            }
            _ => retry.judge(&set, outcome, times, dice),
        };
        let retried = matches!(disposition, Disposition::RetryAt { .. });
        // A SET whose signature was refused is signed anew if it is ever sent again.
        let good = !matches!(outcome, Outcome::Refused(_));
        if retried && good && generation == self.signatures.generation() {
            self.signatures.keep(set.seq, jws, self.settings.window_max);
        }
        self.window.settling(set.seq, disposition == Disposition::Delivered);
        self.settle(set, outcome, disposition);
    }

    fn settle(&mut self, set: PendingSet, outcome: &Outcome, disposition: Disposition) {
        self.add_result(set.seq, disposition.clone());
        let deviates = matches!(outcome, Outcome::Accepted { status } if *status != 202);
        self.note(CourierNote::Judged { set, disposition, deviates });
    }

    /// An attempt does not count, or is to be made again. In a stale window the SET is read again
    /// first.
    fn put_back(&mut self, seq: Seq) {
        if self.stale {
            self.window.drop_in_flight(seq);
        } else {
            self.window.put_back(seq);
        }
    }
}

/// Spreads the retries of SETs whose results came together.
fn spread(dice: f64, seq: Seq) -> f64 {
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
    let place = u16::try_from(seq.0.rem_euclid(1024)).expect("it is below 1024");
    (dice + f64::from(place) * GOLDEN_RATIO).fract()
}
