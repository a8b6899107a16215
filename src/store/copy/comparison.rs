//! The comparison of two stores.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    AT_ONCE, CopyError, CopyStep, Progress, Tell,
    reading::{Pages, StreamReader, streams},
    tally::Tallies,
};
use crate::{
    domain::{id::StreamId, stream::StreamConfig},
    store::{
        Position, StoreError,
        portable::{Apart, Item, ItemKind, Portable},
    },
};

/// The contents of two stores in numbers and digests, and their differences.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    pub source: Tallies,
    pub target: Tallies,
    /// Streams of the source that are missing or different in the target, in the order of their ids.
    pub(super) differing: Vec<Differing>,
    /// Streams that only the target has.
    pub(super) others: Vec<StreamId>,
    /// Whether a partition was read further in the target than in the source.
    is_ahead: bool,
}

/// A stream of the source that is missing or different in the target.
#[derive(Debug, Clone)]
pub(super) struct Differing {
    pub(super) stream: StreamId,
    difference: Difference,
    /// How many items belong to the stream in the source, with the stream itself.
    records: u64,
}

/// The first kind of items that differs, of a stream or of the items that belong to none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub kind: ItemKind,
    pub stream: Option<StreamId>,
    /// How many items of the kind there are.
    pub source: u64,
    pub target: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, stream, source, target } = self;
        write!(f, "{kind} differ")?;
        if let Some(stream) = stream {
            write!(f, ", first those of {stream}")?;
        }
        write!(f, ": {source} in the source, {target} in the target")?;
        if source == target { write!(f, ", and not the same ones") } else { Ok(()) }
    }
}

impl Difference {
    fn of(here: &Tallies, there: &Tallies) -> Option<Self> {
        let kind = here.differs(there)?;
        let (source, target) = (here.of(&kind).count, there.of(&kind).count);
        Some(Self { kind, stream: None, source, target })
    }
}

impl Comparison {
    /// Returns the first difference, or `None` if both stores hold the same.
    pub fn difference(&self) -> Option<Difference> {
        if let Some(first) = self.differing.first() {
            return Some(first.difference.clone());
        }
        Difference::of(&self.source, &self.target).map(|difference| Difference {
            stream: self.others.first().filter(|_| difference.kind == ItemKind::Streams).cloned(),
            ..difference
        })
    }

    /// Returns the reason why the target should not be overwritten, if there is one.
    pub fn objection(&self) -> Option<CopyError> {
        if let Some(first) = self.others.first() {
            let (count, first) = (self.others.len(), first.clone());
            return Some(CopyError::OtherStreams { count, first });
        }
        let newer = self.is_ahead || self.source.newest < self.target.newest;
        newer.then_some(CopyError::Newer)
    }

    /// Returns how many streams a copy writes.
    pub fn streams_to_write(&self) -> usize {
        self.differing.len()
    }

    pub fn streams_to_remove(&self) -> usize {
        self.others.len()
    }

    /// Returns how many items a copy writes.
    pub fn records_to_write(&self) -> u64 {
        let apart = Apart::ALL.into_iter().filter(|group| self.differs_in(*group));
        let apart: u64 = apart.map(|group| self.source.count_of(group)).sum();
        apart + self.differing.iter().map(|differing| differing.records).sum::<u64>()
    }

    /// Returns all kinds of which there is something, and those that are always reported.
    pub fn kinds(&self) -> BTreeSet<ItemKind> {
        let found = self.source.kinds().chain(self.target.kinds());
        found.cloned().chain(ItemKind::always()).collect()
    }

    /// Tells whether a copy writes this group anew.
    pub(super) fn differs_in(&self, group: Apart) -> bool {
        let of_group = self.kinds().into_iter().filter(|kind| kind.group() == Some(group));
        of_group.into_iter().any(|kind| self.source.of(&kind) != self.target.of(&kind))
    }

    fn add(&mut self, stream: &StreamId, here: Option<&Tallies>, there: Option<&Tallies>) {
        let nothing = Tallies::default();
        let there = there.unwrap_or(&nothing);
        self.target.merge(there);
        let Some(here) = here else { return self.others.push(stream.clone()) };
        self.source.merge(here);
        if let Some(difference) = Difference::of(here, there) {
            self.differing.push(Differing {
                stream: stream.clone(),
                difference: Difference { stream: Some(stream.clone()), ..difference },
                records: here.count(),
            });
        }
    }
}

/// Reads both stores to their end.
pub async fn compare(
    source: &dyn Portable,
    target: &dyn Portable,
    step: CopyStep,
    tell: Tell<'_>,
) -> Result<Comparison, CopyError> {
    let here = streams(source).await.map_err(CopyError::Source)?;
    let there = streams(target).await.map_err(CopyError::Target)?;
    let ids: BTreeSet<_> = here.keys().chain(there.keys()).collect();
    let tallied = ids.iter().map(|id| async {
        let here = tallied(source, here.get(*id)).await.map_err(CopyError::Source)?;
        let there = tallied(target, there.get(*id)).await.map_err(CopyError::Target)?;
        Ok::<_, CopyError>((*id, here, there))
    });
    let mut tallied = stream::iter(tallied).buffered(AT_ONCE);
    let (mut comparison, mut done, of) = (Comparison::default(), 0, ids.len() as u64);
    tell(Progress { step, done, of });
    while let Some((id, here, there)) = tallied.try_next().await? {
        comparison.add(id, here.as_ref(), there.as_ref());
        done += 1;
        tell(Progress { step, done, of });
    }
    for kind in Apart::ALL {
        add_apart(source, kind, &mut comparison.source).await.map_err(CopyError::Source)?;
        add_apart(target, kind, &mut comparison.target).await.map_err(CopyError::Target)?;
    }
    let here = positions(source).await.map_err(CopyError::Source)?;
    let there = positions(target).await.map_err(CopyError::Target)?;
    comparison.is_ahead = there.iter().any(|(partition, there)| {
        let here = here.get(partition);
        here.is_some_and(|here| (here.epoch, here.entry) < (there.epoch, there.entry))
    });
    Ok(comparison)
}

async fn tallied(
    store: &dyn Portable,
    stream: Option<&StreamConfig>,
) -> Result<Option<Tallies>, StoreError> {
    match stream {
        Some(stream) => StreamReader::new(store, stream.clone()).tallied().await.map(Some),
        None => Ok(None),
    }
}

async fn add_apart(
    store: &dyn Portable,
    kind: Apart,
    tallies: &mut Tallies,
) -> Result<(), StoreError> {
    let mut pages = Pages::of(store, kind);
    while let Some(records) = pages.next().await? {
        for record in &records {
            tallies.add(record, 0);
        }
    }
    Ok(())
}

/// Reads the positions of all partitions, of which there are few.
async fn positions(store: &dyn Portable) -> Result<BTreeMap<String, Position>, StoreError> {
    let (mut pages, mut positions) = (Pages::of(store, Apart::Positions), BTreeMap::new());
    while let Some(records) = pages.next().await? {
        for record in records {
            if let Item::Position { partition, position } = record {
                positions.insert(partition, position);
            }
        }
    }
    Ok(positions)
}
