//! The interface through which the cluster asks the rest of this node to act. The use cases in
//! `transmitter`, a layer above, implement it.

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::change_feed::notice::Notice;
use crate::{
    domain::id::StreamId,
    store::{
        StoreError,
        slot::{Slot, SlotSet},
    },
};

/// The rest of this node: its couriers and its directory of streams.
#[async_trait]
pub trait LocalNode: Send + Sync {
    /// Looks for undelivered SETs in slots that this node has begun to serve.
    async fn sweep(&self, slots: SlotSet) -> Result<(), StoreError>;

    /// Stops new attempts for the streams of these slots. The future of each slot resolves once no
    /// attempt of the slot is in progress.
    fn drain(&self, slots: SlotSet) -> Vec<(Slot, BoxFuture<'static, ()>)>;

    /// Applies a notice of another node. The caller repeats a call that failed.
    async fn apply(&self, notice: &Notice) -> Result<(), StoreError>;

    /// Returns the streams of a slot that this node knows.
    fn streams_in(&self, slot: Slot) -> Vec<StreamId>;

    /// Makes up for observations that only the crashed node had made, such as a Receiver's
    /// activity.
    fn on_node_crashed(&self);
}
