//! The lease: which slots and partitions this node may serve now.

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

/// Says which streams this node delivers and which partitions it reads. Every task asks it before
/// it begins a piece of work. On a single node the lease covers everything and never expires.
#[derive(Debug)]
pub struct Lease {
    /// Until when no other node can take over these shares, in nanoseconds from `origin`.
    valid_until: AtomicU64,
    origin: Instant,
    slots: RwLock<SlotSet>,
    /// The number of live nodes, including this one.
    node_count: AtomicUsize,
    /// `None` stands for all partitions.
    partitions: watch::Sender<Option<Arc<BTreeSet<String>>>>,
    confirmed_at: Mutex<Option<Instant>>,
    /// Slots for which the store refused a result, because another node has a higher epoch.
    fenced: watch::Sender<SlotSet>,
}

impl Lease {
    /// Returns the lease of a single node: all slots and partitions, without expiry.
    pub fn single_node(now: Instant) -> Self {
        let lease = Self::with(now, SlotSet::ALL, None);
        lease.valid_until.store(u64::MAX, Ordering::Release);
        lease
    }

    /// Returns the lease of a node that has joined no cluster yet: not valid, and with no shares.
    pub fn unconfirmed(now: Instant) -> Self {
        Self::with(now, SlotSet::NONE, Some(Arc::default()))
    }

    fn with(origin: Instant, slots: SlotSet, partitions: Option<Arc<BTreeSet<String>>>) -> Self {
        Self {
            valid_until: AtomicU64::new(0),
            origin,
            slots: RwLock::new(slots),
            node_count: AtomicUsize::new(1),
            partitions: watch::Sender::new(partitions),
            confirmed_at: Mutex::default(),
            fenced: watch::Sender::new(SlotSet::NONE),
        }
    }

    /// Returns whether this node may begin delivery attempts for a stream.
    pub fn serves(&self, stream: &StreamId, now: Instant) -> bool {
        self.holds(Slot::of_stream(stream), now)
    }

    /// Returns whether this node does the work of a slot.
    pub fn holds(&self, slot: Slot, now: Instant) -> bool {
        self.is_valid(now) && self.slots().contains(slot)
    }

    /// Returns whether no other node can have taken over this node's shares. A lease becomes
    /// invalid if the process was suspended or could not reach the store for too long.
    pub fn is_valid(&self, now: Instant) -> bool {
        self.nanos(now) < self.valid_until.load(Ordering::Acquire)
    }

    /// Returns the slots whose streams this node delivers.
    pub fn slots(&self) -> SlotSet {
        *self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether this node runs the maintenance jobs that one node does for all, such as the
    /// removal of expired SETs: the node that serves the first slot does.
    pub fn runs_maintenance(&self, now: Instant) -> bool {
        let first = Slot::all().next().expect("there are slots");
        self.holds(first, now)
    }

    /// Returns the number of live nodes, including this one.
    pub fn node_count(&self) -> usize {
        self.node_count.load(Ordering::Relaxed)
    }

    /// Returns a handle to ask, and to wait for, whether this node reads a partition.
    pub fn partitions(&self) -> LeasedPartitions {
        LeasedPartitions(self.partitions.subscribe())
    }

    /// Returns the time since the last confirmed heartbeat was sent. `None` if the lease has
    /// expired or, on a single node, needs no heartbeat.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let confirmed_at = *self.confirmed_at.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed_at.map(|at| now.saturating_duration_since(at))
    }

    /// Reports that the store refused a result of this stream because another node serves it.
    pub fn report_fenced(&self, stream: &StreamId) {
        self.fenced.send_modify(|slots| slots.insert(Slot::of_stream(stream)));
    }

    /// Returns a receiver that is notified by [`Self::report_fenced`].
    pub(super) fn watch_fenced(&self) -> watch::Receiver<SlotSet> {
        self.fenced.subscribe()
    }

    /// Returns and clears the slots of all reports since the last call.
    pub(super) fn take_fenced(&self) -> SlotSet {
        self.fenced.send_replace(SlotSet::NONE)
    }

    /// Extends the lease after a heartbeat that was sent at `sent_at` was confirmed.
    pub(super) fn renew(&self, sent_at: Instant, valid_until: Instant) {
        self.set_validity(Some(sent_at), self.nanos(valid_until));
    }

    /// Invalidates the lease, because the store no longer lists this node.
    pub(super) fn expire(&self) {
        self.set_validity(None, 0);
    }

    fn set_validity(&self, confirmed_at: Option<Instant>, valid_until: u64) {
        *self.confirmed_at.lock().unwrap_or_else(PoisonError::into_inner) = confirmed_at;
        self.valid_until.store(valid_until, Ordering::Release);
    }

    pub(super) fn set_slots(&self, slots: SlotSet) {
        *self.slots.write().unwrap_or_else(PoisonError::into_inner) = slots;
    }

    pub(super) fn set_node_count(&self, count: usize) {
        self.node_count.store(count, Ordering::Relaxed);
    }

    pub(super) fn set_partitions(&self, partitions: Vec<String>) {
        self.partitions.send_replace(Some(Arc::new(partitions.into_iter().collect())));
    }

    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

/// The lease is not valid, so another node may serve this node's streams by now, and may have
/// changed them.
#[derive(Debug, thiserror::Error)]
#[error("the lease of this node is not confirmed; it needs a heartbeat that Redis answers")]
pub struct LeaseUnconfirmed;

/// The partitions that this node reads, kept up to date.
#[derive(Debug, Clone)]
pub struct LeasedPartitions(watch::Receiver<Option<Arc<BTreeSet<String>>>>);

impl LeasedPartitions {
    pub fn contains(&self, partition: &str) -> bool {
        contains(self.0.borrow().as_ref(), partition)
    }

    /// Returns once `contains(partition)` equals `wanted`. Never returns if the lease is dropped
    /// before.
    pub async fn until(&mut self, partition: &str, wanted: bool) {
        let as_wanted =
            |leased: &Option<Arc<BTreeSet<String>>>| contains(leased.as_ref(), partition) == wanted;
        if self.0.wait_for(as_wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn contains(leased: Option<&Arc<BTreeSet<String>>>, partition: &str) -> bool {
    leased.is_none_or(|leased| leased.contains(partition))
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
    fn a_single_node_may_do_everything_for_ever() {
        let now = clock::instant();
        let lease = Lease::single_node(now);
        assert!(lease.serves(&stream(), now + SECOND * 1_000_000));
        assert!(lease.runs_maintenance(now) && lease.partitions().contains("acme"));
        assert_eq!((lease.slots(), lease.node_count()), (SlotSet::ALL, 1));
        assert_eq!(lease.age(now), None);
    }

    #[test]
    fn a_node_serves_its_slots_while_its_lease_is_valid() {
        let now = clock::instant();
        let lease = Lease::unconfirmed(now);
        let partitions = lease.partitions();
        assert!(!lease.serves(&stream(), now) && !partitions.contains("acme"));
        lease.set_slots([Slot::of_stream(&stream())].into_iter().collect());
        assert!(!lease.serves(&stream(), now), "no heartbeat is confirmed yet");
        lease.renew(now, now + SECOND * 4);
        assert!(lease.serves(&stream(), now + SECOND * 3));
        assert!(!lease.serves(&stream(), now + SECOND * 4));
        assert_eq!(lease.age(now + SECOND), Some(SECOND));
        let other = "other".parse().expect("a valid id");
        assert!(!lease.serves(&other, now));
        lease.set_partitions(vec!["acme".into()]);
        assert!(partitions.contains("acme") && !partitions.contains("globex"));
        lease.expire();
        assert!(!lease.serves(&stream(), now) && partitions.contains("acme"));
    }
}
