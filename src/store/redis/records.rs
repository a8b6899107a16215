//! Records of all kinds. A record of a stream is in the slot of the stream, and all others are in one
//! place, so that a record and those that belong to it go in one step.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    RedisStore,
    codec::{self, Parts},
    script,
    slot::Slot,
    slots::{Slots, together},
};
use crate::{
    domain::{id::StreamId, time::Timestamp},
    store::{
        StoreError,
        archive::PageToken,
        records::{
            BelongsTo, Condition, RawRecord, RecordFilter, RecordName, RecordPage, RecordQuery,
            RecordWrite, Records, StoredRecord,
        },
    },
};

/// The most records that one script writes or removes.
const CHUNK: usize = 200;

/// Slots that are asked together for the records of their streams.
const SLOTS_AT_ONCE: u16 = 16;

/// The kind of the owner that stands for a stream.
const STREAMS: &str = "streams";

/// Stands for a record that does not expire. As wide as a time.
const NEVER: &str = "----------------";

#[async_trait]
impl Records for RedisStore {
    async fn record(&self, name: RecordName) -> Result<Option<StoredRecord>, StoreError> {
        let call = self.slots.call_shared(&script::RECORD).arg(name.to_string());
        let found: Option<Vec<u8>> = self.slots.run(call).await?;
        found.map(|found| decode(&name, &found)).transpose()
    }

    async fn list_records(
        &self,
        query: RecordQuery,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        let (prefix, unowned) = match &query.filter {
            RecordFilter::All { prefix } => (prefix, 0),
            RecordFilter::Unowned { prefix } => (prefix, 1),
            RecordFilter::OfStreams => {
                return list_of_streams(&self.slots, &query.kind, after, limit).await;
            }
        };
        let after = after.as_ref().map_or("", PageToken::as_str);
        let mut call = self.slots.call_shared(&script::RECORD_LIST).arg(&query.kind);
        call.push((prefix, after, limit, unowned));
        let records = decode_all(&self.slots.run::<Vec<Vec<u8>>>(call).await?)?;
        let last = records.last().filter(|_| limit <= records.len());
        let next = last.map(|last| PageToken(last.record.name.key.clone()));
        Ok(RecordPage { records, next })
    }

    async fn records_of_stream(&self, stream: &StreamId) -> Result<Vec<RawRecord>, StoreError> {
        let slot = Slot::of_stream(stream);
        let call = self.slots.call(&script::RECORD_OWNED, slot).arg(owner_of_stream(stream));
        let found = decode_all(&self.slots.run::<Vec<Vec<u8>>>(call).await?)?;
        let mut records: Vec<_> = found.into_iter().map(|stored| stored.record).collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    async fn write_records(
        &self,
        writes: Vec<RecordWrite>,
    ) -> Result<Vec<Option<u64>>, StoreError> {
        let writes = writes.into_iter().map(|write| {
            let condition = match write.condition {
                Condition::Always => "always".to_owned(),
                Condition::Absent => "absent".to_owned(),
                Condition::Newer => "newer".to_owned(),
                Condition::Version(version) => digits(version),
            };
            (write.record, condition, write.keep_youngest)
        });
        put_all(&self.slots, writes.collect()).await
    }

    async fn delete_record(
        &self,
        name: RecordName,
        version: Option<u64>,
    ) -> Result<bool, StoreError> {
        let version = version.map_or(String::new(), digits);
        let call = self.slots.call_shared(&script::RECORD_DELETE).arg(name.to_string());
        match self.slots.run::<i64>(call.arg(version)).await? {
            -1 => Err(StoreError::Conflict),
            removed => Ok(removed != 0),
        }
    }

    async fn expire_records(&self, now: Timestamp) -> Result<bool, StoreError> {
        let call = self.slots.call_shared(&script::RECORD_EXPIRE).arg(codec::time(now));
        self.slots.run(call.arg(CHUNK)).await
    }

    async fn records_state(&self) -> Result<u64, StoreError> {
        let last: Option<u64> =
            self.slots.run(self.slots.call_shared(&script::RECORD_STATE)).await?;
        Ok(last.unwrap_or_default())
    }
}

/// Reads some slots together. A page ends with a slot, or in the midst of a slot that has more than
/// `limit` records.
async fn list_of_streams(
    slots: &Slots,
    kind: &str,
    after: Option<PageToken>,
    limit: usize,
) -> Result<RecordPage, StoreError> {
    let (first, key) = match &after {
        None => (0, ""),
        Some(PageToken(raw)) => {
            let (slot, key) = raw.split_once('.').ok_or(StoreError::NoSuchPage)?;
            (slot.parse().map_err(|_| StoreError::NoSuchPage)?, key)
        }
    };
    let asked = (first..first + SLOTS_AT_ONCE).filter_map(Slot::numbered);
    let calls = asked.map(|slot| {
        let after = if slot.number() == first { key } else { "" };
        let mut call = slots.call(&script::RECORD_LIST, slot).arg(kind);
        call.push(("", after, limit, 0));
        slots.run::<Vec<Vec<u8>>>(call)
    });
    let mut records = Vec::new();
    for (number, found) in (first..).zip(together(calls.collect()).await?) {
        let found = decode_all(&found)?;
        let is_full = limit <= found.len();
        records.extend(found);
        if let Some(last) = records.last().filter(|_| is_full) {
            let next = PageToken(format!("{number}.{}", last.record.name.key));
            return Ok(RecordPage { records, next: Some(next) });
        }
    }
    let next = first + SLOTS_AT_ONCE;
    let next = Slot::numbered(next).map(|_| PageToken(format!("{next}.")));
    Ok(RecordPage { records, next })
}

/// Writes records as they are, in a copy. The record that one belongs to may come later.
pub(super) async fn put(slots: &Slots, records: Vec<RawRecord>) -> Result<(), StoreError> {
    let copied = records.into_iter().map(|record| (record, "copy".to_owned(), None));
    put_all(slots, copied.collect()).await.map(|_| ())
}

/// Removes all records that belong to no stream.
pub(super) async fn clear(slots: &Slots) -> Result<(), StoreError> {
    while slots.run(slots.call_shared(&script::RECORDS_CLEAR).arg(CHUNK)).await? {}
    Ok(())
}

async fn put_all(
    slots: &Slots,
    writes: Vec<(RawRecord, String, Option<usize>)>,
) -> Result<Vec<Option<u64>>, StoreError> {
    let mut by_place: BTreeMap<Option<Slot>, Vec<usize>> = BTreeMap::new();
    for (n, (record, ..)) in writes.iter().enumerate() {
        let slot = match &record.belongs_to {
            BelongsTo::Stream(stream) => Some(Slot::of_stream(stream)),
            BelongsTo::Record(_) | BelongsTo::Nothing => None,
        };
        by_place.entry(slot).or_default().push(n);
    }
    let chunks = by_place
        .iter()
        .flat_map(|(slot, places)| places.chunks(CHUNK).map(move |places| (*slot, places)));
    let mut versions = vec![None; writes.len()];
    let chunks: Vec<_> = chunks.collect();
    let calls = chunks.iter().map(|(slot, places)| {
        let mut call = match slot {
            Some(slot) => slots.call(&script::RECORD_PUT, *slot),
            None => slots.call_shared(&script::RECORD_PUT),
        };
        for (record, condition, keep_youngest) in places.iter().map(|n| &writes[*n]) {
            let most = keep_youngest.map_or(String::new(), |most| most.to_string());
            let owner = owner(&record.belongs_to);
            call.push((record.name.to_string(), owner, codec::time(record.made_at)));
            call.push(record.expires_at.map_or("-".to_owned(), codec::time));
            call.push((encode(record), condition, most));
        }
        slots.run::<Vec<Vec<u8>>>(call)
    });
    for ((_, places), answer) in chunks.iter().zip(together(calls.collect()).await?) {
        for (n, version) in places.iter().zip(answer) {
            if !version.is_empty() {
                versions[*n] = Some(Parts::of(&version, "a version")?.number(version.len())?);
            }
        }
    }
    Ok(versions)
}

fn digits(version: u64) -> String {
    codec::digits(i64::try_from(version).unwrap_or(i64::MAX))
}

fn owner_of_stream(stream: &StreamId) -> String {
    format!("{STREAMS}/{stream}")
}

fn owner(belongs_to: &BelongsTo) -> String {
    match belongs_to {
        BelongsTo::Nothing => String::new(),
        BelongsTo::Record(owner) => owner.to_string(),
        BelongsTo::Stream(stream) => owner_of_stream(stream),
    }
}

/// Encodes a record without its version, which `record_put.lua` adds.
fn encode(record: &RawRecord) -> String {
    let owner = owner(&record.belongs_to);
    let expires_at = record.expires_at.map_or(NEVER.to_owned(), codec::time);
    let (made_at, length) = (codec::time(record.made_at), owner.len());
    format!("{made_at}{expires_at}{:010}{length:04}{owner}{}", record.format, record.value)
}

fn decode_all(found: &[Vec<u8>]) -> Result<Vec<StoredRecord>, StoreError> {
    let decode = |pair: &[Vec<u8>]| match pair {
        [name, record] => decode(&read_name(name)?, record),
        _ => Err(codec::unreadable("a record")),
    };
    found.chunks(2).map(decode).collect()
}

pub(super) fn read_name(name: &[u8]) -> Result<RecordName, StoreError> {
    let name = std::str::from_utf8(name).ok().and_then(RecordName::parse);
    name.ok_or(codec::unreadable("a record's name"))
}

pub(super) fn decode(name: &RecordName, record: &[u8]) -> Result<StoredRecord, StoreError> {
    let mut parts = Parts::of(record, "a record")?;
    let (version, made_at) = (parts.number(NEVER.len())?, parts.time()?);
    let expires_at = match parts.text(NEVER.len())? {
        NEVER => None,
        time => Some(codec::read_time(time.as_bytes())?),
    };
    let (format, length) = (parts.number(10)?, parts.number(4)?);
    let belongs_to = match parts.text(length)? {
        "" => BelongsTo::Nothing,
        owner => {
            let owner = read_name(owner.as_bytes())?;
            if owner.kind == STREAMS {
                BelongsTo::Stream(codec::parsed(owner.key)?)
            } else {
                BelongsTo::Record(owner)
            }
        }
    };
    let (name, value) = (name.clone(), parts.rest().into());
    let record = RawRecord { name, belongs_to, format, made_at, expires_at, value };
    Ok(StoredRecord { version, record })
}
