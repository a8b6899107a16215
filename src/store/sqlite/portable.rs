//! All that the database holds, as records for another store, and such records as rows.

mod apart;
mod streams;

use async_trait::async_trait;
use rusqlite::Connection;

use super::{SqliteStore, connection};
use crate::{
    delivery::outbox::Seq,
    domain::{id::StreamId, stream::StreamConfig},
    store::{
        StoreError,
        archive::PageToken,
        portable::{Apart, Portable, Record, RecordPage, SetRecord},
    },
};

#[async_trait]
impl Portable for SqliteStore {
    async fn records(
        &self,
        kind: Apart,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        self.readers.run(move |db| apart::page(db, kind, after.as_ref(), limit)).await
    }

    async fn list_rows(
        &self,
        stream: &StreamConfig,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
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
    ) -> Result<Vec<SetRecord>, StoreError> {
        let stream = stream.clone();
        self.readers.run(move |db| streams::sets(db, &stream, &numbers)).await
    }

    async fn put(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.writer.run(move |db| records.iter().try_for_each(|record| put(db, record))).await
    }

    async fn clear(&self, kind: Apart) -> Result<(), StoreError> {
        self.writer.run(move |db| apart::clear(db, kind)).await
    }

    async fn set_incomplete(&self, incomplete: bool) -> Result<(), StoreError> {
        self.writer.run(move |db| connection::mark(db, incomplete)).await
    }
}

fn put(db: &Connection, record: &Record) -> Result<(), StoreError> {
    match record {
        Record::Stream(stream) => streams::put(db, stream),
        Record::Subject(row) => Ok(streams::put_row(db, row)?),
        Record::Set(set) => Ok(streams::put_set(db, set)?),
        other => apart::put(db, other),
    }
}
