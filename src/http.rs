//! The only code that knows status codes and wire JSON: requests in, one call into `transmitter`,
//! responses out.

pub mod admin;
mod api;
mod auth;
mod body;
pub mod connection;
mod error;
pub mod events;
mod health;
mod jwks;
mod oauth;
pub mod openapi;
mod poll;
pub mod settings;
mod status;
mod streams;
mod subjects;
mod verification;
mod well_known;

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    web,
};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::{
    auth::Authenticator,
    cluster::lease::Lease,
    domain::provider::Provider,
    http::{
        api::{Base, Resource},
        body::BodyLimits,
        connection::{Connection, UnderWay},
        settings::{InternalSettings, PublicSettings},
    },
    maintenance::JobBoard,
    signing::material::CurrentMaterial,
    store::Store,
    telemetry::{
        metrics::{self, ListenerLabel},
        readiness::Readiness,
    },
    transmitter::Transmitter,
};

/// What the handlers work with, made once for all listeners.
#[derive(Clone)]
pub struct Services {
    pub transmitter: Arc<Transmitter>,
    pub authenticator: Authenticator,
    pub material: CurrentMaterial,
    pub store: Arc<dyn Store>,
    pub lease: Arc<Lease>,
    pub readiness: Arc<Readiness>,
    pub jobs: Arc<JobBoard>,
    pub metrics: PrometheusHandle,
    pub public: PublicSettings,
    pub internal: InternalSettings,
}

impl Services {
    fn provide(&self, config: &mut web::ServiceConfig) {
        config
            .app_data(web::Data::from(Arc::clone(&self.transmitter)))
            .app_data(web::Data::new(self.authenticator.clone()))
            .app_data(web::Data::new(self.material.clone()))
            .app_data(web::Data::new(Arc::clone(&self.store)))
            .app_data(web::Data::from(Arc::clone(&self.lease)))
            .app_data(web::Data::from(Arc::clone(&self.readiness)))
            .app_data(web::Data::from(Arc::clone(&self.jobs)))
            .app_data(web::Data::new(self.metrics.clone()))
            .app_data(web::Data::new(self.internal.clone()));
    }
}

/// The listener for Receivers. Each provider's resources stand below its issuer's path, which is
/// configuration; the Host header decides nothing.
pub fn public(services: &Services) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let services = services.clone();
    move |config| {
        services.provide(config);
        config.app_data(BodyLimits {
            bytes_max: services.public.body_bytes_max,
            timeout: services.public.connections.body_timeout,
        });
        // Longest path first: the scope of an issuer without a path takes in every other.
        let providers = services.transmitter.directory().providers();
        let by_path: BTreeMap<_, _> = providers.map(|p| (p.issuer.path().to_owned(), p)).collect();
        for (path, provider) in by_path.into_iter().rev() {
            let data = || web::Data::from(Arc::clone(provider));
            let (at_origin, below): (Vec<&Resource>, _) =
                api::public::RESOURCES.iter().partition(|resource| resource.base == Base::Origin);
            for resource in at_origin {
                let path = resource.path.replace("/{issuer_path}", &path);
                config.service(web::scope(&path).app_data(data()).service(resource.at("")));
            }
            let scope = web::scope(&path).app_data(data());
            let scope = below.into_iter().fold(scope, |scope, r| scope.service(r.service()));
            config.service(scope.wrap(from_fn(auth::name_resource_metadata)));
        }
        config.default_service(web::to(error::not_found));
    }
}

/// The listener for upstream and operators.
pub fn internal(services: &Services) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let services = services.clone();
    move |config| {
        services.provide(config);
        config.app_data(BodyLimits {
            bytes_max: services.internal.events_bytes_max,
            timeout: services.internal.connections.body_timeout,
        });
        for resource in api::internal::RESOURCES.iter().chain(api::admin::RESOURCES) {
            config.service(resource.service());
        }
        config.default_service(web::to(error::not_found));
    }
}

/// Counts what a listener answers, and lets the connection know that it is in use.
pub async fn count<B: MessageBody>(
    listener: ListenerLabel,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let _under_way = request.conn_data::<Rc<Connection>>().map(UnderWay::on);
    let response = next.call(request).await;
    let status = match &response {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    metrics::http_request(listener, status.as_u16().into());
    response
}

/// The provider that a request is for, put there by its scope.
type Of = web::Data<Provider>;
