//! The signed form of SETs: of those that go out next, so that no attempt waits for a signature while
//! others are under way, and of those that wait for a retry.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use crate::delivery::outbox::{PendingSet, Seq};

/// SETs that are signed before there is room for an attempt at them.
const AHEAD_MAX: usize = 32;
/// SETs that are signed together: few, so that the first of them need not wait for the last.
const BATCH_MAX: usize = 8;

/// What a SET is sent as; `None` if it could not be signed.
pub(super) type Signed = Option<Bytes>;

/// Invariant: what is asked for or signed ahead is ready to go out, of a stream that was not changed
/// meanwhile.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    asked: HashSet<Seq>,
    ahead: HashMap<Seq, Signed>,
    /// Of SETs that were tried: the same bytes each time.
    kept: BTreeMap<Seq, Bytes>,
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

    fn knows(&self, seq: Seq) -> bool {
        self.has(seq) || self.asked.contains(&seq)
    }

    /// The signed form for an attempt.
    pub(super) fn take(&mut self, seq: Seq) -> Signed {
        self.ahead.remove(&seq).unwrap_or_else(|| self.kept.remove(&seq))
    }

    /// What is to be signed now, in batches, if `count` SETs of those that are `ready` could go out.
    pub(super) fn ask<'a>(
        &mut self,
        ready: impl Iterator<Item = &'a PendingSet>,
        count: usize,
    ) -> Vec<Vec<&'a PendingSet>> {
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
        let missing: Vec<_> = missing.into_iter().map(|(_, set)| set).collect();
        missing.chunks(BATCH_MAX).map(<[_]>::to_vec).collect()
    }

    /// What came of it. A SET that is not asked for any more is passed over.
    pub(super) fn arrived(&mut self, signed: impl IntoIterator<Item = (Seq, Signed)>) {
        for (seq, signed) in signed {
            if self.asked.remove(&seq) {
                self.ahead.insert(seq, signed);
            }
        }
    }

    /// Keeps what was sent for the next attempt, of `max` SETs at most; any other is signed anew.
    pub(super) fn keep(&mut self, seq: Seq, body: Bytes, max: usize) {
        self.kept.insert(seq, body);
        while max < self.kept.len() {
            self.kept.pop_first();
        }
    }

    /// These do not go out any more.
    pub(super) fn forget<'a>(&mut self, sets: impl IntoIterator<Item = &'a PendingSet>) {
        for PendingSet { seq, .. } in sets {
            self.asked.remove(seq);
            self.ahead.remove(seq);
            self.kept.remove(seq);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
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

    fn asked(signatures: &mut Signatures, ready: &[PendingSet], count: usize) -> Vec<usize> {
        signatures.ask(ready.iter(), count).iter().map(Vec::len).collect()
    }

    fn signed(sets: &[PendingSet]) -> impl Iterator<Item = (Seq, Signed)> + '_ {
        sets.iter().map(|set| (set.seq, Some(Bytes::from_static(b"a.b.c"))))
    }

    #[test]
    fn a_lone_set_is_asked_for_at_once_and_once() {
        let (mut signatures, one) = (Signatures::default(), sets([1]));
        assert_eq!(asked(&mut signatures, &one, 1), [1]);
        assert_eq!(asked(&mut signatures, &one, 1), [0; 0], "it is under way");
        signatures.arrived(signed(&one));
        assert!(signatures.has(Seq(1)) && signatures.take(Seq(1)).is_some());
        assert!(!signatures.has(Seq(1)));
    }

    #[test]
    fn those_ahead_are_asked_for_by_halves_unless_one_could_go_out() {
        let (mut signatures, ready) = (Signatures::default(), sets(0..100));
        assert_eq!(asked(&mut signatures, &ready, 4), [8; 4]);
        signatures.arrived(signed(&ready[..32]));
        let leaves =
            |signatures: &mut Signatures, seq| assert!(signatures.take(Seq(seq)).is_some());
        (0..15).for_each(|seq| leaves(&mut signatures, seq));
        assert_eq!(asked(&mut signatures, &ready[15..], 1), [0; 0], "15 of 32 are missing");
        leaves(&mut signatures, 15);
        assert_eq!(asked(&mut signatures, &ready[16..], 1), [8; 2]);
        assert_eq!(asked(&mut signatures, &ready[47..], 2), [8, 8, 8, 7], "the second could go");
    }

    #[test]
    fn what_arrives_for_nobody_is_dropped() {
        let (mut signatures, ready) = (Signatures::default(), sets(0..3));
        assert_eq!(asked(&mut signatures, &ready, 3), [3]);
        signatures.forget(&ready[..1]);
        signatures.arrived(signed(&ready[..2]));
        signatures.clear();
        signatures.arrived(signed(&ready));
        assert!(ready.iter().all(|set| !signatures.has(set.seq)));
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
