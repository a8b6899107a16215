//! Runs several nodes against a model of the store, which behaves as the scripts do.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{shares::ReturnedShare, *};

const TTL: Duration = Duration::from_secs(5);
const HEARTBEAT: u64 = 1000;
const PARTITIONS: [&str; 3] = ["acme:0", "acme:1", "acme:2"];

/// A model of the data that `heartbeat.lua` and `raise_epoch.lua` work on.
#[derive(Default)]
struct Table {
    nodes: BTreeMap<NodeId, (u64, NodeStage)>,
    slots: BTreeMap<Slot, (Option<NodeId>, Epoch)>,
    partitions: BTreeMap<String, (Option<NodeId>, Epoch)>,
    raised: BTreeMap<Slot, Epoch>,
}

fn take<S: Ord + Clone>(
    owners: &mut BTreeMap<S, (Option<NodeId>, Epoch)>,
    live: &BTreeMap<NodeId, (u64, NodeStage)>,
    me: &NodeId,
    request: &ShareRequest<S>,
    now: u64,
) -> Vec<(S, Epoch)> {
    for ReturnedShare { share, epoch, highest_epoch } in &request.returned {
        if owners.get(share) == Some(&(Some(me.clone()), *epoch)) {
            owners.insert(share.clone(), (None, *highest_epoch));
        }
    }
    let mut count = owners.values().filter(|(node, _)| node.as_ref() == Some(me)).count();
    for share in &request.wanted {
        let (owner, epoch) = owners.get(share).cloned().unwrap_or_default();
        let free = owner.is_none_or(|node| !live.contains_key(&node));
        if free && count < request.quota {
            owners.insert(share.clone(), (Some(me.clone()), (epoch + 1).max(now)));
            count += 1;
        }
    }
    let mine = owners.iter().filter(|(_, (node, _))| node.as_ref() == Some(me));
    mine.map(|(share, (_, epoch))| (share.clone(), *epoch)).collect()
}

impl Table {
    fn heartbeat(&mut self, heartbeat: &Heartbeat, now: u64) -> HeartbeatReply {
        self.nodes.retain(|_, (until, _)| now < *until);
        if !heartbeat.joins && !self.nodes.contains_key(&heartbeat.node) {
            return HeartbeatReply::Expired;
        }
        self.nodes.insert(heartbeat.node.clone(), (now + 5 * HEARTBEAT, heartbeat.stage));
        let slots = take(&mut self.slots, &self.nodes, &heartbeat.node, &heartbeat.slots, now);
        let partitions = &mut self.partitions;
        let partitions = take(partitions, &self.nodes, &heartbeat.node, &heartbeat.partitions, now);
        let nodes = self.nodes.iter().map(|(node, (_, stage))| (node.clone(), *stage)).collect();
        HeartbeatReply::Alive { nodes, slots, partitions }
    }

    fn raise_epoch(&mut self, slot: Slot, epoch: Epoch) -> Result<(), Epoch> {
        let raised = self.raised.entry(slot).or_default();
        if epoch <= *raised {
            return Err(*raised);
        }
        *raised = epoch;
        Ok(())
    }
}

struct TestCluster {
    start: Instant,
    now: u64,
    table: Table,
    nodes: Vec<Membership>,
    reading: Vec<BTreeSet<String>>,
    ids_used: u32,
}

impl TestCluster {
    fn new(nodes: usize) -> Self {
        let mut cluster = Self {
            start: crate::clock::instant(),
            now: 1_000_000,
            table: Table::default(),
            nodes: Vec::new(),
            reading: vec![BTreeSet::new(); nodes],
            ids_used: 0,
        };
        for _ in 0..nodes {
            let node = cluster.new_node();
            cluster.nodes.push(node);
        }
        cluster
    }

    fn new_id(&mut self) -> NodeId {
        self.ids_used += 1;
        NodeId(format!("n{}", self.ids_used))
    }

    fn new_node(&mut self) -> Membership {
        let partitions = PARTITIONS.map(str::to_owned).to_vec();
        Membership::new(self.new_id(), partitions, TTL)
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    /// Sends one heartbeat. The reply may be lost. `drained` says whether draining slots are
    /// drained at once or later.
    fn heartbeat(&mut self, node: usize, lost: bool, drained: bool) {
        let reply = self.table.heartbeat(&self.nodes[node].heartbeat(), self.now);
        if lost {
            return;
        }
        let (sent_at, next) = (self.instant(), self.new_id());
        let actions = self.nodes[node].on_reply(sent_at, reply, next);
        self.perform(node, actions, drained);
    }

    fn perform(&mut self, node: usize, actions: Vec<MembershipAction>, drained: bool) {
        for action in actions {
            let member = &mut self.nodes[node];
            match action {
                MembershipAction::RaiseEpochs(slots) => {
                    for (slot, epoch) in slots {
                        match self.table.raise_epoch(slot, epoch) {
                            Ok(()) => assert!(member.on_epoch_raised(slot, epoch)),
                            Err(highest) => member.on_epoch_refused(slot, epoch, highest),
                        }
                    }
                }
                MembershipAction::Drain(slots) if drained => {
                    for slot in slots {
                        member.on_drained(slot);
                    }
                }
                MembershipAction::ReadPartitions(partitions) => {
                    self.reading[node] = partitions.into_iter().collect();
                }
                MembershipAction::Drain(_)
                | MembershipAction::Stop(_)
                | MembershipAction::NodesChanged { .. }
                | MembershipAction::Rejoin
                | MembershipAction::SendHeartbeat => {}
            }
        }
    }

    /// Sends heartbeats of all nodes and drains slots at once, until the shares cannot move any
    /// more.
    fn stabilize(&mut self) {
        for _ in 0..16 {
            self.now += HEARTBEAT;
            for node in 0..self.nodes.len() {
                for slot in Slot::all() {
                    self.nodes[node].on_drained(slot);
                }
                self.heartbeat(node, false, true);
            }
        }
    }

    /// Returns the slots that a node serves under a valid lease.
    fn served(&self, node: usize) -> Vec<Slot> {
        let valid = self.nodes[node].valid_until().is_some_and(|until| self.instant() < until);
        if valid { self.nodes[node].slots.serving().copied().collect() } else { Vec::new() }
    }

    fn counts(&self) -> Vec<usize> {
        (0..self.nodes.len()).map(|node| self.served(node).len()).collect()
    }

    fn assert_no_slot_has_two_nodes(&self) {
        let mut seen = BTreeSet::new();
        for node in 0..self.nodes.len() {
            for slot in self.served(node) {
                assert!(seen.insert(slot), "two nodes serve slot {slot}");
            }
        }
    }

    fn assert_all_is_balanced(&self) {
        self.assert_no_slot_has_two_nodes();
        let counts: Vec<_> = self.counts();
        assert_eq!(counts.iter().sum::<usize>(), 256, "{counts:?}");
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(most <= least.map(|least| least + 1).as_ref(), "{counts:?}");
        let mut read: Vec<_> = self.reading.iter().flatten().map(String::as_str).collect();
        read.sort_unstable();
        assert_eq!(read, PARTITIONS);
    }
}

#[derive(Debug, Clone)]
enum ClusterStep {
    Heartbeat {
        node: usize,
        lost: bool,
        drained: bool,
    },
    /// All work in progress of the node's draining slots ends.
    Drained {
        node: usize,
    },
    /// Time passes without a heartbeat.
    Pass {
        millis: u64,
    },
    /// The process of the node crashes, and another takes its place.
    Restart {
        node: usize,
    },
    /// The node begins to drain.
    Drain {
        node: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<ClusterStep>> {
    let node = 0..3_usize;
    let step = prop_oneof![
        8 => (node.clone(), prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(node, lost, drained)| ClusterStep::Heartbeat { node, lost, drained }),
        3 => node.clone().prop_map(|node| ClusterStep::Drained { node }),
        4 => (0..2000_u64).prop_map(|millis| ClusterStep::Pass { millis }),
        1 => node.clone().prop_map(|node| ClusterStep::Restart { node }),
        1 => node.prop_map(|node| ClusterStep::Drain { node }),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]

    #[test]
    fn no_slot_ever_has_two_nodes_and_in_the_end_each_slot_has_one(steps in steps()) {
        let mut cluster = TestCluster::new(3);
        for step in steps {
            match step {
                ClusterStep::Heartbeat { node, lost, drained } => cluster.heartbeat(node, lost, drained),
                ClusterStep::Drained { node } => {
                    Slot::all().for_each(|slot| cluster.nodes[node].on_drained(slot));
                }
                ClusterStep::Pass { millis } => cluster.now += millis,
                ClusterStep::Restart { node } => {
                    cluster.nodes[node] = cluster.new_node();
                    cluster.reading[node].clear();
                }
                ClusterStep::Drain { node } => {
                    let actions = cluster.nodes[node].drain();
                    cluster.perform(node, actions, false);
                }
            }
            cluster.assert_no_slot_has_two_nodes();
        }
        for node in 0..3 {
            if cluster.nodes[node].stage == NodeStage::Draining {
                cluster.nodes[node] = cluster.new_node();
                cluster.reading[node].clear();
            }
        }
        cluster.stabilize();
        cluster.assert_all_is_balanced();
    }
}

#[test]
fn a_single_node_takes_everything() {
    let mut cluster = TestCluster::new(1);
    cluster.heartbeat(0, false, true);
    assert_eq!(cluster.counts(), [0], "it learns its quota with the first reply");
    cluster.heartbeat(0, false, true);
    cluster.assert_all_is_balanced();
}

#[test]
fn a_second_node_gets_half_of_the_slots_once_they_are_drained() {
    let mut cluster = TestCluster::new(2);
    (0..2).for_each(|_| cluster.heartbeat(0, false, true));
    cluster.heartbeat(1, false, true);
    cluster.heartbeat(0, false, false);
    cluster.heartbeat(0, false, false);
    cluster.heartbeat(1, false, true);
    assert_eq!(cluster.counts(), [128, 0]);
    Slot::all().for_each(|slot| cluster.nodes[0].on_drained(slot));
    cluster.heartbeat(0, false, true);
    cluster.heartbeat(1, false, true);
    assert_eq!(cluster.counts(), [128, 128]);
}

#[test]
fn the_slots_of_a_crashed_node_are_free_once_its_lease_has_expired() {
    let mut cluster = TestCluster::new(2);
    cluster.stabilize();
    for _ in 0..5 {
        assert_eq!(cluster.nodes[0].nodes.len(), 2);
        cluster.now += HEARTBEAT;
        cluster.heartbeat(0, false, true);
    }
    // This heartbeat asks by the new quota.
    cluster.heartbeat(0, false, true);
    assert_eq!(cluster.counts(), [256, 0]);
}

#[test]
fn a_node_whose_lease_expired_joins_again_under_a_new_id() {
    let mut cluster = TestCluster::new(2);
    cluster.stabilize();
    let before = cluster.nodes[1].id().clone();
    for _ in 0..7 {
        cluster.now += HEARTBEAT;
        cluster.heartbeat(0, false, true);
    }
    assert_eq!(cluster.counts(), [256, 0], "its lease is not valid any more");
    cluster.heartbeat(1, false, true);
    assert_ne!(*cluster.nodes[1].id(), before);
    cluster.stabilize();
    cluster.assert_all_is_balanced();
}

#[test]
fn a_node_is_drained_once_it_has_returned_everything() {
    let mut cluster = TestCluster::new(2);
    cluster.stabilize();
    let actions = cluster.nodes[1].drain();
    assert!(
        actions.contains(&MembershipAction::ReadPartitions(vec![])),
        "partitions are returned at once"
    );
    cluster.perform(1, actions, false);
    cluster.heartbeat(1, false, false);
    assert!(!cluster.nodes[1].is_drained());
    Slot::all().for_each(|slot| cluster.nodes[1].on_drained(slot));
    cluster.heartbeat(1, false, false);
    assert!(cluster.nodes[1].is_drained());
    cluster.heartbeat(0, false, true);
    cluster.heartbeat(0, false, true);
    assert_eq!(cluster.counts(), [256, 0]);
}

#[test]
fn nodes_recover_from_a_store_that_lost_everything() {
    let mut cluster = TestCluster::new(2);
    cluster.stabilize();
    let raised = std::mem::take(&mut cluster.table).raised;
    cluster.stabilize();
    cluster.assert_all_is_balanced();

    // The store loses the owners but keeps the epochs, and its clock steps back.
    cluster.table = Table { raised, ..Table::default() };
    cluster.table.raised.values_mut().for_each(|epoch| *epoch += 1_000_000_000);
    cluster.stabilize();
    cluster.assert_all_is_balanced();
}

#[test]
fn a_crash_is_told_apart_from_a_departure() {
    let mut cluster = TestCluster::new(2);
    cluster.stabilize();
    let gone = |cluster: &mut TestCluster, stage: Option<NodeStage>| {
        let other = cluster.nodes[1].id().clone();
        cluster.nodes[0].nodes.insert(other.clone(), stage.unwrap_or(NodeStage::Serving));
        cluster.table.nodes.remove(&other);
        let reply = cluster.table.heartbeat(&cluster.nodes[0].heartbeat(), cluster.now);
        let (sent_at, next) = (cluster.instant(), cluster.new_id());
        cluster.nodes[0].on_reply(sent_at, reply, next)
    };
    let crashed = gone(&mut cluster, None);
    assert!(
        crashed.contains(&MembershipAction::NodesChanged { count: 1, crashed: true }),
        "{crashed:?}"
    );
    let departed = gone(&mut cluster, Some(NodeStage::Draining));
    assert!(
        departed.contains(&MembershipAction::NodesChanged { count: 1, crashed: false }),
        "{departed:?}"
    );
}
