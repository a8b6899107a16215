//! Opens the configured store, for the daemon and for commands.

use std::sync::Arc;

use super::lock::{LockError, StoreLock};
use crate::{
    cluster::Cluster,
    config::{Config, StoreBackend, StoreSettings},
    ingest,
    store::{
        Store, StoreError,
        portable::Portable,
        redis::{Checks, Epochs, RedisSettings, RedisStore},
        sqlite::SqliteStore,
    },
};

/// Opens the store. Must be called within a runtime that outlives the store.
pub async fn open(settings: &StoreSettings) -> Result<Arc<dyn Store>, StoreError> {
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
    let partitions = ingest::partitions(&config.ingest.redis, providers.keys());
    let cluster = Cluster::open(store.link(), epochs, config.cluster.clone(), partitions).await?;
    Ok((Arc::new(store), Some(cluster)))
}

/// Opens an existing store for reading, while a daemon may serve from it.
pub async fn open_to_read(settings: &StoreSettings) -> Result<Arc<dyn Store>, StoreError> {
    match settings.backend {
        StoreBackend::Sqlite => Ok(Arc::new(SqliteStore::open_read_only(&settings.sqlite)?)),
        StoreBackend::Redis => open(settings).await,
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
    Lock(#[from] LockError),
    /// A node that was killed counts until its lease ends.
    #[error("ssfd serves from it: {}", .0.join(", "))]
    Served(Vec<String>),
}

/// Opens an existing store to be copied. An unsuitable Redis server causes only a warning, because its
/// content should still be rescued.
pub async fn reserve_to_read(settings: &StoreSettings) -> Result<Reserved, ReserveError> {
    let store: Arc<dyn Portable> = match settings.backend {
        StoreBackend::Sqlite => Arc::new(SqliteStore::open_read_only(&settings.sqlite)?),
        StoreBackend::Redis => {
            let settings = RedisSettings { checks: Checks::Warn, ..settings.redis.clone() };
            unserved(RedisStore::open(&settings, Arc::default()).await?).await?
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
