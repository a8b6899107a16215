//! The open connections of all clients, by host: which of them a request may use, and how many there
//! are.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{
    Uri,
    body::{Body as _, Incoming},
    http::uri::Authority,
};
use tokio::{
    sync::{Notify, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    connection::{self, Connection, Http1, Http2, Http2User},
    dial::{DialError, Dialer, Versions},
    request::Target,
    resolve::Asker,
    response,
    settings::PushSettings,
};
use crate::{
    clock,
    telemetry::metrics::{self, GaugeGuard},
};

/// How long it is remembered which version of HTTP a host speaks, after its last attempt.
const HOST_REMEMBERED: Duration = Duration::from_mins(10);
/// The most hosts without a connection that are remembered.
const HOSTS_MAX: usize = 10_000;
/// How long the rest of an exchange may take after its outcome is known. Then the connection is closed
/// instead of being used again.
const FINISH_MAX: Duration = Duration::from_secs(1);
/// How often an attempt that waits for a place looks for an idle connection that can give way.
const GIVE_WAY_INTERVAL: Duration = Duration::from_millis(50);
/// The bounds between which unused connections are looked for.
const SWEEP_INTERVAL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// The connection that an attempt asks for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) key: &'a Key,
    pub(super) uri: &'a Uri,
    pub(super) dialer: &'a Dialer,
    pub(super) asker: Asker<'a>,
    /// The number of a connection that has failed. Other idle connections may have died with it, so only
    /// a connection that was opened later is returned.
    pub(super) newer_than: Option<u64>,
    pub(super) deadline: Instant,
}

/// Names the connections that a request may use. Clients of different identities share none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    client: u64,
    encrypted: bool,
    authority: Authority,
}

/// A place for one connection, in all and at its host, from before it is opened until its socket is
/// closed.
pub(super) struct Slot {
    _at_host: OwnedSemaphorePermit,
    _in_all: OwnedSemaphorePermit,
    _counted: GaugeGuard,
}

/// The connections of all clients of the daemon.
pub(super) struct Pool {
    settings: PushSettings,
    /// No await happens under this lock.
    hosts: Mutex<HashMap<Key, Host>>,
    /// Places for connections in all.
    places: Arc<Semaphore>,
    /// Unused connections are being looked for.
    swept: AtomicBool,
}

/// The connections to one host.
struct Host {
    protocol: Protocol,
    /// Connections by HTTP/1.1 without a request, the one that was used last at the end.
    idle: Vec<Http1>,
    /// The connection by HTTP/2 that new requests use.
    shared: Option<Arc<Http2>>,
    crowd: Arc<Crowd>,
    used_at: Instant,
}

/// The places and signals that the attempts at one host wait for.
struct Crowd {
    /// Places for connections.
    places: Arc<Semaphore>,
    /// Held by the one attempt that connects, where others may be able to use its connection.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Tells that a connection is idle again.
    returned: Notify,
}

/// The version of HTTP that a host speaks, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Unknown,
    Http1,
    /// The host speaks HTTP/2, and asked for HTTP/1.1 (RFC 9113 §7, `HTTP_1_1_REQUIRED`).
    Http1Required,
    Http2,
}

/// The next step of an attempt without a connection.
enum Next {
    Use(Connection),
    /// Another attempt connects. Its connection may do for this one too.
    Wait(Arc<Crowd>),
    Dial {
        versions: Versions,
        crowd: Arc<Crowd>,
    },
}

impl Key {
    pub(super) fn new(client: u64, target: &Target) -> Self {
        let authority = target.uri.authority().cloned();
        let authority = authority.unwrap_or_else(|| Authority::from_static("localhost"));
        Self { client, encrypted: target.is_encrypted(), authority }
    }
}

impl Pool {
    pub(super) fn new(settings: &PushSettings) -> Arc<Self> {
        // The metric exists from the start.
        drop(metrics::push_connection());
        Arc::new(Self {
            settings: settings.clone(),
            hosts: Mutex::default(),
            places: Arc::new(Semaphore::new(settings.connections_max)),
            swept: AtomicBool::new(false),
        })
    }

    /// Returns a connection for one request.
    pub(super) async fn connection(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
    ) -> Result<Connection, DialError> {
        match self.next(&wanted) {
            Next::Use(connection) => Ok(connection),
            // On the heap, so that the many attempts that need no new connection are small.
            Next::Wait(_) | Next::Dial { .. } => Box::pin(self.open(wanted)).await,
        }
    }

    /// Opens a connection, unless another one can be used by then.
    async fn open(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Connection, DialError> {
        let Wanted { key, uri, dialer, asker, newer_than, deadline } = wanted;
        let mut turn: Option<OwnedMutexGuard<()>> = None;
        let (versions, slot) = loop {
            let (versions, crowd) = match self.next(&wanted) {
                Next::Use(connection) => return Ok(connection),
                Next::Wait(crowd) if turn.is_none() => {
                    let lock = Arc::clone(&crowd.turn);
                    let locked = timeout_at(deadline, lock.lock_owned()).await;
                    turn = Some(locked.map_err(|_elapsed| DialError::Busy)?);
                    continue;
                }
                Next::Wait(crowd) => (Versions::Negotiated, crowd),
                Next::Dial { versions, crowd } => {
                    // Attempts by HTTP/1.1 need a connection each.
                    turn = None;
                    (versions, crowd)
                }
            };
            if newer_than.is_some() && crowd.places.available_permits() == 0 {
                drop(self.least_used(Some(key)));
            }
            tokio::select! {
                biased;
                slot = timeout_at(deadline, self.slot(&crowd)) => {
                    break (versions, slot.map_err(|_elapsed| DialError::NoSlot)?);
                }
                // Its connection is as good as a new one.
                () = crowd.returned.notified() => {}
            }
        };
        let dialled = timeout_at(deadline, dialer.dial(uri, versions, asker, slot)).await;
        let dialled = dialled.map_err(|_elapsed| DialError::Deadline)??;
        // Connections that were opened together do not retire together.
        let age_max = self.settings.connection_age_max.mul_f64(1.0 - clock::dice() / 4.0);
        let opened = connection::open(dialled, key.clone(), age_max, &self.settings).await;
        let opened = opened.map_err(DialError::Http)?;
        self.opened(&opened);
        drop(turn);
        self.sweep_from_now_on();
        Ok(opened)
    }

    fn next(&self, wanted: &Wanted<'_>) -> Next {
        let Wanted { key, dialer, newer_than, .. } = *wanted;
        let now = Instant::now();
        let mut unusable = Vec::new();
        let mut hosts = self.hosts();
        let host = match hosts.get_mut(key) {
            Some(host) => host,
            None => hosts.entry(key.clone()).or_insert_with(|| self.host(key, dialer, now)),
        };
        host.used_at = now;
        let found = host.take(newer_than, now, &mut unusable);
        let next = match found {
            Some(connection) => Next::Use(connection),
            None => match host.protocol {
                Protocol::Unknown | Protocol::Http2 => Next::Wait(Arc::clone(&host.crowd)),
                Protocol::Http1 => host.dial(Versions::Negotiated),
                Protocol::Http1Required => host.dial(Versions::Http1),
            },
        };
        drop(hosts);
        next
    }

    fn host(&self, key: &Key, dialer: &Dialer, now: Instant) -> Host {
        Host {
            protocol: if dialer.may_be_http2(key.encrypted) {
                Protocol::Unknown
            } else {
                Protocol::Http1
            },
            idle: Vec::new(),
            shared: None,
            crowd: Arc::new(Crowd {
                places: Arc::new(Semaphore::new(self.settings.host_connections_max)),
                turn: Arc::default(),
                returned: Notify::new(),
            }),
            used_at: now,
        }
    }

    /// Waits for a place. Where there is none in all, connections that nobody uses give way.
    async fn slot(&self, crowd: &Crowd) -> Slot {
        const NEVER: &str = "the places are never closed";
        let at_host = Arc::clone(&crowd.places).acquire_owned().await.expect(NEVER);
        let mut in_all = pin!(Arc::clone(&self.places).acquire_owned());
        let in_all = loop {
            if self.places.available_permits() == 0 {
                drop(self.least_used(None));
            }
            // A connection that was in use may be idle by then.
            if let Ok(place) = timeout(GIVE_WAY_INTERVAL, &mut in_all).await {
                break place.expect(NEVER);
            }
        };
        Slot { _at_host: at_host, _in_all: in_all, _counted: metrics::push_connection() }
    }

    /// Takes out the idle connection that was used longest ago, at one host or at any.
    fn least_used(&self, at: Option<&Key>) -> Option<Connection> {
        let mut hosts = self.hosts();
        let idle = |host: &Host| {
            let shared = host.shared.as_ref().filter(|shared| !shared.is_in_use());
            let since = host.idle.first().map(|first| first.idle_since);
            since.or_else(|| shared.map(|_| host.used_at))
        };
        let host = if let Some(key) = at {
            hosts.get_mut(key)
        } else {
            let candidates = hosts.values_mut().filter(|host| idle(host).is_some());
            candidates.min_by_key(|host| idle(host))
        }?;
        if host.idle.is_empty() {
            let shared = host.shared.take_if(|shared| !shared.is_in_use())?;
            return Some(Connection::Http2(Http2User::of(&shared)));
        }
        Some(Connection::Http1(host.idle.remove(0)))
    }

    /// Notes what a new connection shows, and shares one by HTTP/2.
    fn opened(&self, connection: &Connection) {
        let mut hosts = self.hosts();
        let Some(host) = hosts.get_mut(connection.key()) else { return };
        let replaced = match connection {
            Connection::Http1(_) => {
                if host.protocol != Protocol::Http1Required {
                    host.protocol = Protocol::Http1;
                }
                None
            }
            Connection::Http2(user) => {
                host.protocol = Protocol::Http2;
                host.shared.replace(Arc::clone(user.connection()))
            }
        };
        drop(hosts);
        drop(replaced);
    }

    /// The host asks for HTTP/1.1. Requests under way go on.
    pub(super) fn require_http1(&self, key: &Key) {
        let mut hosts = self.hosts();
        let Some(host) = hosts.get_mut(key) else { return };
        host.protocol = Protocol::Http1Required;
        let retired = host.shared.take();
        drop(hosts);
        drop(retired);
    }

    /// Keeps further requests away from a connection. It ends with the attempts that use it.
    pub(super) fn retire(&self, connection: Connection) {
        let Connection::Http2(user) = &connection else { return };
        let mut hosts = self.hosts();
        let host = hosts.get_mut(user.connection().key());
        let same = |shared: &mut Arc<Http2>| Arc::ptr_eq(shared, user.connection());
        let retired = host.and_then(|host| host.shared.take_if(same));
        drop(hosts);
        drop(retired);
    }

    /// An exchange has its outcome. Its connection is used again once the rest of the response is read,
    /// if that ends soon.
    pub(super) fn finish(self: &Arc<Self>, connection: Connection, mut rest: Option<Incoming>) {
        rest.take_if(|body| body.is_end_stream());
        match (connection, rest) {
            (Connection::Http1(connection), None) if connection.is_ready() => self.put(connection),
            (Connection::Http2(_), None) => {}
            (connection, rest) => {
                let (pool, bytes_max) = (Arc::clone(self), self.settings.response_bytes_max);
                tokio::spawn(async move {
                    let finished = async {
                        if let Some(body) = rest
                            && !response::drain(body, bytes_max).await
                        {
                            return None;
                        }
                        match connection {
                            Connection::Http1(mut one) => one.becomes_ready().await.then_some(one),
                            Connection::Http2(_) => None,
                        }
                    };
                    if let Ok(Some(connection)) = timeout(FINISH_MAX, finished).await {
                        pool.put(connection);
                    }
                });
            }
        }
    }

    fn put(&self, mut connection: Http1) {
        let now = Instant::now();
        if !connection.is_usable(now) {
            return;
        }
        connection.idle_since = now;
        let mut hosts = self.hosts();
        if let Some(host) = hosts.get_mut(connection.key()) {
            host.idle.push(connection);
            host.crowd.returned.notify_one();
        }
    }

    /// Starts to look for unused connections now and then, for as long as the pool is there.
    fn sweep_from_now_on(self: &Arc<Self>) {
        if self.swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let (shortest, longest) = SWEEP_INTERVAL;
        let interval = (self.settings.pool_idle_timeout / 4).clamp(shortest, longest);
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(pool) = Weak::upgrade(&pool) {
                pool.sweep(Instant::now());
                drop(pool);
                sleep(interval).await;
            }
        });
    }

    /// Closes connections that were not used for long, are old or have ended, and forgets hosts.
    fn sweep(&self, now: Instant) {
        let idle_max = self.settings.pool_idle_timeout;
        let (mut unused, mut retired) = (Vec::new(), Vec::new());
        let mut hosts = self.hosts();
        for host in hosts.values_mut() {
            let goes = |one: &mut Http1| {
                !one.is_usable(now) || idle_max <= now.duration_since(one.idle_since)
            };
            unused.extend(host.idle.extract_if(.., goes));
            let idle = idle_max <= now.duration_since(host.used_at);
            let goes =
                |shared: &mut Arc<Http2>| !shared.is_usable(now) || (idle && !shared.is_in_use());
            retired.extend(host.shared.take_if(goes));
        }
        let remembered = if HOSTS_MAX < hosts.len() { Duration::ZERO } else { HOST_REMEMBERED };
        hosts.retain(|_, host| {
            // An attempt that waits holds the crowd too, and each connection its places.
            let waited_for = 1 < Arc::strong_count(&host.crowd);
            let connected = 1 < Arc::strong_count(&host.crowd.places);
            waited_for || connected || now.duration_since(host.used_at) < remembered
        });
        drop(hosts);
        drop((unused, retired));
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<Key, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    fn dial(&self, versions: Versions) -> Next {
        Next::Dial { versions, crowd: Arc::clone(&self.crowd) }
    }

    /// Takes a connection that a request may use. Connections that no request may use go to
    /// `unusable`.
    fn take(
        &mut self,
        newer_than: Option<u64>,
        now: Instant,
        unusable: &mut Vec<Http1>,
    ) -> Option<Connection> {
        let is_newer = |number: u64| newer_than.is_none_or(|than| than < number);
        if let Some(shared) = &self.shared
            && shared.is_usable(now)
            && is_newer(shared.number())
        {
            return Some(Connection::Http2(Http2User::of(shared)));
        }
        while let Some(last) = self.idle.pop_if(|last| !last.is_usable(now)) {
            unusable.push(last);
        }
        let newer = self.idle.iter().rposition(|one| is_newer(one.number()) && one.is_usable(now));
        newer.map(|place| Connection::Http1(self.idle.remove(place)))
    }
}
