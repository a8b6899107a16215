//! Keys as records.

use std::{collections::HashMap, time::Duration};

use uuid::Uuid;

use crate::{
    delivery::outbox::Seq,
    domain::{
        id::{ProviderName, StreamId},
        stream::StreamConfig,
        subject::keys::{SubjectKey, SubjectShape},
        time::Timestamp,
    },
    store::{
        StoreError,
        archive::PageToken,
        portable::{Apart, EventId, Item, ItemPage, ListRow, Marks, WholeSet},
        redis::{
            append,
            codec::{self, Parts},
            ledger, lists,
            outbox::Found,
            records, script,
            slots::Slots,
        },
        slot::Slot,
    },
};

/// About how many numbers one script returns.
const NUMBERS_CHUNK: usize = 5000;

/// Where a hash is.
enum Hash<'a> {
    /// With what is shared by all slots.
    Shared(&'static str),
    /// One in each slot.
    Everywhere(&'static str),
    /// In one slot, of one thing.
    Of(Slot, &'static str, &'a str),
}

/// The part of each field that a scan returns.
#[derive(Clone, Copy)]
enum Scanned {
    Fields,
    Values,
}

/// How far a hash was gone through, or one in each slot.
struct HashPlace {
    slot: u16,
    cursor: u64,
}

impl HashPlace {
    fn of(token: Option<&PageToken>) -> Result<Self, StoreError> {
        let Some(PageToken(raw)) = token else { return Ok(Self { slot: 0, cursor: 0 }) };
        let parts = raw.split_once('.').and_then(|(slot, cursor)| {
            Some(Self { slot: slot.parse().ok()?, cursor: cursor.parse().ok()? })
        });
        parts.ok_or(StoreError::NoSuchPage)
    }

    fn token(&self) -> PageToken {
        PageToken(format!("{}.{}", self.slot, self.cursor))
    }
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A field and its value as what they stand for.
type ReadField = fn(Vec<u8>, Vec<u8>) -> Result<Item, StoreError>;

/// Some fields of a hash with their values, and the cursor to go on with.
async fn step(
    slots: &Slots,
    hash: &Hash<'_>,
    place: &HashPlace,
    limit: usize,
    asked: Scanned,
) -> Result<(u64, Vec<Vec<u8>>), StoreError> {
    let (mut call, name, of) = match hash {
        Hash::Shared(name) => (slots.call_shared(&script::SCAN), name, ""),
        Hash::Everywhere(name) => {
            let slot = Slot::numbered(place.slot).ok_or(StoreError::NoSuchPage)?;
            (slots.call(&script::SCAN, slot), name, "")
        }
        Hash::Of(slot, name, of) => (slots.call(&script::SCAN, *slot), name, *of),
    };
    call.push((*name, of, place.cursor.to_string()));
    call.push(limit);
    call.push(match asked {
        Scanned::Fields => "fields",
        Scanned::Values => "values",
    });
    let mut answer: Vec<Vec<u8>> = slots.run(call).await?;
    if answer.is_empty() {
        return Err(codec::unreadable("a hash"));
    }
    let found = answer.split_off(1);
    let cursor = Parts::of(&answer[0], "a cursor")?.number(answer[0].len())?;
    Ok((cursor, found))
}

/// A page of a hash, or of one in each slot; and where the next one begins.
async fn page(
    slots: &Slots,
    hash: Hash<'_>,
    after: Option<&PageToken>,
    limit: usize,
) -> Result<(Pairs, Option<PageToken>), StoreError> {
    let (mut place, mut pairs) = (HashPlace::of(after)?, Vec::new());
    loop {
        let (cursor, found) = step(slots, &hash, &place, limit, Scanned::Values).await?;
        let mut found = found.into_iter();
        while let (Some(field), Some(value)) = (found.next(), found.next()) {
            pairs.push((field, value));
        }
        place.cursor = cursor;
        if cursor == 0 {
            place.slot += 1;
            let is_last = Slot::numbered(place.slot).is_none();
            if is_last || !matches!(hash, Hash::Everywhere(_)) {
                return Ok((pairs, None));
            }
        }
        if limit <= pairs.len() {
            return Ok((pairs, Some(place.token())));
        }
    }
}

pub(super) async fn apart(
    slots: &Slots,
    group: Apart,
    after: Option<&PageToken>,
    limit: usize,
) -> Result<ItemPage, StoreError> {
    let (hash, read): (_, ReadField) = match group {
        Apart::Records => (Hash::Shared("records"), |name, record| {
            let stored = records::decode(&records::read_name(&name)?, &record)?;
            Ok(Item::Record(Box::new(stored.record)))
        }),
        Apart::OptOuts => (Hash::Shared("opted_out"), |identifier, account| {
            Ok(Item::OptOut { identifier: key(&identifier)?, account: key(&account)? })
        }),
        Apart::EventIds => (Hash::Everywhere("ids"), |name, claim| event_id(text(name)?, &claim)),
        Apart::Events => (Hash::Everywhere("events"), |key, record| {
            ledger::decode(&key, &record).map(|event| Item::Event(Box::new(event)))
        }),
        Apart::Positions => (Hash::Shared("positions"), |partition, record| {
            let position = append::decode_position(&record)?;
            Ok(Item::Position { partition: text(partition)?, position })
        }),
        Apart::Marks => return marks(slots).await,
    };
    let (pairs, next) = page(slots, hash, after, limit).await?;
    let items = pairs.into_iter().map(|(field, value)| read(field, value));
    Ok(ItemPage { items: items.collect::<Result<_, _>>()?, next })
}

fn text(bytes: Vec<u8>) -> Result<String, StoreError> {
    String::from_utf8(bytes).map_err(|_| codec::unreadable("a name"))
}

fn key(bytes: &[u8]) -> Result<SubjectKey, StoreError> {
    bytes.try_into().map(SubjectKey).map_err(|_| codec::unreadable("a subject"))
}

fn hex_key(text: &str) -> Result<SubjectKey, StoreError> {
    let key = Uuid::try_parse(text).map_err(|_| codec::unreadable("a subject"))?;
    Ok(SubjectKey(*key.as_bytes()))
}

/// `claim` as in `claim.lua`.
fn event_id(name: String, claim: &[u8]) -> Result<Item, StoreError> {
    const WHAT: &str = "an event's id";
    let (provider, event_id) = name.split_once('/').ok_or(codec::unreadable(WHAT))?;
    let mut parts = Parts::of(claim, WHAT)?;
    let (begun, at) = (parts.text(1)? == "b", parts.time()?);
    let origin = Uuid::try_parse(parts.text(32)?).map_err(|_| codec::unreadable(WHAT))?;
    let kept_longer = match parts.rest() {
        "" => Duration::ZERO,
        millis => {
            let millis = millis.parse().map_err(|_| codec::unreadable(WHAT))?;
            Duration::from_millis(millis)
        }
    };
    Ok(Item::EventId(EventId {
        provider: codec::parsed(provider.to_owned())?,
        event_id: event_id.to_owned(),
        at,
        origin: Some(origin).filter(|origin| !origin.is_nil()),
        begun,
        kept_longer,
    }))
}

async fn marks(slots: &Slots) -> Result<ItemPage, StoreError> {
    let all: Vec<Option<Vec<u8>>> = slots.run_on_all(&script::IDS_BEFORE, |call| call).await?;
    let ids_before = all.into_iter().flatten().max();
    let marks = Marks { ids_before: ids_before.as_deref().map(codec::read_time).transpose()? };
    let some = marks != Marks::default();
    let items = if some { vec![Item::Marks(marks)] } else { Vec::new() };
    Ok(ItemPage { items, next: None })
}

pub(super) async fn list_rows(
    slots: &Slots,
    stream: &StreamConfig,
    after: Option<&PageToken>,
    limit: usize,
) -> Result<ItemPage, StoreError> {
    let list = Hash::Of(lists::slot_of(&stream.provider), "list", stream.id.as_str());
    let (rows, next) = page(slots, list, after, limit).await?;
    // Of the provider there are few, and a list without entries asks for none.
    let shapes =
        if rows.is_empty() { HashMap::new() } else { shapes(slots, &stream.provider).await? };
    let read = |(place, bounds)| row(stream, text(place)?, bounds, &shapes);
    let items = rows.into_iter().map(read).collect::<Result<_, StoreError>>()?;
    Ok(ItemPage { items, next })
}

/// Of complex subjects, by the key that stands for each: those of a provider, and others in its slot.
async fn shapes(
    slots: &Slots,
    provider: &ProviderName,
) -> Result<HashMap<String, SubjectShape>, StoreError> {
    let (mut shapes, mut after) = (HashMap::new(), None);
    loop {
        let hash = Hash::Of(lists::slot_of(provider), "shapes", "");
        let (found, next) = page(slots, hash, after.as_ref(), NUMBERS_CHUNK).await?;
        for (filed, shape) in found {
            let shape = text(shape)?;
            let (_, names) = shape.split_once('|').ok_or(codec::unreadable("a shape"))?;
            let names = serde_json::from_str(names).map_err(|_| codec::unreadable("a shape"))?;
            shapes.insert(text(filed)?, names);
        }
        after = next;
        if after.is_none() {
            return Ok(shapes);
        }
    }
}

/// `place` and `bounds` as in `lists.lua`.
fn row(
    stream: &StreamConfig,
    place: String,
    bounds: Vec<u8>,
    shapes: &HashMap<String, SubjectShape>,
) -> Result<Item, StoreError> {
    const WHAT: &str = "an entry of a list";
    let (entry, filed) = place.split_once('|').ok_or(codec::unreadable(WHAT))?;
    let mut parts = Parts::of(&bounds, WHAT)?;
    let (since, until) = (parts.time()?, parts.rest());
    let until = if until == lists::NEVER {
        None
    } else {
        Some(until.parse().map(Timestamp::from_millis).map_err(|_| codec::unreadable(WHAT))?)
    };
    let provider: ProviderName = stream.provider.clone();
    Ok(Item::Subject(ListRow {
        provider,
        stream: stream.id.clone(),
        entry: hex_key(entry)?,
        filed: hex_key(filed)?,
        since,
        until,
        shape: shapes.get(filed).cloned(),
    }))
}

pub(super) async fn numbers(slots: &Slots, stream: &StreamId) -> Result<Vec<Seq>, StoreError> {
    let sets = Hash::Of(Slot::of_stream(stream), "sets", stream.as_str());
    let (mut place, mut numbers) = (HashPlace { slot: 0, cursor: 0 }, Vec::new());
    loop {
        let (cursor, found) = step(slots, &sets, &place, NUMBERS_CHUNK, Scanned::Fields).await?;
        for seq in found {
            numbers.push(codec::seq(&seq)?);
        }
        place.cursor = cursor;
        if cursor == 0 {
            numbers.sort_unstable();
            return Ok(numbers);
        }
    }
}

pub(super) async fn sets(
    slots: &Slots,
    stream: &StreamId,
    numbers: &[Seq],
) -> Result<Vec<WholeSet>, StoreError> {
    let mut call = slots.call_for(&script::NUMBERED, stream);
    call.push_all(numbers.iter().map(|seq| codec::digits(seq.0)));
    let found: Vec<Vec<u8>> = slots.run(call).await?;
    let whole = |Found { set, state, .. }: Found| WholeSet {
        stream: stream.clone(),
        jti: set.jti,
        copy_of: set.copy_of,
        kind: set.kind,
        lane: set.lane,
        claims: set.claims,
        identifiers: set.identifiers,
        accepted_at: set.accepted_at,
        appended_at: set.appended_at,
        attempts: state.attempts,
        state: state.state,
    };
    Ok(Found::all(&found)?.into_iter().map(whole).collect())
}
