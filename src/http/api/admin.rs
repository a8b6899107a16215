//! What operators find below `/admin/v1` of the internal listener.

use actix_web::web;

use super::{
    Access, Answer, Base, Operation, Parameter, Resource, Tag,
    shape::{DeadLetterSelection, OperatedChange, OperatedStatus, Replay, Status, StreamId},
};
use crate::http::admin::{
    dead_letters::{self, DeadLetterView, DeadPageView, HandledView},
    events::{self, TraceView},
    jobs::{self, JobsView},
    replay,
    streams::{self, PageView, StreamView},
};

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

const DEAD_LETTERS: &[Parameter] = &[
    Parameter::optional::<String>("provider", "Only those of this provider."),
    Parameter::optional::<StreamId>("stream_id", "Only those of this stream."),
    Parameter::optional::<String>("reason", "Only those that died of this."),
    Parameter::optional::<String>("event_type", "Only those of this event type."),
    Parameter::optional::<String>("subject", "Only those about this subject identifier, in JSON."),
    Parameter::optional::<i64>("since", "Only those that died since, in seconds since 1970."),
    Parameter::optional::<i64>("until", "Only those that died before, in seconds since 1970."),
    Parameter::optional::<String>("jti", "Only this one."),
    Parameter::optional::<String>("after", "Only those behind the page before: its `next`."),
    Parameter::optional::<u16>(
        "limit",
        "The most dead letters in the page: 1 to 1000, by default 100.",
    ),
];

const EVENT: &[Parameter] = &[
    Parameter::optional::<String>("jti", "The event that this SET speaks of."),
    Parameter::optional::<String>("provider", "Whose the event is, with `event_id`."),
    Parameter::optional::<String>(
        "event_id",
        "The last event with this id of its publisher, in place of `jti`.",
    ),
    Parameter::optional::<StreamId>("stream_id", "Only what became of it on this stream."),
    Parameter::optional::<StreamId>(
        "after",
        "Only streams behind this one: the page before's `next`.",
    ),
    Parameter::optional::<u16>("limit", "The most streams in the page: 1 to 1000, by default 100."),
];

const SELECTION: &str = r#"{"stream_id": "st_4f0c", "reason": "invalid_key", "limit": 50}"#;
const REPLAY: &str = r#"{"since": 1775000000, "jti": "kept", "limit": 50}"#;
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
    Resource {
        base: Base::Internal,
        path: "/admin/v1/streams/{stream_id}/replay",
        tag: Tag::Administration,
        operations: &[Operation::post("replayStream", || web::to(replay::replay))
            .says(
                "Have a stream get again what it was sent",
                "A page of what is kept of it, sent or dead, goes into its outbox again, in order \
                 and behind what waits. Exactly one of `since`, `from_jti` and `from_position` \
                 says where to begin.",
            )
            .for_those_who(Access::Operator)
            .body::<Replay>(REPLAY)
            .answers(&[Answer::json::<HandledView>(200, "What became of the page.")])
            .refuses(&[
                (404, "There is no such stream, or nothing of that `from_jti` is kept."),
                (409, "The stream is disabled, and discards what it is given."),
            ])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/dead-letters",
        tag: Tag::Administration,
        operations: &[Operation::get("listDeadLetters", || web::to(dead_letters::list))
            .says(
                "List dead letters",
                "In pages, stream by stream and each stream's in order. A page may have fewer than \
                 it might, none even, and there is more as long as it has a `next`.",
            )
            .for_those_who(Access::Operator)
            .query(DEAD_LETTERS)
            .answers(&[Answer::json::<DeadPageView>(200, "Some dead letters.")])
            .refuses(&[NO_STREAM])],
    },
    // Before the next, which would take them for a `jti`. None of ours reads so.
    Resource {
        base: Base::Internal,
        path: "/admin/v1/dead-letters/redrive",
        tag: Tag::Administration,
        operations: &[Operation::post("redriveDeadLetters", || web::to(dead_letters::redrive))
            .says(
                "Send dead letters again",
                "A page of them goes into the outboxes of their streams, behind what waits. One \
                 whose stream is disabled is left, and so is a control event.",
            )
            .for_those_who(Access::Operator)
            .body::<DeadLetterSelection>(SELECTION)
            .answers(&[Answer::json::<HandledView>(200, "What became of the page.")])
            .refuses(&[NO_STREAM])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/dead-letters/purge",
        tag: Tag::Administration,
        operations: &[Operation::post("purgeDeadLetters", || web::to(dead_letters::purge))
            .says("Remove dead letters for good", "A page of them.")
            .for_those_who(Access::Operator)
            .body::<DeadLetterSelection>(SELECTION)
            .answers(&[Answer::json::<HandledView>(200, "What became of the page.")])
            .refuses(&[NO_STREAM])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/dead-letters/{jti}",
        tag: Tag::Administration,
        operations: &[Operation::get("readDeadLetter", || web::to(dead_letters::show))
            .says("Read a dead letter", "With its claims.")
            .for_those_who(Access::Operator)
            .answers(&[Answer::json::<DeadLetterView>(200, "The dead letter.")])
            .refuses(&[(404, "There is no such dead letter.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/events",
        tag: Tag::Administration,
        operations: &[Operation::get("traceEvent", || web::to(events::trace))
            .says(
                "Tell what became of an event",
                "By `jti`, or by `provider` and `event_id`: on each stream of its provider the SET \
                 and where it stands, or why there is none. In pages, by the id of the stream.",
            )
            .for_those_who(Access::Operator)
            .query(EVENT)
            .answers(&[Answer::json::<TraceView>(200, "What became of it on some streams.")])
            .refuses(&[(404, "There is no such stream, or nothing of that name is kept.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/jobs",
        tag: Tag::Administration,
        operations: &[Operation::get("listJobs", || web::to(jobs::list))
            .says(
                "List the maintenance jobs",
                "For each job of the node that answers: its period, its last run and what the run \
                 did, its last error, and when it runs next. A job that the configuration does not \
                 ask for is not listed.",
            )
            .for_those_who(Access::Operator)
            .answers(&[Answer::json::<JobsView>(200, "The jobs.")])],
    },
];
