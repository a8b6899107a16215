//! Reads the contents of the servers as items, and writes items as keys.
//!
//! Most items are read by scanning hashes. As long as nobody writes, a scan meets each field once.
//! Otherwise the digests of a copy differ.

mod read;
mod write;

use async_trait::async_trait;

use super::{
    RedisStore,
    codec::{FORMAT, INCOMPLETE},
    script,
};
use crate::{
    delivery::outbox::Seq,
    domain::{id::StreamId, stream::StreamConfig},
    store::{
        StoreError,
        archive::PageToken,
        portable::{Apart, Item, ItemPage, Portable, WholeSet},
    },
};

#[async_trait]
impl Portable for RedisStore {
    async fn items(
        &self,
        group: Apart,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<ItemPage, StoreError> {
        read::apart(&self.slots, group, after.as_ref(), limit).await
    }

    async fn list_rows(
        &self,
        stream: &StreamConfig,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<ItemPage, StoreError> {
        read::list_rows(&self.slots, stream, after.as_ref(), limit).await
    }

    async fn set_numbers(&self, stream: &StreamId) -> Result<Vec<Seq>, StoreError> {
        read::numbers(&self.slots, stream).await
    }

    async fn numbered_sets(
        &self,
        stream: &StreamId,
        numbers: Vec<Seq>,
    ) -> Result<Vec<WholeSet>, StoreError> {
        read::sets(&self.slots, stream, &numbers).await
    }

    async fn put(&self, items: Vec<Item>) -> Result<(), StoreError> {
        write::put(&self.slots, items).await
    }

    async fn clear(&self, group: Apart) -> Result<(), StoreError> {
        write::clear(&self.slots, group).await
    }

    async fn set_incomplete(&self, incomplete: bool) -> Result<(), StoreError> {
        let version = if incomplete { INCOMPLETE } else { FORMAT };
        self.slots.run(self.slots.call_shared(&script::MARK).arg(version)).await
    }
}
