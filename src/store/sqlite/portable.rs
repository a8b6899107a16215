//! Reads the contents of the database as items, and writes items as rows.

mod apart;
mod streams;

use async_trait::async_trait;
use rusqlite::Connection;

use super::{SqliteStore, connection, records};
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
impl Portable for SqliteStore {
    async fn items(
        &self,
        group: Apart,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<ItemPage, StoreError> {
        self.readers.run(move |db| apart::page(db, group, after.as_ref(), limit)).await
    }

    async fn list_rows(
        &self,
        stream: &StreamConfig,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<ItemPage, StoreError> {
        let (id, provider) = (stream.id.clone(), stream.provider.clone());
        let read = move |db: &_| streams::list_rows(db, &id, &provider, after.as_ref(), limit);
        self.readers.run(read).await
    }

    async fn set_numbers(&self, stream: &StreamId) -> Result<Vec<Seq>, StoreError> {
        let stream = stream.clone();
        self.readers.run(move |db| streams::numbers(db, &stream)).await
    }

    async fn numbered_sets(
        &self,
        stream: &StreamId,
        numbers: Vec<Seq>,
    ) -> Result<Vec<WholeSet>, StoreError> {
        let stream = stream.clone();
        self.readers.run(move |db| streams::sets(db, &stream, &numbers)).await
    }

    async fn put(&self, items: Vec<Item>) -> Result<(), StoreError> {
        self.writer.run(move |db| items.iter().try_for_each(|item| put(db, item))).await
    }

    async fn clear(&self, group: Apart) -> Result<(), StoreError> {
        self.writer.run(move |db| apart::clear(db, group)).await
    }

    async fn set_incomplete(&self, incomplete: bool) -> Result<(), StoreError> {
        self.writer.run(move |db| connection::mark(db, incomplete)).await
    }
}

fn put(db: &Connection, item: &Item) -> Result<(), StoreError> {
    match item {
        Item::Stream(stream) => streams::put(db, stream),
        Item::Subject(row) => Ok(streams::put_row(db, row)?),
        Item::Set(set) => Ok(streams::put_set(db, set)?),
        Item::Record(record) => records::put(db, record).map(|_| ()),
        other => apart::put(db, other),
    }
}
