//! The admin API: the resources below `/admin/v1` of the internal listener.

use actix_web::web;

use super::{
    AnswerSpec, Base, Caller, Operation, Parameter, Resource, Tag,
    shape::{
        DeadLetterSelectionSchema, ExplainedSourceSchema, HeldSelectionSchema,
        NewOperatedStreamSchema, OperatedChangeSchema, OperatedStatusSchema, ReplaySchema,
        StatusSchema, StreamIdSchema,
    },
};
use crate::http::admin::{
    dead_letters::{self, DeadLetterView, DeadLettersView, HandledView},
    events::{self, TraceView},
    explain::{self, SourceExplanationView},
    jobs::{self, JobsView},
    new_stream, replay,
    sources::{
        self, HandledHeldView, HeldEventsView, RejectedRecordsView, SourceView, SourcesView,
        UnmatchedTypesView,
    },
    streams::{self, StreamView, StreamsView},
};

const NO_STREAM: (u16, &str) = (404, "There is no such stream.");
const LOST_RACE: (u16, &str) = (409, "Another change of the stream came between.");

const FILTER: &[Parameter] = &[
    Parameter::optional::<String>("provider", "Only streams of this provider."),
    Parameter::optional::<String>("receiver", "Only streams of this Receiver."),
    Parameter::optional::<StatusSchema>("status", "Only streams with this status."),
    Parameter::optional::<StreamIdSchema>(
        "after",
        "Only streams behind this one: the `next` of the page before.",
    ),
    Parameter::optional::<u16>("limit", "The most streams in the page: 1 to 1000, by default 100."),
];

const DEAD_LETTERS: &[Parameter] = &[
    Parameter::optional::<String>("provider", "Only dead letters of this provider."),
    Parameter::optional::<StreamIdSchema>("stream_id", "Only dead letters of this stream."),
    Parameter::optional::<String>("reason", "Only dead letters with this reason."),
    Parameter::optional::<String>("event_type", "Only dead letters of this event type."),
    Parameter::optional::<String>(
        "subject",
        "Only dead letters about this subject identifier, in JSON.",
    ),
    Parameter::optional::<i64>(
        "since",
        "Only SETs that were given up since then, in seconds since 1970.",
    ),
    Parameter::optional::<i64>(
        "until",
        "Only SETs that were given up before then, in seconds since 1970.",
    ),
    Parameter::optional::<String>("jti", "Only the dead letter with this `jti`."),
    Parameter::optional::<String>("after", "Only dead letters behind the page before: its `next`."),
    Parameter::optional::<u16>(
        "limit",
        "The most dead letters in the page: 1 to 1000, by default 100.",
    ),
];

const EVENT: &[Parameter] = &[
    Parameter::optional::<String>("jti", "The event that this SET tells of."),
    Parameter::optional::<String>("provider", "The provider of the event. Goes with `event_id`."),
    Parameter::optional::<String>(
        "event_id",
        "The publisher's id of the event, in place of `jti`. Of several events with this id the last is \
         meant.",
    ),
    Parameter::optional::<StreamIdSchema>("stream_id", "Only this stream."),
    Parameter::optional::<StreamIdSchema>(
        "after",
        "Only streams behind this one: the `next` of the page before.",
    ),
    Parameter::optional::<u16>("limit", "The most streams in the page: 1 to 1000, by default 100."),
];

const SELECTION: &str = r#"{"stream_id": "st_4f0c", "reason": "invalid_key", "limit": 50}"#;
const REPLAY: &str = r#"{"since": 1775000000, "jti": "kept", "limit": 50}"#;
const NEW_STREAM: &str = r#"{
    "receiver": "acme",
    "aud": "https://rx.example",
    "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": "https://rx.example/in"},
    "events_requested": ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"],
    "status": "paused",
    "reason": "until the Receiver is ready"
}"#;
const CHANGE: &str = r#"{"subject_format": "email"}"#;

const STATUS: &str = r#"{"status": "paused", "reason": "their endpoint moves"}"#;

const NO_SOURCE: (u16, &str) = (404, "There is no such source.");

const LIMIT: &[Parameter] =
    &[Parameter::optional::<u16>("limit", "The most entries: 1 to 1000, by default 100.")];

const HELD: &str = r#"{"ids": ["7d0c5a3e0d6f4d2f9b1a1c2e3f405162"]}"#;
const EXPLAINED: &str = r#"{
    "provider": "acme",
    "source": "kc",
    "payload": {"type": "LOGOUT", "id": "1", "user": "kim", "session": "s-1"}
}"#;

pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource {
        base: Base::Internal,
        path: "/admin/v1/streams",
        tag: Tag::Administration,
        operations: &[
            Operation::get("listAllStreams", || web::to(streams::list))
                .says(
                    "List streams",
                    "In pages, by id. An unknown member of the query is refused, because a filter with \
                     a misspelt name would select everything.",
                )
                .caller(Caller::Operator)
                .query(FILTER)
                .answers(&[AnswerSpec::json::<StreamsView>(200, "A page of streams.")]),
            Operation::post("makeStream", || web::to(new_stream::create))
                .says(
                    "Make a stream for a Receiver",
                    "The operator chooses what a Receiver cannot: the owner, the `aud`, the id and the \
                     first status. The number of streams of a Receiver is not limited here. No \
                     verification event is sent. An unknown member is refused.",
                )
                .caller(Caller::Operator)
                .body::<NewOperatedStreamSchema>(NEW_STREAM)
                .answers(&[
                    AnswerSpec::json::<StreamView>(201, "The new stream."),
                    AnswerSpec::json::<StreamView>(200, "With `dry_run`, the stream as it would be."),
                ])
                .refuses(&[(409, "There is a stream with this `stream_id`.")]),
        ],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/streams/{stream_id}",
        tag: Tag::Administration,
        operations: &[
            Operation::get("readAnyStream", || web::to(streams::show))
                .says(
                    "Read a stream",
                    "With the SETs that wait in its outbox, how its delivery stands on the node that \
                     answers, and a sentence that explains why it does not deliver.",
                )
                .caller(Caller::Operator)
                .answers(&[AnswerSpec::json::<StreamView>(200, "The stream.")])
                .refuses(&[NO_STREAM]),
            Operation::patch("changeAnyStream", || web::to(streams::change))
                .says(
                    "Change a stream",
                    "Sets the members that are not for the Receiver to set. SETs that wait stay as they \
                     are. An unknown member is refused.",
                )
                .caller(Caller::Operator)
                .body::<OperatedChangeSchema>(CHANGE)
                .answers(&[AnswerSpec::json::<StreamView>(200, "The stream.")])
                .refuses(&[NO_STREAM, LOST_RACE]),
            Operation::delete("deleteAnyStream", || web::to(streams::delete))
                .says("Delete a stream", "Nothing is delivered to the stream any more.")
                .caller(Caller::Operator)
                .answers(&[AnswerSpec::empty(204, "The stream is gone.")])
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
            .caller(Caller::Operator)
            .body::<OperatedStatusSchema>(STATUS)
            .answers(&[AnswerSpec::json::<StreamView>(200, "The stream.")])
            .refuses(&[NO_STREAM, LOST_RACE])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/streams/{stream_id}/verify",
        tag: Tag::Administration,
        operations: &[Operation::post("verifyAnyStream", || web::to(streams::verify))
            .says(
                "Send a verification event",
                "The event has no `state`, because the Receiver did not ask for it \
                 (SSF §8.1.4.2). If the stream is not enabled, the answer is 400.",
            )
            .caller(Caller::Operator)
            .answers(&[AnswerSpec::empty(204, "The event is on its way.")])
            .refuses(&[NO_STREAM])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/streams/{stream_id}/replay",
        tag: Tag::Administration,
        operations: &[Operation::post("replayStream", || web::to(replay::replay))
            .says(
                "Replay a stream",
                "Puts a page of the stream's SETs that are kept, delivered or dead, into its outbox \
                 again, in order and behind the SETs that wait. Exactly one of `since`, `from_jti` \
                 and `from_position` says where to begin.",
            )
            .caller(Caller::Operator)
            .body::<ReplaySchema>(REPLAY)
            .answers(&[AnswerSpec::json::<HandledView>(200, "How the page was handled.")])
            .refuses(&[
                (404, "There is no such stream, or no SET with that `from_jti` is kept."),
                (409, "The stream is disabled, and takes no SETs."),
            ])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/dead-letters",
        tag: Tag::Administration,
        operations: &[Operation::get("listDeadLetters", || web::to(dead_letters::list))
            .says(
                "List dead letters",
                "In pages, stream by stream, and in order within a stream. A page may have fewer \
                 dead letters than `limit`, or none. There are more as long as it has a `next`.",
            )
            .caller(Caller::Operator)
            .query(DEAD_LETTERS)
            .answers(&[AnswerSpec::json::<DeadLettersView>(200, "A page of dead letters.")])
            .refuses(&[NO_STREAM])],
    },
    // These two come before `/dead-letters/{jti}`, which would take their last segment for a `jti`. No
    // `jti` of ours has such a value.
    Resource {
        base: Base::Internal,
        path: "/admin/v1/dead-letters/redrive",
        tag: Tag::Administration,
        operations: &[Operation::post("redriveDeadLetters", || web::to(dead_letters::redrive))
            .says(
                "Send dead letters again",
                "Puts a page of dead letters into the outboxes of their streams again, behind the \
                 SETs that wait. A dead letter of a disabled stream is left, and so is a control \
                 event.",
            )
            .caller(Caller::Operator)
            .body::<DeadLetterSelectionSchema>(SELECTION)
            .answers(&[AnswerSpec::json::<HandledView>(200, "How the page was handled.")])
            .refuses(&[NO_STREAM])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/dead-letters/purge",
        tag: Tag::Administration,
        operations: &[Operation::post("purgeDeadLetters", || web::to(dead_letters::purge))
            .says("Remove dead letters for good", "Removes a page of dead letters.")
            .caller(Caller::Operator)
            .body::<DeadLetterSelectionSchema>(SELECTION)
            .answers(&[AnswerSpec::json::<HandledView>(200, "How the page was handled.")])
            .refuses(&[NO_STREAM])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/dead-letters/{jti}",
        tag: Tag::Administration,
        operations: &[Operation::get("readDeadLetter", || web::to(dead_letters::show))
            .says("Read a dead letter", "The answer has the claims of the SET.")
            .caller(Caller::Operator)
            .answers(&[AnswerSpec::json::<DeadLetterView>(200, "The dead letter.")])
            .refuses(&[(404, "There is no such dead letter.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/events",
        tag: Tag::Administration,
        operations: &[Operation::get("traceEvent", || web::to(events::trace))
            .says(
                "Trace an event",
                "The event is named by `jti`, or by `provider` and `event_id`. The answer tells for \
                 each stream of the provider the state of the SET, or why there is none. In pages, \
                 by the id of the stream.",
            )
            .caller(Caller::Operator)
            .query(EVENT)
            .answers(&[AnswerSpec::json::<TraceView>(200, "A page of streams, with the event's SETs.")])
            .refuses(&[(404, "There is no such stream, or nothing is kept of such an event.")])],
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
            .caller(Caller::Operator)
            .answers(&[AnswerSpec::json::<JobsView>(200, "The jobs.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/explain",
        tag: Tag::Sources,
        operations: &[Operation::post("explainSource", || web::to(explain::explain))
            .says(
                "Explain what a source makes of a body",
                "For each record: which rules matched, the events that they make, and for each stream \
                 of the provider what would become of them. Nothing is verified, published or kept.",
            )
            .caller(Caller::Operator)
            .body::<ExplainedSourceSchema>(EXPLAINED)
            .answers(&[AnswerSpec::json::<SourceExplanationView>(200, "The records of the body.")])
            .refuses(&[NO_SOURCE])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/sources",
        tag: Tag::Sources,
        operations: &[Operation::get("listSources", || web::to(sources::list))
            .says("List the sources", "All sources of all providers.")
            .caller(Caller::Operator)
            .answers(&[AnswerSpec::json::<SourcesView>(200, "The sources.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/sources/{provider}/{source}",
        tag: Tag::Sources,
        operations: &[Operation::get("readSource", || web::to(sources::show))
            .says("Read a source", "With the number of events that it holds and records that it rejected.")
            .caller(Caller::Operator)
            .answers(&[AnswerSpec::json::<SourceView>(200, "The source.")])
            .refuses(&[NO_SOURCE])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/sources/{provider}/{source}/held",
        tag: Tag::Sources,
        operations: &[Operation::get("listHeldEvents", || web::to(sources::held))
            .says(
                "List the held events of a source",
                "Events beyond `events_per_minute_max`, and later events about the same subjects, in the \
                 order in which they came.",
            )
            .caller(Caller::Operator)
            .query(LIMIT)
            .answers(&[AnswerSpec::json::<HeldEventsView>(200, "The first of them.")])
            .refuses(&[NO_SOURCE])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/sources/{provider}/{source}/held/release",
        tag: Tag::Sources,
        operations: &[Operation::post("releaseHeldEvents", || web::to(sources::release))
            .says(
                "Release held events",
                "Publishes them in their order, whatever `events_per_minute_max` says.",
            )
            .caller(Caller::Operator)
            .body::<HeldSelectionSchema>(HELD)
            .answers(&[AnswerSpec::json::<HandledHeldView>(200, "How many were published.")])
            .refuses(&[NO_SOURCE])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/sources/{provider}/{source}/held/discard",
        tag: Tag::Sources,
        operations: &[Operation::post("discardHeldEvents", || web::to(sources::discard))
            .says("Discard held events", "Removes them for good.")
            .caller(Caller::Operator)
            .body::<HeldSelectionSchema>(HELD)
            .answers(&[AnswerSpec::json::<HandledHeldView>(200, "How many were removed.")])
            .refuses(&[NO_SOURCE])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/sources/{provider}/{source}/rejected",
        tag: Tag::Sources,
        operations: &[
            Operation::get("listRejectedRecords", || web::to(sources::rejected))
                .says(
                    "List the rejected records of a source",
                    "The youngest first, each with the reason.",
                )
                .caller(Caller::Operator)
                .query(LIMIT)
                .answers(&[AnswerSpec::json::<RejectedRecordsView>(200, "The first of them.")])
                .refuses(&[NO_SOURCE]),
            Operation::delete("clearRejectedRecords", || web::to(sources::clear_rejected))
                .says("Remove the rejected records of a source", "All of them, for good.")
                .caller(Caller::Operator)
                .answers(&[AnswerSpec::empty(204, "None is kept.")])
                .refuses(&[NO_SOURCE]),
        ],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/sources/{provider}/{source}/unmatched",
        tag: Tag::Sources,
        operations: &[Operation::get("listUnmatchedTypes", || web::to(sources::unmatched))
            .says(
                "List the native types that no rule takes",
                "Counted by the node that answers, since its start.",
            )
            .caller(Caller::Operator)
            .answers(&[AnswerSpec::json::<UnmatchedTypesView>(200, "The types.")])
            .refuses(&[NO_SOURCE])],
    },
];
