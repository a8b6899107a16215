//! Nodes on a store of a few lines, which does what the scripts do.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{super::shares::Return, *};

const TTL: Duration = Duration::from_secs(5);
const BEAT: u64 = 1000;
const PARTITIONS: [&str; 3] = ["acme:0", "acme:1", "acme:2"];

/// What `scripts/beat.lua` and `scripts/raise.lua` work on.
#[derive(Default)]
struct Table {
    nodes: BTreeMap<NodeId, (u64, Stage)>,
    slots: BTreeMap<Slot, (Option<NodeId>, Epoch)>,
    partitions: BTreeMap<String, (Option<NodeId>, Epoch)>,
    raised: BTreeMap<Slot, Epoch>,
}

fn take<S: Ord + Clone>(
    owners: &mut BTreeMap<S, (Option<NodeId>, Epoch)>,
    live: &BTreeMap<NodeId, (u64, Stage)>,
    me: &NodeId,
    wish: &Wish<S>,
    now: u64,
) -> Vec<(S, Epoch)> {
    for Return { share, epoch, beyond } in &wish.returned {
        if owners.get(share) == Some(&(Some(me.clone()), *epoch)) {
            owners.insert(share.clone(), (None, *beyond));
        }
    }
    let mut count = owners.values().filter(|(node, _)| node.as_ref() == Some(me)).count();
    for share in &wish.wanted {
        let (owner, epoch) = owners.get(share).cloned().unwrap_or_default();
        let free = owner.is_none_or(|node| !live.contains_key(&node));
        if free && count < wish.quota {
            owners.insert(share.clone(), (Some(me.clone()), (epoch + 1).max(now)));
            count += 1;
        }
    }
    let mine = owners.iter().filter(|(_, (node, _))| node.as_ref() == Some(me));
    mine.map(|(share, (_, epoch))| (share.clone(), *epoch)).collect()
}

impl Table {
    fn beat(&mut self, beat: &Beat, now: u64) -> Answer {
        self.nodes.retain(|_, (until, _)| now < *until);
        if !beat.joins && !self.nodes.contains_key(&beat.node) {
            return Answer::Lapsed;
        }
        self.nodes.insert(beat.node.clone(), (now + 5 * BEAT, beat.stage));
        let slots = take(&mut self.slots, &self.nodes, &beat.node, &beat.slots, now);
        let partitions = &mut self.partitions;
        let partitions = take(partitions, &self.nodes, &beat.node, &beat.partitions, now);
        let nodes = self.nodes.iter().map(|(node, (_, stage))| (node.clone(), *stage)).collect();
        Answer::Alive { nodes, slots, partitions }
    }

    fn raise(&mut self, slot: Slot, epoch: Epoch) -> Result<(), Epoch> {
        let raised = self.raised.entry(slot).or_default();
        if epoch <= *raised {
            return Err(*raised);
        }
        *raised = epoch;
        Ok(())
    }
}

struct World {
    start: Instant,
    now: u64,
    table: Table,
    nodes: Vec<Membership>,
    reading: Vec<BTreeSet<String>>,
    names: u32,
}

impl World {
    fn new(nodes: usize) -> Self {
        let mut world = Self {
            start: crate::clock::instant(),
            now: 1_000_000,
            table: Table::default(),
            nodes: Vec::new(),
            reading: vec![BTreeSet::new(); nodes],
            names: 0,
        };
        for _ in 0..nodes {
            let node = world.newcomer();
            world.nodes.push(node);
        }
        world
    }

    fn name(&mut self) -> NodeId {
        self.names += 1;
        NodeId(format!("n{}", self.names))
    }

    fn newcomer(&mut self) -> Membership {
        let partitions = PARTITIONS.map(str::to_owned).to_vec();
        Membership::new(self.name(), partitions, TTL)
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    /// One heartbeat; its answer may be lost, and what is under way at a slot that is left may end
    /// later.
    fn beat(&mut self, node: usize, lost: bool, ends: bool) {
        let answer = self.table.beat(&self.nodes[node].beat(), self.now);
        if lost {
            return;
        }
        let (sent_at, next) = (self.instant(), self.name());
        let actions = self.nodes[node].on_answer(sent_at, answer, next);
        self.perform(node, actions, ends);
    }

    fn perform(&mut self, node: usize, actions: Vec<Action>, ends: bool) {
        for action in actions {
            let member = &mut self.nodes[node];
            match action {
                Action::Raise(slots) => {
                    for (slot, epoch) in slots {
                        match self.table.raise(slot, epoch) {
                            Ok(()) => assert!(member.on_raised(slot, epoch)),
                            Err(beyond) => member.on_refused(slot, epoch, beyond),
                        }
                    }
                }
                Action::Leave(slots) if ends => slots.iter().for_each(|slot| member.on_left(*slot)),
                Action::Read(partitions) => {
                    self.reading[node] = partitions.into_iter().collect();
                }
                Action::Leave(_)
                | Action::Stop(_)
                | Action::Nodes { .. }
                | Action::StartOver
                | Action::BeatAgain => {}
            }
        }
    }

    /// Everybody beats, and what is under way ends, for as long as it may take to settle.
    fn settle(&mut self) {
        for _ in 0..16 {
            self.now += BEAT;
            for node in 0..self.nodes.len() {
                for slot in Slot::all() {
                    self.nodes[node].on_left(slot);
                }
                self.beat(node, false, true);
            }
        }
    }

    /// The slots that a node serves and may write to.
    fn served(&self, node: usize) -> Vec<Slot> {
        let sure = self.nodes[node].sure_until().is_some_and(|until| self.instant() < until);
        if sure { self.nodes[node].slots.serving().copied().collect() } else { Vec::new() }
    }

    fn counts(&self) -> Vec<usize> {
        (0..self.nodes.len()).map(|node| self.served(node).len()).collect()
    }

    fn assert_each_slot_has_one_node_at_most(&self) {
        let mut seen = BTreeSet::new();
        for node in 0..self.nodes.len() {
            for slot in self.served(node) {
                assert!(seen.insert(slot), "two nodes serve slot {slot}");
            }
        }
    }

    fn assert_all_is_served_in_equal_shares(&self) {
        self.assert_each_slot_has_one_node_at_most();
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
enum Step {
    Beat {
        node: usize,
        lost: bool,
        ends: bool,
    },
    /// What is under way has ended.
    End {
        node: usize,
    },
    /// Nobody beats for so long.
    Pass {
        millis: u64,
    },
    /// Its process dies, and another takes its place.
    Restart {
        node: usize,
    },
    Leave {
        node: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = 0..3_usize;
    let step = prop_oneof![
        8 => (node.clone(), prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(node, lost, ends)| Step::Beat { node, lost, ends }),
        3 => node.clone().prop_map(|node| Step::End { node }),
        4 => (0..2000_u64).prop_map(|millis| Step::Pass { millis }),
        1 => node.clone().prop_map(|node| Step::Restart { node }),
        1 => node.prop_map(|node| Step::Leave { node }),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_slot_has_two_nodes_and_in_the_end_each_has_one(steps in steps()) {
        let mut world = World::new(3);
        for step in steps {
            match step {
                Step::Beat { node, lost, ends } => world.beat(node, lost, ends),
                Step::End { node } => {
                    Slot::all().for_each(|slot| world.nodes[node].on_left(slot));
                }
                Step::Pass { millis } => world.now += millis,
                Step::Restart { node } => {
                    world.nodes[node] = world.newcomer();
                    world.reading[node].clear();
                }
                Step::Leave { node } => {
                    let actions = world.nodes[node].leave();
                    world.perform(node, actions, false);
                }
            }
            world.assert_each_slot_has_one_node_at_most();
        }
        for node in 0..3 {
            if world.nodes[node].stage == Stage::Leaving {
                world.nodes[node] = world.newcomer();
                world.reading[node].clear();
            }
        }
        world.settle();
        world.assert_all_is_served_in_equal_shares();
    }
}

#[test]
fn one_node_has_everything() {
    let mut world = World::new(1);
    world.beat(0, false, true);
    assert_eq!(world.counts(), [0], "it does not know yet who there is");
    world.beat(0, false, true);
    world.assert_all_is_served_in_equal_shares();
}

#[test]
fn a_second_node_gets_half_once_what_is_under_way_has_ended() {
    let mut world = World::new(2);
    (0..2).for_each(|_| world.beat(0, false, true));
    world.beat(1, false, true);
    world.beat(0, false, false);
    world.beat(0, false, false);
    world.beat(1, false, true);
    assert_eq!(world.counts(), [128, 0]);
    Slot::all().for_each(|slot| world.nodes[0].on_left(slot));
    world.beat(0, false, true);
    world.beat(1, false, true);
    assert_eq!(world.counts(), [128, 128]);
}

#[test]
fn what_a_dead_node_had_is_free_when_its_lease_has_run_out() {
    let mut world = World::new(2);
    world.settle();
    for _ in 0..5 {
        assert_eq!(world.nodes[0].nodes.len(), 2);
        world.now += BEAT;
        world.beat(0, false, true);
    }
    // With another quota.
    world.beat(0, false, true);
    assert_eq!(world.counts(), [256, 0]);
}

#[test]
fn a_node_that_was_away_comes_back_as_another() {
    let mut world = World::new(2);
    world.settle();
    let before = world.nodes[1].me().clone();
    for _ in 0..7 {
        world.now += BEAT;
        world.beat(0, false, true);
    }
    assert_eq!(world.counts(), [256, 0], "it is not sure by itself");
    world.beat(1, false, true);
    assert_ne!(*world.nodes[1].me(), before);
    world.settle();
    world.assert_all_is_served_in_equal_shares();
}

#[test]
fn a_node_that_leaves_is_gone_once_all_is_given_back() {
    let mut world = World::new(2);
    world.settle();
    let actions = world.nodes[1].leave();
    assert!(actions.contains(&Action::Read(vec![])), "partitions go at once");
    world.perform(1, actions, false);
    world.beat(1, false, false);
    assert!(!world.nodes[1].has_left());
    Slot::all().for_each(|slot| world.nodes[1].on_left(slot));
    world.beat(1, false, false);
    assert!(world.nodes[1].has_left());
    world.beat(0, false, true);
    world.beat(0, false, true);
    assert_eq!(world.counts(), [256, 0]);
}

#[test]
fn a_store_that_forgets_everything_is_settled_anew() {
    let mut world = World::new(2);
    world.settle();
    let raised = std::mem::take(&mut world.table).raised;
    world.settle();
    world.assert_all_is_served_in_equal_shares();

    // It forgets who had what, and not who was served last; and its clock goes back.
    world.table = Table { raised, ..Table::default() };
    world.table.raised.values_mut().for_each(|epoch| *epoch += 1_000_000_000);
    world.settle();
    world.assert_all_is_served_in_equal_shares();
}

#[test]
fn it_is_noticed_whether_a_node_died_or_went() {
    let mut world = World::new(2);
    world.settle();
    let told = |world: &mut World, stage: Option<Stage>| {
        let gone = world.nodes[1].me().clone();
        world.nodes[0].nodes.insert(gone.clone(), stage.unwrap_or(Stage::Serving));
        world.table.nodes.remove(&gone);
        let answer = world.table.beat(&world.nodes[0].beat(), world.now);
        let (sent_at, next) = (world.instant(), world.name());
        world.nodes[0].on_answer(sent_at, answer, next)
    };
    let died = told(&mut world, None);
    assert!(died.contains(&Action::Nodes { count: 1, died: true }), "{died:?}");
    let went = told(&mut world, Some(Stage::Leaving));
    assert!(went.contains(&Action::Nodes { count: 1, died: false }), "{went:?}");
}
