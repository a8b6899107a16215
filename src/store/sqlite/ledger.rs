//! The ledger of accepted events.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use uuid::Uuid;

use super::{SqliteStore, row};
use crate::{
    domain::{
        id::{ProviderName, StreamId},
        reason::Reason,
        set::Origin,
        time::Timestamp,
    },
    store::{
        Append, Ledger, StoreError,
        ledger::{EventRecord, RecordedEvent, WITHHELD_MAX},
    },
};

const RECORD: &str =
    "INSERT INTO events (provider, accepted_at, origin, event_id, type, txn, place,
        stream_ids, withheld)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (provider, accepted_at, origin) DO NOTHING";

const WITH_ID: &str = "SELECT e.provider, accepted_at, origin, e.event_id, type, txn, place,
        stream_ids, withheld
    FROM event_ids i CROSS JOIN events e ON e.provider = i.provider AND accepted_at = at
    WHERE i.provider = ?1 AND i.event_id = ?2 AND e.event_id = ?2";

const ACCEPTED_AT: &str = "SELECT provider, accepted_at, origin, event_id, type, txn, place,
        stream_ids, withheld
    FROM events WHERE provider = ?1 AND accepted_at = ?2";

#[async_trait]
impl Ledger for SqliteStore {
    async fn event_with_id(
        &self,
        provider: &ProviderName,
        event_id: &str,
    ) -> Result<Option<RecordedEvent>, StoreError> {
        let (provider, event_id) = (provider.clone(), event_id.to_owned());
        self.readers.run(move |db| with_id(db, &provider, &event_id)).await
    }

    async fn events_accepted_at(
        &self,
        provider: &ProviderName,
        accepted_at: Timestamp,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let provider = provider.clone();
        self.readers.run(move |db| self::accepted_at(db, &provider, accepted_at)).await
    }
}

/// Records an event. `first` is the origin under which the event was begun, if that is another one; `also`
/// are the streams to which the store itself withholds the event, and why.
pub(super) fn record<'a>(
    db: &Connection,
    event: &'a Append,
    first: Option<&Origin>,
    also: impl IntoIterator<Item = (&'a StreamId, Reason)>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Some(record) = &event.record else { return Ok(()) };
    let also = also.into_iter().map(|(stream, reason)| (stream, reason.label()));
    let withheld = record.withheld.iter().map(|(stream, reason)| (stream, reason.label()));
    let withheld: Vec<_> = withheld.chain(also).take(WITHHELD_MAX).collect();
    let withheld = (!withheld.is_empty()).then(|| to_json(&withheld));
    let Append { provider, event_id, .. } = event;
    let origin = first.unwrap_or(&event.origin);
    insert(db, (provider, now, origin), event_id.as_deref(), record, withheld)
}

/// Writes a recorded event as it is.
pub(super) fn put(db: &Connection, event: &RecordedEvent) -> rusqlite::Result<()> {
    let RecordedEvent { provider, accepted_at, origin, event_id, record } = event;
    let withheld = (!record.withheld.is_empty()).then(|| to_json(&record.withheld));
    insert(db, (provider, *accepted_at, origin), event_id.as_deref(), record, withheld)
}

fn insert(
    db: &Connection,
    (provider, accepted_at, origin): (&ProviderName, Timestamp, &Origin),
    event_id: Option<&str>,
    record: &EventRecord,
    withheld: Option<String>,
) -> rusqlite::Result<()> {
    db.prepare_cached(RECORD)?.execute(params![
        provider.as_str(),
        accepted_at.as_millis(),
        origin.id().as_bytes(),
        event_id,
        record.event_type.short_name(),
        record.txn,
        origin.place(),
        record.stream_ids.as_ref().map(to_json),
        withheld,
    ])?;
    Ok(())
}

pub(super) fn with_id(
    db: &Connection,
    provider: &ProviderName,
    event_id: &str,
) -> rusqlite::Result<Option<RecordedEvent>> {
    let mut find = db.prepare_cached(WITH_ID)?;
    find.query_row([provider.as_str(), event_id], recorded).optional()
}

pub(super) fn accepted_at(
    db: &Connection,
    provider: &ProviderName,
    at: Timestamp,
) -> rusqlite::Result<Vec<RecordedEvent>> {
    let wanted = params![provider.as_str(), at.as_millis()];
    db.prepare_cached(ACCEPTED_AT)?.query_map(wanted, recorded)?.collect()
}

pub(super) fn recorded(row: &Row<'_>) -> rusqlite::Result<RecordedEvent> {
    let origin = Uuid::from_bytes(row.get(2)?);
    let [stream_ids, withheld] = [7, 8].map(|column| row.get::<_, Option<String>>(column));
    let withheld = withheld?.map(|_| row::json(row, 8)).transpose()?;
    Ok(RecordedEvent {
        provider: row::text(row, 0)?,
        accepted_at: row::time(row, 1)?,
        origin: Origin::recorded(origin, row.get(6)?),
        event_id: row.get(3)?,
        record: EventRecord {
            event_type: row::text(row, 4)?,
            txn: row.get(5)?,
            stream_ids: stream_ids?.map(|_| row::json(row, 7)).transpose()?,
            withheld: withheld.unwrap_or_default(),
        },
    })
}

fn to_json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("lists of strings are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plan::plan;

    #[test]
    fn a_recorded_event_is_found_without_going_through_others() {
        let by_time = "SEARCH events USING PRIMARY KEY (provider=? AND accepted_at=?)";
        assert_eq!(plan(ACCEPTED_AT), [by_time]);
        let steps = plan(WITH_ID);
        assert!(steps[0].contains("PRIMARY KEY (provider=? AND event_id=?)"), "{steps:?}");
        assert!(steps[1].contains("PRIMARY KEY (provider=? AND accepted_at=?)"), "{steps:?}");
    }
}
