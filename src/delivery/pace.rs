//! How many attempts one host gets at a time, and whose.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::{
    delivery::{
        outcome::{FailureClass, Outcome},
        parcel::Outcomes,
    },
    domain::{id::StreamId, time::Timestamp},
};

/// Failures that come together are one sign, since they were under way together.
const CUT_INTERVAL: Duration = Duration::from_secs(1);

/// The load on a host, as an attempt shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    Unknown,
    Eased,
    Overloaded,
}

impl Load {
    /// Judges an attempt by its outcomes: one that tells of an overload outweighs the others.
    pub fn of(outcomes: &Outcomes) -> Self {
        outcomes.answers().iter().map(Self::of_one).max().unwrap_or(Self::Unknown)
    }

    fn of_one(outcome: &Outcome) -> Self {
        use FailureClass::{Throttled, Timeout, Unavailable};
        match outcome {
            Outcome::Accepted { .. } | Outcome::Refused(_) => Self::Eased,
            Outcome::Failed { class: Throttled | Timeout | Unavailable, .. } => Self::Overloaded,
            Outcome::Failed { .. } => Self::Unknown,
        }
    }
}

/// The attempts under way at one host, of all streams together. Their number adapts: it is halved
/// when the host has too much to do, and grows by one with each round of attempts that end well.
///
/// Streams share it evenly. One that has nothing under way gets one attempt even where the host is
/// overloaded, within `cap`: what another stream of the host does must not stop it.
///
/// Invariants: `total <= cap`, `1 <= limit <= cap`, and `total` is the sum over all shares.
#[derive(Debug)]
pub struct HostPace {
    cap: usize,
    limit: usize,
    /// Attempts that ended well since the limit was last moved.
    eased: usize,
    cut_at: Option<Timestamp>,
    total: usize,
    /// Streams with attempts under way, or that wait for room.
    shares: HashMap<StreamId, Share>,
    /// Streams that wait for room, the longest first.
    queue: VecDeque<StreamId>,
}

#[derive(Debug, Default)]
struct Share {
    under_way: usize,
    waits: bool,
}

impl HostPace {
    /// At most `cap` attempts at a time, and at least 1.
    pub fn new(cap: usize) -> Self {
        let cap = cap.max(1);
        Self {
            cap,
            limit: cap,
            eased: 0,
            cut_at: None,
            total: 0,
            shares: HashMap::new(),
            queue: VecDeque::new(),
        }
    }

    /// A stream would start up to `count` attempts: returns how many it may. If that is fewer, the
    /// stream waits until [`Self::grant_next`] names it.
    pub fn claim(&mut self, stream: &StreamId, count: usize) -> usize {
        if count == 0 {
            return 0;
        }
        self.shares.entry(stream.clone()).or_default();
        let mut granted = 0;
        while granted < count && self.has_room_for(stream) {
            self.take(stream);
            granted += 1;
        }
        let share = self.shares.get_mut(stream).expect("entered above");
        if granted < count && !share.waits {
            share.waits = true;
            self.queue.push_back(stream.clone());
        }
        granted
    }

    /// An attempt of a stream is over, or was not made. [`Self::grant_next`] is to be called then.
    pub fn release(&mut self, stream: &StreamId, load: Load, now: Timestamp) {
        let share = self.shares.get_mut(stream).expect("whoever releases has claimed");
        share.under_way -= 1;
        if share.under_way == 0 && !share.waits {
            self.shares.remove(stream);
        }
        let before = self.total;
        self.total -= 1;
        match load {
            Load::Eased => self.ease(),
            Load::Overloaded => self.cut(before, now),
            Load::Unknown => {}
        }
    }

    /// Gives the room that there is to a stream that waits for it, which then has one attempt more
    /// under way. To be called until there is none.
    pub fn grant_next(&mut self) -> Option<StreamId> {
        if self.cap <= self.total {
            return None;
        }
        // A stream that is passed over has something under way, so that these are fewer than `cap`.
        let next = self.queue.iter().position(|stream| self.has_room_for(stream))?;
        let stream = self.queue.remove(next).expect("the position was just found");
        self.shares.get_mut(&stream).expect("who waits has a share").waits = false;
        self.take(&stream);
        Some(stream)
    }

    /// Nothing is under way, and nobody waits.
    pub fn is_idle(&self) -> bool {
        self.shares.is_empty()
    }

    /// When it was last found overloaded, if it has not recovered since.
    pub fn cut_at(&self) -> Option<Timestamp> {
        self.cut_at.filter(|_| self.limit < self.cap)
    }

    fn has_room_for(&self, stream: &StreamId) -> bool {
        let own = self.shares.get(stream).map_or(0, |share| share.under_way);
        let even = self.limit.div_ceil(self.shares.len().max(1));
        self.total < self.cap && (own == 0 || (self.total < self.limit && own < even))
    }

    fn take(&mut self, stream: &StreamId) {
        self.shares.get_mut(stream).expect("its share was entered").under_way += 1;
        self.total += 1;
        debug_assert!(self.total <= self.cap);
    }

    fn ease(&mut self) {
        self.eased += 1;
        if self.limit <= self.eased {
            self.eased = 0;
            self.limit = (self.limit + 1).min(self.cap);
        }
    }

    /// Half of what was under way, since a limit that was not reached has caused nothing.
    fn cut(&mut self, under_way: usize, now: Timestamp) {
        self.eased = 0;
        if self.cut_at.is_none_or(|at| CUT_INTERVAL <= now.since(at)) {
            self.cut_at = Some(now);
            self.limit = (self.limit.min(under_way) / 2).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: usize) -> StreamId {
        format!("st_{n}").parse().expect("a valid id")
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn the_limit_is_halved_at_once_and_grows_slowly() {
        let (mut pace, stream) = (HostPace::new(64), id(1));
        assert_eq!(pace.claim(&stream, 40), 40);
        // All of one burst fail together: one cut.
        for _ in 0..40 {
            pace.release(&stream, Load::Overloaded, at(10));
        }
        assert_eq!(pace.claim(&stream, 100), 20);
        for _ in 0..20 {
            pace.release(&stream, Load::Eased, at(10));
        }
        assert_eq!(pace.limit, 21, "one more for a whole round");
        for round in 0..20 {
            pace.claim(&stream, 1);
            pace.release(&stream, Load::Overloaded, at(20 + round));
        }
        assert_eq!(pace.limit, 1, "and never none");
        assert!(pace.cut_at().is_some());
        for _ in 0..(64 * 64) {
            pace.claim(&stream, 1);
            pace.release(&stream, Load::Eased, at(99));
        }
        assert_eq!((pace.limit, pace.cut_at()), (64, None));
    }

    #[test]
    fn streams_of_a_host_share_it_evenly() {
        let mut pace = HostPace::new(8);
        assert_eq!(pace.claim(&id(1), 32), 8, "alone it has the whole");
        assert_eq!(pace.claim(&id(2), 32), 0);
        for expected in [Some(id(2)), Some(id(2)), Some(id(2)), Some(id(2))] {
            pace.release(&id(1), Load::Eased, at(0));
            assert_eq!(pace.grant_next(), expected);
            assert_eq!(pace.claim(&id(1), 1), 0, "the other one's turn");
            assert_eq!(pace.claim(&id(2), 4), 0);
        }
        pace.release(&id(1), Load::Eased, at(0));
        assert_eq!(pace.grant_next(), Some(id(1)), "both have four");
    }

    #[test]
    fn a_stream_with_nothing_under_way_gets_one_though_another_overloads_the_host() {
        let mut pace = HostPace::new(8);
        for round in 0..8 {
            pace.claim(&id(1), 1);
            pace.release(&id(1), Load::Overloaded, at(round * 2));
        }
        assert_eq!(pace.claim(&id(1), 8), 1);
        for other in 2..=8 {
            assert_eq!(pace.claim(&id(other), 1), 1);
        }
        assert_eq!(pace.claim(&id(9), 1), 0, "within the cap");
        pace.release(&id(3), Load::Unknown, at(99));
        assert_eq!((pace.grant_next(), pace.grant_next()), (Some(id(9)), None));
    }

    #[test]
    fn many_streams_take_turns() {
        let mut pace = HostPace::new(2);
        let mut under_way = VecDeque::new();
        for n in 0..10 {
            if pace.claim(&id(n), 1) == 1 {
                under_way.push_back(id(n));
            }
        }
        let mut turns = Vec::new();
        for _ in 0..20 {
            let ended = under_way.pop_front().expect("two are under way");
            pace.release(&ended, Load::Eased, at(0));
            let granted = pace.grant_next().expect("others wait");
            turns.push(granted.clone());
            under_way.push_back(granted);
            // The stream has more attempts at once.
            assert_eq!(pace.claim(&ended, 1), 0);
        }
        for n in 0..10 {
            assert_eq!(turns.iter().filter(|turn| **turn == id(n)).count(), 2, "{n} of {turns:?}");
        }
    }

    proptest! {
        /// Nothing is granted beyond the cap, all room comes back, and nobody waits for room that
        /// there is.
        #[test]
        fn room_is_neither_lost_nor_made(
            steps in prop::collection::vec((0..5_usize, 0..9_usize, 0..3_u8, 0..3_u64), 1..200)
        ) {
            let mut pace = HostPace::new(6);
            let (mut held, mut now) = (Vec::new(), 0);
            for (stream, count, load, secs) in steps {
                now += secs;
                let granted = pace.claim(&id(stream), count);
                held.extend(std::iter::repeat_n(stream, granted));
                if load < 2 && !held.is_empty() {
                    let ended = held.remove(count % held.len());
                    let load = if load == 0 { Load::Eased } else { Load::Overloaded };
                    pace.release(&id(ended), load, at(now));
                    while let Some(next) = pace.grant_next() {
                        held.extend((0..5).find(|n| id(*n) == next));
                    }
                }
                prop_assert!(held.len() <= 6 && pace.total == held.len());
                prop_assert!(pace.queue.is_empty() || !held.is_empty());
            }
            // A stream that is granted room gives it back at once, so that each is served.
            while let Some(ended) = held.pop() {
                pace.release(&id(ended), Load::Unknown, at(now));
                while let Some(next) = pace.grant_next() {
                    pace.release(&next, Load::Unknown, at(now));
                }
            }
            prop_assert!(pace.is_idle() && pace.queue.is_empty() && pace.total == 0);
        }
    }
}
