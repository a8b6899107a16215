//! Long polls that wait for a SET.
//!
//! A Receiver has abandoned a poll long before this daemon can know of it, if its host went away without
//! a word. So the newest poll of a stream goes first: it alone is woken, and when it leaves, the next
//! newest is woken. When all places are taken, the oldest poll gives way.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Notify, futures::OwnedNotified, watch};

use crate::{
    domain::id::StreamId,
    telemetry::metrics::{self, GaugeGuard},
};

/// The long polls that wait, by stream, the oldest first. A wake-up is a hint: a poll that is woken looks
/// into the store.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    streams: Mutex<HashMap<StreamId, VecDeque<Arc<Place>>>>,
    closed: AtomicBool,
    /// Changes whenever a credential may have been revoked.
    revocations: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Place {
    woken: Arc<Notify>,
    given_up: AtomicBool,
}

/// Why a long poll is answered before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A newer poll has its place. Its Receiver may be gone, so it takes no SET.
    GaveWay,
    /// The daemon is about to stop.
    Stopping,
}

/// A long poll's place among the waiters, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Waiter {
    waiters: Arc<Waiters>,
    id: StreamId,
    place: Arc<Place>,
    revocations: watch::Receiver<()>,
    _counted: GaugeGuard,
}

impl Waiters {
    /// Gives a place to one more long poll, unless the daemon is about to stop. If the stream has
    /// `polls_max` waiting, the oldest of them is told to end. With `polls_max` of 0, no poll waits.
    pub(super) fn join(self: &Arc<Self>, id: &StreamId, polls_max: usize) -> Option<Waiter> {
        let mut streams = self.streams();
        if polls_max == 0 || self.is_closed() {
            return None;
        }
        let places = streams.entry(id.clone()).or_default();
        while polls_max <= places.len() {
            places.pop_front().expect("it is not empty").give_up();
            metrics::long_poll_displaced();
        }
        let place = Arc::<Place>::default();
        places.push_back(Arc::clone(&place));
        Some(Waiter {
            waiters: Arc::clone(self),
            id: id.clone(),
            place,
            revocations: self.revocations.subscribe(),
            _counted: metrics::long_poll(),
        })
    }

    /// Wakes the newest poll of each of these streams.
    pub(super) fn wake(&self, ids: &[StreamId]) {
        let streams = self.streams();
        if streams.is_empty() {
            return;
        }
        for newest in ids.iter().filter_map(|id| streams.get(id)?.back()) {
            newest.woken.notify_waiters();
        }
    }

    pub(super) fn wake_all(&self) {
        for place in self.streams().values().flatten() {
            place.woken.notify_waiters();
        }
    }

    /// Has every poll judge its credential again. None of them looks for SETs because of that.
    pub(super) fn judge_again(&self) {
        self.revocations.send_replace(());
    }

    /// Returns how many polls of all streams wait.
    pub(super) fn count_all(&self) -> usize {
        self.revocations.receiver_count()
    }

    /// Returns how many polls of a stream wait.
    pub(super) fn count(&self, id: &StreamId) -> usize {
        self.streams().get(id).map_or(0, VecDeque::len)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<StreamId, VecDeque<Arc<Place>>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.woken.notify_waiters();
    }
}

impl Waiter {
    /// Resolves with the first wake-up after this call. Must be called before looking into the store, so
    /// that no wake-up is missed between the look and the wait.
    pub(super) fn next(&self) -> OwnedNotified {
        Arc::clone(&self.place.woken).notified_owned()
    }

    /// Resolves once a credential may have been revoked since the poll took its place, or since this last
    /// resolved.
    pub(super) async fn revocation(&mut self) {
        // The sender is part of the waiters, so it is there.
        if self.revocations.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns why the poll is to be answered now, if it is.
    pub(super) fn ends(&self) -> Option<End> {
        if self.place.given_up.load(Ordering::SeqCst) {
            return Some(End::GaveWay);
        }
        self.waiters.is_closed().then_some(End::Stopping)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut streams = self.waiters.streams();
        let Some(places) = streams.get_mut(&self.id) else { return };
        places.retain(|place| !Arc::ptr_eq(place, &self.place));
        // A wake-up that this poll has not followed passes to the next newest, and so does the look for
        // the SETs that its answer had no room for.
        match places.back() {
            Some(newest) => newest.woken.notify_waiters(),
            None => _ = streams.remove(&self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    fn id() -> StreamId {
        "s-1".parse().expect("an id")
    }

    /// Tells which of the polls were woken by `happens`.
    fn woken<const N: usize>(polls: [&Waiter; N], happens: impl FnOnce()) -> [bool; N] {
        let next = polls.map(Waiter::next);
        happens();
        let mut context = Context::from_waker(Waker::noop());
        next.map(|next| pin!(next).poll(&mut context).is_ready())
    }

    #[test]
    fn the_newest_poll_is_woken_and_the_next_when_it_leaves() {
        let waiters = Arc::<Waiters>::default();
        let join = || waiters.join(&id(), 3).expect("a place");
        let [first, second, third] = [(); 3].map(|()| join());
        assert_eq!(
            woken([&first, &second, &third], || waiters.wake(&[id()])),
            [false, false, true]
        );
        assert_eq!(woken([&first, &second], || drop(third)), [false, true]);
        assert_eq!(woken([&second], || drop(first)), [true], "a needless look does no harm");
        drop(second);
        assert!(waiters.streams().is_empty());
    }

    #[test]
    fn a_revocation_reaches_every_poll_that_had_its_place_and_wakes_none_for_sets() {
        let waiters = Arc::<Waiters>::default();
        let join = |id: &str| waiters.join(&id.parse().expect("an id"), 9).expect("a place");
        let mut polls = [join("s-1"), join("s-1"), join("s-2")];
        let mut context = Context::from_waker(Waker::noop());
        let mut told = |poll: &mut Waiter| pin!(poll.revocation()).poll(&mut context).is_ready();
        assert_eq!(waiters.count_all(), 3);
        let [one, two, three] = &polls;
        assert_eq!(woken([one, two, three], || waiters.judge_again()), [false; 3]);
        assert_eq!(polls.each_mut().map(&mut told), [true; 3]);
        assert_eq!(polls.each_mut().map(&mut told), [false; 3]);
        assert!(!told(&mut join("s-1")), "it came later");
    }

    #[test]
    fn the_oldest_poll_gives_way_to_a_new_one() {
        let waiters = Arc::<Waiters>::default();
        let join = || waiters.join(&id(), 2).expect("a place");
        let (first, second) = (join(), join());
        let mut third = None;
        assert_eq!(woken([&first, &second], || third = Some(join())), [true, false]);
        let ends = [&first, &second].map(Waiter::ends);
        assert_eq!((ends, waiters.count(&id())), ([Some(End::GaveWay), None], 2));
        // The poll that gave way has no place to leave.
        drop(first);
        assert_eq!(waiters.count(&id()), 2);
        assert!(waiters.join(&id(), 0).is_none());
        waiters.close();
        assert!(waiters.join(&id(), 2).is_none());
        assert_eq!(second.ends(), Some(End::Stopping));
    }
}
