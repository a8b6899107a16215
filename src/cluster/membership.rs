//! The state machine of one node's membership: replies and the time go in, actions come out. It
//! decides which slots and partitions the node takes, drains and returns; [`super::heartbeat`]
//! performs that.
//!
//! - [`Membership`] is the machine, [`MembershipAction`] what it asks for.
//! - [`Heartbeat`] and [`HeartbeatReply`] are what the node and the store exchange.
//! - [`shares::Shares`] tracks the shares of one kind, slots or partitions, from being granted to
//!   being released.
//! - `quota` computes how many shares this node should hold.

mod quota;
pub(super) mod shares;

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use self::{
    quota::quota,
    shares::{Epoch, ShareRequest, Shares},
};
use crate::store::slot::Slot;

/// Identifies a node for one unbroken membership. A node whose lease expired joins again under a
/// new id, so that whatever is registered under the old id is free for good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) String);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeStage {
    Serving,
    /// The node ends its work in progress, takes no new shares and then departs.
    Draining,
}

/// The message that a node sends to the store periodically.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heartbeat {
    pub(super) node: NodeId,
    /// Whether this is the first heartbeat under this id.
    pub(super) joins: bool,
    pub(super) stage: NodeStage,
    pub(super) slots: ShareRequest<Slot>,
    pub(super) partitions: ShareRequest<String>,
}

/// The store's reply to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeartbeatReply {
    /// The store does not list this node any more, because its lease expired or the store lost it.
    Expired,
    Alive {
        nodes: BTreeMap<NodeId, NodeStage>,
        slots: Vec<(Slot, Epoch)>,
        partitions: Vec<(String, Epoch)>,
    },
}

/// An action that the caller performs, in the order of the list that it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MembershipAction {
    /// Stop serving these slots at once, because another node may own them. The store refuses the
    /// results of attempts in progress.
    Stop(Vec<Slot>),
    /// Raise the fencing epoch of these slots in the store, then serve them.
    RaiseEpochs(Vec<(Slot, Epoch)>),
    /// Begin no attempts for these slots, and report each as drained once none is in progress.
    Drain(Vec<Slot>),
    /// Read these partitions and no others.
    ReadPartitions(Vec<String>),
    /// The set of live nodes changed. `crashed` if one vanished that had not been draining.
    NodesChanged { count: usize, crashed: bool },
    /// The lease expired. Prepare to join again with nothing held.
    Rejoin,
    /// Send the next heartbeat at once.
    SendHeartbeat,
}

/// The state of this node's membership.
#[derive(Debug)]
pub(super) struct Membership {
    id: NodeId,
    joined: bool,
    stage: NodeStage,
    nodes: BTreeMap<NodeId, NodeStage>,
    slots: Shares<Slot>,
    partitions: Shares<String>,
    lease_ttl: Duration,
    /// Until when no other node takes over what this node holds.
    valid_until: Option<Instant>,
}

impl Membership {
    pub(super) fn new(id: NodeId, partitions: Vec<String>, lease_ttl: Duration) -> Self {
        Self {
            id,
            joined: false,
            stage: NodeStage::Serving,
            nodes: BTreeMap::new(),
            slots: Shares::new(Slot::all()),
            partitions: Shares::new(partitions),
            lease_ttl,
            valid_until: None,
        }
    }

    pub(super) fn id(&self) -> &NodeId {
        &self.id
    }

    /// Returns the heartbeat to send now.
    pub(super) fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            node: self.id.clone(),
            joins: !self.joined,
            stage: self.stage,
            slots: self.slots.request(self.quota(self.slots.total())),
            partitions: self.partitions.request(self.quota(self.partitions.total())),
        }
    }

    /// Takes in the reply to the heartbeat that was sent at `sent_at`. `next_id` is the id under
    /// which the node joins again if its lease has expired.
    pub(super) fn on_reply(
        &mut self,
        sent_at: Instant,
        reply: HeartbeatReply,
        next_id: NodeId,
    ) -> Vec<MembershipAction> {
        match reply {
            HeartbeatReply::Expired => self.on_expired(next_id),
            HeartbeatReply::Alive { nodes, slots, partitions } => {
                self.joined = true;
                // The store counts from the arrival of the heartbeat. Counting from before it was
                // sent errs on the safe side.
                self.valid_until = Some(sent_at + validity(self.lease_ttl));
                let mut actions = self.reconcile(slots, partitions);
                actions.extend(self.set_nodes(nodes));
                actions.extend(self.drain_excess());
                actions
            }
        }
    }

    fn on_expired(&mut self, next_id: NodeId) -> Vec<MembershipAction> {
        let (slots, read) = (self.slots.clear(), !self.partitions.clear().is_empty());
        self.id = next_id;
        self.joined = false;
        self.valid_until = None;
        self.nodes.clear();
        let mut actions = vec![MembershipAction::Stop(slots)];
        if read {
            actions.push(MembershipAction::ReadPartitions(Vec::new()));
        }
        actions.extend([MembershipAction::Rejoin, MembershipAction::SendHeartbeat]);
        actions
    }

    /// Brings the shares to what the store says that this node holds.
    fn reconcile(
        &mut self,
        slots: Vec<(Slot, Epoch)>,
        partitions: Vec<(String, Epoch)>,
    ) -> Vec<MembershipAction> {
        let mut actions = Vec::new();
        let slots = self.slots.reconcile(slots);
        if !slots.lost.is_empty() {
            actions.push(MembershipAction::Stop(slots.lost));
        }
        // All granted slots, because raising the epoch of an earlier grant may have failed.
        let granted = self.slots.granted();
        if !granted.is_empty() {
            actions.push(MembershipAction::RaiseEpochs(granted));
        }
        let partitions = self.partitions.reconcile(partitions);
        for (partition, epoch) in &partitions.granted {
            // Partitions are not fenced, because two readers of one partition do no harm: an event
            // that is taken in twice has the same `jti`s.
            self.partitions.on_ready(partition, *epoch);
        }
        if !partitions.granted.is_empty() || !partitions.lost.is_empty() {
            actions.push(self.read_partitions());
        }
        actions
    }

    fn set_nodes(&mut self, nodes: BTreeMap<NodeId, NodeStage>) -> Vec<MembershipAction> {
        if nodes == self.nodes {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.nodes, nodes);
        let mut gone = before.iter().filter(|(node, _)| !self.nodes.contains_key(node));
        // A node that departs in order was draining before.
        let crashed = gone.any(|(_, stage)| *stage == NodeStage::Serving);
        // The heartbeat is due at once because the quota has changed with the nodes.
        let count = self.nodes.len();
        vec![MembershipAction::NodesChanged { count, crashed }, MembershipAction::SendHeartbeat]
    }

    /// Drains the shares that exceed the quota.
    fn drain_excess(&mut self) -> Vec<MembershipAction> {
        let mut actions = Vec::new();
        let slots = self.slots.drain_excess(self.quota(self.slots.total()));
        if !slots.is_empty() {
            actions.push(MembershipAction::Drain(slots));
        }
        let partitions = self.partitions.drain_excess(self.quota(self.partitions.total()));
        if !partitions.is_empty() {
            // A partition needs no draining, because a second reader beside a read in progress does
            // no harm.
            for partition in &partitions {
                self.partitions.on_drained(partition);
            }
            actions.extend([self.read_partitions(), MembershipAction::SendHeartbeat]);
        }
        actions
    }

    fn read_partitions(&self) -> MembershipAction {
        MembershipAction::ReadPartitions(self.partitions.serving().cloned().collect())
    }

    /// The store now refuses the results of earlier owners of the slot. Returns `false` if this
    /// node no longer holds the slot in this epoch.
    pub(super) fn on_epoch_raised(&mut self, slot: Slot, epoch: Epoch) -> bool {
        self.slots.on_ready(&slot, epoch)
    }

    /// The store refused to raise the slot to `epoch`, because the slot already has
    /// `highest_epoch`, which is no lower.
    pub(super) fn on_epoch_refused(&mut self, slot: Slot, epoch: Epoch, highest_epoch: Epoch) {
        self.slots.on_refused(&slot, epoch, highest_epoch);
    }

    /// The store refused a result of this slot. The slot is returned without draining, because the
    /// results of attempts in progress would be refused too. Its next owner gets a higher epoch.
    pub(super) fn on_fenced(&mut self, slot: Slot) -> Vec<MembershipAction> {
        if self.slots.on_fenced(&slot) {
            vec![MembershipAction::Stop(vec![slot]), MembershipAction::SendHeartbeat]
        } else {
            Vec::new()
        }
    }

    /// No attempt of this slot is in progress any more.
    pub(super) fn on_drained(&mut self, slot: Slot) {
        self.slots.on_drained(&slot);
    }

    /// Begins to drain the node: everything is returned as soon as its work in progress has ended.
    pub(super) fn drain(&mut self) -> Vec<MembershipAction> {
        self.stage = NodeStage::Draining;
        self.nodes.insert(self.id.clone(), NodeStage::Draining);
        let mut actions = self.drain_excess();
        actions.push(MembershipAction::SendHeartbeat);
        actions
    }

    /// Returns whether the node was drained and has returned everything.
    pub(super) fn is_drained(&self) -> bool {
        self.stage == NodeStage::Draining && self.slots.is_empty() && self.partitions.is_empty()
    }

    /// Returns until when no other node takes over what this node holds; `None` if one may have.
    pub(super) fn valid_until(&self) -> Option<Instant> {
        self.valid_until
    }

    /// Returns the slots whose streams this node delivers.
    pub(super) fn serving(&self) -> impl Iterator<Item = Slot> {
        self.slots.serving().copied()
    }

    fn quota(&self, total: usize) -> usize {
        quota(total, &self.nodes, &self.id)
    }
}

/// Returns for how long a node relies on its lease. That is less than the lease lasts, because
/// clocks run at slightly different rates and because an attempt that has begun takes time to be
/// sent.
fn validity(lease_ttl: Duration) -> Duration {
    lease_ttl * 4 / 5
}

#[cfg(test)]
mod tests;
