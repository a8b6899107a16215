//! What upstream and operators find on the internal listener.

use actix_web::web;

use super::{
    Access, Answer, Base, Operation, Resource, Tag,
    shape::{Events, OpenApi},
};
use crate::http::{events, health, openapi};

const EVENT: &str = r#"{
    "id": "evt-8841",
    "type": "caep:session-revoked",
    "sub_id": {"format": "email", "email": "kim@example.com"},
    "event": {"initiating_entity": "admin", "reason_admin": {"en": "laptop reported stolen"}}
}"#;

pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource {
        base: Base::Internal,
        path: "/events",
        tag: Tag::Publishing,
        operations: &[Operation::post("publishEvents", || web::to(events::publish))
            .says(
                "Publish events",
                "One event, an array, or NDJSON. Each is answered at its place; one that is \
                 rejected holds none of the others back.",
            )
            .for_those_who(Access::Publisher)
            .body_or_lines::<Events>(EVENT)
            .answers(&[
                Answer::json::<events::Answers>(
                    202,
                    "Each event that is called accepted is durable.",
                ),
                Answer::json::<events::Answers>(400, "None of the events is valid."),
            ])
            .refuses(&[
                (400, "The body is no JSON, or holds no event, or too many."),
                (503, "Too many SETs wait for the Receivers: try again after `Retry-After`."),
            ])],
    },
    Resource {
        base: Base::Internal,
        path: "/healthz",
        tag: Tag::Operating,
        operations: &[Operation::get("readHealth", || web::to(health::alive))
            .says("Ask whether the process answers", "It does, or there is no answer.")
            .answers(&[Answer::text("text/plain", "The process answers.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/readyz",
        tag: Tag::Operating,
        operations: &[Operation::get("readReadiness", || web::to(health::ready))
            .says(
                "Ask whether the daemon can do its work",
                "It can once the store answers and every stream of upstream is connected.",
            )
            .answers(&[
                Answer::json::<health::View>(200, "It can."),
                Answer::json::<health::View>(503, "It cannot; something is missing."),
            ])],
    },
    Resource {
        base: Base::Internal,
        path: "/metrics",
        tag: Tag::Operating,
        operations: &[Operation::get("readMetrics", || web::to(health::metrics))
            .says("Read the metrics", "In the text format of Prometheus.")
            .answers(&[Answer::text("text/plain; version=0.0.4", "The metrics.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/openapi.json",
        tag: Tag::Operating,
        operations: &[Operation::get("readWholeInterface", || web::to(openapi::whole))
            .says("Read this document", "All that the daemon answers, on either listener.")
            .answers(&[Answer::document::<OpenApi>("This document.")])],
    },
];
