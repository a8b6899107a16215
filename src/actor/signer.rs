//! Signing in batches on threads of its own, so that no signature holds up an executor.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{
    mpsc::{self, Receiver, Sender},
    oneshot,
};

use crate::{
    clock,
    domain::id::ProviderName,
    signing::{
        key_ring::{KeyRing, KeyRings},
        material::CurrentMaterial,
    },
    telemetry::{metrics, supervision::Supervisor},
};

/// How SETs are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignerSettings {
    /// Threads that sign; 0 stands for one per core.
    pub threads: usize,
    /// SETs that a thread takes at a time, of any streams.
    pub batch_max: usize,
    /// Requests that may wait for a thread; a further one waits for a place.
    pub queue_max: usize,
}

impl Default for SignerSettings {
    fn default() -> Self {
        Self { threads: 0, batch_max: 32, queue_max: 256 }
    }
}

/// The batch cannot be signed: its provider has no key, or the signer failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signing failed: {0}")]
pub struct SigningFailed(String);

/// The way to the signing threads, which end once the last of these is dropped.
#[derive(Clone)]
pub struct Signer {
    material: CurrentMaterial,
    requests: Sender<Request>,
}

/// Sign these claims with the provider's current key.
struct Request {
    provider: ProviderName,
    claims: Vec<Arc<str>>,
    answer: oneshot::Sender<Result<Vec<Bytes>, SigningFailed>>,
}

impl Signer {
    pub fn start(
        settings: &SignerSettings,
        material: CurrentMaterial,
        supervisor: &Supervisor,
    ) -> std::io::Result<Self> {
        Self::start_with(settings, material, supervisor, sign)
    }

    fn start_with(
        settings: &SignerSettings,
        material: CurrentMaterial,
        supervisor: &Supervisor,
        sign: impl Fn(&KeyRings, Vec<Request>) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let threads = if settings.threads == 0 { cores() } else { settings.threads };
        let (requests, queue) = mpsc::channel(settings.queue_max.max(1));
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let (material, queue) = (material.clone(), Arc::clone(&queue));
            let (batch_max, sign, supervisor) =
                (settings.batch_max, sign.clone(), supervisor.clone());
            let serve = move || {
                while let Some(batch) = next_batch(&queue, batch_max, threads) {
                    sign(&material.get().key_rings, batch);
                }
            };
            let keep_serving = move || supervisor.keep_running("signer", serve);
            thread::Builder::new().name("signer".into()).spawn(keep_serving)?;
        }
        Ok(Self { material, requests })
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
        if claims.len() == 1 {
            let material = self.material.get();
            let quick = |ring: &KeyRing| ring.signer().algorithm().is_quick();
            if material.key_rings.get(provider).is_some_and(quick) {
                // To wake a thread for it would take longer, for us and for the SET.
                return sign_all(&material.key_rings, provider, &claims)?.into_iter().collect();
            }
        }
        let gone = || SigningFailed("the signing threads are gone".into());
        let (answer, signed) = oneshot::channel();
        let request = Request { provider: provider.clone(), claims, answer };
        self.requests.send(request).await.map_err(|_| gone())?;
        signed.await.map_err(|_| gone())?
    }
}

/// Waits for a request, and takes those that wait behind it: so batches grow with the load, and a
/// lone SET waits for no other. A thread leaves the others their share of what waits. `None` once
/// nobody can ask any more.
fn next_batch(
    queue: &Mutex<Receiver<Request>>,
    batch_max: usize,
    threads: usize,
) -> Option<Vec<Request>> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let first = queue.blocking_recv()?;
    let share = queue.len().div_ceil(threads);
    let mut sets = first.claims.len();
    let mut batch = vec![first];
    while batch.len() < share
        && sets < batch_max
        && let Ok(next) = queue.try_recv()
    {
        sets += next.claims.len();
        batch.push(next);
    }
    Some(batch)
}

/// One batch for each provider: an engine that signs several inputs at a time gets them together.
fn sign(keys: &KeyRings, batch: Vec<Request>) {
    let mut by_provider: BTreeMap<_, (Vec<_>, Vec<_>)> = BTreeMap::new();
    for Request { provider, mut claims, answer } in batch {
        let (all, asked) = by_provider.entry(provider).or_default();
        asked.push((claims.len(), answer));
        all.append(&mut claims);
    }
    for (provider, (claims, asked)) in by_provider {
        let mut signed = match sign_all(keys, &provider, &claims) {
            Ok(signed) => Ok(signed.into_iter()),
            Err(failed) => Err(failed),
        };
        for (count, answer) in asked {
            let signed = match &mut signed {
                Ok(signed) => signed.take(count).collect(),
                Err(failed) => Err(failed.clone()),
            };
            // The actor that asked may be gone.
            answer.send(signed).ok();
        }
    }
}

fn sign_all(
    keys: &KeyRings,
    provider: &ProviderName,
    claims: &[Arc<str>],
) -> Result<Vec<Result<Bytes, SigningFailed>>, SigningFailed> {
    let ring = keys.get(provider).ok_or_else(|| SigningFailed("the provider has no key".into()))?;
    let began = clock::instant();
    // The others of the batch are not to wait until the thread serves again.
    let signed = catch_unwind(AssertUnwindSafe(|| ring.signer().sign_batch(claims)))
        .map_err(|_| SigningFailed("the signer panicked".into()))?;
    metrics::sign_batch_duration(began.elapsed());
    metrics::sign_batch_sets(claims.len());
    metrics::signatures(provider, ring.signer().algorithm().as_str(), claims.len());
    let signed = signed.into_iter().map(|one| one.map_err(|e| SigningFailed(e.to_string())));
    Ok(signed.collect())
}

#[cfg(test)]
mod tests {
    use std::{
        panic::resume_unwind,
        sync::atomic::{AtomicBool, Ordering},
    };

    use futures_util::future::join_all;

    use super::*;
    use crate::{
        domain::provider::Provider,
        signing::{
            algorithm::Algorithm,
            keys::SigningKey,
            material::{self, Certificates, Material},
        },
    };

    fn key() -> SigningKey {
        SigningKey::example(Algorithm::EdDsa)
    }

    fn material(provider: &ProviderName) -> CurrentMaterial {
        let ring = KeyRing::new(vec![key()]).expect("one key");
        let key_rings = [(provider.clone(), ring)].into_iter().collect();
        material::channel(Material { key_rings, certificates: Certificates::default() }).1
    }

    fn start(settings: &SignerSettings) -> (Signer, ProviderName) {
        let (provider, supervisor) = (Provider::example().name, Supervisor::new(Arc::default()));
        let signer = Signer::start(settings, material(&provider), &supervisor);
        (signer.expect("starts"), provider)
    }

    fn claims(n: usize) -> Vec<Arc<str>> {
        (0..n).map(|set| format!(r#"{{"jti":"{n}-{set}"}}"#).into()).collect()
    }

    #[tokio::test]
    async fn whoever_asks_gets_his_own_in_his_order() {
        let settings = SignerSettings { threads: 2, batch_max: 5, queue_max: 3 };
        let (signer, provider) = start(&settings);
        let asked = (0..50).map(|n| signer.sign(&provider, claims(n % 7)));
        for (n, signed) in join_all(asked).await.into_iter().enumerate() {
            let expected = claims(n % 7);
            // Ed25519 is deterministic, so the very bytes can be compared.
            let expected = expected.iter().map(|claims| key().sign_set(claims).expect("signed"));
            assert!(signed.expect("signed").into_iter().eq(expected), "request {n}");
        }
    }

    #[tokio::test]
    async fn a_thread_that_panics_signs_again() {
        let settings = SignerSettings { threads: 1, ..SignerSettings::default() };
        let (provider, supervisor) = (Provider::example().name, Supervisor::new(Arc::default()));
        let panicked = Arc::<AtomicBool>::default();
        let sign_later = move |keys: &KeyRings, batch| {
            if !panicked.swap(true, Ordering::SeqCst) {
                resume_unwind(Box::new("an invariant broke"));
            }
            sign(keys, batch);
        };
        let signer = Signer::start_with(&settings, material(&provider), &supervisor, sign_later);
        let signer = signer.expect("starts");
        assert!(signer.sign(&provider, claims(2)).await.is_err());
        assert_eq!(signer.sign(&provider, claims(2)).await.expect("signed").len(), 2);
        assert!(supervisor.readiness().waiting_for().is_empty());
    }

    #[tokio::test]
    async fn a_provider_without_a_key_fails_alone() {
        let settings = SignerSettings { threads: 1, ..SignerSettings::default() };
        let (signer, provider) = start(&settings);
        let unknown = "nobody".parse().expect("a valid name");
        let asked = [&unknown, &provider, &unknown].map(|name| signer.sign(name, claims(2)));
        let answers = join_all(asked).await;
        let answers: Vec<_> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(answers, [false, true, false]);
    }

    #[test]
    fn a_batch_is_a_share_of_what_waits_within_its_bound() {
        let (send, queue) = mpsc::channel(100);
        let queue = Mutex::new(queue);
        let fill = |requests: usize| {
            for _ in 0..requests {
                let (answer, _) = oneshot::channel();
                let provider = Provider::example().name;
                let request = Request { provider, claims: claims(2), answer };
                send.try_send(request).expect("there is room");
            }
        };
        let taken = |batch_max, threads| {
            next_batch(&queue, batch_max, threads).expect("there are some").len()
        };
        fill(1);
        assert_eq!(taken(32, 2), 1, "a lone one waits for no other");
        fill(21);
        assert_eq!(taken(32, 2), 10, "half of those behind the first");
        assert_eq!(taken(8, 2), 4, "no more than eight SETs");
    }
}
