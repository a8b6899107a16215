//! The last value of each key of a source's on-change gates.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BelongsTo, Condition, Record, RecordWrite, Records, get, held_event::prefix, raw};
use crate::{
    domain::{
        id::{ProviderName, SourceName},
        time::Timestamp,
    },
    store::StoreError,
};

/// How many values are read at a time.
const READS: usize = 32;

/// The value that a key had last. Of the key, and of a value that may tell of a person, only a hash is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceValue {
    pub provider: ProviderName,
    pub source: SourceName,
    /// A hash of the key.
    pub key: String,
    /// The value, or a hash of it.
    pub value: Value,
    /// The time of the record that it comes from, in milliseconds since 1970.
    #[serde(default)]
    pub told_at: i64,
    /// In milliseconds since 1970.
    pub seen_at: i64,
    pub expires_at: i64,
}

impl Record for SourceValue {
    const KIND: &'static str = "source_values";

    fn key(&self) -> String {
        format!("{}{}", prefix(&self.provider, &self.source), self.key)
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.seen_at)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(Timestamp::from_millis(self.expires_at))
    }
}

/// The values in a store.
#[async_trait]
pub trait SourceValueStore: Records {
    /// Returns what is kept for each of these keys, or `None` where nothing is or it has expired.
    async fn source_values(
        &self,
        provider: &ProviderName,
        source: &SourceName,
        keys: &[String],
        now: Timestamp,
    ) -> Result<Vec<Option<SourceValue>>, StoreError> {
        let prefix = prefix(provider, source);
        let mut values = Vec::with_capacity(keys.len());
        for some in keys.chunks(READS) {
            let names: Vec<_> = some.iter().map(|key| format!("{prefix}{key}")).collect();
            let reads = names.iter().map(|name| get::<SourceValue>(self, name));
            let found = try_join_all(reads).await?.into_iter().map(|found| {
                let kept = found.map(|found| found.record);
                kept.filter(|value| now.as_millis() < value.expires_at)
            });
            values.extend(found);
        }
        Ok(values)
    }

    /// Stores the value of each key.
    async fn put_source_values(&self, values: &[SourceValue]) -> Result<(), StoreError> {
        let write = |value| RecordWrite {
            record: raw(value, BelongsTo::Nothing),
            condition: Condition::Always,
            keep_youngest: None,
        };
        self.write_records(values.iter().map(write).collect()).await.map(|_| ())
    }
}

impl<T: Records + ?Sized> SourceValueStore for T {}
