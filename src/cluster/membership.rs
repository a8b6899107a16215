//! A node among others: facts and the time go in, actions come out. What is taken and given back is
//! decided here; `Node` performs it.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use super::{
    quota::quota,
    shares::{Epoch, Shares, Wish},
};
use crate::store::slot::Slot;

/// Names a node for one unbroken time among the others. A node whose lease ran out comes back under
/// another: so what is held under a name that is gone is free for good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) String);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a node does for the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    /// It ends what is under way, and takes nothing more.
    Leaving,
}

/// What a node says with a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beat {
    pub(super) node: NodeId,
    /// It was not among the others under this name before.
    pub(super) joins: bool,
    pub(super) stage: Stage,
    pub(super) slots: Wish<Slot>,
    pub(super) partitions: Wish<String>,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is not among the others any more: its lease ran out, or was lost.
    Lapsed,
    Alive {
        nodes: BTreeMap<NodeId, Stage>,
        slots: Vec<(Slot, Epoch)>,
        partitions: Vec<(String, Epoch)>,
    },
}

/// What follows of an answer, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// These slots are not ours any more: stop at once. Results would be refused.
    Stop(Vec<Slot>),
    /// Let the store refuse the results of earlier owners, then serve.
    Raise(Vec<(Slot, Epoch)>),
    /// End what is under way for these slots, begin nothing, and tell when that is so.
    Leave(Vec<Slot>),
    /// The partitions that are read here.
    Read(Vec<String>),
    /// Others came, or went.
    Nodes { count: usize, died: bool },
    /// The lease ran out; all begins anew.
    StartOver,
    /// There is more to say at once.
    BeatAgain,
}

/// What a node knows of the cluster.
#[derive(Debug)]
pub(super) struct Membership {
    me: NodeId,
    joined: bool,
    stage: Stage,
    nodes: BTreeMap<NodeId, Stage>,
    slots: Shares<Slot>,
    partitions: Shares<String>,
    lease_ttl: Duration,
    /// Until when nobody else takes what this node holds.
    sure_until: Option<Instant>,
}

impl Membership {
    pub(super) fn new(me: NodeId, partitions: Vec<String>, lease_ttl: Duration) -> Self {
        Self {
            me,
            joined: false,
            stage: Stage::Serving,
            nodes: BTreeMap::new(),
            slots: Shares::new(Slot::all()),
            partitions: Shares::new(partitions),
            lease_ttl,
            sure_until: None,
        }
    }

    pub(super) fn me(&self) -> &NodeId {
        &self.me
    }

    pub(super) fn beat(&self) -> Beat {
        Beat {
            node: self.me.clone(),
            joins: !self.joined,
            stage: self.stage,
            slots: self.slots.wish(self.quota(self.slots.total())),
            partitions: self.partitions.wish(self.quota(self.partitions.total())),
        }
    }

    /// A heartbeat that was sent at `sent_at` is answered. `next` is the name to come back under if
    /// the lease ran out.
    pub(super) fn on_answer(
        &mut self,
        sent_at: Instant,
        answer: Answer,
        next: NodeId,
    ) -> Vec<Action> {
        match answer {
            Answer::Lapsed => self.start_over(next),
            Answer::Alive { nodes, slots, partitions } => {
                self.joined = true;
                // Reckoned from before it was sent: the others reckon from when it arrived.
                self.sure_until = Some(sent_at + sure_for(self.lease_ttl));
                let mut actions = self.take_in(slots, partitions);
                actions.extend(self.meet(nodes));
                actions.extend(self.leave_what_is_too_much());
                actions
            }
        }
    }

    fn start_over(&mut self, next: NodeId) -> Vec<Action> {
        let (slots, read) = (self.slots.clear(), !self.partitions.clear().is_empty());
        self.me = next;
        self.joined = false;
        self.sure_until = None;
        self.nodes.clear();
        let mut actions = vec![Action::Stop(slots)];
        if read {
            actions.push(Action::Read(Vec::new()));
        }
        actions.extend([Action::StartOver, Action::BeatAgain]);
        actions
    }

    /// What is held, by the word of the store.
    fn take_in(
        &mut self,
        slots: Vec<(Slot, Epoch)>,
        partitions: Vec<(String, Epoch)>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let slots = self.slots.reconcile(slots);
        if !slots.lost.is_empty() {
            actions.push(Action::Stop(slots.lost));
        }
        // Those too of which it could not be told the last time.
        let granted = self.slots.granted();
        if !granted.is_empty() {
            actions.push(Action::Raise(granted));
        }
        let partitions = self.partitions.reconcile(partitions);
        for (partition, epoch) in &partitions.granted {
            // Whoever reads a partition beside us does no harm: there is nothing to be raised.
            self.partitions.on_ready(partition, *epoch);
        }
        if !partitions.granted.is_empty() || !partitions.lost.is_empty() {
            actions.push(self.read());
        }
        actions
    }

    fn meet(&mut self, nodes: BTreeMap<NodeId, Stage>) -> Vec<Action> {
        if nodes == self.nodes {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.nodes, nodes);
        let mut gone = before.iter().filter(|(node, _)| !self.nodes.contains_key(node));
        // Who goes in order has said so.
        let died = gone.any(|(_, stage)| *stage == Stage::Serving);
        // The quota is another one.
        vec![Action::Nodes { count: self.nodes.len(), died }, Action::BeatAgain]
    }

    fn leave_what_is_too_much(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        let slots = self.slots.leave_beyond(self.quota(self.slots.total()));
        if !slots.is_empty() {
            actions.push(Action::Leave(slots));
        }
        let partitions = self.partitions.leave_beyond(self.quota(self.partitions.total()));
        if !partitions.is_empty() {
            // A read that is under way changes nothing that another reader would not.
            for partition in &partitions {
                self.partitions.on_left(partition);
            }
            actions.extend([self.read(), Action::BeatAgain]);
        }
        actions
    }

    fn read(&self) -> Action {
        Action::Read(self.partitions.serving().cloned().collect())
    }

    /// The results of earlier owners are refused from now on. `false` if the slot is not held so any
    /// more.
    pub(super) fn on_raised(&mut self, slot: Slot, epoch: Epoch) -> bool {
        self.slots.on_ready(&slot, epoch)
    }

    /// The slot had an owner in an epoch that is not before this one.
    pub(super) fn on_refused(&mut self, slot: Slot, epoch: Epoch, beyond: Epoch) {
        self.slots.on_refused(&slot, epoch, beyond);
    }

    /// The store has refused a result of this slot. It is given back, to be taken in a later epoch, by
    /// whomever; what is under way here is in vain.
    pub(super) fn on_fenced(&mut self, slot: Slot) -> Vec<Action> {
        if self.slots.on_fenced(&slot) {
            vec![Action::Stop(vec![slot]), Action::BeatAgain]
        } else {
            Vec::new()
        }
    }

    /// Nothing is under way any more for this slot.
    pub(super) fn on_left(&mut self, slot: Slot) {
        self.slots.on_left(&slot);
    }

    /// Gives everything back, as soon as what is under way has ended.
    pub(super) fn leave(&mut self) -> Vec<Action> {
        self.stage = Stage::Leaving;
        self.nodes.insert(self.me.clone(), Stage::Leaving);
        let mut actions = self.leave_what_is_too_much();
        actions.push(Action::BeatAgain);
        actions
    }

    /// Whether all is given back.
    pub(super) fn has_left(&self) -> bool {
        self.stage == Stage::Leaving && self.slots.is_empty() && self.partitions.is_empty()
    }

    /// Until when nobody else takes what this node holds; `None` if somebody may have.
    pub(super) fn sure_until(&self) -> Option<Instant> {
        self.sure_until
    }

    /// The slots whose streams are delivered here.
    pub(super) fn serving(&self) -> impl Iterator<Item = Slot> {
        self.slots.serving().copied()
    }

    fn quota(&self, total: usize) -> usize {
        quota(total, &self.nodes, &self.me)
    }
}

/// How long a node is sure of its lease. That is less than it lasts: a clock may go a little slower
/// than another, and what was begun takes its time to be sent.
fn sure_for(lease_ttl: Duration) -> Duration {
    lease_ttl * 4 / 5
}

#[cfg(test)]
mod tests;
