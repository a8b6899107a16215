//! The writes of the reader into the publishers' Redis: the group that shows its position, and the
//! rejected entries. All of them are best effort, because reading must go on where nothing can be written: at
//! `maxmemory`, after a failed snapshot (MISCONF), on a replica, or without the permission.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use redis::{
    Cmd, FromRedisValue, RedisError, RedisResult,
    aio::ConnectionLike,
    streams::{StreamPendingCountReply, StreamPendingReply},
};

use crate::{
    domain::event::InvalidEvent,
    ingest::{Partition, entry::Entry, settings::RedisIngestSettings},
    store::EntryId,
    telemetry::{causes::with_causes, metrics},
};

/// Entries that are acknowledged in one command, of those that somebody else was handed.
const ACK_MAX: usize = 1000;
/// The head of a rejected event that is kept with the reason, in bytes.
const REJECTED_BYTES_MAX: usize = 4096;
/// The most rejected entries of a partition that wait until they can be written, 4 MiB at most. Beyond,
/// the oldest are dropped and counted.
const WAITING_MAX: usize = 1000;
/// The most ids of entries in one line of the log.
const NAMED_MAX: usize = 100;
/// The wait before the next try after the server refused a write.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The writes for one partition, some of which may be due.
#[derive(Debug)]
pub(super) struct Display {
    partition: Partition,
    group: String,
    rejected_max: usize,
    group_is_there: bool,
    /// The group may have handed entries to somebody: an earlier version of this daemon did.
    strays: bool,
    /// Rejected entries that are not written yet, the oldest first.
    waiting: VecDeque<Rejected>,
    /// The epoch and the id of the last one, because entries are read again after an interruption.
    rejected_last: Option<(u32, EntryId)>,
    /// When the server refused a write last.
    refused_at: Option<Instant>,
}

/// A rejected entry, as its publisher finds it.
#[derive(Debug)]
struct Rejected {
    entry: EntryId,
    reason: &'static str,
    detail: String,
    excerpt: Vec<u8>,
    /// The log names the entry, because it cannot be written at present.
    is_named: bool,
}

/// The position that is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) entry: EntryId,
    /// How many entries were added up to there, if it is known.
    pub(super) count: Option<u64>,
}

impl Display {
    pub(super) fn new(partition: &Partition, settings: &RedisIngestSettings) -> Self {
        Self {
            partition: partition.clone(),
            group: settings.group.clone(),
            rejected_max: settings.rejected_max,
            group_is_there: false,
            strays: true,
            waiting: VecDeque::new(),
            rejected_last: None,
            refused_at: None,
        }
    }

    /// Notes that a new connection is used, perhaps to another server.
    pub(super) fn reconnected(&mut self) {
        (self.group_is_there, self.strays, self.refused_at) = (false, true, None);
    }

    pub(super) fn is_group_there(&self) -> bool {
        self.group_is_there
    }

    /// Takes an entry that is no event, to be written where its publisher finds it.
    pub(super) fn reject(&mut self, epoch: u32, entry: &Entry, error: &InvalidEvent) {
        let place = Some((epoch, entry.id));
        if place <= self.rejected_last {
            return;
        }
        self.rejected_last = place;
        if self.waiting.len() == WAITING_MAX {
            let dropped = self.waiting.pop_front().map(|rejected| rejected.entry.to_string());
            metrics::rejected_unrecorded(&self.partition.provider);
            tracing::warn!(
                partition = %self.partition.key,
                entry = dropped,
                "a rejected entry cannot be kept: too many wait to be written"
            );
        }
        self.waiting.push_back(Rejected {
            entry: entry.id,
            reason: error.reason(),
            detail: error.to_string(),
            excerpt: entry.excerpt(REJECTED_BYTES_MAX).to_vec(),
            is_named: false,
        });
    }

    /// Writes what is due. Returns an error only if the connection is of no use any more: whatever the
    /// server refuses is tried again later.
    pub(super) async fn write(
        &mut self,
        connection: &mut impl ConnectionLike,
        position: Shown,
        now: Instant,
    ) -> RedisResult<()> {
        let waits = |at: Instant| now.saturating_duration_since(at) < RETRY_INTERVAL;
        if self.refused_at.is_some_and(waits) {
            self.name_waiting();
            return Ok(());
        }
        let written = match self.write_rejected(connection).await {
            // The two depend on different permissions and on different bounds of memory.
            Err(refused) if is_refusal(&refused) => {
                self.show(connection, position).await.and(Err(refused))
            }
            Err(error) => Err(error),
            Ok(()) => self.show(connection, position).await,
        };
        match written {
            Ok(()) => {
                if self.refused_at.take().is_some() {
                    tracing::info!(partition = %self.partition.key, "the position is shown again");
                }
            }
            Err(error) if is_refusal(&error) => {
                if self.refused_at.is_none() {
                    tracing::warn!(
                        partition = %self.partition.key,
                        error = with_causes(&error),
                        "the publishers' Redis takes no writes; reading goes on, and the position and \
                         rejected entries are written later"
                    );
                }
                self.refused_at = Some(now);
                self.name_waiting();
            }
            Err(error) => return Err(error),
        }
        metrics::ingest_writable(&self.partition.key, self.refused_at.is_none());
        Ok(())
    }

    /// Names in the log the rejected entries that cannot be written. The position moves past them, and a
    /// process that ends forgets them. Whoever looks for one finds it by its id in the publishers' stream,
    /// from which nothing is deleted.
    fn name_waiting(&mut self) {
        let unnamed = self.waiting.iter_mut().filter(|rejected| !rejected.is_named);
        let names: Vec<String> = unnamed
            .map(|rejected| {
                rejected.is_named = true;
                format!("{} {}", rejected.entry, rejected.reason)
            })
            .collect();
        for names in names.chunks(NAMED_MAX) {
            tracing::warn!(
                partition = %self.partition.key,
                count = names.len(),
                entries = names.join(", "),
                "rejected entries cannot be written yet"
            );
        }
    }

    async fn write_rejected(&mut self, connection: &mut impl ConnectionLike) -> RedisResult<()> {
        while let Some(rejected) = self.waiting.front() {
            // One by one, so that none is written twice after an error in the midst of them.
            let mut add = redis::cmd("XADD");
            add.arg(self.partition.rejected_key()).arg("MAXLEN").arg("~").arg(self.rejected_max);
            add.arg("*").arg("entry").arg(rejected.entry.to_string());
            add.arg("reason").arg(rejected.reason).arg("detail").arg(&rejected.detail);
            add.arg("event").arg(&rejected.excerpt);
            let _: String = add.query_async(connection).await?;
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Moves the group to the position.
    async fn show(
        &mut self,
        connection: &mut impl ConnectionLike,
        position: Shown,
    ) -> RedisResult<()> {
        if !self.group_is_there {
            let made = self.group_command("CREATE", position, &["MKSTREAM"]);
            match run::<()>(connection, &made).await {
                Ok(()) => {}
                Err(error) if error.code() == Some("BUSYGROUP") => {}
                Err(error) => return Err(error),
            }
            self.group_is_there = true;
        }
        let moved = run::<()>(connection, &self.group_command("SETID", position, &[])).await;
        if let Err(error) = moved {
            let is_gone = matches!(error.code(), Some("NOGROUP" | "ERR"));
            // The group is gone, perhaps with its stream. The reader looks for that before the group is made
            // again.
            self.group_is_there &= !is_gone;
            return if is_gone { Ok(()) } else { Err(error) };
        }
        if self.strays {
            self.strays = self.acknowledge_behind(connection, position.entry).await?;
        }
        Ok(())
    }

    fn group_command(&self, command: &str, position: Shown, options: &[&str]) -> Cmd {
        let mut built = redis::cmd("XGROUP");
        built.arg(command).arg(&self.partition.key).arg(&self.group);
        built.arg(position.entry.to_string()).arg(options);
        if let Some(count) = position.count {
            built.arg("ENTRIESREAD").arg(count);
        }
        built
    }

    /// Acknowledges what is kept of the entries that the group has handed out, to whomever. Returns `true`
    /// if there are others, which are still to be read.
    async fn acknowledge_behind(
        &self,
        connection: &mut impl ConnectionLike,
        position: EntryId,
    ) -> RedisResult<bool> {
        let (key, group) = (&self.partition.key, &self.group);
        let last = position.to_string();
        loop {
            let mut ask = redis::cmd("XPENDING");
            ask.arg(key).arg(group).arg("-").arg(&last).arg(ACK_MAX);
            let pending: StreamPendingCountReply = run(connection, &ask).await?;
            let ids: Vec<String> = pending.ids.into_iter().map(|entry| entry.id).collect();
            if ids.is_empty() {
                let ask = redis::cmd("XPENDING").arg(key).arg(group).to_owned();
                let pending: StreamPendingReply = run(connection, &ask).await?;
                return Ok(pending.count() != 0);
            }
            let acknowledge = redis::cmd("XACK").arg(key).arg(group).arg(&ids).to_owned();
            let _: usize = run(connection, &acknowledge).await?;
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.name_waiting();
        for _ in self.waiting.drain(..) {
            metrics::rejected_unrecorded(&self.partition.provider);
        }
    }
}

async fn run<T: FromRedisValue>(
    connection: &mut impl ConnectionLike,
    command: &Cmd,
) -> RedisResult<T> {
    command.query_async(connection).await
}

/// Tells whether the server answered, and refused. Otherwise the connection has failed.
fn is_refusal(error: &RedisError) -> bool {
    error.code().is_some() && !error.is_unrecoverable_error()
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;
    use crate::ingest::entry::Entries;

    #[test]
    fn a_bounded_number_of_rejected_entries_waits() {
        let settings = RedisIngestSettings::default();
        let partition = Partition::of(&"acme".parse().expect("valid"), &settings).remove(0);
        let mut display = Display::new(&partition, &settings);
        let text = |text: String| Value::BulkString(text.into_bytes());
        for n in 0..WAITING_MAX + 5 {
            let entry = Value::Array(vec![text(format!("{n}-0")), Value::Array(vec![])]);
            let stream = Value::Array(vec![Value::Nil, Value::Array(vec![entry])]);
            let read = Entries::read(Value::Array(vec![stream]));
            for _again in 0..2 {
                display.reject(0, &read.entries[0], &InvalidEvent::Absent);
            }
        }
        assert_eq!(display.waiting.len(), WAITING_MAX);
        assert_eq!(display.waiting[0].entry, EntryId { millis: 5, number: 0 });
        display.waiting.clear();
    }
}
