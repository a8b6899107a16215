//! Items as keys.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use uuid::Uuid;

use crate::{
    domain::stream::StreamConfig,
    store::{
        StoreError,
        portable::{Apart, EventId, Item, ListRow, Marks, WholeSet},
        records::RawRecord,
        redis::{
            append,
            codec::{self, set, state::StateRecord},
            ledger, lists, records, script,
            slots::Slots,
            streams,
        },
        slot::Slot,
    },
};

/// The most records of a kind that one script writes.
const CHUNK: usize = 100;

/// Items by where they are written, each kind in its order.
#[derive(Default)]
struct Sorted {
    streams: Vec<StreamConfig>,
    records: Vec<RawRecord>,
    rows: BTreeMap<Slot, Vec<ListRow>>,
    sets: BTreeMap<Slot, Vec<WholeSet>>,
    /// The events of each slot, as `put_events.lua` expects them.
    events: BTreeMap<Slot, Vec<(String, String, String)>>,
    accounts: Vec<[Vec<u8>; 2]>,
    positions: Vec<(String, String)>,
    marks: Vec<Marks>,
}

impl Sorted {
    fn of(items: Vec<Item>) -> Self {
        let mut sorted = Self::default();
        for item in items {
            sorted.add(item);
        }
        sorted
    }

    fn add(&mut self, item: Item) {
        match item {
            Item::Record(record) => self.records.push(*record),
            Item::Stream(stream) => self.streams.push(*stream),
            Item::Subject(row) => {
                self.rows.entry(lists::slot_of(&row.provider)).or_default().push(row);
            }
            Item::Set(set) => {
                let slot = Slot::of_stream(&set.stream);
                self.sets.entry(slot).or_default().push(*set);
            }
            Item::EventId(EventId { provider, event_id, at, origin, begun, kept_longer }) => {
                let (slot, name) = ledger::place(&provider, &event_id);
                let letter = if begun { 'b' } else { 'd' };
                let origin = origin.unwrap_or(Uuid::nil()).simple();
                let longer = codec::span(kept_longer);
                let claim = format!("{letter}{}{origin}{longer}", codec::time(at));
                self.events.entry(slot).or_default().push((name, claim, String::new()));
            }
            Item::Event(event) => {
                let (slot, _) =
                    ledger::place_of(&event.provider, event.event_id.as_deref(), &event.origin);
                let (key, record) = ledger::encode_recorded(&event);
                let event = (event.provider.to_string(), key, record);
                self.events.entry(slot).or_default().push(event);
            }
            Item::OptOut { identifier, account } => {
                self.accounts.push([identifier.0.to_vec(), account.0.to_vec()]);
            }
            Item::Position { partition, position } => {
                self.positions.push((partition, append::encode_position(&position)));
            }
            Item::Marks(marks) => self.marks.push(marks),
        }
    }
}

pub(super) async fn put(slots: &Slots, items: Vec<Item>) -> Result<(), StoreError> {
    let sorted = Sorted::of(items);
    // Streams come first, because the others belong to them.
    let streams = sorted.streams.iter();
    try_join_all(streams.map(|stream| streams::create(slots, stream, usize::MAX))).await?;
    records::put(slots, sorted.records).await?;
    put_rows(slots, &sorted.rows).await?;
    let sets = sorted.sets.iter().map(|(slot, sets)| put_sets(slots, *slot, sets));
    try_join_all(sets).await?;
    let events = sorted.events.iter().map(|(slot, events)| async {
        for some in events.chunks(CHUNK) {
            let mut call = slots.call(&script::PUT_EVENTS, *slot);
            call.push_all(some);
            slots.run::<()>(call).await?;
        }
        Ok::<_, StoreError>(())
    });
    try_join_all(events).await?;
    for some in sorted.accounts.chunks(CHUNK) {
        let mut call = slots.call_shared(&script::PUT_ACCOUNTS);
        for [identifier, account] in some {
            call.push((&identifier[..], &account[..]));
        }
        slots.run::<()>(call).await?;
    }
    for (partition, position) in &sorted.positions {
        let call = slots.call_shared(&script::PUT_POSITION).arg(partition).arg(position);
        slots.run::<()>(call).await?;
    }
    for marks in sorted.marks {
        put_marks(slots, marks).await?;
    }
    Ok(())
}

async fn put_rows(slots: &Slots, rows: &BTreeMap<Slot, Vec<ListRow>>) -> Result<(), StoreError> {
    let selective: BTreeSet<_> = rows.values().flatten().map(|row| &row.stream).collect();
    let select = |stream| slots.run::<bool>(slots.call_for(&script::SELECT, stream));
    try_join_all(selective.into_iter().map(select)).await?;
    for (slot, rows) in rows {
        for some in
            rows.chunk_by(|a, b| a.provider == b.provider).flat_map(|rows| rows.chunks(CHUNK))
        {
            let mut call = slots.call(&script::PUT_LIST, *slot).arg(some[0].provider.as_str());
            for row in some {
                let until = row.until.map_or(lists::NEVER.to_owned(), codec::time);
                let bounds = codec::time(row.since) + &until;
                let shape = row.shape.as_ref().map_or(String::new(), |shape| {
                    serde_json::to_string(shape).expect("names are JSON")
                });
                call.push((row.stream.as_str(), lists::hex(&row.entry), lists::hex(&row.filed)));
                call.push((bounds, shape));
            }
            slots.run::<()>(call).await?;
        }
    }
    Ok(())
}

/// One behind the other, since the order of a stream is that of writing.
async fn put_sets(slots: &Slots, slot: Slot, sets: &[WholeSet]) -> Result<(), StoreError> {
    for some in sets.chunks(CHUNK) {
        let mut call = slots.call(&script::PUT_SETS, slot);
        for whole in some {
            let record = set::SetEntry {
                kind: whole.kind,
                lane: whole.lane,
                appended_at: whole.appended_at,
                accepted_at: whole.accepted_at,
                jti: whole.jti.clone(),
                copy_of: whole.copy_of.clone(),
                identifiers: whole.identifiers.clone(),
                claims: whole.claims.clone(),
            };
            let state = StateRecord { attempts: whole.attempts, state: whole.state.clone() };
            call.push((whole.stream.as_str(), whole.jti.as_str()));
            call.push((record.encode(), state.encode(whole.appended_at)));
        }
        slots.run::<()>(call).await?;
    }
    Ok(())
}

async fn put_marks(slots: &Slots, marks: Marks) -> Result<(), StoreError> {
    if let Some(at) = marks.ids_before {
        let at = codec::time(at);
        slots.run_on_all::<()>(&script::PUT_IDS_BEFORE, |call| call.arg(&at)).await?;
    }
    Ok(())
}

pub(super) async fn clear(slots: &Slots, group: Apart) -> Result<(), StoreError> {
    if group == Apart::Records {
        return records::clear(slots).await;
    }
    let what = group.as_str();
    slots.run::<()>(slots.call_shared(&script::CLEAR).arg(what)).await?;
    slots.run_on_all::<()>(&script::CLEAR, |call| call.arg(what)).await.map(|_| ())
}
