//! What bodies look like that no struct of ours is serialized into: those of requests, which the
//! handlers take apart by hand so that a refusal names the member, and those of the specifications'
//! own words. An `Option` may be left out; it is never null. `tests/it/openapi` holds the handlers to
//! all of it.
#![expect(dead_code, reason = "these are shapes, and never values")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::domain::subject::format::SubjectFormat;

/// Names one stream: RFC 3986 §2.3 unreserved characters only (SSF §8.1.1).
#[derive(JsonSchema)]
pub(crate) struct StreamId(
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9._~-]+$"))] String,
);

/// Whom a stream and its SETs are for: one string or several (SSF §8.1.1).
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(#[schemars(length(min = 1))] Vec<String>),
}

/// The URI of an event type.
#[derive(JsonSchema)]
pub(crate) struct EventType(#[schemars(url)] String);

/// Whether a stream delivers (SSF §8.1.2.1). `paused` holds its SETs until it is `enabled`;
/// `disabled` discards them.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum Status {
    Enabled,
    Paused,
    Disabled,
}

/// How SETs get across, as a Receiver asks for it (SSF §6.1).
#[derive(JsonSchema)]
#[schemars(tag = "method")]
pub(crate) enum RequestedDelivery {
    /// Push (RFC 8935, SSF §6.1.1).
    #[schemars(rename = "urn:ietf:rfc:8935")]
    Push {
        /// An https URL, with a host and without a user or a fragment.
        #[schemars(length(max = 2048))]
        endpoint_url: String,
        /// The value of `Authorization` on every push, verbatim. It is never shown again, and a
        /// PUT or a PATCH whose `delivery` leaves it out removes it.
        #[schemars(length(min = 1, max = 8192))]
        authorization_header: Option<String>,
    },
    /// Poll (RFC 8936, SSF §6.1.2).
    #[schemars(rename = "urn:ietf:rfc:8936")]
    Poll {
        /// May be left out, and only repeat the URL that the Transmitter assigned.
        endpoint_url: Option<String>,
    },
}

/// A request for an access token (RFC 6749 §4.4.2).
#[derive(JsonSchema)]
pub(crate) struct TokenRequest {
    /// `client_credentials`.
    grant_type: String,
    /// The scopes that are wanted, with spaces between; all that the client may have, if it is left
    /// out.
    scope: Option<String>,
    /// Who asks, if the header does not say it.
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// A new stream: the members that are for the Receiver to give (SSF §8.1.1.1). Others are ignored,
/// but for those of the Transmitter, which are refused.
#[derive(JsonSchema)]
pub(crate) struct NewStream {
    /// The URIs of the event types that the Receiver wants. Those that are unknown are kept and
    /// never delivered.
    #[schemars(length(max = 256))]
    events_requested: Option<Vec<String>>,
    /// A new or a replaced stream without it is polled.
    delivery: Option<RequestedDelivery>,
    /// Cut to 255 characters.
    description: Option<String>,
}

/// A stream's new configuration (SSF §8.1.1.3, §8.1.1.4). Members of the Transmitter may be
/// repeated as they were read, and no other way.
#[derive(JsonSchema)]
pub(crate) struct ChangedStream {
    stream_id: StreamId,
    #[schemars(flatten)]
    given: NewStream,
}

/// A new status (SSF §8.1.2.2).
#[derive(JsonSchema)]
pub(crate) struct NewStatus {
    stream_id: StreamId,
    status: Status,
    /// Why; shown with the status from then on.
    reason: Option<String>,
}

/// What an operator changes of a stream.
#[derive(JsonSchema)]
pub(crate) struct OperatedChange {
    subject_format: SubjectFormat,
}

/// A new status, as an operator sets it.
#[derive(JsonSchema)]
pub(crate) struct OperatedStatus {
    status: Status,
    /// Why; shown with the status from then on.
    reason: Option<String>,
}

/// Which dead letters are meant: those that fit all that is given. `all` is for those who mean every
/// one, and give nothing else.
#[derive(JsonSchema)]
pub(crate) struct DeadLetterSelection {
    all: Option<bool>,
    provider: Option<String>,
    stream_id: Option<StreamId>,
    /// Of this they died: an `err` code, `expired` or `hold_limit`.
    reason: Option<String>,
    /// By URI or short name.
    event_type: Option<String>,
    /// The identical one.
    subject: Option<Subject>,
    /// They died since then, in seconds since 1970.
    since: Option<i64>,
    /// They died before then, in seconds since 1970.
    until: Option<i64>,
    jti: Option<String>,
    #[schemars(flatten)]
    page: PageOfSets,
}

/// Where a replay begins, by one of three, and how its SETs go out.
#[derive(JsonSchema)]
pub(crate) struct Replay {
    /// With what was accepted then, in seconds since 1970.
    since: Option<i64>,
    /// With this SET.
    from_jti: Option<String>,
    /// With the SET at this place of the outbox, or the next.
    from_position: Option<i64>,
    /// Under which `jti` they go out; their own if it is left out.
    jti: Option<ReplayJti>,
    #[schemars(flatten)]
    page: PageOfSets,
}

/// `kept`: a Receiver knows the repeat by it. `new`: each SET gets another one, and an `iat` of now.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum ReplayJti {
    Kept,
    New,
}

/// One call handles one page.
#[derive(JsonSchema)]
pub(crate) struct PageOfSets {
    /// The page before's `next`.
    after: Option<String>,
    /// The most SETs in the page; 100 if it is left out.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u16>,
    /// Only count what would be done.
    dry_run: Option<bool>,
}

/// A subject identifier (RFC 9493 §3, SSF §3.5) or a complex subject (SSF §3.3): its `format`, and
/// exactly the members of that.
#[derive(JsonSchema)]
pub(crate) struct Subject {
    /// `account`, `email`, `iss_sub`, `opaque`, `phone_number`, `did`, `uri`, `aliases`, `jwt_id`,
    /// `saml_assertion_id`, `ip-addresses` or `complex`; with event types of OAuth `oauth_token` and
    /// `oauth_client` as well.
    format: String,
    #[schemars(flatten)]
    members: BTreeMap<String, Value>,
}

/// A subject that shall be on a stream (SSF §8.1.3.2).
#[derive(JsonSchema)]
pub(crate) struct AddedSubject {
    stream_id: StreamId,
    subject: Subject,
    /// Whether the Receiver has verified the subject; if it is left out, it has.
    verified: Option<bool>,
}

/// A subject that shall be off a stream (SSF §8.1.3.3).
#[derive(JsonSchema)]
pub(crate) struct RemovedSubject {
    stream_id: StreamId,
    subject: Subject,
}

/// A request for a verification event (SSF §8.1.4.2).
#[derive(JsonSchema)]
pub(crate) struct VerificationRequest {
    stream_id: StreamId,
    /// What the event repeats, byte for byte; without it the event has none.
    #[schemars(length(max = 1024))]
    state: Option<String>,
}

/// A poll (RFC 8936 §2.2). `{}` is a long poll that acknowledges nothing.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub(crate) struct PollRequest {
    /// The most SETs to return; 0 only acknowledges.
    max_events: Option<u64>,
    /// Whether to answer at once rather than wait for a SET; `false` if it is left out.
    return_immediately: Option<bool>,
    /// The `jti`s of SETs that were received. Unknown ones are ignored.
    #[schemars(length(max = 10_000))]
    ack: Option<Vec<String>>,
    /// What the Receiver says of SETs that it refuses, by `jti` (RFC 8936 §2.6).
    #[schemars(extend("maxProperties" = 10_000))]
    set_errs: Option<BTreeMap<String, SetError>>,
}

/// Why a SET was refused (RFC 8935 §2.3).
#[derive(JsonSchema)]
pub(crate) struct SetError {
    /// A code of RFC 8935 §2.4 or SSF §11, or any other.
    err: Option<String>,
    description: Option<String>,
}

/// A JWK Set with public keys only (RFC 7517 §5).
#[derive(JsonSchema)]
pub(crate) struct KeySet {
    #[schemars(length(min = 1))]
    keys: Vec<PublicKey>,
}

/// A public key (RFC 7517 §4), with the members of its `kty` (RFC 7518 §6, RFC 8037 §2).
#[derive(JsonSchema)]
pub(crate) struct PublicKey {
    kty: KeyType,
    /// As in the header of the SETs that are signed with it.
    kid: String,
    r#use: KeyUse,
    /// `RS256`, `ES256`, `ES384`, `ES512` or `EdDSA`.
    alg: String,
}

/// RFC 7518 §6.1, RFC 8037 §2.
#[derive(JsonSchema)]
pub(crate) enum KeyType {
    #[schemars(rename = "RSA")]
    Rsa,
    #[schemars(rename = "EC")]
    Ec,
    #[schemars(rename = "OKP")]
    Okp,
}

/// RFC 7517 §4.2.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum KeyUse {
    Sig,
}

/// One event, or several in an array. NDJSON, with `Content-Type: application/x-ndjson`, is taken
/// as well.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Events {
    One(PublishedEvent),
    Many(#[schemars(length(min = 1))] Vec<PublishedEvent>),
}

/// One event, about one subject, as upstream publishes it.
#[derive(JsonSchema)]
pub(crate) struct PublishedEvent {
    /// The event type's URI, or `caep:` or `risc:` and its name.
    r#type: String,
    /// Whom the event is about.
    sub_id: Subject,
    /// Further identifiers of the same subject, each for itself; no `aliases`.
    #[schemars(length(min = 1, max = 16))]
    subject_identifiers: Option<Vec<Subject>>,
    /// The event's own members; those that its type does not define go into the SET as they are.
    event: Option<Map<String, Value>>,
    /// The publisher's id for it: a second event with the same one within 24 h is a duplicate.
    #[schemars(length(min = 1, max = 256))]
    id: Option<String>,
    /// The cause, shared by all events born of it (SSF §4.1.9).
    #[schemars(length(min = 1, max = 256))]
    txn: Option<String>,
    /// Only these streams may get it.
    #[schemars(length(max = 1024))]
    stream_ids: Option<Vec<StreamId>>,
}

/// An OpenAPI document (OpenAPI §4.8.1).
#[derive(JsonSchema)]
pub(crate) struct OpenApi {
    openapi: String,
    info: Map<String, Value>,
    paths: Map<String, Value>,
}
