//! Native records of a source that gave no event, and why.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    BelongsTo, Condition, Record, RecordFilter, RecordName, RecordWrite, Records, Versioned,
    delete, held_event::prefix, list, raw,
};
use crate::{
    domain::{
        id::{ProviderName, SourceName},
        time::Timestamp,
    },
    store::StoreError,
};

/// A native record that was rejected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RejectedRecord {
    pub provider: ProviderName,
    pub source: SourceName,
    /// Derives from the record and the reason, so that a repeated request keeps it once.
    pub id: String,
    /// In milliseconds since 1970.
    pub rejected_at: i64,
    pub expires_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The path in the record that the reason is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    pub why: String,
    /// The rule asks for somebody's attention.
    #[serde(default)]
    pub alarm: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_type: Option<String>,
    /// The record, without what the source redacts. Absent if it is no JSON or too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Value>,
}

impl Record for RejectedRecord {
    const KIND: &'static str = "rejected_records";

    fn key(&self) -> String {
        format!("{}{}", prefix(&self.provider, &self.source), self.id)
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.rejected_at)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(Timestamp::from_millis(self.expires_at))
    }
}

/// The source that rejected records belong to, so that a bounded number of them stays. It has nothing else
/// to tell.
#[derive(Serialize, Deserialize)]
struct RejectingSource {
    provider: ProviderName,
    source: SourceName,
}

impl Record for RejectingSource {
    const KIND: &'static str = "sources";

    fn key(&self) -> String {
        format!("{}/{}", self.provider, self.source)
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

/// The rejected records in a store.
#[async_trait]
pub trait RejectedRecordStore: Records {
    /// Stores rejected records of one source, of which the `most` youngest stay.
    async fn reject(&self, records: &[RejectedRecord], most: usize) -> Result<(), StoreError> {
        let Some(RejectedRecord { provider, source, .. }) = records.first() else { return Ok(()) };
        let owner = RejectingSource { provider: provider.clone(), source: source.clone() };
        let name = RecordName::new(RejectingSource::KIND, &owner.key());
        let owner = RecordWrite {
            record: raw(&owner, BelongsTo::Nothing),
            condition: Condition::Absent,
            keep_youngest: None,
        };
        self.write_records(vec![owner]).await?;
        let write = |record| RecordWrite {
            record: raw(record, BelongsTo::Record(name.clone())),
            condition: Condition::Always,
            keep_youngest: Some(most),
        };
        self.write_records(records.iter().map(write).collect()).await.map(|_| ())
    }

    /// Returns the rejected records of a source that have not expired, the youngest first.
    async fn rejected_records(
        &self,
        provider: &ProviderName,
        source: &SourceName,
        now: Timestamp,
    ) -> Result<Vec<RejectedRecord>, StoreError> {
        let of_source = RecordFilter::All { prefix: prefix(provider, source) };
        let all = list::<RejectedRecord>(self, of_source).await?.into_iter();
        let all = all.map(|Versioned { record, .. }| record);
        let mut rejected: Vec<_> =
            all.filter(|record| now.as_millis() < record.expires_at).collect();
        rejected
            .sort_by(|one, other| (other.rejected_at, &other.id).cmp(&(one.rejected_at, &one.id)));
        Ok(rejected)
    }

    /// Removes all rejected records of a source. Returns `false` if it has none.
    async fn clear_rejected(
        &self,
        provider: &ProviderName,
        source: &SourceName,
    ) -> Result<bool, StoreError> {
        delete::<RejectingSource>(self, &format!("{provider}/{source}")).await
    }
}

impl<T: Records + ?Sized> RejectedRecordStore for T {}
