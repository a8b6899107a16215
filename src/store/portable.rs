//! What a store holds, in words that every store understands, so that one can be [copied](super::copy)
//! into another. Numbers that a store gives by itself are not among them: what they say is the order.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    Activity, Position, StoreError, Streams,
    archive::{PageToken, SetState},
    ledger::RecordedEvent,
};
use crate::{
    delivery::{
        lane::Lane,
        outbox::{Seq, SetKind},
    },
    domain::{
        client::Client,
        grant::Grant,
        id::{ClientId, Jti, ProviderName, StreamId},
        stream::StreamConfig,
        subject::keys::{SubjectKey, SubjectShape},
        time::Timestamp,
    },
};

/// What records are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Streams,
    /// Rows of their lists of subjects.
    Subjects,
    /// SETs of theirs, by what became of them.
    Waiting,
    Dead,
    Sent,
    Discarded,
    Apart(Apart),
}

/// What belongs to no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Apart {
    Clients,
    /// After clients, some of whose they are.
    Tokens,
    OptOuts,
    EventIds,
    Events,
    Positions,
    Marks,
}

impl Apart {
    pub const ALL: [Self; 7] = [
        Self::Clients,
        Self::Tokens,
        Self::OptOuts,
        Self::EventIds,
        Self::Events,
        Self::Positions,
        Self::Marks,
    ];
}

impl Kind {
    pub const OF_STREAMS: [Self; 6] =
        [Self::Streams, Self::Subjects, Self::Waiting, Self::Dead, Self::Sent, Self::Discarded];

    pub fn all() -> impl Iterator<Item = Self> {
        Self::OF_STREAMS.into_iter().chain(Apart::ALL.map(Self::Apart))
    }

    /// In lower case, for machines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Subjects => "subjects",
            Self::Waiting => "sets_waiting",
            Self::Dead => "sets_dead",
            Self::Sent => "sets_sent",
            Self::Discarded => "sets_discarded",
            Self::Apart(Apart::Clients) => "clients",
            Self::Apart(Apart::Tokens) => "tokens",
            Self::Apart(Apart::OptOuts) => "opt_outs",
            Self::Apart(Apart::EventIds) => "event_ids",
            Self::Apart(Apart::Events) => "events",
            Self::Apart(Apart::Positions) => "positions",
            Self::Apart(Apart::Marks) => "marks",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Streams => "streams",
            Self::Subjects => "subjects on their lists",
            Self::Waiting => "SETs that wait",
            Self::Dead => "dead letters",
            Self::Sent => "SETs that were sent",
            Self::Discarded => "SETs that were discarded",
            Self::Apart(Apart::Clients) => "clients",
            Self::Apart(Apart::Tokens) => "tokens",
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
pub enum Record {
    Stream(Box<StreamRecord>),
    Subject(ListRow),
    Set(Box<SetRecord>),
    Client(Client),
    Token { grant: Grant, client: Option<ClientId> },
    OptOut { identifier: SubjectKey, account: SubjectKey },
    EventId(EventId),
    Event(Box<RecordedEvent>),
    Position { partition: String, position: Position },
    Marks(Marks),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    pub config: StreamConfig,
    /// When it was last active, if that was recorded.
    pub active_at: Option<Timestamp>,
}

/// An entry of a stream's list, under one of the keys that it is filed under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRow {
    pub provider: ProviderName,
    pub stream: StreamId,
    pub entry: SubjectKey,
    pub filed: SubjectKey,
    /// It holds from then on, and before `until`.
    pub since: Timestamp,
    pub until: Option<Timestamp>,
    /// If `filed` stands for the shape of complex subjects.
    pub shape: Option<SubjectShape>,
}

/// A SET in whatever state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetRecord {
    pub stream: StreamId,
    pub jti: Jti,
    /// The `jti` of the SET that this one repeats under another.
    pub copy_of: Option<Jti>,
    pub kind: SetKind,
    pub lane: Lane,
    /// `None` once it was discarded.
    pub claims: Option<Arc<str>>,
    /// As in a [`NewSet`](crate::delivery::outbox::NewSet).
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
    /// Of that event, where it is known.
    pub origin: Option<Uuid>,
    /// The event was not appended to its end: another one with the id completes it.
    pub begun: bool,
}

/// Times that a store keeps once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// Before when a publisher's id may come again.
    pub ids_before: Option<Timestamp>,
    /// Until when all activity was recorded.
    pub activity_recorded_at: Option<Timestamp>,
}

/// Some records of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPage {
    pub records: Vec<Record>,
    /// `None` on the last page.
    pub next: Option<PageToken>,
}

impl Record {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Stream(_) => Kind::Streams,
            Self::Subject(_) => Kind::Subjects,
            Self::Set(set) => match set.state {
                SetState::Waiting { .. } => Kind::Waiting,
                SetState::Dead { .. } => Kind::Dead,
                SetState::Sent { .. } => Kind::Sent,
                SetState::Discarded { .. } => Kind::Discarded,
            },
            Self::Client(_) => Kind::Apart(Apart::Clients),
            Self::Token { .. } => Kind::Apart(Apart::Tokens),
            Self::OptOut { .. } => Kind::Apart(Apart::OptOuts),
            Self::EventId(_) => Kind::Apart(Apart::EventIds),
            Self::Event(_) => Kind::Apart(Apart::Events),
            Self::Position { .. } => Kind::Apart(Apart::Positions),
            Self::Marks(_) => Kind::Apart(Apart::Marks),
        }
    }
}

/// A store whose contents can be read and written as they are. Nobody else writes into it meanwhile:
/// no daemon serves from it.
#[async_trait]
pub trait Portable: Activity + Streams {
    /// Records of a kind, about `limit` of them and each once, in an order of the store's own.
    async fn records(
        &self,
        kind: Apart,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<RecordPage, StoreError>;

    /// The list of one stream, in the same way.
    async fn list_rows(
        &self,
        stream: &StreamConfig,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<RecordPage, StoreError>;

    /// The numbers of all SETs of a stream, in order: 8 bytes for each.
    async fn set_numbers(&self, stream: &StreamId) -> Result<Vec<Seq>, StoreError>;

    /// SETs by their numbers, in the order of these; one that is gone is left out.
    async fn numbered_sets(
        &self,
        stream: &StreamId,
        numbers: Vec<Seq>,
    ) -> Result<Vec<SetRecord>, StoreError>;

    /// Writes records. Each stream comes before what belongs to it and is not there yet, nor is
    /// anything of it; its SETs come in order. To write a record again changes nothing.
    async fn put(&self, records: Vec<Record>) -> Result<(), StoreError>;

    /// Removes all records of a kind; with clients all tokens.
    async fn clear(&self, kind: Apart) -> Result<(), StoreError>;

    /// Says that the store is written into and lacks something, or that it has all. One that lacks
    /// something cannot be opened to serve from it.
    async fn set_incomplete(&self, incomplete: bool) -> Result<(), StoreError>;
}
