//! The hosts that SETs are pushed to: how many attempts each gets at a time, over all streams.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix::{Message, Recipient};

use crate::{
    clock,
    delivery::{
        pace::{HostPace, Load},
        parcel::Outcomes,
    },
    domain::{id::StreamId, time::Timestamp},
};

/// How long it is remembered that a host without attempts was overloaded.
const OVERLOAD_REMEMBERED: Duration = Duration::from_mins(10);

/// Shared by all stream actors. A host is known by scheme, name and port.
pub struct Hosts {
    in_flight_max: usize,
    /// No await happens under this lock, and nothing is dropped that may hold room.
    hosts: Mutex<HashMap<Arc<str>, Host>>,
}

struct Host {
    pace: HostPace,
    /// The actors of the streams that wait for room.
    waiting: HashMap<StreamId, Recipient<Granted>>,
}

/// Room for one attempt at a host, given back when it is dropped, however the attempt ends.
#[must_use = "room that is dropped is given back"]
pub struct Room {
    hosts: Arc<Hosts>,
    host: Arc<str>,
    stream: StreamId,
    load: Load,
}

/// A stream that waited for room gets some.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Granted(pub Room);

impl Hosts {
    pub fn new(in_flight_max: usize) -> Arc<Self> {
        Arc::new(Self { in_flight_max, hosts: Mutex::default() })
    }

    /// Room for up to `count` attempts of a stream. If it is less, `waiting` is sent more once there
    /// is some.
    pub fn claim(
        self: &Arc<Self>,
        host: &Arc<str>,
        stream: &StreamId,
        count: usize,
        waiting: impl FnOnce() -> Recipient<Granted>,
    ) -> Vec<Room> {
        let mut hosts = self.lock();
        let entry = hosts.entry(Arc::clone(host)).or_insert_with(|| Host {
            pace: HostPace::new(self.in_flight_max),
            waiting: HashMap::new(),
        });
        let granted = entry.pace.claim(stream, count);
        // An actor that died waiting may have left its address. It goes once the lock is released.
        let _replaced = (granted < count).then(|| entry.waiting.insert(stream.clone(), waiting()));
        drop(hosts);
        (0..granted).map(|_| self.room(host, stream)).collect()
    }

    /// Forgets hosts that nothing is sent to, and whose overload is long past.
    pub fn forget(&self, now: Timestamp) {
        self.lock().retain(|_, host| {
            let remembered = |at| now.since(at) < OVERLOAD_REMEMBERED;
            !host.pace.is_idle() || host.pace.cut_at().is_some_and(remembered)
        });
    }

    fn room(self: &Arc<Self>, host: &Arc<str>, stream: &StreamId) -> Room {
        let (hosts, host) = (Arc::clone(self), Arc::clone(host));
        Room { hosts, host, stream: stream.clone(), load: Load::Unknown }
    }

    fn release(self: &Arc<Self>, host: &Arc<str>, stream: &StreamId, load: Load, now: Timestamp) {
        let mut granted = Vec::new();
        {
            let mut hosts = self.lock();
            let Some(entry) = hosts.get_mut(host) else { return };
            entry.pace.release(stream, load, now);
            while let Some(next) = entry.pace.grant_next() {
                granted.push((entry.waiting.remove(&next), next));
            }
        }
        for (waiting, stream) in granted {
            let room = self.room(host, &stream);
            if let Some(waiting) = waiting {
                // An actor that is gone drops the room, and the next one gets it. One whose mailbox
                // is full is about to ask by itself.
                waiting.try_send(Granted(room)).ok();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Gives the room back, with what the attempt says of the load on the host.
    pub fn give_back(mut self, outcomes: &Outcomes) {
        self.load = Load::of(outcomes);
    }

    pub fn host(&self) -> &Arc<str> {
        &self.host
    }

    /// Whether it is room at this host.
    pub fn is_at(&self, host: &str) -> bool {
        *self.host == *host
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let hosts = Arc::clone(&self.hosts);
        hosts.release(&self.host, &self.stream, self.load, clock::now());
    }
}
