//! The composition root: here every concrete type is named. Build, serve, drain.

mod authorization;
mod clock_steps;
mod keys;
mod lock;
mod store;
mod tls;

use std::{
    future::Future,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{App as HttpApp, HttpServer, dev::Server, middleware};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    actor::{
        hosts::Hosts,
        registry::Registry,
        signer::Signer,
        stream::{EndpointFault, Environment},
    },
    auth::Authenticator,
    clock,
    config::{Config, ConfigError},
    directory::Directory,
    http::{self, Services, connection},
    ingest::{self, IngestError},
    push::client::{PushClient, PushClientError},
    store::{HOLD_LIMIT, Store, StoreError},
    telemetry::{
        causes::with_causes,
        metrics::{self, Listener},
        readiness::Readiness,
    },
    transmitter::Transmitter,
};

use self::clock_steps::ClockSteps;
pub use self::{
    authorization::{AuthorizationError, load as load_authorization},
    keys::{KeyFileError, load as load_keys},
    lock::LockError,
    store::{
        ReserveError, Reserved, open as open_store, open_to_read as open_store_to_read,
        reserve_to_fill, reserve_to_read,
    },
    tls::{TlsFileError, server_config},
};

/// Why the daemon does not start. Each text says what to do about it or names what is wrong.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Push(#[from] PushClientError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error("cannot open the store: {}", with_causes(.0))]
    Store(#[from] StoreError),
    #[error("cannot listen on {address} (`{key}`): {source}")]
    Listen { key: &'static str, address: SocketAddr, source: std::io::Error },
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
    #[error("cannot record metrics: {0}")]
    Metrics(String),
}

/// The two listeners, bound and not yet served. Their ports are known before the daemon is built,
/// for an issuer that names one.
pub struct Listeners {
    public: TcpListener,
    internal: TcpListener,
}

/// The daemon, built and bound, not yet serving.
pub struct App {
    config: Config,
    services: Services,
    registry: Arc<Registry>,
    faults: mpsc::Receiver<EndpointFault>,
    listeners: Listeners,
    tls: Option<rustls::ServerConfig>,
    lock: Option<lock::StoreLock>,
}

/// Binds the listeners, opens the store and the keys, and starts nothing that acts by itself. Must
/// be called within an actix system.
pub async fn build(config: Config) -> Result<App, StartError> {
    config.validate()?;
    let listeners = Listeners::bind(&config)?;
    build_on(listeners, config).await
}

/// As [`build`], on listeners that were bound before.
pub async fn build_on(listeners: Listeners, config: Config) -> Result<App, StartError> {
    config.validate()?;
    let keys = Arc::new(load_keys(&config)?);
    let tls = server_config(&config.public)?;
    let authorization = load_authorization(&config)?;
    let push = PushClient::new(&config.push)?;
    let metrics = metrics::install().map_err(|error| StartError::Metrics(error.to_string()))?;
    let lock = store::lock(&config.store)?;
    let store = open_store(&config.store).await?;
    let directory = Arc::new(Directory::new(config.providers()?, store.streams().await?));
    for stream in store.streams_with_list().await? {
        directory.subject_removed(&stream);
    }
    let signer = Signer::start(&config.signer, Arc::clone(&keys))?;
    let (tell_fault, faults) = mpsc::channel(FAULTS_MAX);
    let environment = Environment {
        store: Arc::clone(&store),
        directory: Arc::clone(&directory),
        signer: signer.clone(),
        push,
        hosts: Hosts::new(config.delivery.host_in_flight_max),
        faults: tell_fault,
        settings: config.delivery.clone(),
    };
    let registry = Arc::new(Registry::new(environment, or_cores(config.process.actor_threads)));
    let transmitter = Arc::new(Transmitter::new(
        Arc::clone(&store),
        directory,
        Arc::clone(&registry),
        signer,
        config.poll.clone(),
    ));
    transmitter.take_up_activity().await?;
    let services = Services {
        transmitter,
        authenticator: Authenticator::new(Arc::clone(&store), authorization),
        keys,
        store,
        readiness: Arc::default(),
        metrics,
        public: config.public.clone(),
        internal: config.internal.clone(),
    };
    Ok(App { config, services, registry, faults, listeners, tls, lock })
}

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|source| StartError::Listen { key, address, source })
}

fn or_cores(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

impl Listeners {
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            public: bind("public.listen", config.public.listen)?,
            internal: bind("internal.listen", config.internal.listen)?,
        })
    }

    pub fn public_addr(&self) -> std::io::Result<SocketAddr> {
        self.public.local_addr()
    }

    pub fn internal_addr(&self) -> std::io::Result<SocketAddr> {
        self.internal.local_addr()
    }
}

impl App {
    /// Where the listener for Receivers is bound.
    pub fn public_addr(&self) -> std::io::Result<SocketAddr> {
        self.listeners.public_addr()
    }

    /// Where the listener for upstream and operators is bound.
    pub fn internal_addr(&self) -> std::io::Result<SocketAddr> {
        self.listeners.internal_addr()
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.services.store
    }

    pub fn readiness(&self) -> &Arc<Readiness> {
        &self.services.readiness
    }

    /// Serves until `stop` resolves, then drains. `ready` is called once everything is up.
    pub async fn serve(
        self,
        stop: impl Future<Output = ()>,
        ready: impl FnOnce(),
    ) -> Result<(), StartError> {
        let Self { config, services, registry, faults, listeners, tls, lock: _until_the_end } =
            self;
        let (stopping, stopped) = watch::channel(false);
        let transmitter = Arc::clone(&services.transmitter);
        let ingest = ingest::start(
            &config.ingest.redis,
            &transmitter,
            &services.store,
            &services.readiness,
            &stopped,
        )?;
        let background = [
            tokio::spawn(watch_activity(
                Arc::clone(&transmitter),
                config.process.activity_interval,
            )),
            tokio::spawn(metrics::keep_up(services.metrics.clone())),
            tokio::spawn(sweep(
                Arc::clone(&registry),
                Arc::clone(&services.store),
                config.delivery.sweep_interval,
            )),
            tokio::spawn(expire(Arc::clone(&services.store), config.clone())),
            tokio::spawn(pause_at_fault(Arc::clone(&transmitter), faults)),
        ];
        let workers = or_cores(config.public.workers);
        let public = server(Listener::Public, &services, listeners.public, tls, workers)?;
        // Few clients, and each of them quick.
        let internal = server(Listener::Internal, &services, listeners.internal, None, 1)?;
        services.authenticator.warm_up();
        let servers = [public.handle(), internal.handle()];
        let serving = [actix_web::rt::spawn(public), actix_web::rt::spawn(internal)];
        ready();

        stop.await;
        let _never_mind = stopping.send(true);
        let drained = timeout(config.process.drain_timeout, async {
            // Nothing comes in any more; then what is under way ends.
            for reader in ingest {
                reader.await.ok();
            }
            transmitter.release_long_polls();
            for server in servers {
                server.stop(true).await;
            }
            for server in serving {
                server.await.ok();
            }
            registry.drain().await;
        });
        if drained.await.is_err() {
            tracing::warn!("the drain ran out of time; what was under way is sent again later");
        }
        background.iter().for_each(JoinHandle::abort);
        if transmitter.watches_activity()
            && let Err(error) = transmitter.record_activity().await
        {
            activity_failed(&error);
        }
        Ok(())
    }
}

/// Without it, the end of an answer waits until its beginning is acknowledged: 40 ms for each poll.
const TCP_NODELAY: bool = true;
/// How long a server that stops waits for requests that it has begun, in seconds; each is short
/// once long polls are released.
const REQUEST_DRAIN_SECS: u64 = 5;

fn server(
    which: Listener,
    services: &Services,
    listener: TcpListener,
    tls: Option<rustls::ServerConfig>,
    workers: usize,
) -> std::io::Result<Server> {
    let connections = match which {
        Listener::Public => &services.public.connections,
        Listener::Internal => &services.internal.connections,
    };
    // The server counts them by worker.
    let connections_max = connections.max.div_ceil(workers);
    let (head_timeout, idle_timeout) = (connections.head_timeout, connections.idle_timeout);
    let idle_max = head_timeout + idle_timeout;
    let tls_timeout = services.public.tls_timeout;
    let services = services.clone();
    let server = HttpServer::new(move || {
        let count = move |request, next| http::count(which, request, next);
        let app = HttpApp::new().wrap(middleware::from_fn(count));
        match which {
            Listener::Public => app.configure(http::public(&services)),
            Listener::Internal => app.configure(http::internal(&services)),
        }
    });
    let server = server
        .on_connect(move |io, extensions| connection::watch(io, extensions, idle_max))
        .workers(workers)
        .max_connections(connections_max)
        .client_request_timeout(head_timeout)
        .keep_alive(idle_timeout)
        .tls_handshake_timeout(tls_timeout)
        .shutdown_timeout(REQUEST_DRAIN_SECS)
        .tcp_nodelay(TCP_NODELAY)
        .disable_signals();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls)?,
        None => server.listen(listener)?,
    };
    Ok(server.run())
}

/// Endpoints at fault that wait to be looked at; the actors of further ones wait for a place.
const FAULTS_MAX: usize = 64;

async fn pause_at_fault(transmitter: Arc<Transmitter>, faults: mpsc::Receiver<EndpointFault>) {
    transmitter.pause_at_fault(faults).await;
}

/// Finds work whose wake-up was lost; at once after a start, when there was none at all. A clock that
/// went back would have what waits for its time wait longer by as much: that is noticed here.
async fn sweep(registry: Arc<Registry>, store: Arc<dyn Store>, period: Duration) {
    let mut steps = ClockSteps::new(clock::now(), clock::instant());
    let mut tick = interval(period.max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut went_back = store.newest().await.ok().flatten().is_some_and(|at| clock::now() < at);
    loop {
        tick.tick().await;
        let now = clock::now();
        went_back |= steps.went_back(now, clock::instant());
        if went_back {
            match store.forget_waits(now).await {
                Ok(sets) => {
                    went_back = false;
                    tracing::warn!(sets, "the clock went back; what waits is tried at once");
                }
                Err(error) => sweep_failed(&error),
            }
        }
        if let Err(error) = registry.sweep().await {
            sweep_failed(&error);
        }
    }
}

fn sweep_failed(error: &StoreError) {
    metrics::store_error("sweep");
    tracing::warn!(error = with_causes(error), "cannot look for work");
}

/// Records when streams were last active, and pauses those that were not for too long.
async fn watch_activity(transmitter: Arc<Transmitter>, period: Duration) {
    if !transmitter.watches_activity() {
        return;
    }
    let mut tick = interval(period.max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = transmitter.record_activity().await {
            activity_failed(&error);
        }
        if let Err(error) = transmitter.pause_inactive().await {
            activity_failed(&error);
        }
    }
}

fn activity_failed(error: &(dyn std::error::Error + 'static)) {
    metrics::store_error("activity");
    tracing::warn!(error = with_causes(error), "cannot keep up with the activity of streams");
}

/// Removes what is kept long enough.
async fn expire(store: Arc<dyn Store>, config: Config) {
    let mut tick = interval(config.store.expiry_interval.max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now = clock::now();
        let expiry = config.expiry(now);
        match store.limit_held(config.store.held_max, now - config.store.held_for, now).await {
            Ok(dropped) => {
                for (provider, sets) in dropped {
                    metrics::sets_dead(&provider, HOLD_LIMIT, sets);
                    tracing::warn!(%provider, sets, "paused streams held too much or too long");
                }
            }
            Err(error) => {
                metrics::store_error("limit_held");
                tracing::warn!(error = with_causes(&error), "cannot bound what is held");
            }
        }
        loop {
            let expired = async {
                let lists = store.expire_lists(now).await?;
                let grants = store.expire_grants(now).await?;
                let settled = store.expire(expiry.clone()).await?;
                Ok::<_, StoreError>(lists || grants || settled)
            };
            match expired.await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    metrics::store_error("expire");
                    tracing::warn!(error = with_causes(&error), "cannot remove what is old");
                    break;
                }
            }
        }
    }
}
