//! The look-up of host names: asynchronous, so that a slow name costs no thread and can be given up,
//! bounded in all and for each Receiver, and cached.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    system_conf::read_system_conf,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::settings::DnsSettings;
use crate::{clock, domain::stream::StreamConfig, telemetry::metrics};

/// The most names whose addresses are cached.
const NAMES_MAX: usize = 10_000;
/// Receivers whose places are kept, unless more have look-ups under way.
const ASKERS_MAX: usize = 1_000;
/// Addresses that must not be cached at all are kept for this long, so that the connections of one burst
/// share a look-up.
const CACHED_MIN: Duration = Duration::from_secs(1);
/// The files that say how names are looked up, and how often they are checked for a change.
const SYSTEM_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
const SYSTEM_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Looks up names as `/etc/hosts` and `/etc/resolv.conf` say. Cheap to clone; all clones share the cache
/// and the bounds.
#[derive(Clone)]
pub(super) struct Resolver(Arc<Shared>);

struct Shared {
    settings: DnsSettings,
    places: Arc<Semaphore>,
    /// The places of each Receiver with look-ups under way.
    askers: Mutex<HashMap<String, Arc<Semaphore>>>,
    cache: Mutex<HashMap<String, Cached>>,
    system: Mutex<Option<System>>,
}

struct Cached {
    addresses: Arc<[IpAddr]>,
    until: Instant,
}

/// The configuration of the system, as it was read.
struct System {
    resolver: Arc<TokioResolver>,
    changed_at: [Option<SystemTime>; SYSTEM_FILES.len()],
    checked_at: Instant,
}

/// The Receiver that a look-up is made for, which owns the stream. Receivers share the look-ups evenly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    provider: &'a str,
    receiver: &'a str,
}

/// Why there are no addresses.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookUpError {
    #[error("the look-up failed")]
    Failed(#[from] NetError),
    #[error("the look-up took too long")]
    Timeout,
    #[error(
        "no place for a look-up was free; `push.dns.look_ups_max` bounds all of them, and \
         `push.dns.receiver_look_ups_max` those of one Receiver"
    )]
    NoPlace,
}

/// Room for one look-up.
struct Place {
    _of_asker: OwnedSemaphorePermit,
    _in_all: OwnedSemaphorePermit,
}

impl<'a> Asker<'a> {
    pub(super) const NOBODY: Self = Self { provider: "", receiver: "" };

    pub(super) fn of(stream: &'a StreamConfig) -> Self {
        Self { provider: stream.provider.as_str(), receiver: stream.receiver.as_str() }
    }

    fn key(self) -> String {
        format!("{}/{}", self.provider, self.receiver)
    }
}

impl Resolver {
    pub(super) fn new(settings: &DnsSettings) -> Self {
        drop(metrics::push_look_up());
        Self(Arc::new(Shared {
            settings: settings.clone(),
            places: Arc::new(Semaphore::new(settings.look_ups_max)),
            askers: Mutex::default(),
            cache: Mutex::default(),
            system: Mutex::default(),
        }))
    }

    /// Returns the addresses of a name, in the order in which they should be tried.
    pub(super) async fn look_up(
        &self,
        name: &str,
        asker: Asker<'_>,
        deadline: Instant,
    ) -> Result<Arc<[IpAddr]>, LookUpError> {
        if let Some(addresses) = self.0.cached(name) {
            return Ok(addresses);
        }
        let place = timeout_at(deadline, self.0.place(asker)).await;
        let _place = place.map_err(|_elapsed| LookUpError::NoPlace)?;
        // Another attempt may have looked it up meanwhile.
        if let Some(addresses) = self.0.cached(name) {
            return Ok(addresses);
        }
        let _counted = metrics::push_look_up();
        let resolver = self.0.resolver()?;
        let found = timeout_at(deadline, resolver.lookup_ip(name)).await;
        let found = found.map_err(|_elapsed| LookUpError::Timeout)??;
        let addresses: Arc<[IpAddr]> = found.iter().collect();
        let lifetime = found.valid_until().saturating_duration_since(clock::instant());
        self.0.cache(name, &addresses, lifetime);
        Ok(addresses)
    }
}

impl Shared {
    fn cached(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache.get(name).filter(|cached| Instant::now() < cached.until)?;
        Some(Arc::clone(&cached.addresses))
    }

    fn cache(&self, name: &str, addresses: &Arc<[IpAddr]>, lifetime: Duration) {
        let now = Instant::now();
        let lifetime = lifetime.max(CACHED_MIN).min(self.settings.cache_max);
        let cached = Cached { addresses: Arc::clone(addresses), until: now + lifetime };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if NAMES_MAX <= cache.len() {
            cache.retain(|_, cached| now < cached.until);
        }
        if NAMES_MAX <= cache.len() {
            // The only cost is to ask again.
            cache.clear();
        }
        cache.insert(name.to_owned(), cached);
    }

    /// Waits for a place. A Receiver whose own places are taken waits without taking one from others.
    async fn place(&self, asker: Asker<'_>) -> Place {
        const NEVER: &str = "the places are never closed";
        let own = {
            let mut askers = self.askers();
            if ASKERS_MAX <= askers.len() {
                askers.retain(|_, places| 1 < Arc::strong_count(places));
            }
            let places = || Arc::new(Semaphore::new(self.settings.receiver_look_ups_max));
            Arc::clone(askers.entry(asker.key()).or_insert_with(places))
        };
        let of_asker = own.acquire_owned().await.expect(NEVER);
        let in_all = Arc::clone(&self.places).acquire_owned().await.expect(NEVER);
        Place { _of_asker: of_asker, _in_all: in_all }
    }

    fn askers(&self) -> MutexGuard<'_, HashMap<String, Arc<Semaphore>>> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the resolver for the configuration of the system. It is made anew if that has changed.
    fn resolver(&self) -> Result<Arc<TokioResolver>, NetError> {
        let now = Instant::now();
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &mut *system {
            if now.duration_since(known.checked_at) < SYSTEM_CHECK_INTERVAL {
                return Ok(Arc::clone(&known.resolver));
            }
            known.checked_at = now;
            if known.changed_at == changed_at() {
                return Ok(Arc::clone(&known.resolver));
            }
        }
        let changed_at = changed_at();
        let resolver = Arc::new(make(&self.settings)?);
        *system = Some(System { resolver: Arc::clone(&resolver), changed_at, checked_at: now });
        Ok(resolver)
    }
}

/// Returns when each of the files was last changed.
fn changed_at() -> [Option<SystemTime>; SYSTEM_FILES.len()] {
    SYSTEM_FILES.map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

fn make(settings: &DnsSettings) -> Result<TokioResolver, NetError> {
    let (mut config, mut options) = match read_system_conf() {
        Ok(read) => read,
        // Without a usable file there is one server, as for every other program (resolv.conf(5)).
        Err(_) => (of_servers(&[(Ipv4Addr::LOCALHOST, 53).into()]), ResolverOpts::default()),
    };
    if !settings.servers.is_empty() {
        config = of_servers(&settings.servers);
    }
    options.use_hosts_file = ResolveHosts::Always;
    // Addresses are cached here, where a Receiver's place is not needed for them.
    options.cache_size = 0;
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(config, provider);
    *builder.options_mut() = options;
    builder.build()
}

fn of_servers(servers: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let at_port = |mut connection: ConnectionConfig| {
            connection.port = address.port();
            connection
        };
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port);
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(settings: DnsSettings) -> Resolver {
        Resolver::new(&settings)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn a_name_of_the_hosts_file_is_found_without_a_server() {
        let resolver = resolver(DnsSettings::default());
        let found = resolver.look_up("localhost", Asker::NOBODY, soon()).await.expect("found");
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty(), "{found:?}");
        let invalid = resolver.look_up("nowhere.invalid", Asker::NOBODY, soon()).await;
        assert!(matches!(invalid, Err(LookUpError::Failed(_))), "{invalid:?}");
    }

    /// One Receiver's names cannot keep the places from the others.
    #[tokio::test]
    async fn a_receiver_has_its_own_places() {
        let settings =
            DnsSettings { look_ups_max: 4, receiver_look_ups_max: 2, ..DnsSettings::default() };
        let resolver = resolver(settings);
        let [one, other] = ["one", "other"].map(|receiver| Asker { provider: "acme", receiver });
        let hasty = || Instant::now() + Duration::from_millis(10);
        let taken = [resolver.0.place(one).await, resolver.0.place(one).await];
        let refused = resolver.look_up("rx.example", one, hasty()).await;
        assert!(matches!(refused, Err(LookUpError::NoPlace)), "{refused:?}");
        assert!(resolver.look_up("localhost", other, soon()).await.is_ok());
        assert!(resolver.look_up("localhost", one, hasty()).await.is_ok(), "it is cached");
        drop(taken);
        drop(resolver.0.place(one).await);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let resolver = resolver(DnsSettings::default());
        let none: Arc<[IpAddr]> = Arc::new([]);
        for n in 0..=NAMES_MAX {
            resolver.0.cache(&format!("rx-{n}.example"), &none, Duration::from_mins(1));
        }
        assert!(resolver.0.cache.lock().expect("no panic").len() <= NAMES_MAX);
        for n in 0..2 * ASKERS_MAX {
            let receiver = format!("rx-{n}");
            drop(resolver.0.place(Asker { provider: "acme", receiver: &receiver }).await);
        }
        assert!(resolver.0.askers().len() <= ASKERS_MAX);
    }
}
