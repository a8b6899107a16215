//! The store in one SQLite file: there is nothing to install, and it is as fast as one machine. No call
//! blocks the runtime.
//!
//! ```text
//!  a call ──▶ writer (one thread)      groups of calls share a commit      ──▶ the database
//!         ──▶ reader (a few threads)   each call sees one commit           ──▶
//!             folding (one thread)     folds the write-ahead log into it   ──▶
//! ```
//!
//! Each capability of the store is implemented in the file that has its SQL: `streams`, `subjects`,
//! `append`, `outbox` with `due` and `lookup`, `archive`, `ledger`, `maintenance`, `records` and
//! `portable`. Correctness needs the writer alone; the readers and the folding thread only save work.
//!
//! `log_check` refuses a database beside a log that is not its own, which `log_mark` tells. `backup` copies
//! the database into one file and back.

mod append;
mod archive;
pub mod backup;
mod connection;
mod damage;
mod due;
mod error;
mod folding;
mod job;
mod ledger;
mod log_check;
mod log_mark;
mod lookup;
mod maintenance;
mod opt_out;
mod outbox;
#[cfg(test)]
mod plan;
mod portable;
mod reader;
mod records;
mod row;
mod streams;
mod subjects;
mod watch;
mod writer;

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use self::{folding::Folding, reader::Readers, writer::Writer};
use crate::store::StoreError;

/// The place of the database, and the way it is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SqliteSettings {
    /// The database file. A missing file is created, and a missing folder is an error.
    pub path: PathBuf,
    /// The most calls that share one commit.
    pub group_max: NonZeroUsize,
    /// The most calls that wait for the writer, and as many for the readers. Further calls wait for a
    /// place in the queue.
    pub queue_max: NonZeroUsize,
    /// How long the result of an attempt waits for other calls to share its commit. The result waits only
    /// while there is nothing else to write.
    #[serde(with = "humantime_serde")]
    pub settle_delay: Duration,
    /// The number of threads that read.
    pub readers: NonZeroUsize,
    /// How long to wait for another process that writes into the same file.
    #[serde(with = "humantime_serde")]
    pub busy_timeout: Duration,
    /// While the disk has less free room than this, in bytes, new events are refused. The results of
    /// attempts are still recorded. 0 turns this off.
    pub free_bytes_min: u64,
    /// The size to which the write-ahead log is cut once all of it is in the database, in bytes.
    pub journal_size_limit: u32,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        const fn at_least_one(number: usize) -> NonZeroUsize {
            NonZeroUsize::new(number).expect("the defaults are not zero")
        }
        Self {
            path: PathBuf::from("ssfd.db"),
            group_max: const { at_least_one(256) },
            queue_max: const { at_least_one(1024) },
            settle_delay: Duration::from_millis(2),
            readers: const { at_least_one(2) },
            busy_timeout: Duration::from_secs(5),
            free_bytes_min: 64 << 20,
            journal_size_limit: 64 << 20,
        }
    }
}

/// The store in one SQLite file. When the store is dropped, its threads finish the calls that they have
/// and end.
pub struct SqliteStore {
    // The fields are dropped in this order, because the last connection to be closed folds the log into
    // the database, and a reader must not write.
    readers: Readers,
    writer: Writer,
    _folding: Option<Folding>,
}

impl SqliteStore {
    /// Opens the database, or creates it with an empty schema. Refuses a file that is not a
    /// database of ours or was written by a newer version; the error names the path.
    pub fn open(settings: &SqliteSettings) -> Result<Self, StoreError> {
        Self::over(connection::open(settings)?, settings)
    }

    /// Opens a database into which another store is copied, and which may be incomplete.
    pub fn open_to_fill(settings: &SqliteSettings) -> Result<Self, StoreError> {
        Self::over(connection::open_to_fill(settings)?, settings)
    }

    /// Opens an existing database for reading. A daemon may serve from it at the same time.
    pub fn open_read_only(settings: &SqliteSettings) -> Result<Self, StoreError> {
        let writer = Writer::start(connection::open_existing(settings)?, settings)?;
        let readers = Readers::start(settings, writer.outcomes())?;
        Ok(Self { readers, writer, _folding: None })
    }

    /// Looks for damage in an existing database. A daemon may serve from it at the same time. Returns
    /// whether all of the database was looked at, because that takes at most ten seconds.
    pub fn check(settings: &SqliteSettings) -> Result<bool, StoreError> {
        connection::check_existing(settings)
    }

    fn over(mut db: Connection, settings: &SqliteSettings) -> Result<Self, StoreError> {
        let folding = Folding::start(&mut db, settings)?;
        let writer = Writer::start(db, settings)?;
        let readers = Readers::start(settings, writer.outcomes())?;
        Ok(Self { readers, writer, _folding: Some(folding) })
    }

    /// Returns how many groups of calls were committed so far.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }
}
