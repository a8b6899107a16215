//! Records that belong to no stream. Each kind is read in the order of its primary key, and a page
//! begins after the key with which the previous one ended.

use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use uuid::Uuid;

use crate::{
    domain::subject::keys::SubjectKey,
    store::{
        StoreError,
        archive::PageToken,
        portable::{Apart, EventId, Item, ItemPage, Marks},
        records::RecordName,
        sqlite::{append, ledger, records, row},
    },
};

const OPT_OUTS: &str =
    "SELECT filed, account FROM opted_out WHERE ?1 < filed ORDER BY filed LIMIT ?2";

const OPT_OUT: &str = "INSERT INTO opted_out (filed, account) VALUES (?1, ?2)
    ON CONFLICT (filed) DO UPDATE SET account = excluded.account";

const EVENT_IDS: &str = "SELECT provider, event_id, at, begun_by IS NOT NULL, coalesce(begun_by, (
        SELECT origin FROM events e WHERE e.provider = event_ids.provider AND accepted_at = at
            AND e.event_id = event_ids.event_id
    )), longer
    FROM event_ids WHERE (provider, event_id) > (?1, ?2) ORDER BY provider, event_id LIMIT ?3";

const EVENT_ID: &str =
    "INSERT INTO event_ids (provider, event_id, at, begun_by, longer) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (provider, event_id) DO UPDATE SET
        at = excluded.at, begun_by = excluded.begun_by, longer = excluded.longer";

const EVENTS: &str = "SELECT provider, accepted_at, origin, event_id, type, txn, place,
        stream_ids, withheld
    FROM events WHERE (provider, accepted_at, origin) > (?1, ?2, ?3)
    ORDER BY provider, accepted_at, origin LIMIT ?4";

const POSITIONS: &str = "SELECT epoch, entry, partition
    FROM positions WHERE ?1 < partition ORDER BY partition LIMIT ?2";

const IDS_BEFORE: &str = "SELECT before FROM event_ids_forgotten";

const FORGET_IDS: &str = "INSERT INTO event_ids_forgotten (one, before) VALUES (1, ?1)
    ON CONFLICT (one) DO UPDATE SET before = excluded.before";

pub(super) fn page(
    db: &Connection,
    group: Apart,
    after: Option<&PageToken>,
    limit: usize,
) -> Result<ItemPage, StoreError> {
    let after = after.map_or("", |PageToken(raw)| raw);
    let most = row::limit(limit);
    let items = match group {
        Apart::Records => {
            let after = RecordName::parse(after).unwrap_or_else(|| RecordName::new("", ""));
            let records = records::apart(db, &after, limit)?.into_iter();
            Ok(records.map(|record| Item::Record(Box::new(record))).collect())
        }
        Apart::OptOuts => select(db, OPT_OUTS, params![of_hex(after)?, most], |found| {
            Ok(Item::OptOut { identifier: key(found, 0)?, account: key(found, 1)? })
        }),
        Apart::EventIds => {
            // A provider's name has no slash.
            let (provider, event_id) = after.split_once('/').unwrap_or_default();
            select(db, EVENT_IDS, params![provider, event_id, most], event_id_of)
        }
        Apart::Events => {
            let mut parts = after.splitn(3, '/');
            let provider = parts.next().unwrap_or_default();
            let at: i64 = parts.next().and_then(|at| at.parse().ok()).unwrap_or(i64::MIN);
            let origin = of_hex(parts.next().unwrap_or_default())?;
            select(db, EVENTS, params![provider, at, origin, most], |found| {
                ledger::recorded(found).map(|event| Item::Event(Box::new(event)))
            })
        }
        Apart::Positions => select(db, POSITIONS, params![after, most], |found| {
            let position = append::read_position(found)?;
            Ok(Item::Position { partition: found.get(2)?, position })
        }),
        Apart::Marks => marks(db),
    }?;
    let next = if limit <= items.len() { items.last().and_then(place) } else { None };
    Ok(ItemPage { items, next })
}

fn select(
    db: &Connection,
    sql: &str,
    bounds: impl Params,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<Item>,
) -> rusqlite::Result<Vec<Item>> {
    db.prepare_cached(sql)?.query_map(bounds, read)?.collect()
}

/// Returns the place behind which the next page begins.
fn place(last: &Item) -> Option<PageToken> {
    let key = match last {
        Item::Record(record) => record.name.to_string(),
        Item::OptOut { identifier, .. } => to_hex(&identifier.0),
        Item::EventId(id) => format!("{}/{}", id.provider, id.event_id),
        Item::Event(event) => {
            let origin = to_hex(event.origin.id().as_bytes());
            format!("{}/{}/{origin}", event.provider, event.accepted_at.as_millis())
        }
        Item::Position { partition, .. } => partition.clone(),
        Item::Stream(_) | Item::Subject(_) | Item::Set(_) | Item::Marks(_) => return None,
    };
    Some(PageToken(key))
}

fn event_id_of(found: &Row<'_>) -> rusqlite::Result<Item> {
    let origin: Option<[u8; 16]> = found.get(4)?;
    Ok(Item::EventId(EventId {
        provider: row::text(found, 0)?,
        event_id: found.get(1)?,
        at: row::time(found, 2)?,
        origin: origin.map(Uuid::from_bytes),
        begun: found.get(3)?,
        kept_longer: row::span(found, 5)?,
    }))
}

fn marks(db: &Connection) -> rusqlite::Result<Vec<Item>> {
    let read = |found: &Row<'_>| row::time(found, 0);
    let ids_before = db.prepare_cached(IDS_BEFORE)?.query_row([], read).optional()?;
    let marks = Marks { ids_before };
    Ok(if marks == Marks::default() { Vec::new() } else { vec![Item::Marks(marks)] })
}

pub(super) fn put(db: &Connection, item: &Item) -> Result<(), StoreError> {
    match item {
        Item::OptOut { identifier, account } => {
            db.prepare_cached(OPT_OUT)?.execute(params![identifier.0, account.0])?;
        }
        Item::EventId(EventId { provider, event_id, at, origin, begun, kept_longer }) => {
            let origin = origin.as_ref().filter(|_| *begun).map(Uuid::as_bytes);
            let longer = row::millis(*kept_longer);
            let columns = params![provider.as_str(), event_id, at.as_millis(), origin, longer];
            db.prepare_cached(EVENT_ID)?.execute(columns)?;
        }
        Item::Event(event) => ledger::put(db, event)?,
        Item::Position { partition, position } => append::set_position(db, partition, position)?,
        Item::Marks(Marks { ids_before }) => {
            if let Some(at) = ids_before {
                db.prepare_cached(FORGET_IDS)?.execute([at.as_millis()])?;
            }
        }
        Item::Stream(_) | Item::Subject(_) | Item::Set(_) | Item::Record(_) => {
            unreachable!("streams and records are written elsewhere")
        }
    }
    Ok(())
}

pub(super) fn clear(db: &Connection, group: Apart) -> rusqlite::Result<()> {
    db.execute_batch(match group {
        Apart::Records => "DELETE FROM records WHERE stream IS NULL;",
        Apart::OptOuts => "DELETE FROM opted_out;",
        Apart::EventIds => "DELETE FROM event_ids;",
        Apart::Events => "DELETE FROM events;",
        Apart::Positions => "DELETE FROM positions;",
        Apart::Marks => "DELETE FROM event_ids_forgotten;",
    })
}

pub(super) fn key(found: &Row<'_>, column: usize) -> rusqlite::Result<SubjectKey> {
    found.get(column).map(SubjectKey)
}

pub(super) fn to_hex(key: &[u8; 16]) -> String {
    Uuid::from_bytes(*key).simple().to_string()
}

/// Reads a key of hexadecimal digits. An empty text stands for a key before all others.
pub(super) fn of_hex(text: &str) -> Result<Vec<u8>, StoreError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let key = Uuid::try_parse(text).map_err(|_| StoreError::NoSuchPage)?;
    Ok(key.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plan::plan;

    #[test]
    fn a_page_begins_where_the_one_before_ended() {
        for (sql, how) in [
            (OPT_OUTS, "(filed>?)"),
            (EVENT_IDS, "((provider,event_id)>(?,?))"),
            (EVENTS, "((provider,accepted_at,origin)>(?,?,?))"),
            (POSITIONS, "(partition>?)"),
        ] {
            let steps = plan(sql);
            assert!(steps[0].contains(how), "{steps:?}");
            assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
        }
    }
}
