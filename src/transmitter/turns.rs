//! Lets one change of a stream go on at a time, and those of different streams side by side.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use crate::domain::id::StreamId;

/// The streams that are being changed, and those that wait to be.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<StreamId, Arc<tokio::sync::Mutex<()>>>>);

/// The right to change one stream. The next in line has it when this value is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    // Dropped before the place, which removes the lock if nobody else waits for it.
    _held: OwnedMutexGuard<()>,
    _place: Place<'a>,
}

/// A place in the line for one stream, also if the turn never comes.
#[derive(Debug)]
struct Place<'a> {
    turns: &'a Turns,
    id: StreamId,
    lock: Option<Arc<tokio::sync::Mutex<()>>>,
}

impl Turns {
    /// Waits until nobody else changes the stream. Those who wait have their turns in order.
    pub(super) async fn take(&self, id: &StreamId) -> Turn<'_> {
        let lock = Arc::clone(self.locks().entry(id.clone()).or_default());
        let place = Place { turns: self, id: id.clone(), lock: Some(Arc::clone(&lock)) };
        Turn { _held: lock.lock_owned().await, _place: place }
    }

    fn locks(&self) -> MutexGuard<'_, HashMap<StreamId, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut locks = self.turns.locks();
        self.lock = None;
        if locks.get(&self.id).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::{Pin, pin},
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn id(name: &str) -> StreamId {
        name.parse().expect("an id")
    }

    fn poll<'a>(turn: Pin<&mut impl Future<Output = Turn<'a>>>) -> Option<Turn<'a>> {
        match turn.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn changes_of_one_stream_take_turns_and_those_of_others_do_not_wait() {
        let turns = Turns::default();
        let (a, b) = (id("a"), id("b"));
        let first = poll(pin!(turns.take(&a))).expect("its turn");
        let mut second = pin!(turns.take(&a));
        assert!(poll(second.as_mut()).is_none());
        let other = poll(pin!(turns.take(&b)));
        assert!(other.is_some());
        drop(first);
        assert!(poll(second).is_some());
        drop(other);
        assert!(turns.locks().is_empty());
    }

    #[test]
    fn whoever_leaves_the_line_leaves_nothing_behind() {
        let turns = Turns::default();
        let a = id("a");
        let first = poll(pin!(turns.take(&a))).expect("its turn");
        {
            let mut second = pin!(turns.take(&a));
            assert!(poll(second.as_mut()).is_none());
            drop(first);
            // The second has its turn by now, and never takes it.
        }
        assert!(turns.locks().is_empty());
    }
}
