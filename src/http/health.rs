//! Health and metrics, for operators and their monitoring.

use actix_web::{HttpResponse, http::header, web};
use metrics_exporter_prometheus::PrometheusHandle;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    clock,
    cluster::lease::Lease,
    store::{Maintenance, archive::DeadCount},
    telemetry::{causes::with_causes, metrics, readiness::Readiness},
};

/// Whether the daemon is ready.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Readiness")]
pub(super) struct ReadinessView {
    ready: bool,
    /// The parts that are missing: `store`, the lease of this node (`cluster`), or a Redis stream of
    /// events.
    waiting_for: Vec<String>,
}

/// Answers 200, because the process runs.
pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// Answers 200 while the store answers and every source of events in Redis is connected; otherwise 503
/// and the parts that are missing.
pub(super) async fn ready(
    readiness: web::Data<Readiness>,
    store: web::Data<dyn Maintenance>,
) -> HttpResponse {
    let mut waiting = readiness.waiting_for();
    if store.ping().await.is_err() {
        waiting.push("store".into());
    }
    let ready = waiting.is_empty();
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(ReadinessView { ready, waiting_for: waiting })
}

/// Writes the metrics as Prometheus text. The backlog is counted at each request.
pub(super) async fn metrics(
    store: web::Data<dyn Maintenance>,
    handle: web::Data<PrometheusHandle>,
    lease: web::Data<Lease>,
    transmitter: web::Data<crate::transmitter::Transmitter>,
) -> HttpResponse {
    match store.backlog().await {
        Ok(backlog) => {
            let now = clock::now();
            for provider in transmitter.directory().providers() {
                let waiting = backlog.iter().find(|backlog| backlog.provider == provider.name);
                let oldest = waiting.and_then(|backlog| backlog.oldest);
                let age = oldest.map(|oldest| now.since(oldest)).unwrap_or_default();
                metrics::backlog_sets(&provider.name, waiting.map_or(0, |backlog| backlog.sets));
                metrics::backlog_oldest(&provider.name, age);
            }
        }
        Err(error) => {
            metrics::store_error("backlog");
            tracing::warn!(error = with_causes(&error), "cannot count the backlog");
        }
    }
    match transmitter.count_dead_letters().await {
        Ok(counts) => {
            for DeadCount { provider, reason, sets } in counts {
                metrics::dead_letters(&provider, reason.label(), sets);
            }
        }
        Err(error) => {
            metrics::store_error("dead_counts");
            tracing::warn!(error = with_causes(&error), "cannot count dead letters");
        }
    }
    metrics::cluster_lease_age(lease.age(clock::instant()).unwrap_or_default());
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(handle.render())
}
