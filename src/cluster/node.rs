//! The heartbeat of this node: performs what its [`Membership`] decides.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Cluster,
    compare::Comparison,
    identity::Identity,
    local::Local,
    membership::{Action, Membership},
    notice::Notice,
    shares::Epoch,
    wire,
};
use crate::{
    clock,
    store::{
        StoreError,
        slot::{SLOTS, Slot, SlotSet},
    },
    telemetry::{causes::with_causes, metrics, readiness::Readiness},
};

/// The epoch of slots that this node does not hold: none begins so low, so that results are refused.
const NO_EPOCH: Epoch = 1;

/// What `/readyz` calls the lease.
const PART: &str = "cluster";

pub(super) struct Node {
    cluster: Arc<Cluster>,
    local: Arc<dyn Local>,
    comparison: Comparison,
    readiness: Arc<Readiness>,
    identity: Identity,
    membership: Membership,
    left: mpsc::Sender<Slot>,
    /// Whether the last heartbeat was answered.
    confirmed: bool,
}

impl Node {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        local: &Arc<dyn Local>,
        comparison: Comparison,
        readiness: Arc<Readiness>,
    ) -> (Self, mpsc::Receiver<Slot>) {
        // Each slot is left once at a time.
        let (left, leaving) = mpsc::channel(usize::from(SLOTS));
        let identity = Identity::new(cluster.settings.node_name.as_deref());
        let (partitions, ttl) = (cluster.partitions.clone(), cluster.settings.lease_ttl);
        let membership = Membership::new(identity.draw(), partitions, ttl);
        Slot::all().for_each(|slot| cluster.epochs.set(slot, Some(NO_EPOCH)));
        readiness.lost(PART);
        let node = Self {
            cluster: Arc::clone(cluster),
            local: Arc::clone(local),
            comparison,
            readiness,
            identity,
            membership,
            left,
            confirmed: false,
        };
        (node, leaving)
    }

    /// Says that it is there, and takes what is free.
    pub(super) async fn begin(&mut self) {
        while self.beat().await {}
    }

    /// Lives until `leave` is rung and all is given back.
    pub(super) async fn live(mut self, mut left: mpsc::Receiver<Slot>, leave: Arc<Notify>) {
        let mut tick = interval(self.cluster.settings.heartbeat);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fenced = self.cluster.lease.watch_fenced();
        loop {
            let actions = tokio::select! {
                _ = tick.tick() => vec![Action::BeatAgain],
                () = self.cluster.nudge.notified() => vec![Action::BeatAgain],
                Some(slot) = left.recv() => {
                    self.membership.on_left(slot);
                    // Others may have been left by now, and are given back together.
                    while let Ok(slot) = left.try_recv() {
                        self.membership.on_left(slot);
                    }
                    vec![Action::BeatAgain]
                }
                Ok(()) = fenced.changed() => {
                    let slots = self.cluster.lease.take_fenced();
                    slots.iter().flat_map(|slot| self.membership.on_fenced(slot)).collect()
                }
                () = leave.notified() => self.membership.leave(),
            };
            if self.perform(actions).await {
                while self.beat().await {}
            }
            if self.membership.has_left() {
                break;
            }
        }
        self.go().await;
    }

    /// Whether there is more to say at once.
    async fn beat(&mut self) -> bool {
        let beat = self.membership.beat();
        let lease_ttl = self.cluster.settings.lease_ttl;
        let arguments = wire::arguments(&beat, lease_ttl);
        let sent_at = clock::instant();
        let said = self.cluster.link.beat(&arguments, lease_ttl / 3).await;
        let answer = match said.and_then(wire::answer) {
            Ok(answer) => answer,
            Err(error) => {
                self.unanswered(&error);
                return false;
            }
        };
        let actions = self.membership.on_answer(sent_at, answer, self.identity.draw());
        let sure_until = self.membership.sure_until();
        self.cluster.lease.confirm(sure_until.map(|_| sent_at), sure_until);
        self.answered(sure_until.is_some());
        if beat.joins || !beat.slots.returned.is_empty() || !beat.partitions.returned.is_empty() {
            // There is something to be taken.
            self.cluster.change_feed.tell(Notice { nodes: true, ..Notice::default() });
        }
        self.perform(actions).await
    }

    fn answered(&mut self, sure: bool) {
        if sure && !self.confirmed {
            tracing::info!(node = %self.membership.me(), "the lease is confirmed");
            self.readiness.gained(PART);
        }
        self.confirmed = sure;
    }

    fn unanswered(&mut self, error: &StoreError) {
        metrics::store_error("heartbeat");
        if self.confirmed {
            let node = self.membership.me();
            tracing::warn!(%node, error = with_causes(error), "the lease is not confirmed");
            self.readiness.lost(PART);
        }
        self.confirmed = false;
    }

    /// Whether there is more to say at once.
    async fn perform(&mut self, actions: Vec<Action>) -> bool {
        let mut again = false;
        for action in actions {
            match action {
                Action::Stop(slots) => self.stop(slots),
                Action::Raise(slots) => again |= self.raise(slots).await,
                Action::Leave(slots) => self.leave(slots),
                Action::Read(partitions) => {
                    metrics::cluster_partitions(partitions.len());
                    self.cluster.lease.read(partitions);
                }
                Action::Nodes { count, died } => self.meet(count, died),
                Action::StartOver => self.start_over().await,
                Action::BeatAgain => again = true,
            }
        }
        again
    }

    fn stop(&self, slots: Vec<Slot>) {
        for slot in &slots {
            self.cluster.epochs.set(*slot, Some(NO_EPOCH));
        }
        self.serve();
        if !slots.is_empty() {
            tracing::warn!(slots = slots.len(), "slots are lost");
        }
        for (_, ended) in self.local.leave(slots.into_iter().collect()) {
            // What is under way ends by itself, and its results are refused.
            tokio::spawn(ended);
        }
    }

    /// Whether some are to be given back, since they cannot be served.
    async fn raise(&mut self, slots: Vec<(Slot, Epoch)>) -> bool {
        let node = self.membership.me().to_string();
        let link = &self.cluster.link;
        let raise = slots.iter().map(|(slot, epoch)| link.raise(*slot, *epoch, &node));
        let bound = self.cluster.settings.lease_ttl / 3;
        let raised = timeout(bound, join_all(raise)).await.unwrap_or_default();
        let (mut served, mut refused) = (SlotSet::NONE, false);
        for ((slot, epoch), raised) in slots.into_iter().zip(raised) {
            match raised {
                Ok(0) => {
                    if self.membership.on_raised(slot, epoch) {
                        self.cluster.epochs.set(slot, Some(epoch));
                        served.insert(slot);
                    }
                }
                Ok(beyond) => {
                    tracing::warn!(%slot, epoch, beyond, "the slot had a later owner");
                    self.membership.on_refused(slot, epoch, beyond);
                    refused = true;
                }
                Err::<Epoch, _>(error) => {
                    // The next answer has it again.
                    metrics::store_error("raise");
                    tracing::debug!(%slot, error = with_causes(&error), "cannot take up a slot");
                }
            }
        }
        self.serve();
        self.look_for_work(served);
        refused
    }

    /// Looks for the work of slots that are new here. What fails here, the sweep finds.
    fn look_for_work(&self, served: SlotSet) {
        if served.is_empty() {
            return;
        }
        tracing::info!(
            slots = served.len(),
            of = self.cluster.lease.slots().len(),
            "slots are taken up"
        );
        let local = Arc::clone(&self.local);
        tokio::spawn(async move {
            if let Err(error) = local.look_for_work(served).await {
                metrics::store_error("sweep");
                tracing::warn!(error = with_causes(&error), "cannot look for work");
            }
        });
    }

    fn leave(&self, slots: Vec<Slot>) {
        self.serve();
        tracing::info!(slots = slots.len(), "slots are given back");
        for (slot, ended) in self.local.leave(slots.into_iter().collect()) {
            let left = self.left.clone();
            tokio::spawn(async move {
                ended.await;
                // Nobody asks any more when the node has ended.
                left.send(slot).await.ok();
            });
        }
    }

    fn serve(&self) {
        let serving: SlotSet = self.membership.serving().collect();
        metrics::cluster_slots(serving.len());
        self.cluster.lease.serve(serving);
    }

    fn meet(&self, count: usize, died: bool) {
        tracing::info!(nodes = count, died, "nodes came or went");
        metrics::cluster_nodes(count);
        self.cluster.lease.meet(count);
        if died {
            self.local.bury();
        }
    }

    /// Others may have changed anything meanwhile: all is compared before this node joins again.
    async fn start_over(&mut self) {
        tracing::warn!(node = %self.membership.me(), "the lease ran out; starting over");
        self.readiness.lost(PART);
        self.confirmed = false;
        self.comparison.done().await;
    }

    /// What is not given back by now is free, and this node not among the others any more.
    async fn go(self) {
        let node = self.membership.me().to_string();
        let left = self.cluster.link.depart(&node);
        // Else its lease runs out.
        if timeout(LEAVE_TIMEOUT, left).await.is_ok_and(|left| left.is_ok()) {
            self.cluster.change_feed.tell(Notice { nodes: true, ..Notice::default() });
        }
    }
}

/// How long a node that goes tries to say so.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
