//! The heartbeat task: sends heartbeats and performs what [`Membership`] decides.
//!
//! `wire` encodes a heartbeat for the store's script, and `identity` makes the ids of this node.

mod identity;
mod wire;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval, timeout},
};

use self::identity::NodeName;
use super::{
    Cluster,
    change_feed::notice::Notice,
    compare::ComparisonRequests,
    local_node::LocalNode,
    membership::{Membership, MembershipAction, shares::Epoch},
};
use crate::{
    clock,
    store::{
        StoreError,
        slot::{SLOTS, Slot, SlotSet},
    },
    telemetry::{causes::with_causes, metrics, readiness::Readiness},
};

/// The epoch under which this node writes to slots that it does not hold. The store refuses it,
/// because the epoch of every owner is higher.
const NO_EPOCH: Epoch = 1;

/// The name of the lease in `/readyz`.
const READINESS_PART: &str = "cluster";

/// How long a departing node tries to tell the store so.
const DEPART_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct HeartbeatTask {
    cluster: Arc<Cluster>,
    local: Arc<dyn LocalNode>,
    comparison: ComparisonRequests,
    readiness: Arc<Readiness>,
    name: NodeName,
    membership: Membership,
    drained: mpsc::Sender<Slot>,
    /// Whether the store answered the last heartbeat.
    confirmed: bool,
}

impl HeartbeatTask {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        local: &Arc<dyn LocalNode>,
        comparison: ComparisonRequests,
        readiness: Arc<Readiness>,
    ) -> (Self, mpsc::Receiver<Slot>) {
        // Room for every slot, because each is drained once at a time.
        let (drained, drained_slots) = mpsc::channel(usize::from(SLOTS));
        let name = NodeName::new(cluster.settings.node_name.as_deref());
        let (partitions, ttl) = (cluster.partitions.clone(), cluster.settings.lease_ttl);
        let membership = Membership::new(name.new_id(), partitions, ttl);
        Slot::all().for_each(|slot| cluster.epochs.set(slot, Some(NO_EPOCH)));
        readiness.lost(READINESS_PART);
        let task = Self {
            cluster: Arc::clone(cluster),
            local: Arc::clone(local),
            comparison,
            readiness,
            name,
            membership,
            drained,
            confirmed: false,
        };
        (task, drained_slots)
    }

    /// Joins the cluster and takes the free shares of this node's quota.
    pub(super) async fn join(&mut self) {
        while self.send().await {}
    }

    /// Keeps the lease until `drain` is notified and everything is returned, then departs.
    pub(super) async fn run(mut self, mut drained: mpsc::Receiver<Slot>, drain: Arc<Notify>) {
        let mut tick = interval(self.cluster.settings.heartbeat);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fenced = self.cluster.lease.watch_fenced();
        loop {
            let actions = tokio::select! {
                _ = tick.tick() => vec![MembershipAction::SendHeartbeat],
                () = self.cluster.nodes_changed.notified() => vec![MembershipAction::SendHeartbeat],
                Some(slot) = drained.recv() => {
                    self.membership.on_drained(slot);
                    // All slots that are drained by now are returned with one heartbeat.
                    while let Ok(slot) = drained.try_recv() {
                        self.membership.on_drained(slot);
                    }
                    vec![MembershipAction::SendHeartbeat]
                }
                Ok(()) = fenced.changed() => {
                    let slots = self.cluster.lease.take_fenced();
                    slots.iter().flat_map(|slot| self.membership.on_fenced(slot)).collect()
                }
                () = drain.notified() => self.membership.drain(),
            };
            if self.perform(actions).await {
                while self.send().await {}
            }
            if self.membership.is_drained() {
                break;
            }
        }
        self.depart().await;
    }

    /// Sends one heartbeat. Returns whether another is due at once.
    async fn send(&mut self) -> bool {
        let heartbeat = self.membership.heartbeat();
        let lease_ttl = self.cluster.settings.lease_ttl;
        let arguments = wire::arguments(&heartbeat, lease_ttl);
        let sent_at = clock::instant();
        let reply = self.cluster.link.heartbeat(&arguments, lease_ttl / 3).await;
        let reply = match reply.and_then(wire::reply) {
            Ok(reply) => reply,
            Err(error) => {
                self.on_unconfirmed(&error);
                return false;
            }
        };
        let actions = self.membership.on_reply(sent_at, reply, self.name.new_id());
        if let Some(valid_until) = self.membership.valid_until() {
            self.cluster.lease.renew(sent_at, valid_until);
            self.on_confirmed();
        } else {
            self.cluster.lease.expire();
            self.confirmed = false;
        }
        let returned =
            !heartbeat.slots.returned.is_empty() || !heartbeat.partitions.returned.is_empty();
        if heartbeat.joins || returned {
            // The quotas have changed, or shares are free now.
            self.cluster.change_feed.send(Notice { nodes: true, ..Notice::default() });
        }
        self.perform(actions).await
    }

    fn on_confirmed(&mut self) {
        if !self.confirmed {
            tracing::info!(node = %self.membership.id(), "the lease is confirmed");
            self.readiness.gained(READINESS_PART);
        }
        self.confirmed = true;
    }

    fn on_unconfirmed(&mut self, error: &StoreError) {
        metrics::store_error("heartbeat");
        if self.confirmed {
            let node = self.membership.id();
            tracing::warn!(%node, error = with_causes(error), "the lease is not confirmed");
            self.readiness.lost(READINESS_PART);
        }
        self.confirmed = false;
    }

    /// Performs the actions in their order. Returns whether a heartbeat is due at once.
    async fn perform(&mut self, actions: Vec<MembershipAction>) -> bool {
        let mut again = false;
        for action in actions {
            match action {
                MembershipAction::Stop(slots) => self.stop(slots),
                MembershipAction::RaiseEpochs(slots) => again |= self.raise_epochs(slots).await,
                MembershipAction::Drain(slots) => self.drain(slots),
                MembershipAction::ReadPartitions(partitions) => {
                    metrics::cluster_partitions(partitions.len());
                    self.cluster.lease.set_partitions(partitions);
                }
                MembershipAction::NodesChanged { count, crashed } => {
                    self.on_nodes_changed(count, crashed);
                }
                MembershipAction::Rejoin => self.prepare_to_rejoin().await,
                MembershipAction::SendHeartbeat => again = true,
            }
        }
        again
    }

    fn stop(&self, slots: Vec<Slot>) {
        for slot in &slots {
            self.cluster.epochs.set(*slot, Some(NO_EPOCH));
        }
        self.update_lease();
        if !slots.is_empty() {
            tracing::warn!(slots = slots.len(), "slots were lost to another node");
        }
        for (_, drained) in self.local.drain(slots.into_iter().collect()) {
            // Nobody waits for the attempts in progress, because the store refuses their results.
            tokio::spawn(drained);
        }
    }

    /// Raises the epochs of granted slots and serves them. Returns whether slots have to be
    /// returned, because the store already has a higher epoch of them.
    async fn raise_epochs(&mut self, slots: Vec<(Slot, Epoch)>) -> bool {
        let node = self.membership.id().to_string();
        let link = &self.cluster.link;
        let raise = slots.iter().map(|(slot, epoch)| link.raise_epoch(*slot, *epoch, &node));
        let bound = self.cluster.settings.lease_ttl / 3;
        let raised = timeout(bound, join_all(raise)).await.unwrap_or_default();
        let (mut served, mut refused) = (SlotSet::NONE, false);
        for ((slot, epoch), raised) in slots.into_iter().zip(raised) {
            match raised {
                Ok(0) => {
                    if self.membership.on_epoch_raised(slot, epoch) {
                        self.cluster.epochs.set(slot, Some(epoch));
                        served.insert(slot);
                    }
                }
                Ok(highest_epoch) => {
                    tracing::warn!(%slot, epoch, highest_epoch, "the slot has a higher epoch");
                    self.membership.on_epoch_refused(slot, epoch, highest_epoch);
                    refused = true;
                }
                Err::<Epoch, _>(error) => {
                    // The slot stays granted, so the next reply leads to another try.
                    metrics::store_error("raise");
                    let error = with_causes(&error);
                    tracing::debug!(%slot, error, "cannot raise the epoch of a slot");
                }
            }
        }
        self.update_lease();
        self.sweep(served);
        refused
    }

    /// Looks for undelivered SETs of new slots. After a failure the periodic sweep finds them.
    fn sweep(&self, slots: SlotSet) {
        if slots.is_empty() {
            return;
        }
        let total = self.cluster.lease.slots().len();
        tracing::info!(slots = slots.len(), total, "slots were taken over");
        let local = Arc::clone(&self.local);
        tokio::spawn(async move {
            if let Err(error) = local.sweep(slots).await {
                metrics::store_error("sweep");
                tracing::warn!(error = with_causes(&error), "cannot look for undelivered SETs");
            }
        });
    }

    fn drain(&self, slots: Vec<Slot>) {
        self.update_lease();
        tracing::info!(slots = slots.len(), "slots are drained and returned");
        for (slot, ended) in self.local.drain(slots.into_iter().collect()) {
            let drained = self.drained.clone();
            tokio::spawn(async move {
                ended.await;
                // The receiver is gone if the node has ended.
                drained.send(slot).await.ok();
            });
        }
    }

    fn update_lease(&self) {
        let serving: SlotSet = self.membership.serving().collect();
        metrics::cluster_slots(serving.len());
        self.cluster.lease.set_slots(serving);
    }

    fn on_nodes_changed(&self, count: usize, crashed: bool) {
        tracing::info!(nodes = count, crashed, "the set of live nodes changed");
        metrics::cluster_nodes(count);
        self.cluster.lease.set_node_count(count);
        if crashed {
            self.local.on_node_crashed();
        }
    }

    /// Compares all streams with the store before this node joins again, because the other nodes
    /// may have changed any of them.
    async fn prepare_to_rejoin(&mut self) {
        tracing::warn!(node = %self.membership.id(), "the lease expired; joining again");
        self.readiness.lost(READINESS_PART);
        self.confirmed = false;
        self.comparison.request_and_wait().await;
    }

    /// Removes this node from the store's list and frees what it still holds.
    async fn depart(self) {
        let node = self.membership.id().to_string();
        let departed = self.cluster.link.depart(&node);
        // If this fails, the lease expires by itself.
        if timeout(DEPART_TIMEOUT, departed).await.is_ok_and(|departed| departed.is_ok()) {
            self.cluster.change_feed.send(Notice { nodes: true, ..Notice::default() });
        }
    }
}
