//! The promises, as what must hold at every step and at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ssfd::{
    delivery::{
        courier::Changed,
        fault::Fault,
        flow::Flow,
        lane::Lane,
        outbox::{Disposition, OutboxQuery, PendingSet, Seq, SetKind, Settlement},
        outcome::{Blame, Outcome},
    },
    domain::{reason::Reason, status::StreamStatus, stream::Revision, time::Timestamp},
};

use super::{
    node::endpoint_at,
    outbox::{Fate, Outbox},
    trouble::{AHEAD_MAX, GRACE},
    world::{WELL_STREAM, World},
};

/// A stream with a well Receiver gets something across at least this often while it has something,
/// however its neighbours on the host do: some attempts of theirs that stall may come before it.
const PROGRESS_WITHIN: Duration = Duration::from_mins(3);

/// No retry is further away: the last step of the schedule with its jitter.
const RETRY_WITHIN: Duration = Duration::from_mins(75);

/// The facts that were seen, apart from those that the store has.
pub(super) struct Promises {
    streams: Vec<Seen>,
    /// The latest time of day that the clock ever showed.
    latest: Timestamp,
    /// Since when there was neither a crash, a store that is down, nor a clock that was set.
    undisturbed_since: Duration,
    /// The stream that an operator does not resume.
    pub(super) stays_paused: Option<usize>,
    /// The sights of this run.
    pub(super) sights: BTreeSet<&'static str>,
}

#[derive(Default)]
struct Seen {
    sets: BTreeMap<Seq, Answers>,
    /// The last SET of each lane that the Receiver got for the first time.
    got_last: BTreeMap<Lane, Seq>,
    /// Attempts in a row that failed by the endpoint's fault, or for the signature.
    faults: u32,
    /// When something was last settled, or nothing waited.
    progress: Duration,
}

/// The outcomes of the attempts at one SET.
#[derive(Default)]
struct Answers {
    got: bool,
    accepted: u32,
    refused: u32,
    key_refused: u32,
    failed: u32,
    /// For the signature, since anything was recorded of it.
    key_refused_in_row: u32,
}

impl Promises {
    pub(super) fn new(streams: usize) -> Self {
        Self {
            streams: (0..streams).map(|_| Seen::default()).collect(),
            latest: Timestamp::EPOCH,
            undisturbed_since: Duration::ZERO,
            stays_paused: None,
            sights: BTreeSet::new(),
        }
    }

    /// Nothing is promised of the time before `until`.
    pub(super) fn on_disturbed(&mut self, until: Duration) {
        self.undisturbed_since = self.undisturbed_since.max(until);
    }

    /// P3: what a Receiver gets of a lane comes in order, but for what it has seen before.
    pub(super) fn on_got(&mut self, stream: usize, set: &PendingSet) {
        let seen = &mut self.streams[stream];
        let answers = seen.sets.entry(set.seq).or_default();
        if answers.got || set.kind != SetKind::Event {
            answers.got = true;
            return;
        }
        answers.got = true;
        let before = seen.got_last.insert(set.lane, set.seq);
        assert!(before < Some(set.seq), "stream {stream} got {:?} after {before:?}", set.seq);
    }

    /// The daemon learns what came of an attempt.
    pub(super) fn on_outcome(&mut self, stream: usize, set: &PendingSet, outcome: &Outcome) {
        let seen = &mut self.streams[stream];
        let answers = seen.sets.entry(set.seq).or_default();
        match outcome {
            Outcome::Accepted { .. } => {
                answers.accepted += 1;
                seen.faults = 0;
            }
            Outcome::Refused(error) => {
                answers.refused += 1;
                answers.key_refused += u32::from(error.blames_key());
                answers.key_refused_in_row += u32::from(error.blames_key());
                // Once more where the courier started over while the first attempt was under way.
                assert!(answers.key_refused_in_row <= 3, "{set:?} is signed again and again");
                seen.faults = if error.blames_key() { seen.faults + 1 } else { 0 };
            }
            Outcome::Failed { class, .. } => {
                answers.failed += 1;
                seen.faults += u32::from(class.blame() == Blame::Endpoint);
            }
        }
    }

    /// A SET could not be signed.
    pub(super) fn on_unsigned(&mut self, stream: usize, set: &PendingSet) {
        self.sights.insert("not signed");
        self.streams[stream].sets.entry(set.seq).or_default().failed += 1;
    }

    /// A courier begins, and knows nothing of those before it.
    pub(super) fn on_started(&mut self, stream: usize) {
        self.on_changed(stream, Changed::Stream);
    }

    /// The courier of a stream starts over.
    pub(super) fn on_changed(&mut self, stream: usize, change: Changed) {
        let seen = &mut self.streams[stream];
        if change == Changed::Stream {
            seen.faults = 0;
        }
        seen.sets.values_mut().for_each(|answers| answers.key_refused_in_row = 0);
    }

    /// Nothing that was in memory is there any more.
    pub(super) fn on_restart(&mut self, elapsed: Duration) {
        self.on_disturbed(elapsed);
        (0..self.streams.len()).for_each(|stream| self.on_changed(stream, Changed::Stream));
    }

    pub(super) fn on_settled(
        &mut self,
        stream: usize,
        settlements: &[Settlement],
        elapsed: Duration,
    ) {
        let seen = &mut self.streams[stream];
        seen.progress = elapsed;
        for Settlement { seq, .. } in settlements {
            seen.sets.entry(*seq).or_default().key_refused_in_row = 0;
        }
    }
}

/// Returns the SETs that still wait.
pub(super) fn left_behind(outboxes: &[Outbox]) -> Vec<(usize, &PendingSet)> {
    let rows = outboxes.iter().enumerate().flat_map(|(stream, outbox)| {
        let waiting = outbox.rows().iter().filter(|row| row.fate == Fate::Waits);
        waiting.map(move |row| (stream, &row.set))
    });
    rows.collect()
}

impl World {
    /// A SET goes onto the wire.
    pub(super) fn check_push(
        &self,
        stream: usize,
        set: &PendingSet,
        endpoint: usize,
        signed_at: Revision,
    ) {
        let outbox = &self.outboxes[stream];
        // P2. One that was discarded a moment ago may be on its way.
        match &outbox.row(set.seq).fate {
            Fate::Waits => {
                // P3: what came before it in its lane is durably settled.
                let head = outbox.head(set.kind, set.lane);
                assert_eq!(head, Some(set.seq), "stream {stream} sends past the head of a lane");
            }
            Fate::Discarded(_) => {}
            fate => panic!("stream {stream} sends {:?}, which is {fate:?}", set.seq),
        }

        // P5.
        let known = self.node.known(stream);
        let config = known.stream.as_ref().expect("nothing is sent of a deleted stream");
        let pushes_to = config.endpoint().map(endpoint_at);
        assert_eq!(pushes_to, Some(endpoint), "stream {stream} sends to where it was before");
        let flow = known.flow();
        assert!(flow.lets_through(set.kind), "stream {stream} sends {set:?}, {config:?}");
        assert_eq!(signed_at, known.revision(), "stream {stream} sends an old signature");
        assert!(self.is_leased(stream), "stream {stream} sends {set:?} without a lease");
        assert!(!known.removed.contains(&set.lane), "stream {stream} sends of a removed subject");

        // P3, P4.
        let others = self.node.wire.values().filter(|wire| wire.stream == stream);
        let (mut events, mut alone) = (usize::from(set.kind == SetKind::Event), true);
        for other in others {
            let same = (other.set.kind, other.set.lane) == (set.kind, set.lane);
            assert!(!same, "stream {stream} sends {:?} beside {:?}", set.seq, other.set.seq);
            events += usize::from(other.set.kind == SetKind::Event);
            alone = false;
        }
        assert!(events <= self.settings.in_flight_max, "stream {stream} has {events} in flight");
        // SSF §8.1.5: the last word comes last.
        let last_word = flow != Flow::All;
        assert!(alone || !last_word, "stream {stream} sends its last word beside others");
    }

    /// P4: a host gets no more than it may.
    pub(super) fn check_hosts(&self) {
        for host in 0..self.hosts {
            let wires = self.node.wire.values();
            let under_way = wires.filter(|wire| self.host_of[wire.endpoint] == host).count();
            let max = self.settings.host_in_flight_max;
            assert!(under_way <= max, "{under_way} attempts at host {host}");
        }
    }

    /// P4: no more is in memory than the window holds.
    pub(super) fn check_query(&self, stream: usize, query: &OutboxQuery) {
        let kind = |seq: &Seq| self.outboxes[stream].row(*seq).set.kind;
        let events = query.busy.iter().filter(|seq| kind(seq) == SetKind::Event).count();
        let (others, asked) = (query.busy.len() - events, query.fresh + query.retries);
        let max = self.settings.window_max;
        assert!(events + asked <= max, "stream {stream} holds {events} and reads {asked}");
        assert!(others <= 2, "each kind has one lane, and stream {stream} holds {others}");
    }

    /// Nothing is recorded that was not so.
    pub(super) fn check_settlements(&mut self, stream: usize, settlements: &[Settlement]) {
        self.promises.latest = self.promises.latest.max(self.agenda.now());
        let latest = self.promises.latest;
        let none = Answers::default();
        for Settlement { seq, disposition, .. } in settlements {
            let set = &self.outboxes[stream].row(*seq).set;
            let answers = self.promises.streams[stream].sets.get(seq).unwrap_or(&none);
            let so = match disposition {
                Disposition::Delivered => answers.got && 0 < answers.accepted,
                Disposition::Dead { reason: Reason::Expired, .. } | Disposition::GivenUp { .. } => {
                    self.settings.retry.give_up_after <= latest.since(set.appended_at)
                }
                // Its signature is refused for good only after it was made anew.
                Disposition::Dead { .. } => {
                    answers.key_refused < answers.refused || 2 <= answers.key_refused
                }
                Disposition::RetryAt { due_at, .. } => {
                    *due_at <= latest + RETRY_WITHIN && 0 < answers.failed + answers.key_refused
                }
            };
            assert!(so, "stream {stream} records of {seq:?} {disposition:?}");
        }
    }

    /// A stream is paused for what was said at its endpoint, and not for less than is configured.
    pub(super) fn check_fault(&mut self, stream: usize, fault: &Fault) {
        assert_ne!(stream, WELL_STREAM, "{fault}");
        self.promises.sights.insert("paused by fault");
        let seen = self.promises.streams[stream].faults;
        let enough = self.settings.fault.attempts_min.min(self.settings.fault.key_refusals_max);
        assert!(enough <= fault.attempts && fault.attempts <= seen, "{fault}, and {seen} were");
    }

    /// P4: neighbours that stall starve nobody.
    pub(super) fn check_progress(&mut self) {
        let elapsed = self.agenda.elapsed();
        let promises = &mut self.promises;
        let seen = &mut promises.streams[WELL_STREAM];
        if self.outboxes[WELL_STREAM].is_empty() {
            seen.progress = elapsed;
        }
        let since = seen.progress.max(promises.undisturbed_since);
        let waited = elapsed.saturating_sub(since);
        assert!(waited <= PROGRESS_WITHIN, "the well stream has had nothing across for {waited:?}");
    }

    /// P8: what was under way at a stop has ended, and is recorded.
    pub(super) fn check_drained(&mut self) {
        let undisturbed = self.promises.undisturbed_since + GRACE <= self.agenda.elapsed();
        if undisturbed && self.store_faults == 0 {
            self.promises.sights.insert("drained");
            assert!(self.node.has_ended(), "a courier has not ended {GRACE:?} after a stop");
        }
    }

    /// A clock that was set moves what waits for a time of day.
    pub(super) fn on_clock_set(&mut self) {
        self.promises.latest = self.promises.latest.max(self.agenda.now());
        self.promises.on_disturbed(self.agenda.elapsed() + AHEAD_MAX + RETRY_WITHIN);
    }

    /// P1, P7: every SET is delivered, dead or discarded for a reason, or held.
    pub(super) fn check_end(&self) {
        for (stream, outbox) in self.outboxes.iter().enumerate() {
            for row in outbox.rows() {
                let answers = self.promises.streams[stream].sets.get(&row.set.seq);
                match &row.fate {
                    Fate::Delivered => {
                        assert!(answers.is_some_and(|a| a.got), "{:?} was never got", row.set);
                    }
                    Fate::Dead { .. } | Fate::Discarded(_) => {}
                    Fate::Waits => {
                        let config = outbox.config.as_ref().expect("a deleted stream has none");
                        assert_eq!(config.status, StreamStatus::Paused, "{:?}", row.set);
                        assert!(config.reason.as_deref().is_some_and(|reason| !reason.is_empty()));
                    }
                }
            }
        }
    }
}
