//! Incoming events with the SETs that they become, and how far their publishers were read.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::{
    delivery::outbox::NewSet,
    domain::{
        id::{ProviderName, StreamId},
        opt_out::OptOut,
        set::Origin,
        subject::keys::SubjectKey,
        time::Timestamp,
    },
    store::ledger::EventRecord,
};

/// Events that come in.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Makes a step durable. Idempotent: a SET whose `jti` the outbox has is left as it is. An
    /// event goes into a stream that is enabled or paused, judged in the same step; for any other
    /// it is left out. Accounts opt out and in as the batch has it, each event judged by those
    /// before it. The position is behind the batch once all else of it is durable. An event whose
    /// append broke off is none that was: it is appended again, under whichever origin it comes.
    ///
    /// A batch is one step: the caller cuts events for many streams into several ([`Step`]), and other
    /// calls are served in between. `durable` is told of the streams that have something of it as soon
    /// as the SETs are durable, even if what follows fails.
    async fn append(
        &self,
        batch: AppendBatch,
        durable: Durable<'_>,
    ) -> Result<Vec<Appended>, StoreError>;

    /// Whether one of these accounts is opted out (RISC §2.8).
    async fn opted_out(&self, accounts: Vec<SubjectKey>) -> Result<bool, StoreError>;

    /// Where the reader of a partition stands; `None` if it never read.
    async fn position(&self, partition: &str) -> Result<Option<Position>, StoreError>;
}

/// The position to which a partition was read. All entries up to it were appended or rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Grows when the publisher's Redis starts over with lower entry ids, as after a flush. Entries of an
    /// earlier epoch are then no measure for those that come.
    pub epoch: u32,
    pub entry: EntryId,
}

/// The id of a Redis stream entry, `<milliseconds>-<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryId {
    pub millis: u64,
    pub number: u64,
}

impl EntryId {
    /// When it was added, if its id was not chosen by whoever added it.
    pub fn time(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.millis).unwrap_or(i64::MAX))
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl std::str::FromStr for EntryId {
    type Err = std::num::ParseIntError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let (millis, number) = raw.split_once('-').unwrap_or((raw, "0"));
        Ok(Self { millis: millis.parse()?, number: number.parse()? })
    }
}

/// The most SETs that are appended in one step. Other calls of the store are served between two steps.
pub const STEP_MAX: usize = 500;

/// The part of its event that an [`Append`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// All of it.
    Whole,
    First,
    Middle,
    Last,
}

impl Step {
    pub fn begins(self) -> bool {
        matches!(self, Self::Whole | Self::First)
    }

    pub fn ends(self) -> bool {
        matches!(self, Self::Whole | Self::Last)
    }
}

/// One event with the SETs that came of it, or a part of them.
#[derive(Debug, Clone)]
pub struct Append {
    pub provider: ProviderName,
    /// The identity of the event. If an event is appended again, for example after an error, the
    /// store continues where it broke off.
    pub origin: Origin,
    /// The publisher's id: a second event with it, within the store's window, is a duplicate.
    pub event_id: Option<String>,
    /// By how much longer than others the id is remembered.
    pub id_kept_longer: Duration,
    /// One for each stream that the event matched; may be empty.
    pub sets: Vec<NewSet>,
    /// The effect of the event on its account's choice to opt out (RISC §2.8), if any.
    pub opt_out: Option<OptOut>,
    /// The ledger's record of the event, if one is kept.
    pub record: Option<EventRecord>,
    /// Each part of an event has the same origin, publisher's id and choice, and is appended once the
    /// part before it is durable. The record counts where the event begins and where it ends.
    pub step: Step,
}

/// Events that are appended together, in this order.
#[derive(Debug, Clone, Default)]
pub struct AppendBatch {
    pub events: Vec<Append>,
    /// Where the reader of a partition stands once this batch is in; the partition's name first.
    pub position: Option<(String, Position)>,
    pub now: Timestamp,
}

/// Is told of streams that have something new, as soon as that is durable.
pub type Durable<'a> = &'a (dyn Fn(&[StreamId]) + Send + Sync);

/// The result of one event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Durable in the outbox of these streams. A stream that was disabled or deleted meanwhile is
    /// not among them.
    New(Vec<StreamId>),
    /// Its account opted out before it: its SETs, one for each of so many streams, were left out.
    OptedOut { streams: usize },
    /// An event with the same publisher's id was appended before: nothing was added.
    Duplicate,
}
