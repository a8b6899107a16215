//! Native records that the daemon fetches: from the Redis stream that a publisher writes to, and by polling.

use std::sync::Arc;

use super::{
    Counts, Source, SourceError,
    body::{self, Part},
    prepare::{Documents, Emitted, Way},
};
use crate::{
    clock,
    domain::{mapping::RequestFacts, set::Origin, time::Timestamp},
};

/// An entry of a Redis stream.
#[derive(Debug)]
pub struct NativeEntry<'a> {
    /// The record, or the reason why the entry has none.
    pub record: Result<&'a [u8], String>,
    /// Names the entry for good, so that an entry that is read again gives the same SETs.
    pub place: String,
    /// When the entry was added.
    pub added: Timestamp,
}

/// A record that was polled.
#[derive(Debug)]
pub(super) struct PolledRecord {
    pub(super) document: Part,
    /// Stands for the record.
    pub(super) digest: String,
    /// The time that the sender gave it.
    pub(super) time: Option<Timestamp>,
    /// The size of its JSON in bytes.
    pub(super) bytes: usize,
}

impl Source {
    /// Takes in entries, in their order. Returns once all that came of them is durable. Fails if they are to
    /// be taken in again.
    pub async fn take_entries(
        self: &Arc<Self>,
        entries: &[NativeEntry<'_>],
    ) -> Result<Counts, SourceError> {
        let now = clock::now();
        let part = |entry: &NativeEntry<'_>| match &entry.record {
            Ok(record) => body::part(record),
            Err(why) => Err(why.clone()),
        };
        let bytes = entries.iter().map(|entry| entry.record.as_ref().map_or(0, |one| one.len()));
        let documents = Documents {
            parts: entries.iter().map(part).collect(),
            facts: RequestFacts::default(),
            bytes: bytes.sum(),
            received: now,
            way: Way::Sent,
        };
        let prepared = self.prepare(documents).await?;
        let provider = &self.parts.provider.name;
        let origin = |emitted: &Emitted| {
            let NativeEntry { place, added, .. } = &entries[emitted.part];
            Origin::of_place(provider, &format!("{place}/{}", emitted.nth), *added)
        };
        self.conclude(prepared, origin, now).await
    }

    /// Takes in polled records, in their order. Returns once all that came of them is durable. Fails if they
    /// are to be taken in again, which changes nothing for those that were.
    pub(super) async fn take_polled(
        self: &Arc<Self>,
        records: Vec<PolledRecord>,
    ) -> Result<Counts, SourceError> {
        let now = clock::now();
        let bytes = records.iter().map(|record| record.bytes).sum();
        // The place is the same however often a record is fetched, also when its ids are forgotten.
        let place = |record: &PolledRecord| {
            let time = record.time.unwrap_or(Timestamp::EPOCH);
            (format!("poll/{}/{}", self.parts.name, record.digest), time)
        };
        let places: Vec<_> = records.iter().map(place).collect();
        let documents = Documents {
            parts: records.into_iter().map(|record| record.document).collect(),
            facts: RequestFacts::default(),
            bytes,
            received: now,
            way: Way::Polled,
        };
        let prepared = self.prepare(documents).await?;
        let provider = &self.parts.provider.name;
        let origin = |emitted: &Emitted| {
            let (place, time) = &places[emitted.part];
            Origin::of_place(provider, &format!("{place}/{}", emitted.nth), *time)
        };
        self.conclude(prepared, origin, now).await
    }
}
