//! Health and metrics, for operators and their monitoring. No answer waits for the store: readiness comes
//! from what happened last where the work happens, and the metrics have the counts of the last time that
//! the store answered.

mod counts;

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use metrics_exporter_prometheus::PrometheusHandle;
use schemars::JsonSchema;
use serde::{
    Deserialize as _, Serialize,
    de::{IntoDeserializer as _, value::Error as ValueError},
};
use url::form_urlencoded;

pub use self::counts::StoreCounts;
use crate::{
    clock,
    cluster::lease::Lease,
    http::error::ApiError,
    store::Maintenance,
    telemetry::{
        metrics,
        readiness::{Readiness, ReadyFor},
    },
};

/// Whether the daemon is ready.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Readiness")]
pub(super) struct ReadinessView {
    ready: bool,
    /// The parts that are missing: `store`, new events in the store (`events`), the lease of this node
    /// (`cluster`), a task, or a Redis stream of events.
    waiting_for: Vec<String>,
    /// Why parts are missing, as far as that is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default)]
    reasons: BTreeMap<&'static str, String>,
    /// Matters for an operator that hinder nobody at present: data that the store may lose,
    /// promises that it does not keep at present, and sources that hold events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    degraded: Vec<String>,
}

/// Answers 200, because the process runs.
pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// Answers 200 while nothing is missing for those whom the query names, all by default; otherwise 503 and
/// the parts that are missing.
pub(super) async fn ready(
    request: HttpRequest,
    readiness: web::Data<Readiness>,
    store: web::Data<dyn Maintenance>,
) -> Result<HttpResponse, ApiError> {
    let asked = ready_for(request.query_string())?;
    let condition = store.condition(clock::instant());
    let (mut waiting_for, mut reasons) = (readiness.missing_for(asked), BTreeMap::new());
    let mut missing = |part: &'static str, hinders: ReadyFor, why: Option<String>| {
        if let Some(why) = why.filter(|_| hinders.concerns(asked)) {
            waiting_for.push(part.to_owned());
            reasons.insert(part, why);
        }
    };
    missing("store", ReadyFor::All, condition.failing);
    missing("events", ReadyFor::Publishers, condition.refuses_events);
    let ready = waiting_for.is_empty();
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    let mut degraded = condition.degraded;
    degraded.extend(readiness.warnings());
    let view = ReadinessView { ready, waiting_for, reasons, degraded };
    Ok(response.insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

fn ready_for(query: &str) -> Result<ReadyFor, ApiError> {
    let mut asked = ReadyFor::All;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "for" {
            let value: &str = &value;
            let named = ReadyFor::deserialize(value.into_deserializer());
            let rule = "must be `receivers`, `publishers` or `all`";
            asked = named.map_err(|_: ValueError| ApiError::bad("for", rule))?;
        }
    }
    Ok(asked)
}

/// Writes the metrics as Prometheus text, with the newest counts of the store.
pub(super) async fn metrics(
    counts: web::Data<StoreCounts>,
    handle: web::Data<PrometheusHandle>,
    lease: web::Data<Lease>,
) -> HttpResponse {
    counts.refresh().await;
    metrics::cluster_lease_age(lease.age(clock::instant()).unwrap_or_default());
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(handle.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_names_those_who_ask() {
        for (query, asked) in [
            ("", ReadyFor::All),
            ("for=all", ReadyFor::All),
            ("for=receivers", ReadyFor::Receivers),
            ("x=1&for=publishers", ReadyFor::Publishers),
        ] {
            assert_eq!(ready_for(query).ok(), Some(asked), "{query}");
        }
        for query in ["for=", "for=Receivers", "for=store"] {
            let refused = ready_for(query).expect_err(query).to_string();
            assert!(refused.contains("`for` must be"), "{refused}");
        }
    }
}
