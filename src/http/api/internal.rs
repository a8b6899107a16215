//! The resources of the internal listener, for publishers and operators. `admin` has the others.

use actix_web::web;

use super::{
    AnswerSpec, Base, Caller, Operation, Parameter, Resource, Tag,
    shape::{EventsSchema, OpenApiSchema},
};
use crate::{
    http::{events, health, openapi},
    telemetry::readiness::ReadyFor,
};

const EVENT: &str = r#"{
    "id": "evt-8841",
    "type": "caep:session-revoked",
    "sub_id": {"format": "email", "email": "kim@example.com"},
    "event": {"initiating_entity": "admin", "reason_admin": {"en": "laptop reported stolen"}}
}"#;

const READY_FOR: &[Parameter] = &[Parameter::optional::<ReadyFor>(
    "for",
    "Those who ask: what hinders only others is left out. The default is `all`.",
)];

pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource {
        base: Base::Internal,
        path: "/events",
        tag: Tag::Publishing,
        operations: &[Operation::post("publishEvents", || web::to(events::publish))
            .says(
                "Publish events",
                "One event, an array, or NDJSON. The answer has a result for each event, in order. \
                 An event that is rejected does not hold back the others.",
            )
            .caller(Caller::Publisher)
            .body_or_lines::<EventsSchema>(EVENT)
            .answers(&[
                AnswerSpec::json::<events::Answers>(
                    202,
                    "Each event whose result is `accepted` is durable.",
                ),
                AnswerSpec::json::<events::Answers>(400, "None of the events is valid."),
            ])
            .refuses(&[
                (400, "The body is no JSON, or has no event, or too many."),
                (503, "Too many SETs wait for the Receivers: try again after `Retry-After`."),
            ])],
    },
    Resource {
        base: Base::Internal,
        path: "/healthz",
        tag: Tag::Operating,
        operations: &[Operation::get("readHealth", || web::to(health::alive))
            .says("Check that the process answers", "The answer is 200, or there is none.")
            .answers(&[AnswerSpec::text("text/plain", "The process answers.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/readyz",
        tag: Tag::Operating,
        operations: &[Operation::get("readReadiness", || web::to(health::ready))
            .says(
                "Check that the daemon can do its work",
                "The daemon is ready while the store serves and takes new events, this node has its \
                 lease, and every source of events in Redis is connected. The answer comes from what \
                 happened last, without a call of the store.",
            )
            .query(READY_FOR)
            .answers(&[
                AnswerSpec::json::<health::ReadinessView>(200, "The daemon is ready."),
                AnswerSpec::json::<health::ReadinessView>(503, "The daemon is not ready."),
            ])
            .refuses(&[(400, "The query names others than there are.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/metrics",
        tag: Tag::Operating,
        operations: &[Operation::get("readMetrics", || web::to(health::metrics))
            .says("Read the metrics", "In the text format of Prometheus.")
            .answers(&[AnswerSpec::text("text/plain; version=0.0.4", "The metrics.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/openapi.json",
        tag: Tag::Operating,
        operations: &[Operation::get("readWholeInterface", || web::to(openapi::whole))
            .says("Read this document", "All operations of the daemon, on either listener.")
            .answers(&[AnswerSpec::document::<OpenApiSchema>("This document.")])],
    },
];
