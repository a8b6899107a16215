//! How nodes divide slots and partitions and follow the change feed: the cluster module without a
//! daemon.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use ssfd::{
    clock,
    cluster::{
        Cluster, JoinedNode, change_feed::notice::Notice, lease::Lease, local_node::LocalNode,
        settings::ClusterSettings,
    },
    domain::id::StreamId,
    store::{
        StoreError,
        redis::{Checks, Epochs, RedisSettings, RedisStore, Topology},
        slot::{Slot, SlotSet},
    },
    telemetry::{readiness::Readiness, supervision::Supervisor},
};
use tokio::sync::watch;

use crate::harness::{DEADLINE, eventually, redis::Redis, redis_cluster::RedisCluster};

const PARTITIONS: [&str; 4] = ["ssf:events:a:0", "ssf:events:a:1", "ssf:events:b", "ssf:events:c"];

/// A node of the cluster without a daemon around it.
struct Node {
    cluster: Arc<Cluster>,
    epochs: Arc<Epochs>,
    local: Arc<RecordingNode>,
    readiness: Arc<Readiness>,
    joined: JoinedNode,
}

/// Records what the cluster asks of the rest of the node.
#[derive(Default)]
struct RecordingNode {
    applied: Mutex<Notice>,
    crashes: Mutex<usize>,
    /// While this is true, no slot becomes drained.
    busy: watch::Sender<bool>,
}

#[async_trait::async_trait]
impl LocalNode for RecordingNode {
    async fn sweep(&self, _: SlotSet) -> Result<(), StoreError> {
        Ok(())
    }

    fn drain(&self, slots: SlotSet) -> Vec<(Slot, BoxFuture<'static, ()>)> {
        let ended = || {
            let mut busy = self.busy.subscribe();
            async move { drop(busy.wait_for(|busy| !busy).await) }.boxed()
        };
        slots.iter().map(|slot| (slot, ended())).collect()
    }

    async fn apply(&self, notice: &Notice) -> Result<(), StoreError> {
        let mut applied = self.applied.lock().expect("no holder panics");
        applied.changed.extend(notice.changed.clone());
        applied.narrowed.extend(notice.narrowed.clone());
        applied.woken.extend(notice.woken.clone());
        applied.more_changed |= notice.more_changed;
        Ok(())
    }

    fn streams_in(&self, _: Slot) -> Vec<StreamId> {
        Vec::new()
    }

    fn on_node_crashed(&self) {
        *self.crashes.lock().expect("no holder panics") += 1;
    }
}

fn settings(url: String) -> RedisSettings {
    RedisSettings { urls: vec![url], checks: Checks::Warn, ..RedisSettings::default() }
}

/// A lease that no busy machine lets expire.
const LONG: Duration = DEADLINE;
/// A lease whose end is noticed soon.
const SHORT: Duration = Duration::from_millis(1500);

impl Node {
    /// Joins with a [`LONG`] lease.
    async fn join(redis: &RedisSettings) -> Self {
        Self::join_for(LONG, redis).await
    }

    async fn join_for(lease_ttl: Duration, redis: &RedisSettings) -> Self {
        let cluster = ClusterSettings {
            node_name: Some("n".into()),
            heartbeat: Duration::from_millis(100),
            lease_ttl,
            ..ClusterSettings::default()
        };
        let epochs = Arc::new(Epochs::default());
        let store = RedisStore::open(redis, Arc::clone(&epochs)).await.expect("it opens");
        let partitions = PARTITIONS.map(str::to_owned).to_vec();
        let cluster = Cluster::open(store.link(), Arc::clone(&epochs), cluster, partitions).await;
        let (cluster, node) = (cluster.expect("it answers"), Arc::new(RecordingNode::default()));
        let readiness = Arc::new(Readiness::default());
        let local: Arc<dyn LocalNode> = Arc::clone(&node) as Arc<dyn LocalNode>;
        let supervisor = Supervisor::new(Arc::clone(&readiness));
        let joined = cluster.join(&local, &supervisor).await;
        Self { cluster, epochs, local: node, readiness, joined }
    }

    fn lease(&self) -> &Lease {
        self.cluster.lease()
    }

    fn slots(&self) -> SlotSet {
        self.lease().slots()
    }

    fn partitions(&self) -> Vec<&str> {
        let held = self.lease().partitions();
        PARTITIONS.into_iter().filter(|partition| held.contains(partition)).collect()
    }

    fn applied(&self) -> Notice {
        self.local.applied.lock().expect("no holder panics").clone()
    }

    async fn applies(&self, what: &str, holds: impl Fn(&Notice) -> bool) {
        eventually(what, async || holds(&self.applied())).await;
    }

    /// Ends without draining, as a process that is killed. Returns the slots that the node served.
    fn crash(self) -> SlotSet {
        self.slots()
    }
}

/// Returns once the nodes serve everything in equal parts, and each slot is served by one of them.
async fn balanced(nodes: &[&Node]) {
    eventually("everything is served in equal parts", async || {
        let served: Vec<_> = nodes.iter().map(|node| node.slots()).collect();
        let counts = || served.iter().map(SlotSet::len);
        let partitions: usize = nodes.iter().map(|node| node.partitions().len()).sum();
        let even = counts().max() <= counts().min().map(|least| least + 1);
        let once = |slot| served.iter().filter(|slots| slots.contains(slot)).count() == 1;
        even && Slot::all().all(once) && partitions == PARTITIONS.len()
    })
    .await;
}

/// Returns once a node waits for exactly these parts. They are noted just after the lease changes.
async fn waits_for(node: &Node, parts: &[&str]) {
    let what = format!("the node waits for {parts:?}");
    eventually(&what, async || node.readiness.waiting_for() == parts).await;
}

async fn nodes_divide_the_slots_and_a_crashed_node_is_replaced(redis: &RedisSettings) {
    let one = Node::join(redis).await;
    balanced(&[&one]).await;
    waits_for(&one, &[]).await;
    let (two, three) = (Node::join(redis).await, Node::join_for(SHORT, redis).await);
    balanced(&[&one, &two, &three]).await;
    for node in [&one, &two, &three] {
        eventually("each node knows all", async || node.lease().node_count() == 3).await;
    }

    let before = one.slots();
    let lost = three.crash();
    balanced(&[&one, &two]).await;
    assert!(
        before.iter().all(|slot| one.slots().contains(slot)),
        "a served slot stays where it is"
    );
    let taken = lost.iter().find(|slot| one.slots().contains(*slot)).expect("one of them");
    assert!(Some(1) < one.epochs.epoch(taken));
    // On a busy machine, its short lease may have expired before.
    let noticed = async || 1 <= *one.local.crashes.lock().expect("no holder panics");
    eventually("the crash is noticed", noticed).await;
}

#[actix_web::test]
async fn on_one_server_nodes_divide_the_slots_and_a_crashed_node_is_replaced() {
    let redis = Redis::start().await;
    nodes_divide_the_slots_and_a_crashed_node_is_replaced(&settings(redis.url())).await;
}

#[actix_web::test]
async fn on_a_redis_cluster_nodes_divide_the_slots_and_a_crashed_node_is_replaced() {
    let redis = RedisCluster::start(3, 0).await;
    let settings = RedisSettings {
        urls: redis.urls(),
        topology: Topology::Cluster,
        ..settings(String::new())
    };
    nodes_divide_the_slots_and_a_crashed_node_is_replaced(&settings).await;
}

/// An earlier handover would let the other node repeat attempts that are still in progress.
#[actix_web::test]
async fn a_slot_is_handed_over_once_it_is_drained() {
    let redis = Redis::start().await;
    let settings = settings(redis.url());
    let mut one = Node::join(&settings).await;
    balanced(&[&one]).await;
    one.local.busy.send_replace(true);
    let two = Node::join(&settings).await;
    eventually("the first serves half", async || one.slots().len() == 128).await;
    eventually("the second reads half", async || two.partitions().len() == 2).await;
    assert!(two.slots().is_empty());
    let draining = Slot::all().find(|slot| !one.slots().contains(*slot)).expect("half of them");
    assert!(Some(1) < one.epochs.epoch(draining), "the store takes results until then");
    one.local.busy.send_replace(false);
    balanced(&[&one, &two]).await;

    one.joined.drain().await;
    balanced(&[&two]).await;
    eventually("the other node has noticed", async || two.lease().node_count() == 1).await;
    assert_eq!(*two.local.crashes.lock().expect("no holder panics"), 0, "a departure is no crash");
}

#[actix_web::test]
async fn a_notice_of_one_node_reaches_the_others() {
    let redis = Redis::start().await;
    let settings = settings(redis.url());
    let (one, two) = (Node::join(&settings).await, Node::join(&settings).await);
    let id = |raw: &str| raw.parse::<StreamId>().expect("a valid id");
    one.cluster.change_feed().send(Notice::changed(&id("st_1")));
    one.cluster.change_feed().send(Notice::narrowed(&id("st_2")));
    one.cluster.change_feed().send(Notice::woken([&id("st_3")], true));
    two.applies("the notices", |notice| {
        notice.changed.contains(&id("st_1"))
            && notice.narrowed.contains(&id("st_2"))
            && notice.woken.get(&id("st_3")) == Some(&true)
    })
    .await;
    two.cluster.change_feed().send(Notice::changed(&id("st_4")));
    one.applies("the answer", |notice| notice.changed == [id("st_4")].into()).await;
    assert!(!two.applied().more_changed, "no entry was missed");
}

/// Each entry names the one before it, so that a reader detects a gap.
#[actix_web::test]
async fn a_node_detects_a_gap_in_the_change_feed() {
    let redis = Redis::start().await;
    let settings = settings(redis.url());
    let (one, two) = (Node::join(&settings).await, Node::join(&settings).await);
    balanced(&[&one, &two]).await;
    let _: usize = redis.run(&["DEL", "{ssf:cluster}:feed"]).await;
    one.cluster.change_feed().send(Notice::changed(&"st_1".parse().expect("a valid id")));
    two.applies("that an entry was missed", |notice| notice.more_changed).await;
}

#[actix_web::test]
async fn nodes_join_again_after_redis_lost_everything() {
    let redis = Redis::start().await;
    let settings = settings(redis.url());
    let (one, two) = (Node::join(&settings).await, Node::join(&settings).await);
    balanced(&[&one, &two]).await;
    let first = one.epochs.epoch(one.slots().iter().next().expect("half of them"));

    let _: () = redis.run(&["FLUSHALL"]).await;
    eventually("both join again", async || {
        let later = |node: &Node| node.slots().iter().all(|slot| first < node.epochs.epoch(slot));
        one.slots().len() == 128 && later(&one) && two.slots().len() == 128 && later(&two)
    })
    .await;
    balanced(&[&one, &two]).await;
}

#[actix_web::test]
async fn a_lease_is_not_valid_for_longer_than_its_time() {
    let mut redis = Redis::down(true);
    redis.start_again().await;
    let node = Node::join_for(SHORT, &settings(redis.url())).await;
    balanced(&[&node]).await;
    let is_valid = || node.lease().is_valid(clock::instant());
    eventually("the lease is valid", async || is_valid()).await;
    redis.kill();
    eventually("the lease is not valid any more", async || !is_valid()).await;
    waits_for(&node, &["cluster"]).await;
    assert!(!is_valid(), "nobody confirms it");
    redis.start_again().await;
    eventually("the lease is valid again", async || is_valid()).await;
    balanced(&[&node]).await;
    waits_for(&node, &[]).await;
}
