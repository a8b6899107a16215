//! Several nodes on one store: which node serves which slots and partitions, and how a change made
//! on one node reaches the others.
//!
//! ```text
//!            heartbeat ⇄ Redis (who is alive, who holds what)
//!                │ decided by `membership`
//!                ▼
//!              Lease ──▶ couriers, sweeps and intakes ask it before they begin anything
//!
//!  ChangeFeed ──▶ Redis stream ──▶ feed reader of each other node ──▶ LocalNode
//!                                  comparison with the store ──────────▲
//! ```
//!
//! - [`lease::Lease`]: the slots and partitions that this node may serve now. The rest of the
//!   daemon reads nothing else of this module to decide.
//! - `membership`: the pure state machine behind the lease. It balances slots and partitions so
//!   that each node serves as many as any other, and it drains a share before it returns it.
//! - `heartbeat`: the task that sends heartbeats and performs what `membership` decides.
//! - [`change_feed`]: tells the other nodes of changed streams and of new SETs.
//! - `compare`: compares the streams that this node knows with the store, periodically and after a
//!   gap in the feed.
//! - [`local_node::LocalNode`]: what this module asks of the rest of the daemon.
//!
//! Two parts are needed for correctness. The store refuses results under an epoch that is not the
//! slot's present one, so a former owner cannot settle a SET. A node whose lease is not valid takes in
//! no events, because it may not know of a stream that matches them. The other parts only save work:
//! slots keep two nodes from delivering the same SETs, and the change feed shortens the time until a
//! node knows of a change, because the comparison finds every change.

pub mod change_feed;
mod compare;
mod heartbeat;
pub mod lease;
pub mod local_node;
mod membership;
pub mod settings;

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, task::JoinHandle, time::timeout};

use self::{
    change_feed::{ChangeFeed, reader::FeedReader, writer},
    compare::Comparer,
    heartbeat::HeartbeatTask,
    lease::Lease,
    local_node::LocalNode,
    settings::ClusterSettings,
};
use crate::{
    clock,
    store::{
        StoreError,
        redis::{Epochs, link::Link},
        slot::SLOTS,
    },
    telemetry::supervision::Supervisor,
};

/// The part of a node that all tasks of this module share.
pub struct Cluster {
    link: Link,
    epochs: Arc<Epochs>,
    lease: Arc<Lease>,
    change_feed: Arc<ChangeFeed>,
    settings: ClusterSettings,
    /// All configured partitions; each is read by one node.
    partitions: Vec<String>,
    /// Marks this process's own entries in the feed, so that its reader skips them.
    feed_author: String,
    /// Notified when a node joined or departed, because a heartbeat is due at once then.
    nodes_changed: Notify,
    start: StartPositions,
}

/// Where the feed and the changes of each slot ended before this node read any stream.
struct StartPositions {
    feed: String,
    slot_changes: Vec<String>,
}

/// The running tasks of a node that has joined the cluster. They are aborted on drop; the lease
/// then expires as if the node had crashed.
pub struct JoinedNode {
    drain: Arc<Notify>,
    heartbeat: JoinHandle<()>,
    stop_writer: Arc<Notify>,
    writer: JoinHandle<()>,
    readers: [JoinHandle<()>; 2],
}

/// How long a departing node waits until its last notices are in the feed.
const FEED_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

impl Cluster {
    /// Connects to the cluster's shared state without joining. To be called before streams are read
    /// from the store, so that no change between the two is missed.
    pub async fn open(
        link: Link,
        epochs: Arc<Epochs>,
        settings: ClusterSettings,
        partitions: Vec<String>,
    ) -> Result<Arc<Self>, StoreError> {
        let feed = link.newest_feed_entry().await?;
        let unknown = vec![String::new(); usize::from(SLOTS)];
        let slot_changes = compare::changes_since(&link, &unknown).await?;
        let slot_changes = slot_changes.into_iter().map(|slot| slot.newest).collect();
        Ok(Arc::new(Self {
            link,
            epochs,
            lease: Arc::new(Lease::unconfirmed(clock::instant())),
            change_feed: Arc::new(ChangeFeed::enabled()),
            settings,
            partitions,
            feed_author: clock::random_uuid().simple().to_string(),
            nodes_changed: Notify::new(),
            start: StartPositions { feed, slot_changes },
        }))
    }

    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    pub fn change_feed(&self) -> &Arc<ChangeFeed> {
        &self.change_feed
    }

    /// Joins the cluster. Returns once this node has taken the free slots and partitions of its
    /// quota, or once the store fails to answer. From here on the daemon is ready only with a lease.
    pub async fn join(
        self: &Arc<Self>,
        local: &Arc<dyn LocalNode>,
        supervisor: &Supervisor,
    ) -> JoinedNode {
        let readiness = Arc::clone(supervisor.readiness());
        let (comparer, comparison) = Comparer::new(self, local, self.start.slot_changes.clone());
        let reader = FeedReader {
            cluster: Arc::clone(self),
            local: Arc::clone(local),
            comparison: comparison.clone(),
            last: self.start.feed.clone(),
        };
        let (mut heartbeat, drained) = HeartbeatTask::new(self, local, comparison, readiness);
        heartbeat.join().await;
        let (drain, stop_writer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        JoinedNode {
            heartbeat: supervisor
                .essential("heartbeat", heartbeat.run(drained, Arc::clone(&drain))),
            drain,
            writer: supervisor.essential(
                "change feed writer",
                writer::run(Arc::clone(self), Arc::clone(&stop_writer)),
            ),
            stop_writer,
            readers: [
                supervisor.essential("comparison", comparer.run()),
                supervisor.essential("change feed reader", reader.run()),
            ],
        }
    }
}

impl JoinedNode {
    /// Returns each slot and partition as soon as its work in progress has ended, then leaves the
    /// cluster. Returns once the other nodes are notified.
    pub async fn drain(&mut self) {
        self.drain.notify_one();
        // A panic of the task is in the log already, and the lease expires by itself.
        (&mut self.heartbeat).await.ok();
        self.stop_writer.notify_one();
        timeout(FEED_FLUSH_TIMEOUT, &mut self.writer).await.ok();
    }
}

impl Drop for JoinedNode {
    fn drop(&mut self) {
        self.heartbeat.abort();
        self.writer.abort();
        self.readers.iter().for_each(JoinHandle::abort);
    }
}
