//! What is asked of the rest of this node, which lies above.

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::notice::Notice;
use crate::{
    domain::id::StreamId,
    store::{
        StoreError,
        slot::{Slot, SlotSet},
    },
};

/// Whoever delivers, and keeps what is known of streams.
#[async_trait]
pub trait Local: Send + Sync {
    /// These slots are served from now on: there may be work.
    async fn look_for_work(&self, slots: SlotSet) -> Result<(), StoreError>;

    /// These slots are served no more. What comes for each resolves once nothing is under way.
    fn leave(&self, slots: SlotSet) -> Vec<(Slot, BoxFuture<'static, ()>)>;

    /// Takes in what another node told. After an error it is asked again.
    async fn apply(&self, notice: &Notice) -> Result<(), StoreError>;

    /// The streams of a slot that this node knows of.
    fn streams_of(&self, slot: Slot) -> Vec<StreamId>;

    /// A node died, and with it what it alone had seen.
    fn bury(&self);
}
