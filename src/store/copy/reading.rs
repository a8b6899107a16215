//! Reads a store, some records at a time.

use std::collections::BTreeMap;

use super::{PAGE, tally::Tallies};
use crate::{
    delivery::outbox::{Seq, SetKind},
    domain::{id::StreamId, reason::Reason},
    store::{
        StoreError,
        archive::{PageToken, SetState},
        portable::{Apart, Portable, Record, SetRecord, StreamRecord},
    },
};

/// All streams, without what belongs to them.
pub(super) async fn streams(
    store: &dyn Portable,
) -> Result<BTreeMap<StreamId, StreamRecord>, StoreError> {
    let mut active: BTreeMap<_, _> = store.activity().await?.last.into_iter().collect();
    let streams = store.streams().await?.into_iter().map(|config| {
        let active_at = active.remove(&config.id);
        (config.id.clone(), StreamRecord { config, active_at })
    });
    Ok(streams.collect())
}

/// All records of a kind that belong to no stream, page by page.
pub(super) struct Pages<'a> {
    store: &'a dyn Portable,
    kind: Apart,
    after: Option<PageToken>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn of(store: &'a dyn Portable, kind: Apart) -> Self {
        Self { store, kind, after: None, is_over: false }
    }

    /// `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Record>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.store.records(self.kind, self.after.take(), PAGE).await?;
        self.is_over = page.next.is_none();
        self.after = page.next;
        Ok(Some(page.records))
    }
}

/// One stream with all that belongs to it, and how far it was read.
pub(super) struct Reading<'a> {
    store: &'a dyn Portable,
    stream: StreamRecord,
    next: Next,
}

enum Next {
    Stream,
    List(Option<PageToken>),
    /// SETs by their numbers; of which so many were read.
    Sets(Vec<Seq>, usize),
}

impl<'a> Reading<'a> {
    pub(super) fn new(store: &'a dyn Portable, stream: StreamRecord) -> Self {
        Self { store, stream, next: Next::Stream }
    }

    /// Nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        while records.len() < PAGE {
            match &mut self.next {
                Next::Stream => {
                    records.push(Record::Stream(Box::new(self.stream.clone())));
                    self.next = Next::List(None);
                }
                Next::List(after) => {
                    let after = after.take();
                    let page = self.store.list_rows(&self.stream.config, after, PAGE).await?;
                    records.extend(page.records);
                    self.next = match page.next {
                        Some(after) => Next::List(Some(after)),
                        None => {
                            Next::Sets(self.store.set_numbers(&self.stream.config.id).await?, 0)
                        }
                    };
                }
                Next::Sets(numbers, read) => {
                    let some: Vec<_> = numbers.iter().skip(*read).take(PAGE).copied().collect();
                    if some.is_empty() {
                        break;
                    }
                    *read += some.len();
                    let sets = self.store.numbered_sets(&self.stream.config.id, some).await?;
                    let sets = sets.into_iter().map(|set| self.judged(set));
                    records.extend(sets.map(|set| Record::Set(Box::new(set))));
                }
            }
        }
        Ok(records)
    }

    /// What a disabled stream has waiting is as good as discarded, though that was not done yet: a
    /// store that does it in several steps may have broken off.
    fn judged(&self, mut set: SetRecord) -> SetRecord {
        let waits = matches!(set.state, SetState::Waiting { .. });
        if waits && set.kind != SetKind::Announcement && self.stream.config.status.discards() {
            set.state =
                SetState::Discarded { at: set.appended_at, reason: Reason::Disabled.into() };
            (set.claims, set.identifiers) = (None, None);
        }
        set
    }

    /// What there is of the stream, read to its end.
    pub(super) async fn tallied(mut self) -> Result<Tallies, StoreError> {
        let (mut tallies, mut place) = (Tallies::default(), 0);
        loop {
            let records = self.next().await?;
            if records.is_empty() {
                return Ok(tallies);
            }
            for record in &records {
                tallies.add(record, place);
                place += u64::from(matches!(record, Record::Set(_)));
            }
        }
    }
}
