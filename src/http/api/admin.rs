//! What operators find below `/admin/v1` of the internal listener.

use actix_web::web;

use super::{
    Access, Answer, Base, Operation, Parameter, Resource, Tag,
    shape::{OperatedChange, OperatedStatus, Status, StreamId},
};
use crate::http::admin::streams::{self, PageView, StreamView};

const NO_STREAM: (u16, &str) = (404, "There is no such stream.");
const LOST_RACE: (u16, &str) = (409, "Another change of the stream came between.");

const FILTER: &[Parameter] = &[
    Parameter::optional::<String>("provider", "Only streams of this provider."),
    Parameter::optional::<String>("receiver", "Only streams of this Receiver."),
    Parameter::optional::<Status>("status", "Only streams with this status."),
    Parameter::optional::<StreamId>(
        "after",
        "Only streams behind this one: the page before's `next`.",
    ),
    Parameter::optional::<u16>("limit", "The most streams in the page: 1 to 1000, by default 100."),
];

const CHANGE: &str = r#"{"subject_format": "email"}"#;

const STATUS: &str = r#"{"status": "paused", "reason": "their endpoint moves"}"#;

pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource {
        base: Base::Internal,
        path: "/admin/v1/streams",
        tag: Tag::Administration,
        operations: &[Operation::get("listAllStreams", || web::to(streams::list))
            .says(
                "List streams",
                "In pages, by id. A member of the query that is not known is refused: a filter \
                 that is misspelt would take in all.",
            )
            .for_those_who(Access::Operator)
            .query(FILTER)
            .answers(&[Answer::json::<PageView>(200, "Some streams.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/streams/{stream_id}",
        tag: Tag::Administration,
        operations: &[
            Operation::get("readAnyStream", || web::to(streams::show))
                .says("Read a stream", "With what waits in its outbox.")
                .for_those_who(Access::Operator)
                .answers(&[Answer::json::<StreamView>(200, "The stream.")])
                .refuses(&[NO_STREAM]),
            Operation::patch("changeAnyStream", || web::to(streams::change))
                .says(
                    "Change a stream",
                    "What is not for its Receiver to say. SETs that wait stay as they are. A member \
                     that is not known is refused.",
                )
                .for_those_who(Access::Operator)
                .body::<OperatedChange>(CHANGE)
                .answers(&[Answer::json::<StreamView>(200, "The stream.")])
                .refuses(&[NO_STREAM, LOST_RACE]),
            Operation::delete("deleteAnyStream", || web::to(streams::delete))
                .says("Delete a stream", "Nothing is delivered to it any more.")
                .for_those_who(Access::Operator)
                .answers(&[Answer::empty(204, "The stream is gone.")])
                .refuses(&[NO_STREAM, LOST_RACE]),
        ],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/streams/{stream_id}/status",
        tag: Tag::Administration,
        operations: &[Operation::post("changeAnyStatus", || web::to(streams::change_status))
            .says(
                "Change a stream's status",
                "The Receiver is told by a stream-updated event (SSF §8.1.5).",
            )
            .for_those_who(Access::Operator)
            .body::<OperatedStatus>(STATUS)
            .answers(&[Answer::json::<StreamView>(200, "The stream.")])
            .refuses(&[NO_STREAM, LOST_RACE])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/streams/{stream_id}/verify",
        tag: Tag::Administration,
        operations: &[Operation::post("verifyAnyStream", || web::to(streams::verify))
            .says(
                "Send a verification event",
                "One without `state`, since the Receiver did not ask for it (SSF §8.1.4.2). A \
                 stream that is not enabled is answered 400.",
            )
            .for_those_who(Access::Operator)
            .answers(&[Answer::empty(204, "The event is on its way.")])
            .refuses(&[NO_STREAM])],
    },
];
