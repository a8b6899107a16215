//! The store in one SQLite file: nothing to install, and one machine's worth of speed. One thread
//! writes and commits in groups, a few others read; no call blocks the runtime.

mod append;
mod archive;
mod connection;
mod due;
mod error;
mod folding;
mod job;
mod ledger;
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
mod writer;

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use self::{folding::Folding, reader::Readers, writer::Writer};
use crate::store::StoreError;

/// Where the database is and how it is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SqliteSettings {
    /// The database file. It is created if it is not there; its folder is not.
    pub path: PathBuf,
    /// The most calls that share one commit.
    pub group_max: NonZeroUsize,
    /// The most calls that wait for the writer, and as many for the readers; further ones wait for
    /// a place.
    pub queue_max: NonZeroUsize,
    /// How long the record of an attempt waits for others to share its commit; it does so only
    /// while nothing else is to be written.
    #[serde(with = "humantime_serde")]
    pub settle_delay: Duration,
    /// Threads that read.
    pub readers: NonZeroUsize,
    /// How long to wait for another process that writes into the same file.
    #[serde(with = "humantime_serde")]
    pub busy_timeout: Duration,
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
        }
    }
}

/// The store in one SQLite file. Dropping it ends its threads, once the calls they were given are
/// done.
pub struct SqliteStore {
    // Dropped in this order: the last connection to be closed folds the log into the database,
    // which a reader may not.
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

    /// The same for what is copied into, and lacks something for as long as that takes.
    pub fn open_to_fill(settings: &SqliteSettings) -> Result<Self, StoreError> {
        Self::over(connection::open_to_fill(settings)?, settings)
    }

    /// Opens a database that is there already, for a look at it while a daemon may serve from it.
    /// Nothing can be written.
    pub fn open_read_only(settings: &SqliteSettings) -> Result<Self, StoreError> {
        let writer = Writer::start(connection::open_existing(settings)?, settings)?;
        Ok(Self { readers: Readers::start(settings)?, writer, _folding: None })
    }

    fn over(mut db: Connection, settings: &SqliteSettings) -> Result<Self, StoreError> {
        let folding = Folding::start(&mut db, settings)?;
        let writer = Writer::start(db, settings)?;
        Ok(Self { readers: Readers::start(settings)?, writer, _folding: Some(folding) })
    }

    /// Groups of calls committed so far.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }
}
