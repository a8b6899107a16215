//! How nodes share slots and partitions, and hear of each other: the cluster without the daemon.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use ssfd::{
    clock,
    cluster::{
        Cluster, Living, lease::Lease, local::Local, notice::Notice, settings::ClusterSettings,
    },
    domain::id::StreamId,
    store::{
        StoreError,
        redis::{Checks, Epochs, RedisSettings, RedisStore, Topology},
        slot::{Slot, SlotSet},
    },
    telemetry::readiness::Readiness,
};
use tokio::sync::watch;

use crate::harness::{eventually, redis::Redis, redis_cluster::RedisCluster};

const PARTITIONS: [&str; 4] = ["ssf:events:a:0", "ssf:events:a:1", "ssf:events:b", "ssf:events:c"];

/// A node whose work is written down.
struct Node {
    cluster: Arc<Cluster>,
    epochs: Arc<Epochs>,
    desk: Arc<Desk>,
    readiness: Arc<Readiness>,
    living: Living,
}

#[derive(Default)]
struct Desk {
    heard: Mutex<Notice>,
    buried: Mutex<usize>,
    /// What is under way at slots that are left goes on for as long as this is true.
    busy: watch::Sender<bool>,
}

#[async_trait::async_trait]
impl Local for Desk {
    async fn look_for_work(&self, _: SlotSet) -> Result<(), StoreError> {
        Ok(())
    }

    fn leave(&self, slots: SlotSet) -> Vec<(Slot, BoxFuture<'static, ()>)> {
        let ended = || {
            let mut busy = self.busy.subscribe();
            async move { drop(busy.wait_for(|busy| !busy).await) }.boxed()
        };
        slots.iter().map(|slot| (slot, ended())).collect()
    }

    async fn apply(&self, notice: &Notice) -> Result<(), StoreError> {
        let mut heard = self.heard.lock().expect("no holder panics");
        heard.changed.extend(notice.changed.clone());
        heard.narrowed.extend(notice.narrowed.clone());
        heard.woken.extend(notice.woken.clone());
        heard.more_changed |= notice.more_changed;
        Ok(())
    }

    fn streams_of(&self, _: Slot) -> Vec<StreamId> {
        Vec::new()
    }

    fn bury(&self) {
        *self.buried.lock().expect("no holder panics") += 1;
    }
}

fn settings(url: String) -> RedisSettings {
    RedisSettings { urls: vec![url], checks: Checks::Warn, ..RedisSettings::default() }
}

/// Quick, so that a death is noticed soon.
fn pace() -> ClusterSettings {
    ClusterSettings {
        node_name: Some("n".into()),
        heartbeat: Duration::from_millis(100),
        lease_ttl: Duration::from_millis(1500),
        ..ClusterSettings::default()
    }
}

impl Node {
    async fn join(redis: &RedisSettings) -> Self {
        Self::join_at(redis, pace()).await
    }

    async fn join_at(redis: &RedisSettings, pace: ClusterSettings) -> Self {
        let epochs = Arc::new(Epochs::default());
        let store = RedisStore::open(redis, Arc::clone(&epochs)).await.expect("it opens");
        let partitions = PARTITIONS.map(str::to_owned).to_vec();
        let cluster = Cluster::open(store.link(), Arc::clone(&epochs), pace, partitions).await;
        let (cluster, desk) = (cluster.expect("it answers"), Arc::new(Desk::default()));
        let readiness = Arc::new(Readiness::default());
        let local: Arc<dyn Local> = Arc::clone(&desk) as Arc<dyn Local>;
        let living = cluster.join(&local, Arc::clone(&readiness)).await;
        Self { cluster, epochs, desk, readiness, living }
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

    fn heard(&self) -> Notice {
        self.desk.heard.lock().expect("no holder panics").clone()
    }

    async fn hears(&self, what: &str, holds: impl Fn(&Notice) -> bool) {
        eventually(what, async || holds(&self.heard())).await;
    }

    /// Without a word, as a process that is killed.
    fn die(self) -> SlotSet {
        self.slots()
    }
}

/// Returns once the nodes have everything among them, each as much as any other.
async fn shared(nodes: &[&Node]) {
    eventually("all is shared in equal parts", async || {
        let counts: Vec<_> = nodes.iter().map(|node| node.slots().len()).collect();
        let partitions: usize = nodes.iter().map(|node| node.partitions().len()).sum();
        let even = counts.iter().max() <= counts.iter().min().map(|least| least + 1).as_ref();
        even && counts.iter().sum::<usize>() == 256 && partitions == PARTITIONS.len()
    })
    .await;
    for slot in Slot::all() {
        let having = nodes.iter().filter(|node| node.slots().contains(slot)).count();
        assert_eq!(having, 1, "nodes that serve slot {slot}");
    }
}

async fn several_nodes_share_and_one_that_dies_is_replaced(redis: &RedisSettings) {
    let one = Node::join(redis).await;
    shared(&[&one]).await;
    assert!(one.readiness.waiting_for().is_empty());
    let (two, three) = (Node::join(redis).await, Node::join(redis).await);
    shared(&[&one, &two, &three]).await;
    assert_eq!((one.lease().nodes(), three.lease().nodes()), (3, 3));

    let before = one.slots();
    let lost = three.die();
    shared(&[&one, &two]).await;
    assert!(before.iter().all(|slot| one.slots().contains(slot)), "what was served stays");
    let taken = lost.iter().find(|slot| one.slots().contains(*slot)).expect("one of them");
    assert!(Some(1) < one.epochs.epoch(taken));
    let buried = async || *one.desk.buried.lock().expect("no holder panics") == 1;
    eventually("the death is noticed", buried).await;
}

#[actix_web::test]
async fn on_one_server_nodes_share_and_one_that_dies_is_replaced() {
    let redis = Redis::start().await;
    several_nodes_share_and_one_that_dies_is_replaced(&settings(redis.url())).await;
}

#[actix_web::test]
async fn on_a_cluster_nodes_share_and_one_that_dies_is_replaced() {
    let redis = RedisCluster::start(3, 0).await;
    let settings = RedisSettings {
        urls: redis.urls(),
        topology: Topology::Cluster,
        ..settings(String::new())
    };
    several_nodes_share_and_one_that_dies_is_replaced(&settings).await;
}

/// Not before: the other would begin what this one has not ended.
#[actix_web::test]
async fn a_slot_is_handed_over_once_what_is_under_way_has_ended() {
    let redis = Redis::start().await;
    let settings = settings(redis.url());
    let mut one = Node::join(&settings).await;
    shared(&[&one]).await;
    one.desk.busy.send_replace(true);
    let two = Node::join(&settings).await;
    eventually("the first serves half", async || one.slots().len() == 128).await;
    eventually("the second reads half", async || two.partitions().len() == 2).await;
    assert!(two.slots().is_empty());
    let leaving = Slot::all().find(|slot| !one.slots().contains(*slot)).expect("half of them");
    assert!(Some(1) < one.epochs.epoch(leaving), "results are taken until then");
    one.desk.busy.send_replace(false);
    shared(&[&one, &two]).await;

    one.living.leave().await;
    shared(&[&two]).await;
    eventually("the other has noticed", async || two.lease().nodes() == 1).await;
    assert_eq!(*two.desk.buried.lock().expect("no holder panics"), 0, "it went in order");
}

#[actix_web::test]
async fn what_one_tells_all_others_hear() {
    let redis = Redis::start().await;
    let settings = settings(redis.url());
    let (one, two) = (Node::join(&settings).await, Node::join(&settings).await);
    let id = |raw: &str| raw.parse::<StreamId>().expect("a valid id");
    one.cluster.change_feed().tell(Notice::changed(&id("st_1")));
    one.cluster.change_feed().tell(Notice::narrowed(&id("st_2")));
    one.cluster.change_feed().tell(Notice::woken([&id("st_3")], true));
    two.hears("what was told", |notice| {
        notice.changed.contains(&id("st_1"))
            && notice.narrowed.contains(&id("st_2"))
            && notice.woken.get(&id("st_3")) == Some(&true)
    })
    .await;
    two.cluster.change_feed().tell(Notice::changed(&id("st_4")));
    one.hears("the answer", |notice| notice.changed == [id("st_4")].into()).await;
    assert!(!two.heard().more_changed, "nothing was missed");
}

/// Each entry names the one before it.
#[actix_web::test]
async fn a_node_that_missed_something_notices() {
    let redis = Redis::start().await;
    let settings = settings(redis.url());
    let (one, two) = (Node::join(&settings).await, Node::join(&settings).await);
    shared(&[&one, &two]).await;
    let _: usize = redis.run(&["DEL", "{ssf:cluster}:feed"]).await;
    one.cluster.change_feed().tell(Notice::changed(&"st_1".parse().expect("a valid id")));
    two.hears("that something was missed", |notice| notice.more_changed).await;
}

#[actix_web::test]
async fn nodes_that_everything_was_forgotten_of_start_over() {
    let redis = Redis::start().await;
    let settings = settings(redis.url());
    let (one, two) = (Node::join(&settings).await, Node::join(&settings).await);
    shared(&[&one, &two]).await;
    let first = one.epochs.epoch(one.slots().iter().next().expect("half of them"));

    let _: () = redis.run(&["FLUSHALL"]).await;
    eventually("both start over", async || {
        let later = |node: &Node| node.slots().iter().all(|slot| first < node.epochs.epoch(slot));
        one.slots().len() == 128 && later(&one) && two.slots().len() == 128 && later(&two)
    })
    .await;
    shared(&[&one, &two]).await;
}

#[actix_web::test]
async fn a_node_is_not_sure_for_longer_than_its_lease() {
    let mut redis = Redis::down(true);
    redis.start_again().await;
    let node = Node::join(&settings(redis.url())).await;
    shared(&[&node]).await;
    assert!(node.lease().is_valid(clock::instant()));
    redis.kill();
    eventually("it is no longer sure", async || !node.lease().is_valid(clock::instant())).await;
    assert_eq!(node.readiness.waiting_for(), ["cluster"]);
    redis.start_again().await;
    eventually("it is sure again", async || node.lease().is_valid(clock::instant())).await;
    shared(&[&node]).await;
    assert!(node.readiness.waiting_for().is_empty());
}
