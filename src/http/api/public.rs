//! What a Receiver finds below each issuer (SSF §7, §8, RFC 8936).

use actix_web::web;

use super::{
    Access, Answer, Base, Operation, Parameter, Resource, Tag,
    shape::{
        AddedSubject, ChangedStream, KeySet, NewStatus, NewStream, OpenApi, PollRequest,
        RemovedSubject, StreamId, TokenRequest, VerificationRequest,
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

const READS: Access = Access::Receiver(Scope::Read);

const NO_STREAM: (u16, &str) =
    (404, "This Receiver has no such stream; another's is none either (SSF §8).");
const LOST_RACE: (u16, &str) = (409, "Another change of the stream came between.");

const ELSEWHERE: &str = "Another server issues the access tokens of this provider.";

const WHICH_STREAM: &[Parameter] =
    &[Parameter::required::<StreamId>("stream_id", "Which stream is meant.")];

const TOO_MANY_SUBJECTS: (u16, &str) =
    (429, "More changes of the stream's subjects than are taken in a second.");
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
            .answers(&[Answer::document::<TransmitterMetadata<'static>>("The metadata (SSF §7.2.3).")])],
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
            "The same document, for those who append the well-known path to the issuer.",
        )
        .answers(&[Answer::document::<TransmitterMetadata<'static>>("The metadata (SSF §7.2.3).")])],
    },
    Resource {
        base: Base::Origin,
        path: "/.well-known/oauth-protected-resource/{issuer_path}",
        tag: Tag::Authorization,
        operations: &[Operation::get("readProtectedResource", || {
            web::to(oauth::protected_resource)
        })
        .says(
            "Read where access tokens come from",
            "The provider as a protected resource (RFC 9728 §3). Each bearer challenge names this \
             document.",
        )
        .answers(&[Answer::document::<ProtectedResource<'static>>(
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
            "Read how access tokens are had here",
            "The provider as its own authorization server (RFC 8414 §3).",
        )
        .answers(&[Answer::document::<AuthorizationServerMetadata<'static>>(
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
                "By client credentials (RFC 6749 §4.4), in the header or as `client_id` and \
                 `client_secret` in the form.",
            )
            .for_those_who(Access::Client)
            .form::<TokenRequest>(TOKEN_REQUEST)
            .answers(&[
                Answer::json::<oauth::TokenView<'static>>(200, "The token (RFC 6749 §5.1)."),
                Answer::json::<oauth::RefusalView<'static>>(400, "There is none (RFC 6749 §5.2)."),
                Answer::json::<oauth::RefusalView<'static>>(401, "This is no client of ours."),
                Answer::json::<oauth::RefusalView<'static>>(429, "Too many wrong secrets."),
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
            .answers(&[Answer::document::<KeySet>("The public keys.")])],
    },
    Resource {
        base: Base::Issuer,
        path: resource::OPENAPI,
        tag: Tag::Discovery,
        operations: &[Operation::get("readInterface", || web::to(openapi::of_provider))
            .says("Read this document", "What Receivers find below this issuer, as OpenAPI 3.1.")
            .answers(&[Answer::document::<OpenApi>("This document.")])],
    },
    Resource {
        base: Base::Issuer,
        path: resource::STREAMS,
        tag: Tag::Streams,
        operations: &[
            Operation::get("readStreams", || web::to(streams::read))
                .says(
                    "Read one stream, or list all",
                    "With `stream_id` the configuration of that stream, without it an array of all \
                     that the Receiver has, `[]` if there is none (SSF §8.1.1.2).",
                )
                .for_those_who(READS)
                .query(&[Parameter::optional::<StreamId>(
                    "stream_id",
                    "Which stream is meant; without it all are listed.",
                )])
                .answers(&[Answer::json::<streams::OneOrAll<'static>>(200, "The stream, or the streams.")])
                .refuses(&[NO_STREAM]),
            Operation::post("createStream", || web::to(streams::create))
                .says(
                    "Create a stream",
                    "A Receiver may have several streams, up to a limit of its provider. Without \
                     `delivery` the new one is polled (SSF §8.1.1.1).",
                )
                .for_those_who(Access::Receiver(Scope::Create))
                .body::<NewStream>(NEW_STREAM)
                .answers(&[Answer::json::<streams::View<'static>>(201, "The new stream.")])
                .refuses(&[(409, "The Receiver has as many streams as it may have.")]),
            Operation::patch("updateStream", || web::to(streams::update))
                .says(
                    "Update a stream",
                    "What is given is set, what is left out stays (SSF §8.1.1.3).",
                )
                .for_those_who(Access::Receiver(Scope::Update))
                .body::<ChangedStream>(CHANGED_STREAM)
                .answers(&[Answer::json::<streams::View<'static>>(200, "The whole stream.")])
                .refuses(&[NO_STREAM, LOST_RACE]),
            Operation::put("replaceStream", || web::to(streams::replace))
                .says(
                    "Replace a stream's configuration",
                    "What is left out is deleted, and delivery is by poll again (SSF §8.1.1.4).",
                )
                .for_those_who(Access::Receiver(Scope::Update))
                .body::<ChangedStream>(CHANGED_STREAM)
                .answers(&[Answer::json::<streams::View<'static>>(200, "The whole stream.")])
                .refuses(&[NO_STREAM, LOST_RACE]),
            Operation::delete("deleteStream", || web::to(streams::delete))
                .says(
                    "Delete a stream",
                    "Nothing is delivered to it any more, and it is not found again (SSF §8.1.1.5).",
                )
                .for_those_who(Access::Receiver(Scope::Delete))
                .query(WHICH_STREAM)
                .answers(&[Answer::empty(204, "The stream is gone.")])
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
                .for_those_who(READS)
                .query(WHICH_STREAM)
                .answers(&[Answer::json::<status::View<'static>>(200, "The status.")])
                .refuses(&[NO_STREAM]),
            Operation::post("updateStatus", || web::to(status::update))
                .says(
                    "Change a stream's status",
                    "A change that the Receiver asks for is not announced by an event \
                     (SSF §8.1.2.2, §8.1.5).",
                )
                .for_those_who(Access::Receiver(Scope::Status))
                .body::<NewStatus>(NEW_STATUS)
                .answers(&[Answer::json::<status::View<'static>>(200, "The new status.")])
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
            .for_those_who(Access::Receiver(Scope::Subjects))
            .body::<AddedSubject>(SUBJECT)
            .answers(&[Answer::empty(200, "The subject is on the stream.")])
            .refuses(&[FORBIDDEN_SUBJECT, NO_STREAM, TOO_MANY_SUBJECTS])],
    },
    Resource {
        base: Base::Issuer,
        path: resource::REMOVE_SUBJECT,
        tag: Tag::Subjects,
        operations: &[Operation::post("removeSubject", || web::to(subjects::remove))
            .says(
                "Remove a subject from a stream",
                "The answer is the same whether or not the subject was on it (SSF §8.1.3.3, §9.1).",
            )
            .for_those_who(Access::Receiver(Scope::Subjects))
            .body::<RemovedSubject>(SUBJECT)
            .answers(&[Answer::empty(204, "The subject is off the stream.")])
            .refuses(&[FORBIDDEN_SUBJECT, NO_STREAM, TOO_MANY_SUBJECTS])],
    },
    Resource {
        base: Base::Issuer,
        path: resource::VERIFY,
        tag: Tag::Verification,
        operations: &[Operation::post("verifyStream", || web::to(verification::request))
            .says(
                "Ask for a verification event",
                "It is sent on the stream at once, past whatever waits there (SSF §8.1.4.2). A \
                 stream that is not enabled is answered 400.",
            )
            .for_those_who(Access::Receiver(Scope::Verify))
            .body::<VerificationRequest>(VERIFICATION_REQUEST)
            .answers(&[Answer::empty(204, "The event is on its way.")])
            .refuses(&[
                NO_STREAM,
                (429, "Sooner than `min_verification_interval` after the last (SSF §8.1.1)."),
            ])],
    },
    Resource {
        base: Base::Issuer,
        path: resource::POLL,
        tag: Tag::Delivery,
        operations: &[Operation::post("poll", || web::to(poll::poll))
            .says(
                "Poll for SETs",
                "Acknowledges, and hands out what waits, the oldest first (RFC 8936 §2.4). `ack` \
                 and `setErrs` take effect before SETs are chosen. A long poll is answered when a \
                 SET is there, or with none when its time is over. Of a stream that is not enabled \
                 none is handed out.",
            )
            .for_those_who(READS)
            .body::<PollRequest>(POLL_REQUEST)
            .answers(&[Answer::json::<poll::View>(200, "The SETs (RFC 8936 §2.3).")])
            .refuses(&[NO_STREAM])],
    },
];
