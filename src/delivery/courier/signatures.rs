//! Signatures of the SETs that go out next, so that no attempt waits for a signature while others are
//! under way, and of SETs that wait for a retry.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;

use crate::delivery::outbox::{PendingSet, Seq};

/// SETs that are signed before there is room for an attempt at them.
const AHEAD_MAX: usize = 32;
/// SETs that are signed together: few, so that the first of them need not wait for the last.
const BATCH_MAX: usize = 8;

/// SETs of one stream that are to be signed together.
#[derive(Debug, PartialEq, Eq)]
pub struct SigningBatch {
    /// The claims of each SET. The signatures are in the same order.
    pub claims: Vec<Arc<str>>,
    seqs: Vec<Seq>,
    generation: u64,
}

impl SigningBatch {
    /// Returns the SETs of the batch, in the order of the claims.
    pub fn seqs(&self) -> impl Iterator<Item = Seq> {
        self.seqs.iter().copied()
    }
}

/// Invariant: a SET whose signature is asked for or made ahead is ready to go out.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    asked: HashSet<Seq>,
    ahead: HashMap<Seq, Bytes>,
    /// Of SETs that were tried: a retry sends the same bytes.
    kept: BTreeMap<Seq, Bytes>,
    /// Grows with each change of the stream. Signatures that were asked for before are not used.
    generation: u64,
}

impl Signatures {
    /// Whether the next attempt at this SET need not wait.
    pub(super) fn has(&self, seq: Seq) -> bool {
        self.ahead.contains_key(&seq) || self.kept.contains_key(&seq)
    }

    /// Whether some are being made.
    pub(super) fn are_awaited(&self) -> bool {
        !self.asked.is_empty()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    fn knows(&self, seq: Seq) -> bool {
        self.has(seq) || self.asked.contains(&seq)
    }

    /// Takes the signature for an attempt.
    pub(super) fn take(&mut self, seq: Seq) -> Option<Bytes> {
        self.ahead.remove(&seq).or_else(|| self.kept.remove(&seq))
    }

    /// Returns the batches that are to be signed now, if `count` of the SETs that are `ready` could
    /// go out.
    pub(super) fn ask<'a>(
        &mut self,
        ready: impl Iterator<Item = &'a PendingSet>,
        count: usize,
    ) -> Vec<SigningBatch> {
        let mut ready = ready.take(AHEAD_MAX.max(count)).peekable();
        let first = ready.peek().is_some_and(|set| self.knows(set.seq));
        // Half of them at a time, rather than one for each SET that leaves.
        if count == 1 && first && AHEAD_MAX / 2 < self.ahead.len() + self.asked.len() {
            return Vec::new();
        }
        let missing: Vec<_> = ready.enumerate().filter(|(_, set)| !self.knows(set.seq)).collect();
        let urgent = missing.first().is_some_and(|(place, _)| *place < count);
        if !urgent && missing.len() < AHEAD_MAX / 2 {
            return Vec::new();
        }
        self.asked.extend(missing.iter().map(|(_, set)| set.seq));
        let batch = |sets: &[(usize, &PendingSet)]| SigningBatch {
            claims: sets.iter().map(|(_, set)| Arc::clone(&set.claims)).collect(),
            seqs: sets.iter().map(|(_, set)| set.seq).collect(),
            generation: self.generation,
        };
        missing.chunks(BATCH_MAX).map(batch).collect()
    }

    /// Takes the signatures of a batch. A SET that does not go out any more is passed over.
    pub(super) fn arrived(&mut self, batch: &SigningBatch, signed: Vec<Bytes>) {
        for (seq, signed) in batch.seqs.iter().zip(signed) {
            if self.is_awaited(*seq, batch) {
                self.ahead.insert(*seq, signed);
            }
        }
    }

    /// Ends the wait for a batch that could not be signed. Returns the SETs that would still go out.
    pub(super) fn failed(&mut self, batch: &SigningBatch) -> Vec<Seq> {
        batch.seqs.iter().copied().filter(|seq| self.is_awaited(*seq, batch)).collect()
    }

    fn is_awaited(&mut self, seq: Seq, batch: &SigningBatch) -> bool {
        batch.generation == self.generation && self.asked.remove(&seq)
    }

    /// Keeps the bytes that were sent for the next attempt, of `max` SETs at most; any other SET is
    /// signed anew.
    pub(super) fn keep(&mut self, seq: Seq, body: Bytes, max: usize) {
        self.kept.insert(seq, body);
        while max < self.kept.len() {
            self.kept.pop_first();
        }
    }

    /// Forgets the signatures of SETs that do not go out any more.
    pub(super) fn forget(&mut self, seqs: &[Seq]) {
        for seq in seqs {
            self.asked.remove(seq);
            self.ahead.remove(seq);
            self.kept.remove(seq);
        }
    }

    /// Starts over, because the stream was changed.
    pub(super) fn clear(&mut self) {
        *self = Self { generation: self.generation + 1, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        delivery::{lane::Lane, outbox::SetKind},
        domain::time::Timestamp,
    };

    fn sets(seqs: impl IntoIterator<Item = i64>) -> Vec<PendingSet> {
        let set = |seq| PendingSet {
            seq: Seq(seq),
            jti: "a".parse().expect("valid"),
            lane: Lane::from_i64(seq),
            kind: SetKind::Event,
            claims: "{}".into(),
            appended_at: Timestamp::EPOCH,
            attempts: 0,
            due_at: Timestamp::EPOCH,
        };
        seqs.into_iter().map(set).collect()
    }

    fn asked(signatures: &mut Signatures, ready: &[PendingSet], count: usize) -> Vec<SigningBatch> {
        signatures.ask(ready.iter(), count)
    }

    fn sizes(batches: &[SigningBatch]) -> Vec<usize> {
        batches.iter().map(|batch| batch.claims.len()).collect()
    }

    fn arrive(signatures: &mut Signatures, batches: &[SigningBatch]) {
        for batch in batches {
            let signed = batch.claims.iter().map(|_| Bytes::from_static(b"a.b.c")).collect();
            signatures.arrived(batch, signed);
        }
    }

    #[test]
    fn a_lone_set_is_asked_for_at_once_and_once() {
        let (mut signatures, one) = (Signatures::default(), sets([1]));
        let batches = asked(&mut signatures, &one, 1);
        assert_eq!(sizes(&batches), [1]);
        assert!(asked(&mut signatures, &one, 1).is_empty(), "it is under way");
        arrive(&mut signatures, &batches);
        assert!(signatures.has(Seq(1)) && signatures.take(Seq(1)).is_some());
        assert!(!signatures.has(Seq(1)));
    }

    #[test]
    fn signatures_ahead_are_asked_for_by_halves_unless_a_set_could_go_out() {
        let (mut signatures, ready) = (Signatures::default(), sets(0..100));
        let batches = asked(&mut signatures, &ready, 4);
        assert_eq!(sizes(&batches), [8; 4]);
        arrive(&mut signatures, &batches);
        let leaves =
            |signatures: &mut Signatures, seq| assert!(signatures.take(Seq(seq)).is_some());
        (0..15).for_each(|seq| leaves(&mut signatures, seq));
        assert!(asked(&mut signatures, &ready[15..], 1).is_empty(), "15 of 32 are missing");
        leaves(&mut signatures, 15);
        assert_eq!(sizes(&asked(&mut signatures, &ready[16..], 1)), [8; 2]);
        let more = asked(&mut signatures, &ready[47..], 2);
        assert_eq!(sizes(&more), [8, 8, 8, 7], "the second could go");
    }

    #[test]
    fn a_signature_that_is_not_asked_for_any_more_is_dropped() {
        let (mut signatures, ready) = (Signatures::default(), sets(0..3));
        let batches = asked(&mut signatures, &ready, 3);
        signatures.forget(&[Seq(0)]);
        arrive(&mut signatures, &batches);
        assert_eq!([0, 1, 2].map(|seq| signatures.has(Seq(seq))), [false, true, true]);
    }

    #[test]
    fn a_signature_asked_for_before_a_change_is_not_used_after_it() {
        let (mut signatures, ready) = (Signatures::default(), sets(0..3));
        let before = asked(&mut signatures, &ready, 3);
        signatures.clear();
        let after = asked(&mut signatures, &ready, 3);
        arrive(&mut signatures, &before);
        assert!(signatures.failed(&before[0]).is_empty());
        assert!(ready.iter().all(|set| !signatures.has(set.seq)));
        arrive(&mut signatures, &after);
        assert!(ready.iter().all(|set| signatures.has(set.seq)));
    }

    #[test]
    fn no_more_is_kept_than_is_allowed() {
        let mut signatures = Signatures::default();
        for seq in 0..5 {
            signatures.keep(Seq(seq), Bytes::new(), 2);
        }
        assert_eq!([2, 3, 4].map(|seq| signatures.has(Seq(seq))), [false, true, true]);
    }
}
