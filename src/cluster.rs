//! Several nodes on one store: which streams and partitions each of them serves, and how they tell
//! each other what has changed.
//!
//! A node says once in a while that it lives, and is told who else does; with that it takes and gives
//! back slots and partitions until each node has as many as any other (`membership`). What it may do
//! at present stands in its [`Lease`]. The store refuses the results of whoever served a slot before.
//! What a node changes it tells in a feed that all others read ([`notice`]), and what nobody told of is
//! found by comparing (`compare`).

pub mod change_feed;
mod compare;
mod feed_reader;
mod feed_writer;
mod identity;
pub mod lease;
pub mod local;
mod membership;
mod node;
pub mod notice;
mod quota;
pub mod settings;
mod shares;
mod wire;

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, task::JoinHandle, time::timeout};

use self::{
    change_feed::ChangeFeed, compare::Comparer, feed_reader::FeedReader, lease::Lease,
    local::Local, node::Node, settings::ClusterSettings,
};
use crate::{
    clock,
    store::{
        StoreError,
        redis::{Epochs, link::Link},
        slot::SLOTS,
    },
    telemetry::readiness::Readiness,
};

/// What a node shares with the others, and what it may do.
pub struct Cluster {
    link: Link,
    epochs: Arc<Epochs>,
    lease: Arc<Lease>,
    change_feed: Arc<ChangeFeed>,
    settings: ClusterSettings,
    /// The partitions that there are to be read.
    partitions: Vec<String>,
    /// By which this process knows in the feed what it told itself.
    voice: String,
    /// A node came or went: it is time for a heartbeat.
    nudge: Notify,
    /// Where the feed, and the changes of each slot, ended before anything was read.
    began: Began,
}

struct Began {
    feed: String,
    changes: Vec<String>,
}

/// The tasks of a node that lives.
pub struct Living {
    leave: Arc<Notify>,
    node: JoinHandle<()>,
    fall_silent: Arc<Notify>,
    writer: JoinHandle<()>,
    others: [JoinHandle<()>; 2],
}

/// How long a node that goes waits until what it had to tell is told.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(1);

impl Cluster {
    /// To be called before streams are read from the store: what is changed after that is heard of.
    pub async fn open(
        link: Link,
        epochs: Arc<Epochs>,
        settings: ClusterSettings,
        partitions: Vec<String>,
    ) -> Result<Arc<Self>, StoreError> {
        let feed = link.newest_told().await?;
        let unknown = vec![String::new(); usize::from(SLOTS)];
        let changes = compare::newest(&link, &unknown).await?;
        let changes = changes.into_iter().map(|slot| slot.newest).collect();
        Ok(Arc::new(Self {
            link,
            epochs,
            lease: Arc::new(Lease::nothing(clock::instant())),
            change_feed: Arc::new(ChangeFeed::to_others()),
            settings,
            partitions,
            voice: clock::random_uuid().simple().to_string(),
            nudge: Notify::new(),
            began: Began { feed, changes },
        }))
    }

    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    pub fn change_feed(&self) -> &Arc<ChangeFeed> {
        &self.change_feed
    }

    /// Joins the others, and returns once this node has what is free, or the store does not answer.
    /// `readiness` waits for the lease from here on.
    pub async fn join(
        self: &Arc<Self>,
        local: &Arc<dyn Local>,
        readiness: Arc<Readiness>,
    ) -> Living {
        let (comparer, comparison) = Comparer::new(self, local, self.began.changes.clone());
        let reader = FeedReader {
            cluster: Arc::clone(self),
            local: Arc::clone(local),
            comparison: comparison.clone(),
            last: self.began.feed.clone(),
        };
        let (mut node, left) = Node::new(self, local, comparison, readiness);
        node.begin().await;
        let (leave, fall_silent) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        Living {
            node: tokio::spawn(node.live(left, Arc::clone(&leave))),
            leave,
            writer: tokio::spawn(feed_writer::write(Arc::clone(self), Arc::clone(&fall_silent))),
            fall_silent,
            others: [tokio::spawn(comparer.run()), tokio::spawn(reader.run())],
        }
    }
}

impl Living {
    /// Gives everything back, each slot as soon as what is under way there has ended, and returns
    /// once the others are told.
    pub async fn leave(&mut self) {
        self.leave.notify_one();
        // A panic is in the log already, and the lease runs out.
        (&mut self.node).await.ok();
        self.fall_silent.notify_one();
        timeout(SILENCE_TIMEOUT, &mut self.writer).await.ok();
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.node.abort();
        self.writer.abort();
        self.others.iter().for_each(JoinHandle::abort);
    }
}
