//! Calls that wait for replicas together.
//!
//! A server answers nothing on a connection while `WAIT` waits there. If every call sent a `WAIT` of its
//! own, they would add up behind one another while a replica is missing, and whatever was sent behind
//! them would seem to get no answer. So there is at most one round of waiting on a connection at a time. A
//! round serves all calls that wait when it begins, because `WAIT` covers every write that was answered
//! before. Calls that come meanwhile wait for the next round. So `WAIT` holds up a command for no longer
//! than the longest time that a round takes, however many calls wait.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use redis::RedisResult;
use tokio::sync::oneshot;

/// The calls on one connection that wait for the next round.
#[derive(Debug, Default)]
pub(super) struct WaitRounds(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    is_running: bool,
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    /// One of the keys that the call wrote. In a Cluster, it tells the node.
    pub(super) key: Vec<u8>,
    /// The connection that the write was answered on, where `WAIT` must be sent on the same one.
    pub(super) written_on: Option<u64>,
    pub(super) until: Instant,
    pub(super) tell: oneshot::Sender<RedisResult<i64>>,
}

/// The calls that one `WAIT` serves.
#[derive(Debug)]
pub(super) struct Round {
    /// By key, if the keys may be on several nodes, and otherwise under an empty key.
    pub(super) groups: BTreeMap<Vec<u8>, Vec<Waiting>>,
    /// How long each `WAIT` of the round may take. All of them may be on one node, one behind the other,
    /// so together they take no longer than one call waits.
    pub(super) slice: Duration,
}

/// The right to run rounds, until it is dropped. The calls that wait are told that it has ended.
#[derive(Debug)]
pub(super) struct Runner<'a> {
    rounds: &'a WaitRounds,
    /// No call waited any more, and whoever comes next begins anew.
    is_done: bool,
}

impl WaitRounds {
    /// Adds a call to the next round. Returns `true` if nobody runs rounds, so that the caller has to
    /// begin ([`Self::run`]).
    pub(super) fn join(&self, waiting: Waiting) -> bool {
        let mut state = self.lock();
        state.waiting.push(waiting);
        !std::mem::replace(&mut state.is_running, true)
    }

    /// Begins to run rounds. To be called by whoever was told to.
    pub(super) fn run(&self) -> Runner<'_> {
        Runner { rounds: self, is_done: false }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runner<'_> {
    /// Returns the next round, of all calls that wait `now`. `None` if there is none, and then this runs no
    /// more rounds.
    pub(super) fn next(&mut self, is_cluster: bool, now: Instant) -> Option<Round> {
        let mut state = self.rounds.lock();
        let mut groups = BTreeMap::<Vec<u8>, Vec<Waiting>>::new();
        let mut longest = Duration::ZERO;
        for waiting in state.waiting.drain(..) {
            longest = longest.max(waiting.until.saturating_duration_since(now));
            let key = if is_cluster { waiting.key.clone() } else { Vec::new() };
            groups.entry(key).or_default().push(waiting);
        }
        state.is_running = !groups.is_empty();
        self.is_done = groups.is_empty();
        let count = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        (count != 0).then(|| Round { groups, slice: longest / count })
    }

    /// Has a call wait for the next round as well.
    pub(super) fn again(&self, waiting: Waiting) {
        self.rounds.lock().waiting.push(waiting);
    }
}

impl Drop for Runner<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            // The rounds were broken off. Dropping the calls tells them.
            let mut state = self.rounds.lock();
            state.waiting.clear();
            state.is_running = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn waiting(key: &str, now: Instant) -> (Waiting, oneshot::Receiver<RedisResult<i64>>) {
        let (tell, told) = oneshot::channel();
        (Waiting { key: key.into(), written_on: None, until: now + PATIENCE, tell }, told)
    }

    #[test]
    fn a_round_takes_all_calls_that_wait_and_no_longer_than_one_of_them() {
        for (is_cluster, groups) in [(false, 1), (true, 3)] {
            let (rounds, now) = (WaitRounds::default(), clock::instant());
            let calls = ["a", "b", "a", "c"].map(|key| waiting(key, now).0);
            let first = calls.map(|call| rounds.join(call));
            assert_eq!(first, [true, false, false, false]);
            let mut runner = rounds.run();
            let round = runner.next(is_cluster, now).expect("calls wait");
            assert_eq!(round.groups.len(), groups);
            assert!(round.slice * u32::try_from(groups).expect("few") <= PATIENCE);
            assert_eq!(round.groups.values().map(Vec::len).sum::<usize>(), 4);
            assert!(!rounds.join(waiting("d", now).0), "the same task runs the next round");
            assert!(runner.next(is_cluster, now).is_some());
            assert!(runner.next(is_cluster, now).is_none());
            drop(runner);
            assert!(rounds.join(waiting("e", now).0), "nobody runs rounds any more");
        }
    }

    #[test]
    fn calls_are_told_if_their_rounds_are_broken_off() {
        let (rounds, now) = (WaitRounds::default(), clock::instant());
        let (call, mut told) = waiting("a", now);
        assert!(rounds.join(call));
        drop(rounds.run());
        assert!(matches!(told.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        assert!(rounds.join(waiting("b", now).0));
    }
}
