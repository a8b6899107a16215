//! Opens the configured store, for the daemon and for commands, and backs it up.

use std::{fs, io::ErrorKind, path::Path, sync::Arc};

use url::Url;

use super::lock::{LockError, StoreLock};
use crate::{
    clock,
    cluster::Cluster,
    config::{Config, StoreBackend, StoreSettings},
    ingest,
    store::{
        Store, StoreError,
        portable::Portable,
        redis::{Checks, Epochs, RedisSettings, RedisStore},
        sqlite::{
            SqliteStore,
            backup::{self, BackupError, CheckedCopy, Restored},
        },
    },
};

/// Opens the store, or creates it. Must be called within a runtime that outlives the store.
async fn open(settings: &StoreSettings) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match settings.backend {
        StoreBackend::Sqlite => Arc::new(SqliteStore::open(&settings.sqlite)?),
        StoreBackend::Redis => Arc::new(RedisStore::open(&settings.redis, Arc::default()).await?),
    })
}

/// Opens the store for a daemon, and the cluster if several nodes may share the store.
pub(super) async fn open_to_serve(
    config: &Config,
) -> Result<(Arc<dyn Store>, Option<Arc<Cluster>>), StoreError> {
    if config.store.backend == StoreBackend::Sqlite {
        return Ok((open(&config.store).await?, None));
    }
    let epochs = Arc::new(Epochs::default());
    let store = RedisStore::open(&config.store.redis, Arc::clone(&epochs)).await?;
    let providers = config.named_providers();
    let mut partitions = ingest::partitions(&config.ingest.redis, providers.keys());
    // The configuration was checked before.
    let sources = config.sources().unwrap_or_default();
    partitions.extend(sources.into_iter().filter_map(|source| source.config.redis_key));
    let cluster = Cluster::open(store.link(), epochs, config.cluster.clone(), partitions).await?;
    Ok((Arc::new(store), Some(cluster)))
}

/// Why a command cannot open a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenExistingError {
    #[error(
        "there is no store in {0}; `ssfd serve` creates it, and --config names the configuration of another"
    )]
    Missing(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens an existing store for a command that changes it, while a daemon may serve from it. Only a daemon
/// creates a store, because a command that is run in the wrong folder would create one unnoticed.
pub async fn open_existing(settings: &StoreSettings) -> Result<Arc<dyn Store>, OpenExistingError> {
    let missing = || OpenExistingError::Missing(place(settings));
    match settings.backend {
        StoreBackend::Sqlite if is_missing(settings) => Err(missing()),
        StoreBackend::Sqlite => Ok(open(settings).await?),
        StoreBackend::Redis => {
            let store = RedisStore::open_existing(&settings.redis).await?;
            Ok(Arc::new(store.ok_or_else(missing)?))
        }
    }
}

/// Returns where a store is, without passwords.
pub fn place(settings: &StoreSettings) -> String {
    match settings.backend {
        StoreBackend::Sqlite => {
            let path = &settings.sqlite.path;
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            format!("sqlite:{}", whole.display())
        }
        StoreBackend::Redis => {
            let servers = settings.redis.urls.iter().map(|url| address(url));
            let servers = servers.collect::<Vec<_>>().join(", ");
            format!("{servers} with the key prefix {}", settings.redis.key_prefix)
        }
    }
}

/// Returns a URL without user, password and query.
fn address(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => {
            let port = url.port().map_or(String::new(), |port| format!(":{port}"));
            let host = url.host_str().unwrap_or_default();
            format!("{}://{host}{port}{}", url.scheme(), url.path())
        }
        Err(_) => "redis".to_owned(),
    }
}

/// Returns whether a SQLite store does not exist yet. An empty file is no store. A path that cannot be
/// looked at may be one.
pub fn is_missing(settings: &StoreSettings) -> bool {
    settings.backend == StoreBackend::Sqlite
        && match fs::metadata(&settings.sqlite.path) {
            Ok(found) => found.is_file() && found.len() == 0,
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
}

/// Checks that a SQLite file that exists is a store of ours and not damaged, and that a log beside it is
/// its own. Returns whether all of the file was looked at.
pub fn check_file(settings: &StoreSettings) -> Result<bool, StoreError> {
    SqliteStore::check(&settings.sqlite)
}

/// Why a store cannot be backed up or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackUpStoreError {
    #[error(
        "the store is Redis; back it up with the means of the server, or copy it into a file with `ssfd \
         store copy --from config --to sqlite:FILE` while no daemon runs"
    )]
    Redis,
    #[error(transparent)]
    Missing(#[from] OpenExistingError),
    #[error("{0}; stop it first")]
    Lock(#[from] LockError),
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Copies the store into a file, while a daemon may serve from it.
pub fn back_up(
    settings: &StoreSettings,
    to: &Path,
    overwrite: bool,
) -> Result<CheckedCopy, BackUpStoreError> {
    match settings.backend {
        StoreBackend::Redis => Err(BackUpStoreError::Redis),
        StoreBackend::Sqlite if is_missing(settings) => {
            Err(OpenExistingError::Missing(place(settings)).into())
        }
        StoreBackend::Sqlite => Ok(backup::back_up(&settings.sqlite, to, overwrite)?),
    }
}

/// Puts a backup in the place of the store, which no daemon may serve from.
pub fn restore(settings: &StoreSettings, from: &Path) -> Result<Restored, BackUpStoreError> {
    let Some(_lock) = lock(settings)? else { return Err(BackUpStoreError::Redis) };
    Ok(backup::restore(&settings.sqlite, from, clock::now())?)
}

/// Opens an existing store for reading, while a daemon may serve from it.
pub async fn open_to_read(settings: &StoreSettings) -> Result<Arc<dyn Store>, OpenExistingError> {
    match settings.backend {
        StoreBackend::Sqlite if !is_missing(settings) => {
            Ok(Arc::new(SqliteStore::open_read_only(&settings.sqlite)?))
        }
        StoreBackend::Sqlite | StoreBackend::Redis => open_existing(settings).await,
    }
}

/// A store that is copied, or copied into, and that no daemon serves from. While this value lives, no
/// daemon starts on the same file. No daemon starts on a copy that is not complete.
pub struct Reserved {
    store: Arc<dyn Portable>,
    _lock: Option<StoreLock>,
}

impl Reserved {
    pub fn store(&self) -> &dyn Portable {
        &*self.store
    }
}

/// Why a store cannot be reserved.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Missing(#[from] OpenExistingError),
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A node that was killed counts until its lease ends.
    #[error("ssfd serves from it: {}", .0.join(", "))]
    Served(Vec<String>),
}

/// Opens an existing store to be copied. An unsuitable Redis server causes only a warning, because its
/// content should still be rescued.
pub async fn reserve_to_read(settings: &StoreSettings) -> Result<Reserved, ReserveError> {
    let missing = || OpenExistingError::Missing(place(settings));
    let store: Arc<dyn Portable> = match settings.backend {
        StoreBackend::Sqlite if is_missing(settings) => return Err(missing().into()),
        StoreBackend::Sqlite => Arc::new(SqliteStore::open_read_only(&settings.sqlite)?),
        StoreBackend::Redis => {
            let lenient = RedisSettings { checks: Checks::Warn, ..settings.redis.clone() };
            let store = RedisStore::open_existing(&lenient).await?.ok_or_else(missing)?;
            unserved(store).await?
        }
    };
    Ok(Reserved { store, _lock: lock(settings)? })
}

/// Opens a store to be copied into, even if an earlier copy broke off. Creates the store if it does not
/// exist.
pub async fn reserve_to_fill(settings: &StoreSettings) -> Result<Reserved, ReserveError> {
    let lock = lock(settings)?;
    let store: Arc<dyn Portable> = match settings.backend {
        StoreBackend::Sqlite => Arc::new(SqliteStore::open_to_fill(&settings.sqlite)?),
        StoreBackend::Redis => unserved(RedisStore::open_to_fill(&settings.redis).await?).await?,
    };
    Ok(Reserved { store, _lock: lock })
}

async fn unserved(store: RedisStore) -> Result<Arc<RedisStore>, ReserveError> {
    let live = store.link().live_nodes().await?;
    if live.is_empty() { Ok(Arc::new(store)) } else { Err(ReserveError::Served(live)) }
}

/// Locks a store that one daemon may serve at a time.
pub(super) fn lock(settings: &StoreSettings) -> Result<Option<StoreLock>, LockError> {
    match settings.backend {
        StoreBackend::Sqlite => StoreLock::take(&settings.sqlite.path).map(Some),
        StoreBackend::Redis => Ok(None),
    }
}
