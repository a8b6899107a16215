//! Events of a source that wait for an operator, because more came in a minute than the source may give.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    BelongsTo, Condition, Record, RecordFilter, RecordName, RecordWrite, Records, Versioned, list,
    raw,
};
use crate::{
    domain::{
        id::{ProviderName, SourceName},
        time::Timestamp,
    },
    store::StoreError,
};

/// An event that is held, in the form in which a publisher would publish it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldEvent {
    pub provider: ProviderName,
    pub source: SourceName,
    /// Derives from the event's own id, so that a repeated request holds the event once.
    pub id: String,
    /// In milliseconds since 1970.
    pub held_at: i64,
    /// The place of the event in its request.
    pub place: usize,
    pub expires_at: i64,
    /// The rule that made the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    pub event: Value,
}

impl Record for HeldEvent {
    const KIND: &'static str = "held_events";

    fn key(&self) -> String {
        format!("{}{}", prefix(&self.provider, &self.source), self.id)
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.held_at)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(Timestamp::from_millis(self.expires_at))
    }
}

/// No name has a slash, so no source has the prefix of another one.
pub(super) fn prefix(provider: &ProviderName, source: &SourceName) -> String {
    format!("{provider}/{source}/")
}

/// The held events in a store.
#[async_trait]
pub trait HeldEventStore: Records {
    /// Stores events. An event that is held already stays as it is. Returns how many are new.
    async fn hold(&self, events: &[HeldEvent]) -> Result<usize, StoreError> {
        let write = |event| RecordWrite {
            record: raw(event, BelongsTo::Nothing),
            condition: Condition::Absent,
            keep_youngest: None,
        };
        let written = self.write_records(events.iter().map(write).collect()).await?;
        Ok(written.into_iter().flatten().count())
    }

    /// Returns the held events of a source that have not expired, in the order in which they came.
    async fn held_events(
        &self,
        provider: &ProviderName,
        source: &SourceName,
        now: Timestamp,
    ) -> Result<Vec<HeldEvent>, StoreError> {
        let of_source = RecordFilter::All { prefix: prefix(provider, source) };
        let all = list::<HeldEvent>(self, of_source).await?.into_iter();
        let all = all.map(|Versioned { record, .. }| record);
        let mut held: Vec<_> = all.filter(|event| now.as_millis() < event.expires_at).collect();
        held.sort_by(|one, other| {
            (one.held_at, one.place, &one.id).cmp(&(other.held_at, other.place, &other.id))
        });
        Ok(held)
    }

    /// Removes a held event. Returns `false` if it is not there any more.
    async fn drop_held(&self, event: &HeldEvent) -> Result<bool, StoreError> {
        self.delete_record(RecordName::new(HeldEvent::KIND, &event.key()), None).await
    }
}

impl<T: Records + ?Sized> HeldEventStore for T {}
