//! Whether polling Receivers know a signing key that followed another one. Kept in memory: a node that
//! has forgotten it only offers a refused SET again, for as long as the key is new.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::{
    id::{Jti, StreamId},
    time::Timestamp,
};

/// The SETs of one stream that are remembered: the last that were handed out. A Receiver that accepts
/// SETs acknowledges some of these.
const REMEMBERED_MAX: usize = 64;

/// The polled streams that were handed SETs signed with a new key.
#[derive(Debug, Default)]
pub(super) struct PollKeys(Mutex<HashMap<StreamId, Handed>>);

/// The SETs that one stream was handed.
#[derive(Debug)]
struct Handed {
    /// When the key was first used, which tells keys apart.
    since: Timestamp,
    sets: VecDeque<Jti>,
    /// The Receiver has accepted one of them.
    accepted: bool,
}

impl PollKeys {
    /// SETs signed with the key that is new since then are handed out.
    pub(super) fn handed_out<'a>(
        &self,
        id: &StreamId,
        since: Timestamp,
        sets: impl Iterator<Item = &'a Jti>,
    ) {
        let mut streams = self.lock();
        let new = || Handed { since, sets: VecDeque::new(), accepted: false };
        let handed = streams.entry(id.clone()).or_insert_with(new);
        if handed.since != since {
            *handed = new();
        }
        if handed.accepted {
            return;
        }
        for jti in sets {
            if REMEMBERED_MAX <= handed.sets.len() {
                handed.sets.pop_front();
            }
            handed.sets.push_back(jti.clone());
        }
    }

    /// The Receiver accepts SETs. Returns whether it is known to know the key.
    pub(super) fn accepted(&self, id: &StreamId, since: Timestamp, acked: &[Jti]) -> bool {
        let mut streams = self.lock();
        let Some(handed) = streams.get_mut(id).filter(|handed| handed.since == since) else {
            return false;
        };
        if acked.iter().any(|jti| handed.sets.contains(jti)) {
            handed.accepted = true;
            handed.sets.clear();
        }
        handed.accepted
    }

    /// The key is no longer new for the stream, or the stream is gone.
    pub(super) fn forget(&self, id: &StreamId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, Handed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_once_a_set_that_it_signed_is_accepted() {
        let (keys, id) = (PollKeys::default(), "st_1".parse().expect("valid"));
        let jti = |n: usize| format!("j{n}").parse::<Jti>().expect("valid");
        let (first, second) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
        assert!(!keys.accepted(&id, first, &[jti(0)]), "nothing was handed out");
        let sets: Vec<_> = (0..REMEMBERED_MAX + 6).map(jti).collect();
        keys.handed_out(&id, first, sets.iter());
        assert!(!keys.accepted(&id, first, &[jti(999)]), "an older one");
        assert!(!keys.accepted(&id, first, &sets[..6]), "it is not remembered");
        assert!(keys.accepted(&id, first, &sets[6..7]));
        assert!(keys.accepted(&id, first, &[]), "and stays known");
        assert!(!keys.accepted(&id, second, &sets), "another key");
        keys.handed_out(&id, second, sets[..1].iter());
        assert!(keys.accepted(&id, second, &sets));
        keys.forget(&id);
        assert!(!keys.accepted(&id, second, &sets));
    }
}
