//! Events in. A step of the intake is several calls of scripts, because its SETs are in many slots:
//!
//! 1. `claim`: publishers' ids are claimed, and events recorded, as begun.
//! 2. `judge_accounts`: which events are kept back, as accounts opt out and in. Nothing is changed.
//! 3. `append`: the SETs are put into the outboxes, slot by slot.
//! 4. `conclude`: the accounts' choices hold, and the reader's position is behind the step.
//! 5. `finish`: the ids are those of events that are done.
//!
//! An event of several steps is judged with its first one; its choice holds and its id is done with the
//! last one.
//!
//! An append that was interrupted is completed by appending the same again, and no SET is doubled:
//! a SET that is there is known by its `jti`; an id that is begun is no duplicate; the choices are
//! judged from the same state as before, since they hold only once all SETs do. The position moves
//! last, so that a reader that reads events again after a crash reads these. An event that is brought
//! anew under its id, and with another origin therefore, goes on under the origin that began it: so each
//! stream gets one SET of it.
//!
//! A crash between the last two calls leaves ids begun. A second event of such an id appends what
//! is there already, instead of being called a duplicate.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    RedisStore, accounts,
    codec::{self, Parts, set::SetEntry},
    ledger, script,
    slot::Slot,
    slots::{Slots, together},
};
use crate::{
    delivery::outbox::NewSet,
    domain::{
        id::StreamId, opt_out::OptOut, reason::Reason, set::Origin, subject::keys::SubjectKey,
        time::Timestamp,
    },
    store::{Append, AppendBatch, Appended, Durable, EntryId, Intake, Position, StoreError},
};

/// The most SETs that one script appends.
const CHUNK: usize = 250;

/// SETs by slot: of which event each is, and which of its SETs.
type Places = BTreeMap<Slot, Vec<(usize, usize)>>;

/// The treatment of an event.
enum Admission {
    Duplicate,
    OptedOut,
    /// Its SETs are appended; under the origin that began it, if that is another.
    Goes(Option<Origin>),
}

/// An event of a batch, and how far it got.
struct Entry<'a> {
    event: &'a Append,
    admission: Admission,
    /// Whether each of its SETs found its stream open.
    open: Vec<bool>,
}

#[async_trait]
impl Intake for RedisStore {
    async fn append(
        &self,
        batch: AppendBatch,
        durable: Durable<'_>,
    ) -> Result<Vec<Appended>, StoreError> {
        append(&self.slots, &batch, durable).await
    }

    async fn opted_out(&self, accounts: Vec<SubjectKey>) -> Result<bool, StoreError> {
        accounts::is_any_opted_out(&self.slots, &accounts).await
    }

    async fn position(&self, partition: &str) -> Result<Option<Position>, StoreError> {
        position(&self.slots, partition).await
    }
}

pub(super) async fn append(
    slots: &Slots,
    batch: &AppendBatch,
    durable: Durable<'_>,
) -> Result<Vec<Appended>, StoreError> {
    let mut entries = claim(slots, batch).await?;
    judge_accounts(slots, &mut entries).await?;
    append_sets(slots, &mut entries, batch.now, durable).await?;
    conclude(slots, &entries, batch.position.as_ref()).await?;
    finish(slots, &entries, batch.now).await?;
    Ok(entries.into_iter().map(Entry::appended).collect())
}

impl<'a> Entry<'a> {
    fn new(event: &'a Append) -> Self {
        Self { event, admission: Admission::Goes(None), open: vec![false; event.sets.len()] }
    }

    /// The slot in which it is known, and its name there if its publisher gave it an id.
    fn place(event: &Append) -> (Slot, String) {
        ledger::place_of(&event.provider, event.event_id.as_deref(), &event.origin)
    }

    fn origin(&self) -> &Origin {
        match &self.admission {
            Admission::Goes(Some(first)) => first,
            _ => &self.event.origin,
        }
    }

    /// Whether the event is done with this step.
    fn ends(&self) -> bool {
        match self.admission {
            Admission::Duplicate => false,
            Admission::OptedOut => true,
            Admission::Goes(_) => self.event.step.ends(),
        }
    }

    /// A SET as it is appended.
    fn record(&self, set: &NewSet, now: Timestamp) -> SetEntry {
        match &self.admission {
            Admission::Goes(Some(first)) => SetEntry::new(&set.under(first, now), now),
            _ => SetEntry::new(set, now),
        }
    }

    /// Streams that do not get it as far as the store can tell, and why.
    fn withheld(&self) -> Vec<(&StreamId, Reason)> {
        let all = self.event.sets.iter().map(|set| &set.stream).zip(&self.open);
        match self.admission {
            Admission::Duplicate => Vec::new(),
            Admission::OptedOut => all.map(|(stream, _)| (stream, Reason::OptedOut)).collect(),
            Admission::Goes(_) => all
                .filter(|(_, open)| !**open)
                .map(|(stream, _)| (stream, Reason::Disabled))
                .collect(),
        }
    }

    fn appended(self) -> Appended {
        let sets = self.event.sets.iter().zip(&self.open);
        match self.admission {
            Admission::Duplicate => Appended::Duplicate,
            Admission::OptedOut => Appended::OptedOut { streams: self.event.sets.len() },
            Admission::Goes(_) => {
                let open = sets.filter(|(_, open)| **open);
                Appended::New(open.map(|(set, _)| set.stream.clone()).collect())
            }
        }
    }
}

async fn claim<'a>(slots: &Slots, batch: &'a AppendBatch) -> Result<Vec<Entry<'a>>, StoreError> {
    let mut entries: Vec<_> = batch.events.iter().map(Entry::new).collect();
    let mut by_slot: BTreeMap<Slot, Vec<usize>> = BTreeMap::new();
    for (n, event) in batch.events.iter().enumerate() {
        if event.event_id.is_some() || event.record.is_some() {
            by_slot.entry(Entry::place(event).0).or_default().push(n);
        }
    }
    let calls = by_slot.iter().map(|(slot, events)| {
        let mut call = slots.call(&script::CLAIM, *slot).arg(codec::time(batch.now));
        for event in events.iter().map(|n| &batch.events[*n]) {
            let origin = event.origin.id().simple().to_string();
            call.push((Entry::place(event).1, origin, event.provider.as_str()));
            call.push(ledger::encode(event, &[]).unwrap_or_default());
            call.push(codec::span(event.id_kept_longer));
        }
        slots.run::<Vec<String>>(call)
    });
    let answers = together(calls.collect()).await?;
    for (events, answers) in by_slot.values().zip(answers) {
        for (n, answer) in events.iter().zip(answers) {
            entries[*n].admission = match answer.as_str() {
                "" => Admission::Goes(None),
                "d" => Admission::Duplicate,
                origin => {
                    let origin = Uuid::try_parse(origin).map_err(|_| codec::unreadable("an id"))?;
                    Admission::Goes(Some(Origin::recorded(origin, None)))
                }
            };
        }
    }
    Ok(entries)
}

async fn judge_accounts(slots: &Slots, entries: &mut [Entry<'_>]) -> Result<(), StoreError> {
    let mut asked: Vec<_> = entries
        .iter_mut()
        .filter(|entry| {
            !matches!(entry.admission, Admission::Duplicate) && entry.event.opt_out.is_some()
        })
        .filter(|entry| entry.event.step.begins())
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let mut call = slots.call_shared(&script::JUDGE_ACCOUNTS);
    for opt_out in asked.iter().filter_map(|entry| entry.event.opt_out.as_ref()) {
        accounts::push(&mut call, opt_out);
    }
    let kept: String = slots.run(call).await?;
    for (entry, kept) in asked.iter_mut().zip(kept.bytes()) {
        if kept == b'1' {
            entry.admission = Admission::OptedOut;
        }
    }
    Ok(())
}

async fn append_sets(
    slots: &Slots,
    entries: &mut [Entry<'_>],
    now: Timestamp,
    durable: Durable<'_>,
) -> Result<(), StoreError> {
    let by_slot = places(entries);
    let all = &*entries;
    let each = by_slot.iter().map(async |(slot, places)| {
        let mut open = Vec::with_capacity(places.len());
        // One behind the other, since the order of a lane is that of appending.
        for places in places.chunks(CHUNK) {
            let mut call = slots.call(&script::APPEND, *slot).arg(codec::time(now));
            for (n, m) in places {
                let set = &all[*n].event.sets[*m];
                let record = all[*n].record(set, now);
                call.push((set.stream.as_str(), record.jti.as_str()));
                call.push((codec::set::kind(set.kind), codec::set::lane(set.lane)));
                call.push(record.encode());
            }
            let answer: String = slots.run(call).await?;
            open.extend(answer.bytes().map(|letter| letter == b'1'));
        }
        Ok::<_, StoreError>(open)
    });
    let answers = together(each.collect()).await?;
    let mut streams = BTreeSet::new();
    for ((n, m), open) in by_slot.values().flatten().zip(answers.into_iter().flatten()) {
        entries[*n].open[*m] = open;
        if open {
            streams.insert(&entries[*n].event.sets[*m].stream);
        }
    }
    durable(&streams.into_iter().cloned().collect::<Vec<_>>());
    Ok(())
}

/// All SETs that are to be appended.
fn places(entries: &[Entry<'_>]) -> Places {
    let mut by_slot = Places::new();
    for (n, entry) in entries.iter().enumerate() {
        if matches!(entry.admission, Admission::Goes(_)) {
            for (m, set) in entry.event.sets.iter().enumerate() {
                by_slot.entry(Slot::of(&[set.stream.as_str()])).or_default().push((n, m));
            }
        }
    }
    by_slot
}

async fn conclude(
    slots: &Slots,
    entries: &[Entry<'_>],
    position: Option<&(String, Position)>,
) -> Result<(), StoreError> {
    let choices: Vec<_> = entries
        .iter()
        .filter(|entry| entry.ends())
        .filter_map(|entry| entry.event.opt_out.as_ref())
        .filter(|opt_out| !matches!(opt_out, OptOut::Respected(_)))
        .collect();
    if choices.is_empty() && position.is_none() {
        return Ok(());
    }
    let (partition, position) = match position {
        Some((partition, position)) => (partition.as_str(), encode_position(position)),
        None => ("", String::new()),
    };
    let mut call = slots.call_shared(&script::CONCLUDE).arg(partition).arg(position);
    for opt_out in choices {
        accounts::push(&mut call, opt_out);
    }
    slots.run(call).await
}

async fn finish(slots: &Slots, entries: &[Entry<'_>], now: Timestamp) -> Result<(), StoreError> {
    let mut by_slot: BTreeMap<Slot, Vec<_>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.ends()) {
        let withheld = entry.withheld();
        let record = Some(withheld).filter(|withheld| !withheld.is_empty());
        let record = record.and_then(|withheld| ledger::encode(entry.event, &withheld));
        if entry.event.event_id.is_some() || record.is_some() {
            let (slot, id) = Entry::place(entry.event);
            let origin = entry.origin().id().simple().to_string();
            by_slot.entry(slot).or_default().push((id, origin, record.unwrap_or_default()));
        }
    }
    let calls = by_slot.into_iter().map(|(slot, events)| {
        let mut call = slots.call(&script::FINISH, slot).arg(codec::time(now));
        call.push_all(events);
        slots.run::<()>(call)
    });
    together(calls.collect()).await.map(|_| ())
}

/// In digits of fixed width, so that the later is the greater text.
pub(super) fn encode_position(
    Position { epoch, entry: EntryId { millis, number } }: &Position,
) -> String {
    format!("{epoch:010}{millis:020}{number:020}")
}

pub(super) async fn position(
    slots: &Slots,
    partition: &str,
) -> Result<Option<Position>, StoreError> {
    let call = slots.call_shared(&script::POSITION).arg(partition);
    let record: Option<Vec<u8>> = slots.run(call).await?;
    record.as_deref().map(decode_position).transpose()
}

pub(super) fn decode_position(record: &[u8]) -> Result<Position, StoreError> {
    let mut parts = Parts::of(record, "a position")?;
    let epoch = parts.number(10)?;
    let entry = EntryId { millis: parts.number(20)?, number: parts.number(20)? };
    Ok(Position { epoch, entry })
}
