//! What this node may do at present.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    domain::id::StreamId,
    store::slot::{Slot, SlotSet},
};

/// Which streams this node delivers and which partitions it reads, for everybody who asks before
/// beginning anything. A node that is alone does all of it.
#[derive(Debug)]
pub struct Lease {
    /// Until when it is sure that nobody else does the same, in nanoseconds from `origin`.
    sure_until: AtomicU64,
    origin: Instant,
    slots: RwLock<SlotSet>,
    /// Nodes there are, this one included.
    nodes: AtomicUsize,
    /// `None` for all partitions there are.
    partitions: watch::Sender<Option<Arc<BTreeSet<String>>>>,
    confirmed_at: Mutex<Option<Instant>>,
    /// Slots of which the store said that another node serves them.
    fenced: watch::Sender<SlotSet>,
}

impl Lease {
    /// Of the only node.
    pub fn alone(now: Instant) -> Self {
        let lease = Self::with(now, SlotSet::ALL, None);
        lease.sure_until.store(u64::MAX, Ordering::Release);
        lease
    }

    /// Of a node that has nothing yet.
    pub fn nothing(now: Instant) -> Self {
        Self::with(now, SlotSet::NONE, Some(Arc::default()))
    }

    fn with(origin: Instant, slots: SlotSet, partitions: Option<Arc<BTreeSet<String>>>) -> Self {
        Self {
            sure_until: AtomicU64::new(0),
            origin,
            slots: RwLock::new(slots),
            nodes: AtomicUsize::new(1),
            partitions: watch::Sender::new(partitions),
            confirmed_at: Mutex::default(),
            fenced: watch::Sender::new(SlotSet::NONE),
        }
    }

    /// Whether attempts may begin for this stream.
    pub fn serves(&self, stream: &StreamId, now: Instant) -> bool {
        self.is_valid(now) && self.slots().contains(Slot::of_stream(stream))
    }

    /// Whether nobody else can have taken what this node has. A process that was stopped, or could
    /// not reach the store for too long, is not.
    pub fn is_valid(&self, now: Instant) -> bool {
        self.nanos(now) < self.sure_until.load(Ordering::Acquire)
    }

    /// The slots whose streams are delivered here.
    pub fn slots(&self) -> SlotSet {
        *self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this node does what one has to do for all, such as to remove what has expired.
    pub fn runs_maintenance(&self, now: Instant) -> bool {
        let first = Slot::all().next().expect("there are slots");
        self.is_valid(now) && self.slots().contains(first)
    }

    /// Nodes there are, this one included.
    pub fn nodes(&self) -> usize {
        self.nodes.load(Ordering::Relaxed)
    }

    /// Whether and when a partition is read here.
    pub fn partitions(&self) -> Partitions {
        Partitions(self.partitions.subscribe())
    }

    /// How long ago the lease was confirmed; `None` if there is none, or needs none.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let confirmed_at = *self.confirmed_at.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed_at.map(|at| now.saturating_duration_since(at))
    }

    /// The store has refused a result of this stream: another node serves it.
    pub fn fenced(&self, stream: &StreamId) {
        self.fenced.send_modify(|slots| slots.insert(Slot::of_stream(stream)));
    }

    /// Notices what [`Self::fenced`] tells.
    pub(super) fn watch_fenced(&self) -> watch::Receiver<SlotSet> {
        self.fenced.subscribe()
    }

    /// The slots that were told of since the last time.
    pub(super) fn take_fenced(&self) -> SlotSet {
        self.fenced.send_replace(SlotSet::NONE)
    }

    /// The lease was confirmed by a heartbeat that was sent at `confirmed_at`, or is gone.
    pub(super) fn confirm(&self, confirmed_at: Option<Instant>, sure_until: Option<Instant>) {
        *self.confirmed_at.lock().unwrap_or_else(PoisonError::into_inner) = confirmed_at;
        let until = sure_until.map_or(0, |until| self.nanos(until));
        self.sure_until.store(until, Ordering::Release);
    }

    /// These slots are served from now on, and no others.
    pub(super) fn serve(&self, slots: SlotSet) {
        *self.slots.write().unwrap_or_else(PoisonError::into_inner) = slots;
    }

    /// There are so many nodes now.
    pub(super) fn meet(&self, nodes: usize) {
        self.nodes.store(nodes, Ordering::Relaxed);
    }

    /// These partitions are read from now on, and no others.
    pub(super) fn read(&self, partitions: Vec<String>) {
        self.partitions.send_replace(Some(Arc::new(partitions.into_iter().collect())));
    }

    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

/// Others may serve what this node served, and may have changed what it knows.
#[derive(Debug, thiserror::Error)]
#[error("this node has no lease that is confirmed")]
pub struct LeaseUnconfirmed;

/// The partitions that are read here, as they come and go.
#[derive(Debug, Clone)]
pub struct Partitions(watch::Receiver<Option<Arc<BTreeSet<String>>>>);

impl Partitions {
    pub fn contains(&self, partition: &str) -> bool {
        holds(self.0.borrow().as_ref(), partition)
    }

    /// Returns once this partition is read here, or is not, as `wanted` says. Never, if the node has
    /// ended before.
    pub async fn until(&mut self, partition: &str, wanted: bool) {
        let right =
            |read: &Option<Arc<BTreeSet<String>>>| holds(read.as_ref(), partition) == wanted;
        if self.0.wait_for(right).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn holds(read: Option<&Arc<BTreeSet<String>>>, partition: &str) -> bool {
    read.is_none_or(|read| read.contains(partition))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn stream() -> StreamId {
        "st_1".parse().expect("a valid id")
    }

    #[test]
    fn a_node_that_is_alone_does_everything_for_ever() {
        let now = clock::instant();
        let lease = Lease::alone(now);
        assert!(lease.serves(&stream(), now + SECOND * 1_000_000));
        assert!(lease.runs_maintenance(now) && lease.partitions().contains("acme"));
        assert_eq!((lease.slots(), lease.nodes()), (SlotSet::ALL, 1));
        assert_eq!(lease.age(now), None);
    }

    #[test]
    fn others_serve_what_they_have_for_as_long_as_they_are_sure() {
        let now = clock::instant();
        let lease = Lease::nothing(now);
        let partitions = lease.partitions();
        assert!(!lease.serves(&stream(), now) && !partitions.contains("acme"));
        lease.serve([Slot::of_stream(&stream())].into_iter().collect());
        assert!(!lease.serves(&stream(), now), "there is no lease yet");
        lease.confirm(Some(now), Some(now + SECOND * 4));
        assert!(lease.serves(&stream(), now + SECOND * 3));
        assert!(!lease.serves(&stream(), now + SECOND * 4));
        assert_eq!(lease.age(now + SECOND), Some(SECOND));
        let other = "other".parse().expect("a valid id");
        assert!(!lease.serves(&other, now));
        lease.read(vec!["acme".into()]);
        assert!(partitions.contains("acme") && !partitions.contains("globex"));
        lease.confirm(None, None);
        assert!(!lease.serves(&stream(), now) && partitions.contains("acme"));
    }
}
