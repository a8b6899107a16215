//! The composition root, which names every concrete type: builds the daemon from its configuration,
//! serves, and drains.
//!
//! - [`build`] binds the [`Listeners`], opens the store and reads the files; [`App::serve`] starts
//!   everything that acts by itself, and ends it in order.
//! - `listeners` binds the sockets or takes those that were handed over, and `servers` serves HTTP on them
//!   with `http_server`.
//! - `store` opens the configured store, `lock` keeps a database to one daemon.
//! - `keys`, `tls`, `authorization`, `sources` and `agents` read what the configuration names by path.
//! - `descriptors` divides the file descriptors among the listeners and all else.
//! - `background` starts the maintenance jobs.

mod agents;
mod authorization;
mod background;
mod descriptors;
mod http_server;
mod keys;
mod listeners;
mod lock;
mod material;
mod servers;
mod sources;
mod store;
mod tls;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use rustls::server::danger::ClientCertVerifier;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use crate::{
    actor::{
        accepted::AcceptedPushes,
        hosts::Hosts,
        registry::Registry,
        signer::Signer,
        stream::{EndpointFault, Environment},
    },
    auth::{Authenticator, rates::Rates},
    clock::{self, Ages},
    cluster::{Cluster, change_feed::ChangeFeed, lease::Lease, local_node::LocalNode},
    config::{Config, ConfigError},
    directory::Directory,
    http::{EventBytesMax, Services, UnreadBytes, health::StoreCounts},
    ingest::{self, IngestError},
    push::{clients::PushClients, tls::TrustedRootsError},
    signing,
    source::poll,
    store::{Intake, Maintenance, Store, StoreError},
    telemetry::{causes::with_causes, metrics, readiness::Readiness, supervision::Supervisor},
    transmitter::{Sharing, Transmitter},
};

pub use self::{
    agents::{AgentsFileError, load as load_agents},
    authorization::{AuthorizationError, load as load_authorization},
    descriptors::TooFewDescriptors,
    keys::{KeyFileError, load as load_keys},
    listeners::{HandOverError, HandedOver, Listeners},
    lock::LockError,
    material::{MaterialError, MaterialSwitch, load as load_material},
    sources::{SourceFileError, load as load_sources},
    store::{
        BackUpStoreError, OpenExistingError, ReserveError, Reserved, back_up as back_up_store,
        check_file as check_store_file, is_missing as store_is_missing,
        open_existing as open_existing_store, open_to_read as open_store_to_read,
        place as store_place, reserve_to_fill, reserve_to_read, restore as restore_store,
    },
    tls::{
        TlsFileError, load_client_authorities, load_public_certificate, load_sources_certificate,
    },
};
use self::{background::Background, servers::Servers};

/// Requests to pause a stream at fault that may wait. Further actors wait until there is a place.
const FAULTS_MAX: usize = 64;

/// Why the daemon does not start. Each text names what is wrong, or the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    #[error(transparent)]
    Source(#[from] SourceFileError),
    #[error(transparent)]
    Agents(#[from] AgentsFileError),
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Push(#[from] TrustedRootsError),
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
    #[error("{0} ended unexpectedly; the log says why")]
    TaskEnded(String),
}

/// The daemon, built and bound, but not yet serving.
pub struct App {
    config: Config,
    services: Services,
    supervisor: Supervisor,
    registry: Arc<Registry>,
    cluster: Option<Arc<Cluster>>,
    faults: mpsc::Receiver<EndpointFault>,
    listeners: Listeners,
    material: MaterialSwitch,
    /// Verifies the certificates of clients of the sources' listener, if they are asked for.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    lock: Option<lock::StoreLock>,
}

/// Binds the listeners, opens the store and reads the keys, but starts nothing that acts by itself. Must
/// be called within an actix system.
pub async fn build(config: Config) -> Result<App, StartError> {
    build_with(HandedOver::default(), config).await
}

/// Does the same as [`build`], with the sockets that the service manager has handed over.
pub async fn build_with(handed: HandedOver, mut config: Config) -> Result<App, StartError> {
    handed.set_addresses(&mut config)?;
    config.validate()?;
    let listeners = Listeners::take_or_bind(handed, &config)?;
    build_on(listeners, config).await
}

/// Does the same as [`build`], on listeners that were bound before.
pub async fn build_on(listeners: Listeners, mut config: Config) -> Result<App, StartError> {
    config.validate()?;
    let (sender, material) = signing::material::channel(load_material(&config)?);
    let authorization = load_authorization(&config)?;
    let opened = load_sources(&config)?;
    let opened_agents = load_agents(&config)?;
    let clients = load_client_authorities(&config.sources)?;
    let providers = config.providers()?;
    let metrics = metrics::install().map_err(|error| StartError::Metrics(error.to_string()))?;
    for provider in &providers {
        metrics::begin_provider(&provider.name);
    }
    let threads = threads(&config);
    descriptors::fit(&mut config, threads)?;
    let push = PushClients::for_providers(&config.push, &providers)?;
    let lock = store::lock(&config.store)?;
    let (store, cluster) = store::open_to_serve(&config).await?;
    let directory = Arc::new(Directory::new(providers, store.streams().await?));
    for stream in store.streams_with_list().await? {
        directory.subject_removed(&stream);
    }
    let sharing = sharing(&config, cluster.as_deref());
    let lease = Arc::clone(&sharing.lease);
    let supervisor = Supervisor::new(Arc::default());
    let signer = Signer::start(&config.signer, material.clone(), &supervisor)?;
    let grace = config.delivery.new_key_grace;
    material::note_keys(&*store, &directory, &material.get(), grace).await;
    let switch = MaterialSwitch {
        sender,
        current: material.clone(),
        directory: Arc::clone(&directory),
        store: Arc::<dyn Store>::clone(&store),
        grace,
    };
    let ages = Ages::new(config.process.clock_step_hold);
    let (tell_fault, faults) = mpsc::channel(FAULTS_MAX);
    let environment = Environment {
        store: Arc::<dyn Store>::clone(&store),
        directory: Arc::clone(&directory),
        lease: Arc::clone(&lease),
        signer: signer.clone(),
        push,
        hosts: Hosts::new(config.delivery.host_in_flight_max),
        accepted: AcceptedPushes::new(directory.providers()),
        faults: tell_fault,
        settings: config.delivery.clone(),
        ages: ages.clone(),
    };
    let threads = or_cores(config.process.actor_threads);
    let registry = Arc::new(Registry::new(environment, threads, &supervisor));
    let transmitter = Arc::new(Transmitter::new(
        Arc::clone(&store),
        directory,
        Arc::clone(&registry),
        signer,
        config.poll.clone(),
        sharing,
    ));
    transmitter.take_up_activity().await?;
    let counted = Arc::clone(&store) as Arc<dyn Maintenance>;
    let sources = sources::build(&config, opened, &transmitter, &store, supervisor.readiness());
    let shared = (&transmitter, &store, &material);
    let agents = agents::build(opened_agents, shared, supervisor.readiness());
    let services = Services {
        counts: Arc::new(StoreCounts::new(counted, Arc::clone(&transmitter))),
        transmitter,
        authenticator: Authenticator::new(
            Arc::<dyn Store>::clone(&store),
            authorization,
            Rates::new(&config.public.rates),
        ),
        material,
        store,
        lease,
        ages,
        readiness: Arc::clone(supervisor.readiness()),
        jobs: Arc::default(),
        metrics,
        public: config.public.clone(),
        internal: config.internal.clone(),
        unread: UnreadBytes::new(config.public.unread_bytes_max),
        sources: config.sources.clone(),
        event_bytes_max: EventBytesMax(config.ingest.redis.event_bytes_max),
        source_set: Arc::new(sources),
        agents: Arc::new(agents),
    };
    Ok(App {
        config,
        services,
        supervisor,
        registry,
        cluster,
        faults,
        listeners,
        material: switch,
        clients,
        lock,
    })
}

/// Returns how this node shares the work with others, or that it is alone.
fn sharing(config: &Config, cluster: Option<&Cluster>) -> Sharing {
    match cluster {
        Some(cluster) => Sharing {
            lease: Arc::clone(cluster.lease()),
            change_feed: Arc::clone(cluster.change_feed()),
            activity_lag: config.process.activity_interval,
        },
        None => Sharing {
            lease: Arc::new(Lease::single_node(clock::instant())),
            change_feed: Arc::new(ChangeFeed::disabled()),
            activity_lag: Duration::ZERO,
        },
    }
}

/// Returns how many threads of the configuration wait for sockets.
fn threads(config: &Config) -> usize {
    let sources = config.sources.listen.map_or(1, |_| config.sources.workers);
    let actors = config.process.actor_threads;
    [config.public.workers, actors, config.signer.threads, sources].map(or_cores).iter().sum()
}

fn or_cores(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

impl App {
    /// Returns the address of the listener for Receivers.
    pub fn public_addr(&self) -> std::io::Result<SocketAddr> {
        self.listeners.public_addr()
    }

    /// Returns the address of the listener for publishers and operators.
    pub fn internal_addr(&self) -> std::io::Result<SocketAddr> {
        self.listeners.internal_addr()
    }

    /// Returns the address of the listener for identity providers, if there is one.
    pub fn sources_addr(&self) -> std::io::Result<Option<SocketAddr>> {
        self.listeners.sources_addr()
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.services.store
    }

    /// Returns what replaces the signing keys and the certificate, also while the daemon serves.
    pub fn material(&self) -> &MaterialSwitch {
        &self.material
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
        let Self {
            config,
            services,
            supervisor,
            registry,
            cluster,
            faults,
            listeners,
            material: _,
            clients,
            lock: _until_the_end,
        } = self;
        let (stopping, stopped) = watch::channel(false);
        let transmitter = Arc::clone(&services.transmitter);
        let mut joined = match &cluster {
            Some(cluster) => {
                let local = Arc::clone(&transmitter) as Arc<dyn LocalNode>;
                Some(cluster.join(&local, &supervisor).await)
            }
            None => None,
        };
        let ingest = ingest::start(
            &config.ingest.redis,
            &transmitter,
            &services.source_set,
            &(Arc::clone(&services.store) as Arc<dyn Intake>),
            &services.lease,
            &supervisor,
            &stopped,
        )?;
        let polls = poll::start(&services.source_set, &services.lease, &supervisor, &stopped);
        let gauge = ingest::gauge(&config.ingest.redis)?;
        let background =
            Background::start(&config, &services, &registry, gauge, faults, &supervisor);
        let servers =
            Servers::start(&config, &services, listeners, clients, &supervisor, &stopped)?;
        services.authenticator.warm_up();
        ready();

        let ended = tokio::select! {
            () = stop => None,
            ended = supervisor.ended() => Some(ended),
        };
        let _never_mind = stopping.send(true);
        let drained = timeout(config.process.drain_timeout, async {
            // First nothing new comes in, then the attempts under way end.
            for reader in ingest.into_iter().chain(polls) {
                reader.await.ok();
            }
            let stop_listening = async {
                transmitter.release_long_polls();
                servers.stop().await;
            };
            let hand_over = async {
                if let Some(joined) = &mut joined {
                    joined.drain().await;
                }
            };
            tokio::join!(stop_listening, hand_over);
            registry.drain().await;
        });
        if drained.await.is_err() {
            tracing::warn!(
                "the drain ran out of time; SETs whose attempt was under way are sent again later"
            );
        }
        background.end().await;
        ended.map_or(Ok(()), |task| Err(StartError::TaskEnded(task)))
    }
}
