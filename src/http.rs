//! The HTTP interface: the only code that knows status codes and wire JSON.
//!
//! - `api` is the table of all operations: path, method, handler, access, bodies and answers.
//!   [`public`] and [`internal`] make the two listeners from it, and [`openapi`] makes the OpenAPI
//!   document from it.
//! - Each other file has the handlers of one resource. A handler reads its request, makes one call
//!   into `transmitter`, and writes the response. The admin API's handlers are in [`admin`].
//! - `auth` turns a credential into a principal before anything of the body is read. `body` reads
//!   bodies and queries within bounds. `error` turns every error into a response.
//! - `sources` hands native events of identity providers to their source. `agents` answers the agents of
//!   devices.
//! - `caller` finds the address of a caller, and bounds how often one may ask. `unread` bounds the answers
//!   that a Receiver does not read, and the bodies that it does not end.
//! - [`connection`] closes connections on which nothing happens, and [`paced`] reads from a connection only
//!   what its requests can use. `document` lets answers share one buffer.
//! - [`shadowed`] finds providers whose paths get in each other's way.
//!
//! ```text
//!  connection ─▶ count ─▶ caller ─▶ auth ─▶ body ─▶ handler ─▶ transmitter
//!                                                       │
//!                                response ◀─ error ◀────┘
//! ```

pub mod admin;
mod agents;
mod api;
mod auth;
mod body;
mod caller;
pub mod connection;
mod document;
mod error;
pub mod events;
pub mod health;
mod jwks;
mod oauth;
pub mod openapi;
pub mod paced;
mod poll;
pub mod settings;
mod shadow;
mod sources;
mod status;
mod streams;
mod subjects;
mod unread;
mod verification;
mod well_known;

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::ConnectionType,
    middleware::{Next, from_fn},
    web,
};
use metrics_exporter_prometheus::PrometheusHandle;

pub use self::{
    shadow::{Shadowed, shadowed},
    unread::UnreadBytes,
};
use crate::{
    agents::AgentsSet,
    auth::Authenticator,
    clock::Ages,
    cluster::lease::Lease,
    domain::provider::Provider,
    http::{
        api::{Base, Resource},
        body::BodyLimits,
        caller::TrustedProxies,
        connection::{UnderWay, WatchedConnection},
        health::StoreCounts,
        settings::{ConnectionSettings, InternalSettings, PublicSettings, SourcesSettings},
    },
    maintenance::JobBoard,
    signing::material::CurrentMaterial,
    source::SourceSet,
    store::{Maintenance, Store},
    telemetry::{
        metrics::{self, ListenerLabel},
        readiness::Readiness,
    },
    transmitter::Transmitter,
};

/// The services that handlers use, made once for both listeners.
#[derive(Clone)]
pub struct Services {
    pub transmitter: Arc<Transmitter>,
    pub authenticator: Authenticator,
    pub material: CurrentMaterial,
    pub store: Arc<dyn Store>,
    pub lease: Arc<Lease>,
    pub ages: Ages,
    pub readiness: Arc<Readiness>,
    pub counts: Arc<StoreCounts>,
    pub jobs: Arc<JobBoard>,
    pub metrics: PrometheusHandle,
    pub public: PublicSettings,
    pub internal: InternalSettings,
    pub sources: SourcesSettings,
    pub event_bytes_max: EventBytesMax,
    pub unread: UnreadBytes,
    pub source_set: Arc<SourceSet>,
    pub agents: Arc<AgentsSet>,
}

/// The largest event in bytes, as in `ingest.redis.event_bytes_max`.
#[derive(Debug, Clone, Copy)]
pub struct EventBytesMax(pub usize);

impl Services {
    fn provide(&self, config: &mut web::ServiceConfig) {
        config
            .app_data(web::Data::from(Arc::clone(&self.transmitter)))
            .app_data(web::Data::new(self.authenticator.clone()))
            .app_data(web::Data::new(self.material.clone()))
            .app_data(web::Data::<dyn Maintenance>::from(
                Arc::clone(&self.store) as Arc<dyn Maintenance>
            ))
            .app_data(web::Data::from(Arc::clone(&self.lease)))
            .app_data(web::Data::from(Arc::clone(&self.readiness)))
            .app_data(web::Data::from(Arc::clone(&self.counts)))
            .app_data(web::Data::from(Arc::clone(&self.jobs)))
            .app_data(web::Data::new(self.metrics.clone()))
            .app_data(web::Data::from(Arc::clone(&self.source_set)))
            .app_data(web::Data::from(Arc::clone(&self.agents)))
            .app_data(web::Data::new(self.internal.clone()))
            .app_data(web::Data::new(self.event_bytes_max))
            .app_data(web::Data::new(self.unread.clone()));
    }
}

/// Configures the listener for Receivers. Each provider's resources stand below the path of its
/// issuer. The issuer comes from the configuration, and the Host header decides nothing.
pub fn public(services: &Services) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let services = services.clone();
    move |config| {
        services.provide(config);
        config.app_data(BodyLimits {
            bytes_max: services.public.body_bytes_max,
            timeout: services.public.connections.body_timeout,
        });
        config.app_data(TrustedProxies(services.public.trusted_proxies.clone()));
        if services.sources.public {
            let limits = source_limits(&services.public.connections);
            for service in api::sources_and_agents() {
                config.service(service.app_data(limits).wrap(from_fn(caller::limit)));
            }
        }
        // The longest path comes first, because the scope of an issuer without a path contains every
        // other scope.
        let providers = services.transmitter.directory().providers();
        let by_path: BTreeMap<_, _> = providers.map(|p| (p.issuer.path().to_owned(), p)).collect();
        for (path, provider) in by_path.into_iter().rev() {
            let data = || web::Data::from(Arc::clone(provider));
            let (at_origin, below): (Vec<&Resource>, _) =
                api::public::RESOURCES.iter().partition(|resource| resource.base == Base::Origin);
            for resource in at_origin {
                let path = resource.path.replace("/{issuer_path}", &path);
                // An issuer may end with a slash, and then some clients end the path with one.
                let scope = web::scope(&path).app_data(data());
                let scope = scope.service(resource.at("")).service(resource.at("/"));
                config.service(scope.wrap(from_fn(caller::limit)));
            }
            let scope = web::scope(&path).app_data(data());
            let scope = below.into_iter().fold(scope, |scope, r| scope.service(r.service()));
            let scope = scope.wrap(from_fn(auth::name_resource_metadata));
            config.service(scope.wrap(from_fn(caller::limit)));
        }
        config.default_service(web::to(error::not_found));
    }
}

/// Configures the listener for identity providers and agents.
pub fn sources(services: &Services) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let services = services.clone();
    move |config| {
        services.provide(config);
        config.app_data(source_limits(&services.sources.connections));
        config.app_data(TrustedProxies(services.sources.trusted_proxies.clone()));
        for service in api::sources_and_agents() {
            config.service(service.wrap(from_fn(caller::limit)));
        }
        config.default_service(web::to(error::not_found));
    }
}

/// Each source lowers the bound on the size to its own.
fn source_limits(connections: &ConnectionSettings) -> BodyLimits {
    BodyLimits { bytes_max: usize::MAX, timeout: connections.body_timeout }
}

/// Configures the listener for publishers and operators.
pub fn internal(services: &Services) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let services = services.clone();
    move |config| {
        services.provide(config);
        config.app_data(BodyLimits {
            bytes_max: services.internal.events_bytes_max,
            timeout: services.internal.connections.body_timeout,
        });
        let tables = [api::internal::RESOURCES, api::admin::RESOURCES, api::devices::RESOURCES];
        for resource in tables.into_iter().flatten() {
            config.service(resource.service());
        }
        config.default_service(web::to(error::not_found));
    }
}

/// Counts the answers of a listener, and marks the connection as in use until the answer is there. If the
/// listener is ending, the answer closes its connection, so that the next request opens a new one.
pub async fn count<B: MessageBody>(
    listener: ListenerLabel,
    is_ending: bool,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let _under_way = request.conn_data::<Rc<WatchedConnection>>().map(UnderWay::on);
    let mut response = next.call(request).await;
    if is_ending && let Ok(response) = &mut response {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let status = match &response {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    metrics::http_request(listener, status.as_u16().into());
    response
}

/// The provider that a request is for. The scope of its path provides it.
type Of = web::Data<Provider>;
