//! The stores that the daemon can use.

use std::{fmt, num::NonZeroUsize, path::Path, sync::Arc};

use ssfd::store::{
    Store,
    redis::{RedisSettings, RedisStore},
    sqlite::{SqliteSettings, SqliteStore},
};

use super::redis::Redis;

/// The number of concurrent calls that fill a store.
pub(crate) const FILLED_TOGETHER: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Redis,
}

impl Backend {
    pub(crate) const ALL: [Self; 2] = [Self::Sqlite, Self::Redis];

    /// Returns the lines of TOML that make the daemon use this store.
    pub(crate) fn settings(self, redis: &Redis) -> String {
        match self {
            Self::Sqlite => String::new(),
            Self::Redis => {
                format!("store.backend = \"redis\"\nstore.redis.urls = [\"{}\"]", redis.url())
            }
        }
    }

    /// Opens the store of a daemon that is not running, in this folder or on this server.
    pub(crate) async fn open(self, folder: &Path, redis: &Redis) -> Box<dyn Store> {
        match self {
            Self::Sqlite => {
                // The group is large, so that filling the store takes few commits.
                let [group_max, queue_max] = [FILLED_TOGETHER; 2];
                let path = folder.join("ssfd.db");
                let settings =
                    SqliteSettings { path, group_max, queue_max, ..SqliteSettings::default() };
                Box::new(SqliteStore::open(&settings).expect("opens"))
            }
            Self::Redis => {
                let urls = vec![redis.url()];
                let settings = RedisSettings { urls, ..RedisSettings::default() };
                let store = RedisStore::open(&settings, Arc::default()).await;
                Box::new(store.expect("connects"))
            }
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sqlite => "SQLite",
            Self::Redis => "Redis",
        })
    }
}
