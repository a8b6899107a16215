//! The contents of a store as items that every store understands, so that a store can be
//! [copied](super::copy) into another one. Numbers that a store gives by itself are not among them,
//! because only their order says something.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    Position, StoreError, Streams,
    archive::{PageToken, SetState},
    ledger::RecordedEvent,
    records::{BelongsTo, RawRecord, Records},
};
use crate::{
    delivery::{
        lane::Lane,
        outbox::{Seq, SetKind},
    },
    domain::{
        id::{Jti, ProviderName, StreamId},
        stream::StreamConfig,
        subject::keys::{SubjectKey, SubjectShape},
        time::Timestamp,
    },
};

/// Kinds of items, in the order in which they are compared and reported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKind {
    Streams,
    /// Rows of their lists of subjects.
    Subjects,
    /// SETs of theirs, by state.
    Waiting,
    Dead,
    Sent,
    Discarded,
    /// Records of one kind that belong to streams.
    StreamRecords(Arc<str>),
    /// All other records of one kind.
    Records(Arc<str>),
    Apart(Apart),
}

/// Groups of items that belong to no stream. A copy writes a group as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Apart {
    /// Records of all kinds, also of kinds that this version does not know.
    Records,
    OptOuts,
    EventIds,
    Events,
    Positions,
    Marks,
}

impl Apart {
    pub const ALL: [Self; 6] =
        [Self::Records, Self::OptOuts, Self::EventIds, Self::Events, Self::Positions, Self::Marks];

    /// Returns the name for machines, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::OptOuts => "opt_outs",
            Self::EventIds => "event_ids",
            Self::Events => "events",
            Self::Positions => "positions",
            Self::Marks => "marks",
        }
    }
}

impl ItemKind {
    /// Returns the kinds that are reported even where there are none. Further kinds of records are
    /// reported where there are any.
    pub fn always() -> impl Iterator<Item = Self> {
        let of_streams =
            [Self::Streams, Self::Subjects, Self::Waiting, Self::Dead, Self::Sent, Self::Discarded];
        let records = ["clients", "tokens"].map(|kind| Self::Records(kind.into()));
        let apart = Apart::ALL.into_iter().filter(|group| *group != Apart::Records);
        of_streams.into_iter().chain(records).chain(apart.map(Self::Apart))
    }

    /// Returns the group that the kind is written with, unless it belongs to streams.
    pub fn group(&self) -> Option<Apart> {
        match self {
            Self::Records(_) => Some(Apart::Records),
            Self::Apart(group) => Some(*group),
            _ => None,
        }
    }

    /// Returns the name for machines, in lower case.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Streams => "streams",
            Self::Subjects => "subjects",
            Self::Waiting => "sets_waiting",
            Self::Dead => "sets_dead",
            Self::Sent => "sets_sent",
            Self::Discarded => "sets_discarded",
            Self::StreamRecords(kind) | Self::Records(kind) => kind,
            Self::Apart(group) => group.as_str(),
        }
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Streams => "streams",
            Self::Subjects => "subjects on their lists",
            Self::Waiting => "SETs that wait",
            Self::Dead => "dead letters",
            Self::Sent => "SETs that were sent",
            Self::Discarded => "SETs that were discarded",
            Self::StreamRecords(kind) | Self::Records(kind) => kind,
            Self::Apart(Apart::Records) => "records",
            Self::Apart(Apart::OptOuts) => "identifiers that opted out",
            Self::Apart(Apart::EventIds) => "publishers' event ids",
            Self::Apart(Apart::Events) => "recorded events",
            Self::Apart(Apart::Positions) => "positions of readers",
            Self::Apart(Apart::Marks) => "marks of time",
        })
    }
}

/// One thing that a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Stream(Box<StreamConfig>),
    Subject(ListRow),
    Set(Box<WholeSet>),
    Record(Box<RawRecord>),
    OptOut { identifier: SubjectKey, account: SubjectKey },
    EventId(EventId),
    Event(Box<RecordedEvent>),
    Position { partition: String, position: Position },
    Marks(Marks),
}

/// An entry of a stream's list, under one of the keys that it is filed under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRow {
    pub provider: ProviderName,
    pub stream: StreamId,
    pub entry: SubjectKey,
    pub filed: SubjectKey,
    /// The entry holds from this time until `until`.
    pub since: Timestamp,
    pub until: Option<Timestamp>,
    /// The shape of complex subjects that `filed` stands for, if it does.
    pub shape: Option<SubjectShape>,
}

/// A SET in any state, with everything that is stored of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeSet {
    pub stream: StreamId,
    pub jti: Jti,
    /// The `jti` of the SET that this one repeats under another.
    pub copy_of: Option<Jti>,
    pub kind: SetKind,
    pub lane: Lane,
    /// `None` if the SET was discarded.
    pub claims: Option<Arc<str>>,
    /// The identifiers, as in a [`NewSet`](crate::delivery::outbox::NewSet).
    pub identifiers: Option<Arc<str>>,
    pub accepted_at: Timestamp,
    pub appended_at: Timestamp,
    pub attempts: u32,
    pub state: SetState,
}

/// A publisher's id of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventId {
    pub provider: ProviderName,
    pub event_id: String,
    /// When its last event was accepted.
    pub at: Timestamp,
    /// The origin of that event, if it is known.
    pub origin: Option<Uuid>,
    /// The event was not appended completely. Another event with the id completes it.
    pub begun: bool,
    /// By how much longer than others the id is remembered.
    pub kept_longer: Duration,
}

/// Times that a store keeps once and that are no records, because expiry sets them in its own step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// A publisher's id that is older than this may be used again.
    pub ids_before: Option<Timestamp>,
}

/// Some of the items that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemPage {
    pub items: Vec<Item>,
    /// `None` on the last page.
    pub next: Option<PageToken>,
}

impl Item {
    pub fn kind(&self) -> ItemKind {
        match self {
            Self::Stream(_) => ItemKind::Streams,
            Self::Subject(_) => ItemKind::Subjects,
            Self::Set(set) => match set.state {
                SetState::Waiting { .. } => ItemKind::Waiting,
                SetState::Dead { .. } => ItemKind::Dead,
                SetState::Sent { .. } => ItemKind::Sent,
                SetState::Discarded { .. } => ItemKind::Discarded,
            },
            Self::Record(record) => {
                let kind = record.name.kind.as_str().into();
                match record.belongs_to {
                    BelongsTo::Stream(_) => ItemKind::StreamRecords(kind),
                    BelongsTo::Record(_) | BelongsTo::Nothing => ItemKind::Records(kind),
                }
            }
            Self::OptOut { .. } => ItemKind::Apart(Apart::OptOuts),
            Self::EventId(_) => ItemKind::Apart(Apart::EventIds),
            Self::Event(_) => ItemKind::Apart(Apart::Events),
            Self::Position { .. } => ItemKind::Apart(Apart::Positions),
            Self::Marks(_) => ItemKind::Apart(Apart::Marks),
        }
    }
}

/// A store whose contents can be read and written as they are. Nobody else may write into it meanwhile,
/// so no daemon serves from it.
#[async_trait]
pub trait Portable: Records + Streams {
    /// Returns items of a group, about `limit` of them and each once, in an order of the store's own.
    async fn items(
        &self,
        group: Apart,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<ItemPage, StoreError>;

    /// Returns the list of one stream, in the same way.
    async fn list_rows(
        &self,
        stream: &StreamConfig,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<ItemPage, StoreError>;

    /// Returns the numbers of all SETs of a stream, in order. They take 8 bytes each.
    async fn set_numbers(&self, stream: &StreamId) -> Result<Vec<Seq>, StoreError>;

    /// Returns SETs by their numbers, in the order of the numbers. A SET that is gone is left out.
    async fn numbered_sets(
        &self,
        stream: &StreamId,
        numbers: Vec<Seq>,
    ) -> Result<Vec<WholeSet>, StoreError>;

    /// Writes items. Each stream comes before what belongs to it, and neither the stream nor anything of
    /// it is there yet; its SETs come in order. Writing an item again changes nothing.
    async fn put(&self, items: Vec<Item>) -> Result<(), StoreError>;

    /// Removes all items of a group.
    async fn clear(&self, group: Apart) -> Result<(), StoreError>;

    /// Marks the store as one that lacks something because it is being copied into, or as complete. A
    /// store that lacks something cannot be opened to serve from it.
    async fn set_incomplete(&self, incomplete: bool) -> Result<(), StoreError>;
}
