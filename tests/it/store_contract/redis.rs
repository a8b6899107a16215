//! The suite on Redis: on a server alone, and on a Cluster.

mod connecting;
mod fencing;
mod memory;
mod moving;
mod outages;
mod steps;

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use ssfd::store::redis::{Checks, Epochs, RedisSettings, RedisStore, Topology};
use tokio::sync::OnceCell;

use super::{
    model::{replay, steps},
    *,
};
use crate::harness::{redis::Redis, redis_cluster::RedisCluster};

/// A server of a test's own.
#[derive(Default)]
pub(super) struct Standalone {
    pub(super) server: OnceCell<Redis>,
}

impl Standalone {
    async fn settings(&self) -> RedisSettings {
        let server = self.server.get_or_init(Redis::start).await;
        RedisSettings { urls: vec![server.url()], checks: Checks::Warn, ..RedisSettings::default() }
    }
}

impl Backend for Standalone {
    async fn try_open(&self) -> Result<Arc<dyn Store>, StoreError> {
        let store = RedisStore::open(&self.settings().await, Arc::new(Epochs::default())).await;
        Ok(Arc::new(store?))
    }

    async fn open_to_fill(&self) -> Arc<dyn Store> {
        let store = RedisStore::open_to_fill(&self.settings().await).await;
        Arc::new(store.expect("opens"))
    }
}

/// Keys of a test's own in a Cluster that all tests share: it takes a while to come together.
pub(super) struct Clustered {
    key_prefix: String,
}

impl Clustered {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        Self { key_prefix: format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed)) }
    }
}

async fn shared_cluster() -> &'static RedisCluster {
    static CLUSTER: OnceCell<RedisCluster> = OnceCell::const_new();
    CLUSTER.get_or_init(|| RedisCluster::start(3, 0)).await
}

impl Clustered {
    async fn settings(&self) -> RedisSettings {
        RedisSettings {
            urls: shared_cluster().await.urls(),
            topology: Topology::Cluster,
            key_prefix: self.key_prefix.clone(),
            checks: Checks::Warn,
            ..RedisSettings::default()
        }
    }
}

impl Backend for Clustered {
    async fn try_open(&self) -> Result<Arc<dyn Store>, StoreError> {
        let store = RedisStore::open(&self.settings().await, Arc::new(Epochs::default())).await;
        Ok(Arc::new(store?))
    }

    async fn open_to_fill(&self) -> Arc<dyn Store> {
        let store = RedisStore::open_to_fill(&self.settings().await).await;
        Arc::new(store.expect("opens"))
    }
}

/// A store on a server, which waits little.
async fn store_on(server: &Redis) -> RedisStore {
    let settings = impatient(vec![server.url()]);
    RedisStore::open(&settings, Arc::new(Epochs::default())).await.expect("opens")
}

fn impatient(urls: Vec<String>) -> RedisSettings {
    RedisSettings {
        urls,
        checks: Checks::Warn,
        retry_wait: Duration::from_millis(20),
        ..RedisSettings::default()
    }
}

mod standalone {
    use super::*;

    run_contract_on!(Standalone::default());
}

mod cluster {
    use super::*;

    run_contract_on!(Clustered::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

    #[test]
    fn an_outbox_behaves_like_its_model(steps in steps()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(replay(Standalone::default(), steps));
    }
}
