//! The consumer of one partition.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{RedisError, RedisResult};
use tokio::{sync::watch, time::sleep};

use crate::{
    clock,
    cluster::lease::Lease,
    domain::{event::InvalidEvent, provider::Provider, set::Origin},
    ingest::{
        Partition,
        backoff::Backoff,
        count::ReadCount,
        display::{Display, Shown},
        entry::{Entries, Entry},
        facts::{GroupFacts, StreamFacts},
        progress::Progress,
        settings::RedisIngestSettings,
    },
    source::{NativeEntry, Source, SourceError},
    store::{
        EntryId, Intake, Position, StoreError,
        redis::servers::{Connection, Servers},
    },
    telemetry::{
        causes::with_causes,
        metrics::{self, SourceLabel},
        readiness::{Readiness, ReadyFor},
    },
    transmitter::{Transmitter, intake::Incoming},
};

/// The longest wait of a read for entries while batches are under way, because the position is to be moved
/// behind them soon.
const BLOCK_OPEN: Duration = Duration::from_millis(10);
/// How often the extent of the Redis stream is asked for while entries come, and while none come.
const OBSERVE_INTERVAL: Duration = Duration::from_secs(1);
const OBSERVE_IDLE_INTERVAL: Duration = Duration::from_secs(10);
/// The most ids of rejected entries in one line of the log.
const LOGGED_MAX: usize = 10;

/// Reads one partition, in order, while this node holds it.
///
/// The position in the store is the truth, and entries are read from there by their ids. The group in
/// Redis only shows how far that is: it is set to the position behind each batch, and nothing is
/// handed out by it. So no other reader can be given entries that are then missing here, as a node
/// could that was cut off in the midst of a read; two that read side by side for a moment make the
/// same SETs. Nothing is ever pending, nor is there a consumer to be removed.
///
/// Reading needs no write: [`Display`] writes the group and the rejected entries when the server takes
/// writes.
pub(super) struct Consumer {
    pub(super) servers: Arc<Servers>,
    pub(super) settings: RedisIngestSettings,
    pub(super) partition: Partition,
    pub(super) provider: Arc<Provider>,
    /// The source that maps the entries, if they are native records.
    pub(super) source: Option<Arc<Source>>,
    pub(super) transmitter: Arc<Transmitter>,
    pub(super) store: Arc<dyn Intake>,
    pub(super) lease: Arc<Lease>,
    pub(super) readiness: Arc<Readiness>,
}

/// A connection, and where it reads.
struct Reading {
    connection: Connection,
    progress: Progress,
    count: ReadCount,
    /// The newest entry that the server was seen to have added.
    last_seen: EntryId,
    observed_at: Instant,
    /// Whether entries were read since the stream was observed.
    has_moved: bool,
    /// Whether there was nothing more to read when the stream was observed.
    is_at_end: bool,
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
    #[error("store: {0}")]
    Store(#[from] StoreError),
    #[error("source: {0}")]
    Source(#[from] SourceError),
    /// The server has forgotten entries that it had.
    #[error("the Redis stream was deleted, flushed or set back")]
    StartedOver,
}

impl Consumer {
    /// Reads while the partition is this node's, until `stop` says so.
    pub(super) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut partitions = self.lease.partitions();
        let key = &self.partition.key;
        let mut display = Display::new(&self.partition, &self.settings);
        let work = async {
            loop {
                partitions.until(key, true).await;
                self.state_changed(false);
                // If the read is cancelled here, the entries that it was given are read again, by
                // this node or another.
                tokio::select! {
                    () = partitions.until(key, false) => {}
                    () = self.read_for_ever(&mut display) => {}
                }
                tracing::info!(partition = %key, "another node reads");
                self.rests();
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = work => {}
        }
    }

    /// Reconnects as often as it takes.
    async fn read_for_ever(&self, display: &mut Display) {
        let mut backoff = Backoff::new(self.settings.reconnect_max);
        let mut connected = false;
        let mut told = false;
        loop {
            let interrupted = self.read_on(display, &mut connected, &mut backoff).await;
            // One line for each change of state, not for each try.
            if connected || !told {
                let partition = &self.partition.key;
                tracing::warn!(%partition, error = with_causes(&interrupted), "reading is interrupted");
                self.state_changed(false);
            }
            (connected, told) = (false, true);
            sleep(backoff.next(clock::dice())).await;
        }
    }

    /// Connects and reads until something fails.
    async fn read_on(
        &self,
        display: &mut Display,
        connected: &mut bool,
        backoff: &mut Backoff,
    ) -> Interrupted {
        let mut reading = match self.prepare(display).await {
            Ok(reading) => reading,
            Err(interrupted) => return interrupted,
        };
        let after = reading.progress.kept().entry;
        tracing::info!(partition = %self.partition.key, %after, "reading");
        self.state_changed(true);
        *connected = true;
        loop {
            if let Err(interrupted) = self.read_batch(&mut reading, display).await {
                return interrupted;
            }
            backoff.reset();
        }
    }

    /// Another node reads this partition: here nothing is missing.
    fn rests(&self) {
        metrics::ingest_connected(&self.partition.key, false);
        self.readiness.gained(&self.partition.key);
    }

    pub(super) fn state_changed(&self, connected: bool) {
        metrics::ingest_connected(&self.partition.key, connected);
        if connected {
            self.readiness.gained(&self.partition.key);
        } else {
            self.readiness.lost_for(&self.partition.key, ReadyFor::Publishers);
        }
    }

    /// Connects, and finds the place to read from. Writes nothing to Redis.
    async fn prepare(&self, display: &mut Display) -> Result<Reading, Interrupted> {
        let mut connection = self.servers.connect().await?;
        display.reconnected();
        let key = &self.partition.key;
        let facts = StreamFacts::ask(&mut connection, key).await?;
        let group = if facts.exists {
            GroupFacts::ask(&mut connection, key, &self.settings.group).await?
        } else {
            None
        };
        let position = self.position(&facts, group.is_some()).await?;
        let entry = position.entry;
        let count = match group {
            _ if entry == EntryId::default() => Some(0),
            // The group may stand behind entries that were deleted.
            Some(group) if entry <= group.last => group.read,
            _ => None,
        };
        let partition = self.partition.key.clone();
        let mut reading = Reading {
            connection,
            progress: Progress::new(Arc::clone(&self.transmitter), partition, position),
            count: ReadCount::new(entry, count),
            last_seen: facts.last,
            observed_at: clock::instant(),
            has_moved: false,
            is_at_end: false,
        };
        self.compare(&mut reading, &facts);
        self.write(&mut reading, display).await?;
        Ok(reading)
    }

    /// Returns the position from which to read: the one in the store, unless the Redis stream starts over.
    async fn position(
        &self,
        facts: &StreamFacts,
        group_is_there: bool,
    ) -> Result<Position, Interrupted> {
        let key = &self.partition.key;
        let kept = self.store.position(key).await?;
        let position = kept.unwrap_or(Position { epoch: 0, entry: EntryId::default() });
        let last = facts.last;
        if position.entry <= last {
            return Ok(position);
        }
        if !group_is_there || facts.length == 0 {
            // Flushed: what is there and what comes has lower ids, and none of it was read before.
            tracing::warn!(partition = %key, before = %position.entry, "the stream starts over");
            let start = Position { epoch: position.epoch + 1, entry: EntryId::default() };
            // Kept now, since the group is made anew from here on.
            self.transmitter.move_position(key, start.clone()).await?;
            return Ok(start);
        }
        // The server has lost its newest entries, such as those after its last fsync. We kept
        // them; reading from the start again would send the others twice.
        tracing::warn!(partition = %key, kept = %position.entry, %last, "the stream lost entries");
        Ok(position)
    }

    /// Reads entries, makes what is valid durable together with the position, and shows it.
    async fn read_batch(
        &self,
        reading: &mut Reading,
        display: &mut Display,
    ) -> Result<(), Interrupted> {
        self.transmitter.pressure().lets_read(&self.provider.name).await;
        let Entries { entries, unreadable } = self.read(reading).await?;
        if unreadable != 0 {
            let partition = &self.partition.key;
            tracing::error!(%partition, unreadable, "the server sent entries without an id");
        }
        match entries.last() {
            Some(last) => {
                let next = Position { epoch: reading.progress.read().epoch, entry: last.id };
                self.take_in(reading, display, &entries, next).await?;
            }
            None => reading.progress.catch_up().await?,
        }
        let interval = if reading.has_moved { OBSERVE_INTERVAL } else { OBSERVE_IDLE_INTERVAL };
        if interval <= clock::instant().saturating_duration_since(reading.observed_at) {
            self.observe(reading).await?;
        }
        self.write(reading, display).await
    }

    async fn take_in(
        &self,
        reading: &mut Reading,
        display: &mut Display,
        entries: &[Entry],
        next: Position,
    ) -> Result<(), Interrupted> {
        if let Some(source) = &self.source {
            return self.take_in_native(source, reading, entries, next).await;
        }
        let (mut valid, mut rejected) = (Vec::new(), Vec::new());
        for entry in entries {
            match self.admit(entry, next.epoch) {
                Ok(incoming) => valid.push(incoming),
                Err(error) => {
                    metrics::events_rejected(&self.provider.name, error.reason());
                    rejected.push(format!("{} {}", entry.id, error.reason()));
                    display.reject(next.epoch, entry, &error);
                }
            }
        }
        metrics::events_ingested(&self.provider.name, SourceLabel::Redis, entries.len());
        if !rejected.is_empty() {
            // The content of an entry goes to no log.
            tracing::warn!(
                partition = %self.partition.key,
                count = rejected.len(),
                entries = rejected[..rejected.len().min(LOGGED_MAX)].join(", "),
                "entries were rejected"
            );
            // First of all, so that none is passed over and nowhere; a crash repeats it.
            self.write(reading, display).await?;
        }
        let events = self.transmitter.address(&self.provider, valid).await?;
        reading.progress.append(events, next.clone()).await?;
        reading.count.on_read(entries.len(), next.entry);
        (reading.has_moved, reading.is_at_end) = (true, false);
        Ok(())
    }

    /// Has the source take in native records. They are durable before the position moves; records that are
    /// no events are kept by the source.
    async fn take_in_native(
        &self,
        source: &Arc<Source>,
        reading: &mut Reading,
        entries: &[Entry],
        next: Position,
    ) -> Result<(), Interrupted> {
        metrics::events_ingested(&self.provider.name, SourceLabel::Redis, entries.len());
        let native = entries.iter().map(|entry| NativeEntry {
            record: entry.json(self.settings.event_bytes_max).map_err(|error| error.to_string()),
            place: self.place(entry, next.epoch),
            added: entry.id.time(),
        });
        source.take_entries(&native.collect::<Vec<_>>()).await?;
        let nothing = self.transmitter.address(&self.provider, Vec::new()).await?;
        reading.progress.append(nothing, next.clone()).await?;
        reading.count.on_read(entries.len(), next.entry);
        (reading.has_moved, reading.is_at_end) = (true, false);
        Ok(())
    }

    fn place(&self, entry: &Entry, epoch: u32) -> String {
        format!("{}/{epoch}/{}", self.partition.key, entry.id)
    }

    /// Returns the event of an entry, identified by the place it was read from.
    fn admit(&self, entry: &Entry, epoch: u32) -> Result<Incoming, InvalidEvent> {
        let json = entry.json(self.settings.event_bytes_max)?;
        let event = self.transmitter.admit(&self.provider, json)?;
        let place = self.place(entry, epoch);
        Ok(Incoming {
            event,
            origin: Origin::of_place(&self.provider.name, &place, entry.id.time()),
            id_kept_longer: Duration::ZERO,
        })
    }

    async fn read(&self, reading: &mut Reading) -> RedisResult<Entries> {
        let block = self.settings.block;
        let block = if reading.progress.has_open() { block.min(BLOCK_OPEN) } else { block };
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(self.settings.batch_max);
        // 0 would block for ever.
        read.arg("BLOCK").arg(u64::try_from(block.as_millis()).unwrap_or(u64::MAX).max(1));
        read.arg("STREAMS").arg(&self.partition.key);
        read.arg(reading.progress.read().entry.to_string());
        Ok(Entries::read(read.query_async(&mut reading.connection).await?))
    }

    /// Looks whether the Redis stream starts over, and whether entries were lost before they were read.
    async fn observe(&self, reading: &mut Reading) -> Result<(), Interrupted> {
        let facts = StreamFacts::ask(&mut reading.connection, &self.partition.key).await?;
        if facts.last < reading.last_seen {
            return Err(Interrupted::StartedOver);
        }
        reading.last_seen = facts.last;
        (reading.observed_at, reading.has_moved) = (clock::instant(), false);
        self.compare(reading, &facts);
        Ok(())
    }

    fn compare(&self, reading: &mut Reading, facts: &StreamFacts) {
        let after = reading.progress.read().entry;
        let missing = reading.count.compare(facts.added_before_next(after));
        reading.is_at_end = facts.ends_at(after);
        if missing != 0 {
            let partition = &self.partition.key;
            metrics::ingest_entries_missing(partition, missing);
            tracing::warn!(
                %partition,
                missing,
                %after,
                "entries were trimmed or deleted before they were read"
            );
        }
    }

    /// Writes what the publishers' Redis is to show, if it takes writes.
    async fn write(&self, reading: &mut Reading, display: &mut Display) -> Result<(), Interrupted> {
        let kept = reading.progress.kept().entry;
        let count = reading.count.up_to(kept);
        // Behind the newest entries if they were deleted, because the server shows no lag otherwise.
        let is_behind_all = reading.is_at_end && kept == reading.progress.read().entry;
        let entry = if is_behind_all { kept.max(reading.last_seen) } else { kept };
        let position = Shown { entry, count };
        display.write(&mut reading.connection, position, clock::instant()).await?;
        if !display.is_group_there() {
            // Perhaps the group has gone with its stream. That is looked at before it is made again.
            self.observe(reading).await?;
            display.write(&mut reading.connection, position, clock::instant()).await?;
        }
        Ok(())
    }
}
