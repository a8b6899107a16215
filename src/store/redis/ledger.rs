//! The ledger of accepted events.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    RedisStore,
    codec::{self, Parts},
    script,
    slot::Slot,
};
use crate::{
    domain::{
        event_type::EventType,
        id::{ProviderName, StreamId},
        reason::{Reason, StoredReason},
        set::Origin,
        time::Timestamp,
    },
    store::{
        Append, Ledger, StoreError,
        ledger::{EventRecord, RecordedEvent, WITHHELD_MAX},
    },
};

#[derive(Serialize, Deserialize)]
struct LedgerEntry {
    provider: ProviderName,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(rename = "type")]
    event_type: EventType,
    #[serde(skip_serializing_if = "Option::is_none")]
    txn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_ids: Option<Vec<StreamId>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    withheld: Vec<(StreamId, StoredReason)>,
}

#[async_trait]
impl Ledger for RedisStore {
    async fn event_with_id(
        &self,
        provider: &ProviderName,
        event_id: &str,
    ) -> Result<Option<RecordedEvent>, StoreError> {
        let Self { slots, .. } = self;
        let (slot, name) = place(provider, event_id);
        let call = slots.call(&script::EVENT_WITH_ID, slot).arg(name);
        let found: Option<(Vec<u8>, Vec<u8>)> = slots.run(call).await?;
        found.map(|(key, record)| decode(&key, &record)).transpose()
    }

    async fn events_accepted_at(
        &self,
        provider: &ProviderName,
        accepted_at: Timestamp,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let Self { slots, .. } = self;
        let at = accepted_at;
        let at = codec::time(at);
        let find =
            slots.run_on_all(&script::EVENTS_AT, |call| call.arg(provider.as_str()).arg(&at));
        let found: Vec<Vec<(Vec<u8>, Vec<u8>)>> = find.await?;
        found.into_iter().flatten().map(|(key, record)| decode(&key, &record)).collect()
    }
}

/// Returns the slot in which a publisher's id is known, and its name there.
pub(super) fn place(provider: &ProviderName, event_id: &str) -> (Slot, String) {
    // A provider's name has no slash, so no two pairs give the same text.
    let name = format!("{provider}/{event_id}");
    (Slot::of(&["event", &name]), name)
}

/// Returns the slot in which an event is recorded: that of its publisher's id if it has one, and otherwise
/// that of its origin, where the event has no name.
pub(super) fn place_of(
    provider: &ProviderName,
    event_id: Option<&str>,
    origin: &Origin,
) -> (Slot, String) {
    match event_id {
        Some(event_id) => place(provider, event_id),
        None => (Slot::of(&["origin", &origin.id().simple().to_string()]), String::new()),
    }
}

/// Encodes the record of an event. `also` are the streams to which the store itself withholds the event,
/// and why. Returns `None` for an event that is not recorded.
pub(super) fn encode(event: &Append, also: &[(&StreamId, Reason)]) -> Option<String> {
    let record = event.record.as_ref()?;
    let also = also.iter().map(|(stream, reason)| ((*stream).clone(), (*reason).into()));
    let mut whole =
        LedgerEntry::new(&event.provider, event.event_id.as_deref(), &event.origin, record);
    whole.withheld.extend(also);
    whole.withheld.truncate(WITHHELD_MAX);
    Some(whole.to_json())
}

/// Returns the key and the record of an event.
pub(super) fn encode_recorded(event: &RecordedEvent) -> (String, String) {
    let RecordedEvent { provider, accepted_at, origin, event_id, record } = event;
    let key = format!("{}{}", codec::time(*accepted_at), origin.id().simple());
    (key, LedgerEntry::new(provider, event_id.as_deref(), origin, record).to_json())
}

impl LedgerEntry {
    fn new(
        provider: &ProviderName,
        event_id: Option<&str>,
        origin: &Origin,
        record: &EventRecord,
    ) -> Self {
        Self {
            provider: provider.clone(),
            event_id: event_id.map(str::to_owned),
            event_type: record.event_type.clone(),
            txn: record.txn.clone(),
            place: origin.place().map(str::to_owned),
            stream_ids: record.stream_ids.clone(),
            withheld: record.withheld.clone(),
        }
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and lists of them are JSON")
    }
}

/// Reads an event. `key` is its time and its origin.
pub(super) fn decode(key: &[u8], record: &[u8]) -> Result<RecordedEvent, StoreError> {
    const WHAT: &str = "an event";
    let mut parts = Parts::of(key, WHAT)?;
    let accepted_at = parts.time()?;
    let origin = Uuid::try_parse(parts.rest()).map_err(|_| codec::unreadable(WHAT))?;
    let record: LedgerEntry =
        serde_json::from_slice(record).map_err(|_| codec::unreadable(WHAT))?;
    Ok(RecordedEvent {
        provider: record.provider,
        accepted_at,
        origin: Origin::recorded(origin, record.place),
        event_id: record.event_id,
        record: EventRecord {
            event_type: record.event_type,
            txn: record.txn,
            stream_ids: record.stream_ids,
            withheld: record.withheld,
        },
    })
}
