//! The consumer of one partition.

use std::sync::Arc;

use redis::{
    AsyncCommands, AsyncConnectionConfig, RedisError, RedisResult,
    aio::MultiplexedConnection,
    streams::{
        StreamInfoStreamReply, StreamMaxlen, StreamPendingCountReply, StreamPendingReply,
        StreamReadOptions, StreamReadReply,
    },
};
use tokio::{sync::watch, time::sleep};

use crate::{
    clock,
    cluster::lease::Lease,
    domain::{event::InvalidEvent, provider::Provider, set::Origin},
    ingest::{
        Partition, backoff::Backoff, entry::Entry, progress::Progress,
        settings::RedisIngestSettings,
    },
    store::{EntryId, Intake, Position, StoreError},
    telemetry::{
        causes::with_causes,
        metrics::{self, SourceLabel},
        readiness::Readiness,
    },
    transmitter::{Transmitter, intake::Incoming},
};

/// How long the server may take to answer beyond the time a read may block.
const RESPONSE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// Entries that are acknowledged in one command, of those that somebody else was handed.
const ACK_MAX: usize = 1000;
/// The longest wait of a read for entries while batches are under way, because the position is to be moved
/// behind them soon.
const BLOCK_OPEN: std::time::Duration = std::time::Duration::from_millis(10);
/// The head of a rejected event that is kept with the reason, in bytes.
const REJECTED_BYTES_MAX: usize = 4096;

/// Reads one partition, in order, while this node holds it.
///
/// The position in the store is the truth, and entries are read from there by their ids. The group in
/// Redis only shows how far that is: it is set to the position behind each batch, and nothing is
/// handed out by it. So no other reader can be given entries that are then missing here, as a node
/// could that was cut off in the midst of a read; two that read side by side for a moment make the
/// same SETs. Nothing is ever pending, nor is there a consumer to be removed.
pub(super) struct Consumer {
    pub(super) client: redis::Client,
    pub(super) settings: RedisIngestSettings,
    pub(super) partition: Partition,
    pub(super) provider: Arc<Provider>,
    pub(super) transmitter: Arc<Transmitter>,
    pub(super) store: Arc<dyn Intake>,
    pub(super) lease: Arc<Lease>,
    pub(super) readiness: Arc<Readiness>,
}

/// A connection, and where it reads.
struct Reading {
    connection: MultiplexedConnection,
    progress: Progress,
    /// The group may have handed entries to somebody: an earlier version of this daemon did.
    strays: bool,
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
    #[error("store: {0}")]
    Store(#[from] StoreError),
}

impl Consumer {
    /// Reads while the partition is this node's, until `stop` says so.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut partitions = self.lease.partitions();
        let key = &self.partition.key;
        let work = async {
            loop {
                partitions.until(key, true).await;
                self.state_changed(false);
                // If the read is cancelled here, the entries that it was given are read again, by
                // this node or another.
                tokio::select! {
                    () = partitions.until(key, false) => {}
                    () = self.read_for_ever() => {}
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
    async fn read_for_ever(&self) {
        let mut backoff = Backoff::new(self.settings.reconnect_max);
        let mut connected = false;
        let mut told = false;
        loop {
            let interrupted = self.read_on(&mut connected, &mut backoff).await;
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
    async fn read_on(&self, connected: &mut bool, backoff: &mut Backoff) -> Interrupted {
        let mut reading = match self.prepare().await {
            Ok(reading) => reading,
            Err(interrupted) => return interrupted,
        };
        let after = reading.progress.kept().entry;
        tracing::info!(partition = %self.partition.key, %after, "reading");
        self.state_changed(true);
        *connected = true;
        loop {
            if let Err(interrupted) = self.read_batch(&mut reading).await {
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
            self.readiness.lost(&self.partition.key);
        }
    }

    /// Connects, and sets the group to the position that the store has.
    async fn prepare(&self) -> Result<Reading, Interrupted> {
        let mut connection = self.connect().await?;
        let (key, group) = (&self.partition.key, &self.settings.group);
        let made: RedisResult<()> = connection.xgroup_create_mkstream(key, group, "0").await;
        let group_is_new = match made {
            Ok(()) => true,
            Err(error) if error.code() == Some("BUSYGROUP") => false,
            Err(error) => return Err(error.into()),
        };
        let position = self.position(&mut connection, group_is_new).await?;
        let partition = self.partition.key.clone();
        let progress = Progress::new(Arc::clone(&self.transmitter), partition, position);
        let mut reading = Reading { connection, progress, strays: true };
        self.show(&mut reading).await?;
        Ok(reading)
    }

    /// Moves the consumer group to the last entry that the store keeps, where publishers can read
    /// it. Returns an error if the group is gone, perhaps with its Redis stream. Reading then begins
    /// anew.
    async fn show(&self, reading: &mut Reading) -> RedisResult<()> {
        let (key, group) = (&self.partition.key, &self.settings.group);
        let last = reading.progress.kept().entry.to_string();
        let () = reading.connection.xgroup_setid(key, group, &last).await?;
        if reading.strays {
            reading.strays = self.acknowledge_behind(reading).await?;
        }
        Ok(())
    }

    /// A connection of its own: a read that blocks holds up all else on its connection.
    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(self.settings.block + RESPONSE_TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    async fn position(
        &self,
        connection: &mut MultiplexedConnection,
        group_is_new: bool,
    ) -> Result<Position, Interrupted> {
        let key = &self.partition.key;
        let kept = self.store.position(key).await?;
        let position = kept.unwrap_or(Position { epoch: 0, entry: EntryId::default() });
        let stream: StreamInfoStreamReply = connection.xinfo_stream(key).await?;
        let last: EntryId = stream.last_generated_id.parse().unwrap_or_default();
        if position.entry <= last {
            return Ok(position);
        }
        if group_is_new || stream.length == 0 {
            // Flushed: what is there and what comes has lower ids, and none of it was read before.
            tracing::warn!(partition = %key, before = %position.entry, "the stream starts over");
            let start = Position { epoch: position.epoch + 1, entry: EntryId::default() };
            // Kept now, since from here on the group is no longer new.
            self.transmitter.move_position(key, start.clone()).await?;
            return Ok(start);
        }
        // The server has lost its newest entries, such as those after its last fsync. We kept
        // them; reading from the start again would send the others twice.
        tracing::warn!(partition = %key, kept = %position.entry, %last, "the stream lost entries");
        Ok(position)
    }

    /// Acknowledges what is kept of the entries that the group has handed out, to whomever. `true`
    /// if there are others, which are still to be read.
    async fn acknowledge_behind(&self, reading: &mut Reading) -> RedisResult<bool> {
        let (key, group) = (&self.partition.key, &self.settings.group);
        let last = reading.progress.kept().entry.to_string();
        let connection = &mut reading.connection;
        loop {
            let pending: StreamPendingCountReply =
                connection.xpending_count(key, group, "-", &last, ACK_MAX).await?;
            let ids: Vec<String> = pending.ids.into_iter().map(|entry| entry.id).collect();
            if ids.is_empty() {
                let pending: StreamPendingReply = connection.xpending(key, group).await?;
                return Ok(pending.count() != 0);
            }
            let _: usize = connection.xack(key, group, &ids).await?;
        }
    }

    /// Reads entries, makes what is valid durable together with the position, and shows it.
    async fn read_batch(&self, reading: &mut Reading) -> Result<(), Interrupted> {
        self.transmitter.pressure().lets_read(&self.provider.name).await;
        let entries = self.read(reading).await?;
        let Some(last) = entries.last() else {
            reading.progress.catch_up().await?;
            // A stream that is gone gives nothing either.
            return Ok(self.show(reading).await?);
        };
        let next = Position { epoch: reading.progress.read().epoch, entry: last.id };
        let (mut valid, mut rejected) = (Vec::new(), Vec::new());
        for entry in &entries {
            match self.admit(entry, next.epoch) {
                Ok(incoming) => valid.push(incoming),
                Err(error) => rejected.push((entry, error)),
            }
        }
        metrics::events_ingested(&self.provider.name, SourceLabel::Redis, entries.len());
        // First of all, so that none is passed over and nowhere; a crash repeats it.
        self.reject(&mut reading.connection, &rejected).await?;
        let events = self.transmitter.address(&self.provider, valid).await?;
        reading.progress.append(events, next).await?;
        Ok(self.show(reading).await?)
    }

    /// The event of an entry, identified by the place it was read from.
    fn admit(&self, entry: &Entry, epoch: u32) -> Result<Incoming, InvalidEvent> {
        let json = entry.json(self.settings.event_bytes_max)?;
        let event = self.transmitter.admit(&self.provider, json)?;
        let place = format!("{}/{epoch}/{}", self.partition.key, entry.id);
        Ok(Incoming {
            event,
            origin: Origin::of_place(&self.provider.name, &place, entry.id.time()),
        })
    }

    async fn read(&self, reading: &mut Reading) -> RedisResult<Vec<Entry>> {
        let block = self.settings.block;
        let block = if reading.progress.has_open() { block.min(BLOCK_OPEN) } else { block };
        let block = usize::try_from(block.as_millis()).unwrap_or(usize::MAX);
        let options = StreamReadOptions::default()
            .count(self.settings.batch_max)
            // 0 would block for ever.
            .block(block.max(1));
        let after = reading.progress.read().entry.to_string();
        let reply: Option<StreamReadReply> =
            reading.connection.xread_options(&[&self.partition.key], &[after], &options).await?;
        let entries = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        Ok(entries.filter_map(|raw| Some(Entry::read(raw.id.parse().ok()?, raw))).collect())
    }

    /// Puts what is no event where its publisher can find it, with the reason.
    async fn reject(
        &self,
        connection: &mut MultiplexedConnection,
        rejected: &[(&Entry, InvalidEvent)],
    ) -> RedisResult<()> {
        if rejected.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for (entry, error) in rejected {
            metrics::events_rejected(&self.provider.name, error.reason());
            let (id, detail) = (entry.id.to_string(), error.to_string());
            let event = entry.excerpt(REJECTED_BYTES_MAX);
            let fields: [(&str, &[u8]); 4] = [
                ("entry", id.as_bytes()),
                ("reason", error.reason().as_bytes()),
                ("detail", detail.as_bytes()),
                ("event", event),
            ];
            let kept = StreamMaxlen::Approx(self.settings.rejected_max);
            pipeline.xadd_maxlen(self.partition.rejected_key(), kept, "*", &fields).ignore();
        }
        pipeline.query_async(connection).await
    }
}
