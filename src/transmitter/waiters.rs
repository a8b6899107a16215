//! Long polls that wait for a SET.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Notify, futures::OwnedNotified};

use crate::{
    domain::id::StreamId,
    telemetry::metrics::{self, GaugeGuard},
};

/// The long polls that wait, by stream. A wake-up is a hint: a poll that is woken looks into the store.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    streams: Mutex<HashMap<StreamId, Waiting>>,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    notify: Arc<Notify>,
    polls: usize,
}

/// A long poll's place among the waiters, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Waiter {
    waiters: Arc<Waiters>,
    id: StreamId,
    notify: Arc<Notify>,
    _counted: GaugeGuard,
}

impl Waiters {
    /// Gives a place to one more long poll, unless the stream has `polls_max` waiting or the daemon is about to
    /// stop.
    pub(super) fn join(self: &Arc<Self>, id: &StreamId, polls_max: usize) -> Option<Waiter> {
        let mut streams = self.streams();
        let polls = streams.get(id).map_or(0, |waiting| waiting.polls);
        if polls_max <= polls || self.is_closed() {
            return None;
        }
        let waiting = streams.entry(id.clone()).or_default();
        waiting.polls += 1;
        Some(Waiter {
            waiters: Arc::clone(self),
            id: id.clone(),
            notify: Arc::clone(&waiting.notify),
            _counted: metrics::long_poll(),
        })
    }

    pub(super) fn wake(&self, ids: &[StreamId]) {
        let streams = self.streams();
        if streams.is_empty() {
            return;
        }
        for waiting in ids.iter().filter_map(|id| streams.get(id)) {
            waiting.notify.notify_waiters();
        }
    }

    pub(super) fn wake_all(&self) {
        for waiting in self.streams().values() {
            waiting.notify.notify_waiters();
        }
    }

    /// Returns how many polls of a stream wait.
    pub(super) fn count(&self, id: &StreamId) -> usize {
        self.streams().get(id).map_or(0, |waiting| waiting.polls)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<StreamId, Waiting>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Resolves with the first wake-up after this call; take it before looking into the store, so
    /// that none is missed between the look and the wait.
    pub(super) fn next(&self) -> OwnedNotified {
        Arc::clone(&self.notify).notified_owned()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut streams = self.waiters.streams();
        if let Some(waiting) = streams.get_mut(&self.id) {
            waiting.polls -= 1;
            if waiting.polls == 0 {
                streams.remove(&self.id);
            }
        }
    }
}
