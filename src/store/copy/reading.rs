//! Reads a store, some items at a time.

use std::collections::BTreeMap;

use super::{PAGE, tally::Tallies};
use crate::{
    delivery::outbox::{Seq, SetKind},
    domain::{id::StreamId, reason::Reason, stream::StreamConfig},
    store::{
        StoreError,
        archive::{PageToken, SetState},
        portable::{Apart, Item, Portable, WholeSet},
    },
};

/// Returns the configurations of all streams.
pub(super) async fn streams(
    store: &dyn Portable,
) -> Result<BTreeMap<StreamId, StreamConfig>, StoreError> {
    let streams = store.streams().await?.into_iter();
    Ok(streams.map(|config| (config.id.clone(), config)).collect())
}

/// Reads the items of a group page by page.
pub(super) struct Pages<'a> {
    store: &'a dyn Portable,
    group: Apart,
    after: Option<PageToken>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn of(store: &'a dyn Portable, group: Apart) -> Self {
        Self { store, group, after: None, is_over: false }
    }

    /// Returns the next page, or `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Item>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.store.items(self.group, self.after.take(), PAGE).await?;
        self.is_over = page.next.is_none();
        self.after = page.next;
        Ok(Some(page.items))
    }
}

/// Reads one stream with all that belongs to it.
pub(super) struct StreamReader<'a> {
    store: &'a dyn Portable,
    stream: StreamConfig,
    next: Next,
}

enum Next {
    Stream,
    List(Option<PageToken>),
    /// The numbers of the SETs, and how many of the SETs were read.
    Sets(Vec<Seq>, usize),
}

impl<'a> StreamReader<'a> {
    pub(super) fn new(store: &'a dyn Portable, stream: StreamConfig) -> Self {
        Self { store, stream, next: Next::Stream }
    }

    /// Returns the next items, or none at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<Item>, StoreError> {
        let mut records = Vec::new();
        while records.len() < PAGE {
            match &mut self.next {
                Next::Stream => {
                    records.push(Item::Stream(Box::new(self.stream.clone())));
                    let own = self.store.records_of_stream(&self.stream.id).await?;
                    records.extend(own.into_iter().map(|one| Item::Record(Box::new(one))));
                    self.next = Next::List(None);
                }
                Next::List(after) => {
                    let after = after.take();
                    let page = self.store.list_rows(&self.stream, after, PAGE).await?;
                    records.extend(page.items);
                    self.next = match page.next {
                        Some(after) => Next::List(Some(after)),
                        None => Next::Sets(self.store.set_numbers(&self.stream.id).await?, 0),
                    };
                }
                Next::Sets(numbers, read) => {
                    let some: Vec<_> = numbers.iter().skip(*read).take(PAGE).copied().collect();
                    if some.is_empty() {
                        break;
                    }
                    *read += some.len();
                    let sets = self.store.numbered_sets(&self.stream.id, some).await?;
                    let sets = sets.into_iter().map(|set| self.judged(set));
                    records.extend(sets.map(|set| Item::Set(Box::new(set))));
                }
            }
        }
        Ok(records)
    }

    /// Treats the unsettled SETs of a disabled stream as discarded, even if that was not done yet,
    /// because a store that discards in several steps may have been interrupted.
    fn judged(&self, mut set: WholeSet) -> WholeSet {
        let waits = matches!(set.state, SetState::Waiting { .. });
        if waits && set.kind != SetKind::Announcement && self.stream.status.discards() {
            set.state =
                SetState::Discarded { at: set.appended_at, reason: Reason::Disabled.into() };
            (set.claims, set.identifiers) = (None, None);
        }
        set
    }

    /// Reads the stream to its end and returns the tallies.
    pub(super) async fn tallied(mut self) -> Result<Tallies, StoreError> {
        let (mut tallies, mut place) = (Tallies::default(), 0);
        loop {
            let records = self.next().await?;
            if records.is_empty() {
                return Ok(tallies);
            }
            for record in &records {
                tallies.add(record, place);
                place += u64::from(matches!(record, Item::Set(_)));
            }
        }
    }
}
