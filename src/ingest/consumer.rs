//! The consumer of one partition.

use std::sync::Arc;

use redis::{
    AsyncCommands, AsyncConnectionConfig, RedisError, RedisResult,
    aio::MultiplexedConnection,
    streams::{
        StreamInfoStreamReply, StreamMaxlen, StreamPendingCountReply, StreamReadOptions,
        StreamReadReply,
    },
};
use tokio::{sync::watch, time::timeout};

use crate::{
    clock,
    domain::{event::InvalidEvent, provider::Provider, set::Origin},
    ingest::{Partition, backoff::Backoff, entry::Entry, settings::RedisIngestSettings},
    store::{EntryId, Position, Store, StoreError},
    telemetry::{
        causes::with_causes,
        metrics::{self, Source},
        readiness::Readiness,
    },
    transmitter::{Transmitter, publish::Incoming},
};

/// How long the server may take to answer beyond the time a read may block.
const RESPONSE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// Entries that are acknowledged in one command.
const ACK_MAX: usize = 1000;
/// The head of a rejected event that is kept with the reason, in bytes.
const REJECTED_BYTES_MAX: usize = 4096;

/// Reads one partition, in order.
///
/// The position in the store is the truth. The group in Redis is set to it whenever a connection
/// is made, so that after a crash, a flush or a restored store reading goes on where the store
/// ends: what was acknowledged and not kept cannot be, and what was kept and not acknowledged is
/// skipped.
pub(super) struct Consumer {
    pub(super) client: redis::Client,
    pub(super) settings: RedisIngestSettings,
    pub(super) partition: Partition,
    pub(super) provider: Arc<Provider>,
    pub(super) transmitter: Arc<Transmitter>,
    pub(super) store: Arc<dyn Store>,
    pub(super) readiness: Arc<Readiness>,
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
    /// Reads until `stop` says so; reconnects as often as it takes.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut backoff = Backoff::new(self.settings.reconnect_max);
        let mut connected = false;
        let mut told = false;
        loop {
            let reading = self.read_on(&mut connected, &mut backoff);
            let interrupted = tokio::select! {
                // What a read that is cut off here was given is read again after the next start.
                _ = stop.wait_for(|stop| *stop) => return,
                interrupted = reading => interrupted,
            };
            // One line for each change of state, not for each try.
            if connected || !told {
                let partition = &self.partition.key;
                tracing::warn!(%partition, error = with_causes(&interrupted), "reading is interrupted");
                self.state_changed(false);
            }
            (connected, told) = (false, true);
            let wait = backoff.next(clock::dice());
            if timeout(wait, stop.wait_for(|stop| *stop)).await.is_ok() {
                return;
            }
        }
    }

    /// Connects and reads until something fails.
    async fn read_on(&self, connected: &mut bool, backoff: &mut Backoff) -> Interrupted {
        let (mut connection, mut position) = match self.prepare().await {
            Ok(prepared) => prepared,
            Err(interrupted) => return interrupted,
        };
        tracing::info!(partition = %self.partition.key, after = %position.entry, "reading");
        self.state_changed(true);
        *connected = true;
        loop {
            if let Err(interrupted) = self.read_batch(&mut connection, &mut position).await {
                return interrupted;
            }
            backoff.reset();
        }
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
    async fn prepare(&self) -> Result<(MultiplexedConnection, Position), Interrupted> {
        let mut connection = self.connect().await?;
        let (key, group) = (&self.partition.key, &self.settings.group);
        let made: RedisResult<()> = connection.xgroup_create_mkstream(key, group, "0").await;
        let group_is_new = match made {
            Ok(()) => true,
            Err(error) if error.code() == Some("BUSYGROUP") => false,
            Err(error) => return Err(error.into()),
        };
        let position = self.position(&mut connection, group_is_new).await?;
        let () = connection.xgroup_setid(key, group, position.entry.to_string()).await?;
        self.acknowledge_behind(&mut connection, &position).await?;
        Ok((connection, position))
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
            self.publish(Vec::new(), start.clone()).await?;
            return Ok(start);
        }
        // The server has lost its newest entries, such as those after its last fsync. We kept
        // them; reading from the start again would send the others twice.
        tracing::warn!(partition = %key, kept = %position.entry, %last, "the stream lost entries");
        Ok(position)
    }

    /// Entries that were kept but not acknowledged, as by a crash between the two.
    async fn acknowledge_behind(
        &self,
        connection: &mut MultiplexedConnection,
        position: &Position,
    ) -> RedisResult<()> {
        let (key, group) = (&self.partition.key, &self.settings.group);
        let last = position.entry.to_string();
        loop {
            let pending: StreamPendingCountReply =
                connection.xpending_count(key, group, "-", &last, ACK_MAX).await?;
            let ids: Vec<String> = pending.ids.into_iter().map(|entry| entry.id).collect();
            if ids.is_empty() {
                return Ok(());
            }
            let _: usize = connection.xack(key, group, &ids).await?;
        }
    }

    /// Reads entries, makes what is valid durable together with the position, and acknowledges.
    async fn read_batch(
        &self,
        connection: &mut MultiplexedConnection,
        position: &mut Position,
    ) -> Result<(), Interrupted> {
        let entries = self.read(connection).await?;
        let Some(last) = entries.last() else { return Ok(()) };
        let next = Position { epoch: position.epoch, entry: last.id };
        let (mut valid, mut rejected) = (Vec::new(), Vec::new());
        for entry in &entries {
            match self.admit(entry, next.epoch) {
                Ok(incoming) => valid.push(incoming),
                Err(error) => rejected.push((entry, error)),
            }
        }
        metrics::events_ingested(&self.provider.name, Source::Redis, entries.len());
        // First of all, so that none is acknowledged and nowhere; a crash repeats it.
        self.reject(connection, &rejected).await?;
        self.publish(valid, next.clone()).await?;
        *position = next;
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.to_string()).collect();
        for ids in ids.chunks(ACK_MAX) {
            let _: usize = connection.xack(&self.partition.key, &self.settings.group, ids).await?;
        }
        Ok(())
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

    async fn read(&self, connection: &mut MultiplexedConnection) -> RedisResult<Vec<Entry>> {
        let block = usize::try_from(self.settings.block.as_millis()).unwrap_or(usize::MAX);
        let options = StreamReadOptions::default()
            .group(&self.settings.group, &self.settings.consumer)
            .count(self.settings.batch_max)
            // 0 would block for ever.
            .block(block.max(1));
        let reply: Option<StreamReadReply> =
            connection.xread_options(&[&self.partition.key], &[">"], &options).await?;
        let entries = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        Ok(entries.filter_map(|raw| Some(Entry::read(raw.id.parse().ok()?, raw))).collect())
    }

    async fn publish(&self, events: Vec<Incoming>, position: Position) -> Result<(), StoreError> {
        let position = Some((self.partition.key.clone(), position));
        self.transmitter.publish(&self.provider, events, position).await?;
        Ok(())
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
