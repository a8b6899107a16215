//! The resources of Receivers, below each issuer (SSF §7, §8, RFC 8936).

use actix_web::web;

use super::{
    AnswerSpec, Base, Caller, Operation, Parameter, Resource, Tag,
    shape::{
        AddedSubjectSchema, ChangedStreamSchema, KeySetSchema, NewStatusSchema, NewStreamSchema,
        OpenApiSchema, PollRequestSchema, RemovedSubjectSchema, StreamIdSchema, TokenRequestSchema,
        VerificationRequestSchema,
    },
};
use crate::{
    domain::{
        grant::Scope,
        metadata::{TransmitterMetadata, resource},
        oauth::{AuthorizationServerMetadata, ProtectedResource, TOKEN_ENDPOINT},
    },
    http::{jwks, oauth, openapi, poll, status, streams, subjects, verification, well_known},
};

const READS: Caller = Caller::Receiver(Scope::Read);

const NO_STREAM: (u16, &str) = (
    404,
    "This Receiver has no such stream. A stream of another Receiver is answered alike (SSF §8).",
);
const LOST_RACE: (u16, &str) = (409, "Another change of the stream came between.");

const ELSEWHERE: &str = "Another server issues the access tokens of this provider.";

const WHICH_STREAM: &[Parameter] =
    &[Parameter::required::<StreamIdSchema>("stream_id", "The id of the stream.")];

const TOO_MANY_SUBJECTS: (u16, &str) =
    (429, "The Receiver changes the subjects of the stream too fast.");
const FORBIDDEN_SUBJECT: (u16, &str) =
    (403, "The token lacks the scope, or the stream has as many subjects as it may have.");

const TOKEN_REQUEST: &str =
    r#"{"grant_type": "client_credentials", "scope": "ssf.read ssf.manage"}"#;
const NEW_STREAM: &str = r#"{
    "events_requested": ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"],
    "delivery": {
        "method": "urn:ietf:rfc:8935",
        "endpoint_url": "https://rx.example/in/7",
        "authorization_header": "Bearer rx-secret-7"
    },
    "description": "prod"
}"#;
const CHANGED_STREAM: &str = r#"{
    "stream_id": "st_01J9ZK4",
    "events_requested": ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"],
    "description": "prod eu"
}"#;
const NEW_STATUS: &str =
    r#"{"stream_id": "st_01J9ZK4", "status": "enabled", "reason": "the upgrade is done"}"#;
const SUBJECT: &str = r#"{
    "stream_id": "st_01J9ZK4",
    "subject": {"format": "email", "email": "kim@rx.example"}
}"#;
const VERIFICATION_REQUEST: &str = r#"{"stream_id": "st_01J9ZK4", "state": "n-4411"}"#;
const POLL_REQUEST: &str = r#"{
    "maxEvents": 2,
    "returnImmediately": true,
    "ack": ["b1"],
    "setErrs": {"b2": {"err": "invalid_request", "description": "no events"}}
}"#;

pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource {
        base: Base::Origin,
        path: "/.well-known/ssf-configuration/{issuer_path}",
        tag: Tag::Discovery,
        operations: &[Operation::get("readMetadata", || web::to(well_known::metadata))
            .says(
                "Read the Transmitter's metadata",
                "The configuration metadata of the Transmitter (SSF §7.1), where SSF §7.2.1 puts \
                 it: between the issuer's host and its path. An issuer without a path has it at \
                 `/.well-known/ssf-configuration`.",
            )
            .answers(&[AnswerSpec::document::<TransmitterMetadata<'static>>("The metadata (SSF §7.2.3).")])],
    },
    Resource {
        base: Base::Issuer,
        path: "/.well-known/ssf-configuration",
        tag: Tag::Discovery,
        operations: &[Operation::get("readMetadataBelowIssuer", || {
            web::to(well_known::metadata)
        })
        .says(
            "Read the Transmitter's metadata, below the issuer",
            "The same document, for Receivers that append the well-known path to the issuer.",
        )
        .answers(&[AnswerSpec::document::<TransmitterMetadata<'static>>("The metadata (SSF §7.2.3).")])],
    },
    Resource {
        base: Base::Origin,
        path: "/.well-known/oauth-protected-resource/{issuer_path}",
        tag: Tag::Authorization,
        operations: &[Operation::get("readProtectedResource", || {
            web::to(oauth::protected_resource)
        })
        .says(
            "Read which server issues access tokens",
            "The provider as a protected resource (RFC 9728 §3). Each bearer challenge names this \
             document.",
        )
        .answers(&[AnswerSpec::document::<ProtectedResource<'static>>(
            "The metadata (RFC 9728 §3.2).",
        )])],
    },
    Resource {
        base: Base::Origin,
        path: "/.well-known/oauth-authorization-server/{issuer_path}",
        tag: Tag::Authorization,
        operations: &[Operation::get("readAuthorizationServer", || {
            web::to(oauth::authorization_server)
        })
        .says(
            "Read how to get an access token",
            "The provider as its own authorization server (RFC 8414 §3).",
        )
        .answers(&[AnswerSpec::document::<AuthorizationServerMetadata<'static>>(
            "The metadata (RFC 8414 §3.2).",
        )])
        .refuses(&[(404, ELSEWHERE)])],
    },
    Resource {
        base: Base::Issuer,
        path: TOKEN_ENDPOINT,
        tag: Tag::Authorization,
        operations: &[Operation::post("issueToken", || web::to(oauth::token))
            .says(
                "Get an access token",
                "Client credentials (RFC 6749 §4.4), in the header or as `client_id` and \
                 `client_secret` in the form.",
            )
            .caller(Caller::Client)
            .form::<TokenRequestSchema>(TOKEN_REQUEST)
            .answers(&[
                AnswerSpec::json::<oauth::TokenView<'static>>(200, "The token (RFC 6749 §5.1)."),
                AnswerSpec::json::<oauth::RefusalView<'static>>(400, "The request is refused (RFC 6749 §5.2)."),
                AnswerSpec::json::<oauth::RefusalView<'static>>(401, "The client is unknown, or its secret is wrong."),
                AnswerSpec::json::<oauth::RefusalView<'static>>(429, "Too many tokens for this client, or too many wrong secrets."),
            ])
            .refuses(&[(404, ELSEWHERE)])],
    },
    Resource {
        base: Base::Issuer,
        path: resource::JWKS,
        tag: Tag::Discovery,
        operations: &[Operation::get("readKeys", || web::to(jwks::key_set))
            .says(
                "Read the keys that sign SETs",
                "The `jwks_uri` of the metadata (SSF §7.1, RFC 7517 §5). A key is published before \
                 it signs, and stays for as long as a SET that it signed may be verified.",
            )
            .answers(&[AnswerSpec::document::<KeySetSchema>("The public keys.")])],
    },
    Resource {
        base: Base::Issuer,
        path: resource::OPENAPI,
        tag: Tag::Discovery,
        operations: &[Operation::get("readInterface", || web::to(openapi::of_provider))
            .says("Read this document", "All operations below this issuer, as OpenAPI 3.1.")
            .answers(&[AnswerSpec::document::<OpenApiSchema>("This document.")])],
    },
    Resource {
        base: Base::Issuer,
        path: resource::STREAMS,
        tag: Tag::Streams,
        operations: &[
            Operation::get("readStreams", || web::to(streams::read))
                .says(
                    "Read one stream, or list all",
                    "With `stream_id` the answer is the configuration of that stream. Without it the \
                     answer is an array of all streams of the Receiver, `[]` if there is none \
                     (SSF §8.1.1.2).",
                )
                .caller(READS)
                .query(&[Parameter::optional::<StreamIdSchema>(
                    "stream_id",
                    "The id of the stream. Without it all streams are listed.",
                )])
                .answers(&[AnswerSpec::json::<streams::OneOrAll<'static>>(200, "The stream, or the streams.")])
                .refuses(&[NO_STREAM]),
            Operation::post("createStream", || web::to(streams::create))
                .says(
                    "Create a stream",
                    "A Receiver may have several streams, up to a limit of its provider. Without \
                     `delivery` the new stream is polled (SSF §8.1.1.1).",
                )
                .caller(Caller::Receiver(Scope::Create))
                .body::<NewStreamSchema>(NEW_STREAM)
                .answers(&[AnswerSpec::json::<streams::ReceiverStreamView<'static>>(201, "The new stream.")])
                .refuses(&[(409, "The Receiver has as many streams as it may have.")]),
            Operation::patch("updateStream", || web::to(streams::update))
                .says(
                    "Update a stream",
                    "Members that are given are set. Members that are left out stay (SSF §8.1.1.3).",
                )
                .caller(Caller::Receiver(Scope::Update))
                .body::<ChangedStreamSchema>(CHANGED_STREAM)
                .answers(&[AnswerSpec::json::<streams::ReceiverStreamView<'static>>(200, "The whole stream.")])
                .refuses(&[NO_STREAM, LOST_RACE]),
            Operation::put("replaceStream", || web::to(streams::replace))
                .says(
                    "Replace a stream's configuration",
                    "Members that are left out are deleted. Without `delivery` the stream is polled \
                     (SSF §8.1.1.4).",
                )
                .caller(Caller::Receiver(Scope::Update))
                .body::<ChangedStreamSchema>(CHANGED_STREAM)
                .answers(&[AnswerSpec::json::<streams::ReceiverStreamView<'static>>(200, "The whole stream.")])
                .refuses(&[NO_STREAM, LOST_RACE]),
            Operation::delete("deleteStream", || web::to(streams::delete))
                .says(
                    "Delete a stream",
                    "Nothing is delivered to the stream any more, and it is not found again \
                     (SSF §8.1.1.5).",
                )
                .caller(Caller::Receiver(Scope::Delete))
                .query(WHICH_STREAM)
                .answers(&[AnswerSpec::empty(204, "The stream is gone.")])
                .refuses(&[NO_STREAM, LOST_RACE]),
        ],
    },
    Resource {
        base: Base::Issuer,
        path: resource::STATUS,
        tag: Tag::Status,
        operations: &[
            Operation::get("readStatus", || web::to(status::read))
                .says("Read a stream's status", "Whether it delivers, and why (SSF §8.1.2.1).")
                .caller(READS)
                .query(WHICH_STREAM)
                .answers(&[AnswerSpec::json::<status::StatusView<'static>>(200, "The status.")])
                .refuses(&[NO_STREAM]),
            Operation::post("updateStatus", || web::to(status::update))
                .says(
                    "Change a stream's status",
                    "A change that the Receiver asks for is not announced by an event \
                     (SSF §8.1.2.2, §8.1.5).",
                )
                .caller(Caller::Receiver(Scope::Status))
                .body::<NewStatusSchema>(NEW_STATUS)
                .answers(&[AnswerSpec::json::<status::StatusView<'static>>(200, "The new status.")])
                .refuses(&[NO_STREAM, LOST_RACE]),
        ],
    },
    Resource {
        base: Base::Issuer,
        path: resource::ADD_SUBJECT,
        tag: Tag::Subjects,
        operations: &[Operation::post("addSubject", || web::to(subjects::add))
            .says(
                "Add a subject to a stream",
                "The answer is the same whether or not the subject is known (SSF §8.1.3.2, §9.1).",
            )
            .caller(Caller::Receiver(Scope::Subjects))
            .body::<AddedSubjectSchema>(SUBJECT)
            .answers(&[AnswerSpec::empty(200, "The subject is on the stream.")])
            .refuses(&[FORBIDDEN_SUBJECT, NO_STREAM, TOO_MANY_SUBJECTS])],
    },
    Resource {
        base: Base::Issuer,
        path: resource::REMOVE_SUBJECT,
        tag: Tag::Subjects,
        operations: &[Operation::post("removeSubject", || web::to(subjects::remove))
            .says(
                "Remove a subject from a stream",
                "The answer is the same whether or not the subject was on the stream \
                 (SSF §8.1.3.3, §9.1).",
            )
            .caller(Caller::Receiver(Scope::Subjects))
            .body::<RemovedSubjectSchema>(SUBJECT)
            .answers(&[AnswerSpec::empty(204, "The subject is off the stream.")])
            .refuses(&[FORBIDDEN_SUBJECT, NO_STREAM, TOO_MANY_SUBJECTS])],
    },
    Resource {
        base: Base::Issuer,
        path: resource::VERIFY,
        tag: Tag::Verification,
        operations: &[Operation::post("verifyStream", || web::to(verification::request))
            .says(
                "Ask for a verification event",
                "The event is sent at once, ahead of the SETs that wait (SSF §8.1.4.2). If the \
                 stream is not enabled, the answer is 400.",
            )
            .caller(Caller::Receiver(Scope::Verify))
            .body::<VerificationRequestSchema>(VERIFICATION_REQUEST)
            .answers(&[AnswerSpec::empty(204, "The event is on its way.")])
            .refuses(&[
                NO_STREAM,
                (429, "The last verification was less than `min_verification_interval` ago (SSF §8.1.1)."),
            ])],
    },
    Resource {
        base: Base::Issuer,
        path: resource::POLL,
        tag: Tag::Delivery,
        operations: &[Operation::post("poll", || web::to(poll::poll))
            .says(
                "Poll for SETs",
                "Acknowledges SETs, and hands out the SETs that wait, the oldest first \
                 (RFC 8936 §2.4). `ack` and `setErrs` take effect before SETs are chosen. A long \
                 poll is answered when there is a SET, or without one when its time is over. A \
                 stream that is not enabled hands out no events.",
            )
            .caller(READS)
            .body::<PollRequestSchema>(POLL_REQUEST)
            .answers(&[AnswerSpec::json::<poll::PolledView>(200, "The SETs (RFC 8936 §2.3).")])
            .refuses(&[NO_STREAM])
            .abandonable()],
    },
];
