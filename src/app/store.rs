//! The store as configured.

use std::sync::Arc;

use super::lock::{LockError, StoreLock};
use crate::{
    cluster::Cluster,
    config::{Config, StoreBackend, StoreSettings},
    ingest,
    store::{
        Store, StoreError,
        redis::{Epochs, RedisStore},
        sqlite::SqliteStore,
    },
};

/// Opens it. Must be called within a runtime that outlives the store.
pub async fn open(settings: &StoreSettings) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match settings.backend {
        StoreBackend::Sqlite => Arc::new(SqliteStore::open(&settings.sqlite)?),
        StoreBackend::Redis => Arc::new(RedisStore::open(&settings.redis, Arc::default()).await?),
    })
}

/// Opens it for a daemon, with others if there may be others that have the same.
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

/// Opens what is there already, for a look at it while a daemon may serve from it.
pub async fn open_to_read(settings: &StoreSettings) -> Result<Arc<dyn Store>, StoreError> {
    match settings.backend {
        StoreBackend::Sqlite => Ok(Arc::new(SqliteStore::open_read_only(&settings.sqlite)?)),
        StoreBackend::Redis => open(settings).await,
    }
}

/// A file is one daemon's.
pub(super) fn lock(settings: &StoreSettings) -> Result<Option<StoreLock>, LockError> {
    match settings.backend {
        StoreBackend::Sqlite => StoreLock::take(&settings.sqlite.path).map(Some),
        StoreBackend::Redis => Ok(None),
    }
}
