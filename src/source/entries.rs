//! Native records that a publisher writes into a Redis stream.

use std::sync::Arc;

use super::{
    Counts, Source, SourceError, body,
    prepare::{Documents, Emitted},
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
        };
        let prepared = self.prepare(documents).await?;
        let provider = &self.parts.provider.name;
        let origin = |emitted: &Emitted| {
            let NativeEntry { place, added, .. } = &entries[emitted.part];
            Origin::of_place(provider, &format!("{place}/{}", emitted.nth), *added)
        };
        self.conclude(prepared, origin, now).await
    }
}
