//! The only code that knows status codes and wire JSON: requests in, one call into `transmitter`,
//! responses out.

pub mod admin;
mod auth;
mod body;
mod error;
pub mod events;
mod health;
mod jwks;
mod oauth;
mod poll;
pub mod settings;
mod status;
mod streams;
mod subjects;
mod verification;
mod well_known;

use std::{collections::BTreeMap, sync::Arc};

use actix_web::{
    Error, FromRequest, Handler, Responder, Route,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    web,
};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::{
    auth::Authenticator,
    domain::{
        metadata::{WELL_KNOWN, resource},
        oauth::{AUTHORIZATION_SERVER, PROTECTED_RESOURCE, TOKEN_ENDPOINT},
        provider::Provider,
    },
    http::settings::{InternalSettings, PublicSettings},
    signing::key_ring::KeyRings,
    store::Store,
    telemetry::{
        metrics::{self, Listener},
        readiness::Readiness,
    },
    transmitter::Transmitter,
};

/// What the handlers work with, made once for all listeners.
#[derive(Clone)]
pub struct Services {
    pub transmitter: Arc<Transmitter>,
    pub authenticator: Authenticator,
    pub keys: Arc<KeyRings>,
    pub store: Arc<dyn Store>,
    pub readiness: Arc<Readiness>,
    pub metrics: PrometheusHandle,
    pub public: PublicSettings,
    pub internal: InternalSettings,
}

impl Services {
    fn provide(&self, config: &mut web::ServiceConfig) {
        config
            .app_data(web::Data::from(Arc::clone(&self.transmitter)))
            .app_data(web::Data::new(self.authenticator.clone()))
            .app_data(web::Data::from(Arc::clone(&self.keys)))
            .app_data(web::Data::new(Arc::clone(&self.store)))
            .app_data(web::Data::from(Arc::clone(&self.readiness)))
            .app_data(web::Data::new(self.metrics.clone()))
            .app_data(web::Data::new(self.public.clone()))
            .app_data(web::Data::new(self.internal.clone()));
    }
}

/// The listener for Receivers. Each provider's resources stand below its issuer's path, which is
/// configuration; the Host header decides nothing.
pub fn public(services: &Services) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let services = services.clone();
    move |config| {
        services.provide(config);
        // Longest path first: the scope of an issuer without a path takes in every other.
        let providers = services.transmitter.directory().providers();
        let by_path: BTreeMap<_, _> = providers.map(|p| (p.issuer.path().to_owned(), p)).collect();
        for (_, provider) in by_path.into_iter().rev() {
            let scope =
                |path: &str| web::scope(path).app_data(web::Data::from(Arc::clone(provider)));
            let well_known = |name| scope(&provider.issuer.well_known_path(name));
            config
                .service(well_known(WELL_KNOWN).service(document("", well_known::metadata)))
                .service(
                    well_known(PROTECTED_RESOURCE).service(document("", oauth::protected_resource)),
                )
                .service(
                    well_known(AUTHORIZATION_SERVER)
                        .service(document("", oauth::authorization_server)),
                )
                .service(
                    scope(provider.issuer.path())
                        .wrap(from_fn(auth::name_resource_metadata))
                        .configure(provider_scope),
                );
        }
        config.default_service(web::to(error::not_found));
    }
}

fn provider_scope(config: &mut web::ServiceConfig) {
    config
        .service(document(&format!("/.well-known/{WELL_KNOWN}"), well_known::metadata))
        .service(document(resource::JWKS, jwks::key_set))
        .service(only(TOKEN_ENDPOINT, "POST", [web::post().to(oauth::token)]))
        .service(only(
            resource::STREAMS,
            "GET, POST, PATCH, PUT, DELETE",
            [
                web::get().to(streams::read),
                web::post().to(streams::create),
                web::patch().to(streams::update),
                web::put().to(streams::replace),
                web::delete().to(streams::delete),
            ],
        ))
        .service(only(
            resource::STATUS,
            "GET, POST",
            [web::get().to(status::read), web::post().to(status::update)],
        ))
        .service(only(resource::ADD_SUBJECT, "POST", [web::post().to(subjects::add)]))
        .service(only(resource::REMOVE_SUBJECT, "POST", [web::post().to(subjects::remove)]))
        .service(only(resource::VERIFY, "POST", [web::post().to(verification::request)]))
        .service(only(
            &format!("{}/{{stream_id}}", resource::POLL),
            "POST",
            [web::post().to(poll::poll)],
        ));
}

/// The listener for upstream and operators.
pub fn internal(services: &Services) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let services = services.clone();
    move |config| {
        services.provide(config);
        config
            .service(only("/events", "POST", [web::post().to(events::publish)]))
            .service(web::scope(admin::PATH).configure(admin::resources))
            .service(document("/healthz", health::alive))
            .service(document("/readyz", health::ready))
            .service(document("/metrics", health::metrics))
            .default_service(web::to(error::not_found));
    }
}

/// Counts what the public listener answers.
pub async fn count_public<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    count(Listener::Public, request, next).await
}

/// Counts what the internal listener answers.
pub async fn count_internal<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    count(Listener::Internal, request, next).await
}

async fn count<B: MessageBody>(
    listener: Listener,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let response = next.call(request).await;
    let status = match &response {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    metrics::http_request(listener, status.as_u16().into());
    response
}

/// A resource that is there to be read: by GET, and by HEAD as well (RFC 9110 §9.1).
fn document<F, Args>(path: &str, handler: F) -> actix_web::Resource
where
    F: Handler<Args>,
    F::Output: Responder + 'static,
    Args: FromRequest + 'static,
{
    only(path, "GET, HEAD", [web::get().to(handler.clone()), web::head().to(handler)])
}

/// A resource that answers other methods with 405 and the list of its own (RFC 9110 §15.5.6).
fn only<const N: usize>(
    path: &str,
    allowed: &'static str,
    routes: [Route; N],
) -> actix_web::Resource {
    let resource = routes.into_iter().fold(web::resource(path), actix_web::Resource::route);
    resource.default_service(web::to(move || async move { error::not_allowed(allowed) }))
}

/// The provider that a request is for, put there by its scope.
type Of = web::Data<Provider>;
