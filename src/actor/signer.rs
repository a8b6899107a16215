//! Signing in batches on threads of its own, so that no signature holds up an executor.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix::{Actor, Addr, Handler, Message, SyncArbiter, SyncContext};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::{clock, domain::id::ProviderName, signing::key_ring::KeyRings, telemetry::metrics};

/// How SETs are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignerSettings {
    /// Threads that sign; 0 stands for one per core.
    pub threads: usize,
    /// Batches that may wait for a thread; whoever brings one more waits.
    pub batches_max: usize,
}

impl Default for SignerSettings {
    fn default() -> Self {
        Self { threads: 0, batches_max: 64 }
    }
}

/// The batch cannot be signed: its provider has no key, or the signer failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signing failed: {0}")]
pub struct SigningFailed(String);

/// The way to the signing threads.
#[derive(Clone)]
pub struct Signer {
    threads: Addr<SignerThread>,
    // A `SyncArbiter` queues without bound; this is the bound.
    admission: Arc<Semaphore>,
}

struct SignerThread {
    keys: Arc<KeyRings>,
}

/// Sign these claims with the provider's current key.
struct Sign {
    provider: ProviderName,
    claims: Vec<Arc<str>>,
}

impl Message for Sign {
    type Result = Result<Vec<Bytes>, SigningFailed>;
}

impl Signer {
    pub fn start(settings: &SignerSettings, keys: Arc<KeyRings>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if settings.threads == 0 { cores } else { settings.threads };
        Self {
            threads: SyncArbiter::start(threads, move || SignerThread { keys: Arc::clone(&keys) }),
            admission: Arc::new(Semaphore::new(settings.batches_max.max(1))),
        }
    }

    /// Signs a batch; the results are in the order of the claims.
    pub async fn sign(
        &self,
        provider: &ProviderName,
        claims: Vec<Arc<str>>,
    ) -> Result<Vec<Bytes>, SigningFailed> {
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let _admitted = self.admission.acquire().await.expect("the semaphore is never closed");
        let signed = self.threads.send(Sign { provider: provider.clone(), claims }).await;
        signed.unwrap_or_else(|_| Err(SigningFailed("the signing threads are gone".into())))
    }
}

impl Actor for SignerThread {
    type Context = SyncContext<Self>;
}

impl Handler<Sign> for SignerThread {
    type Result = Result<Vec<Bytes>, SigningFailed>;

    fn handle(&mut self, batch: Sign, _: &mut Self::Context) -> Self::Result {
        let ring = self
            .keys
            .get(&batch.provider)
            .ok_or_else(|| SigningFailed("the provider has no key".into()))?;
        let began = clock::instant();
        // A thread of a `SyncArbiter` that panics is not replaced.
        let signed = catch_unwind(AssertUnwindSafe(|| ring.signer().sign_batch(&batch.claims)))
            .map_err(|_| SigningFailed("the signer panicked".into()))?;
        metrics::sign_batch_duration(began.elapsed());
        metrics::sign_batch_sets(batch.claims.len());
        metrics::signatures(
            &batch.provider,
            ring.signer().algorithm().as_str(),
            batch.claims.len(),
        );
        signed.into_iter().map(|one| one.map_err(|e| SigningFailed(e.to_string()))).collect()
    }
}
