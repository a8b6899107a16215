//! The schemas of bodies that no struct of ours is serialized into: request bodies, which handlers
//! take apart by hand so that a refusal names the member, and values that a specification defines. A
//! member that is an `Option` may be left out; handlers take `null` for absence, which the schemas do not
//! advertise. `tests/it/openapi` checks that the
//! handlers keep to the schemas.
#![expect(dead_code, reason = "these types are schemas, and never values")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::domain::subject::format::SubjectFormat;

/// Names one stream: RFC 3986 §2.3 unreserved characters only (SSF §8.1.1).
#[derive(JsonSchema)]
#[schemars(rename = "StreamId")]
pub(crate) struct StreamIdSchema(
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9._~-]+$"))] String,
);

/// The audience of a stream and its SETs: one string or several (SSF §8.1.1).
#[derive(JsonSchema)]
#[schemars(rename = "Audience", untagged)]
pub(crate) enum AudienceSchema {
    One(String),
    Many(#[schemars(length(min = 1))] Vec<String>),
}

/// The URI of an event type.
#[derive(JsonSchema)]
#[schemars(rename = "EventType")]
pub(crate) struct EventTypeSchema(#[schemars(url)] String);

/// Whether a stream delivers (SSF §8.1.2.1). A `paused` stream holds its SETs until it is `enabled`. A
/// `disabled` stream discards them.
#[derive(JsonSchema)]
#[schemars(rename = "Status", rename_all = "lowercase")]
pub(crate) enum StatusSchema {
    Enabled,
    Paused,
    Disabled,
}

/// The delivery method that a Receiver asks for (SSF §6.1).
#[derive(JsonSchema)]
#[schemars(rename = "RequestedDelivery", tag = "method")]
pub(crate) enum RequestedDeliverySchema {
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
        /// May be left out. If it is given, it must repeat the URL that the Transmitter assigned.
        endpoint_url: Option<String>,
    },
}

/// A request for an access token (RFC 6749 §4.4.2).
#[derive(JsonSchema)]
#[schemars(rename = "TokenRequest")]
pub(crate) struct TokenRequestSchema {
    /// `client_credentials`.
    grant_type: String,
    /// The scopes that are wanted, separated by spaces. If it is left out, the token gets all scopes
    /// that the client may have.
    scope: Option<String>,
    /// The id of the client, if the header does not have it.
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// A new stream: the members that a Receiver sets (SSF §8.1.1.1). Members that the Transmitter sets are
/// refused, and unknown members are ignored.
#[derive(JsonSchema)]
#[schemars(rename = "NewStream")]
pub(crate) struct NewStreamSchema {
    /// The URIs of the event types that the Receiver wants. Unknown URIs are kept and never
    /// delivered.
    #[schemars(length(max = 256))]
    events_requested: Option<Vec<String>>,
    /// A new or replaced stream without `delivery` is polled.
    delivery: Option<RequestedDeliverySchema>,
    /// Shortened to 255 characters.
    description: Option<String>,
}

/// The new configuration of a stream (SSF §8.1.1.3, §8.1.1.4). Members that the Transmitter sets may
/// only repeat their value.
#[derive(JsonSchema)]
#[schemars(rename = "ChangedStream")]
pub(crate) struct ChangedStreamSchema {
    stream_id: StreamIdSchema,
    #[schemars(flatten)]
    given: NewStreamSchema,
}

/// A new status (SSF §8.1.2.2).
#[derive(JsonSchema)]
#[schemars(rename = "NewStatus")]
pub(crate) struct NewStatusSchema {
    stream_id: StreamIdSchema,
    status: StatusSchema,
    /// Why. The reason is shown with the status.
    reason: Option<String>,
}

/// A new stream that an operator makes for a Receiver.
#[derive(JsonSchema)]
#[schemars(rename = "NewOperatedStream")]
pub(crate) struct NewOperatedStreamSchema {
    /// The provider. May be left out if `iss` names it, or if only one is configured.
    provider: Option<String>,
    /// The issuer of the provider, exactly as it is configured.
    iss: Option<String>,
    /// The Receiver that owns the stream. It sees the stream with any of its credentials, and needs none
    /// for push.
    receiver: String,
    /// An id that no stream has. If it is left out, a random one.
    stream_id: Option<StreamIdSchema>,
    /// The `aud` of the stream's SETs, as a string or an array.
    aud: AudienceSchema,
    #[schemars(flatten)]
    given: NewStreamSchema,
    /// If it is left out, the provider's.
    subject_format: Option<SubjectFormat>,
    /// If it is left out, `enabled`.
    status: Option<StatusSchema>,
    /// Why the stream has that status. The reason is shown with the status.
    reason: Option<String>,
    /// Only check the stream, and show it as it would be.
    dry_run: Option<bool>,
}

/// The members of a stream that an operator changes.
#[derive(JsonSchema)]
#[schemars(rename = "OperatedChange")]
pub(crate) struct OperatedChangeSchema {
    subject_format: SubjectFormat,
}

/// A new status that an operator sets.
#[derive(JsonSchema)]
#[schemars(rename = "OperatedStatus")]
pub(crate) struct OperatedStatusSchema {
    status: StatusSchema,
    /// Why. The reason is shown with the status.
    reason: Option<String>,
}

/// A selection of dead letters: those that match every given member. `all` selects every dead letter,
/// and goes with no other filter.
#[derive(JsonSchema)]
#[schemars(rename = "DeadLetterSelection")]
pub(crate) struct DeadLetterSelectionSchema {
    all: Option<bool>,
    provider: Option<String>,
    stream_id: Option<StreamIdSchema>,
    /// Why they were given up: an `err` code, `expired` or `hold_limit`.
    reason: Option<String>,
    /// The URI or the short name.
    event_type: Option<String>,
    /// A subject identifier with the same members.
    subject: Option<SubjectSchema>,
    /// They were given up since then, in seconds since 1970.
    since: Option<i64>,
    /// They were given up before then, in seconds since 1970.
    until: Option<i64>,
    jti: Option<String>,
    #[schemars(flatten)]
    page: PageOfSetsSchema,
}

/// A selection of held events: those with these ids. If it is left out, all.
#[derive(JsonSchema)]
#[schemars(rename = "HeldSelection")]
pub(crate) struct HeldSelectionSchema {
    ids: Option<Vec<String>>,
}

/// A device that is registered.
#[derive(JsonSchema)]
#[schemars(rename = "NewDevice")]
pub(crate) struct NewDeviceSchema {
    provider: String,
    agents: String,
    /// The id of the device, of 1 to 64 unreserved characters (RFC 3986 §2.3). If it is left out, a random
    /// one.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9._~-]+$"))]
    device: Option<String>,
    /// A name for people.
    #[schemars(length(min = 1, max = 256))]
    name: Option<String>,
    /// The platform, by which rules are chosen. If it is left out, the facts tell it.
    #[schemars(length(min = 1, max = 256))]
    platform: Option<String>,
    /// The user of the device, who becomes a part of the subject of its events.
    user: Option<SubjectSchema>,
    /// The token that the device has already, of 32 to 512 bytes. If it is left out, a new one.
    #[schemars(length(min = 32, max = 512))]
    token: Option<String>,
}

/// A body for a source that is to be explained.
#[derive(JsonSchema)]
#[schemars(rename = "ExplainedSource")]
pub(crate) struct ExplainedSourceSchema {
    provider: String,
    source: String,
    /// The body as JSON, or as the text that the sender would send.
    payload: Value,
    /// Headers that the sender would send, by name.
    headers: Option<BTreeMap<String, String>>,
    /// Parameters of the query, by name.
    query: Option<BTreeMap<String, String>>,
}

/// Where a replay begins, by exactly one of three members, and how its SETs go out.
#[derive(JsonSchema)]
#[schemars(rename = "Replay")]
pub(crate) struct ReplaySchema {
    /// With the SETs of events accepted since then, in seconds since 1970.
    since: Option<i64>,
    /// With this SET.
    from_jti: Option<String>,
    /// With the SET at this position of the outbox, or the next one.
    from_position: Option<i64>,
    /// The `jti` that the SETs get. If the member is left out, they keep theirs.
    jti: Option<ReplayJtiSchema>,
    #[schemars(flatten)]
    page: PageOfSetsSchema,
}

/// `kept`: the SET keeps its `jti`, by which a Receiver recognizes the repetition. `new`: each SET gets
/// a new `jti`, and an `iat` of now.
#[derive(JsonSchema)]
#[schemars(rename = "ReplayJti", rename_all = "lowercase")]
pub(crate) enum ReplayJtiSchema {
    Kept,
    New,
}

/// The page of SETs that one call handles.
#[derive(JsonSchema)]
#[schemars(rename = "PageOfSets")]
pub(crate) struct PageOfSetsSchema {
    /// The `next` of the page before.
    after: Option<String>,
    /// The most SETs in the page. If it is left out, 100.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u16>,
    /// Only count the SETs that would be handled.
    dry_run: Option<bool>,
}

/// A subject identifier (RFC 9493 §3, SSF §3.5) or a complex subject (SSF §3.3): a `format`, and exactly
/// the members of that format.
#[derive(JsonSchema)]
#[schemars(rename = "Subject")]
pub(crate) struct SubjectSchema {
    /// `account`, `email`, `iss_sub`, `opaque`, `phone_number`, `did`, `uri`, `aliases`, `jwt_id`,
    /// `saml_assertion_id`, `ip-addresses` or `complex`. If the provider has event types of OAuth, also
    /// `oauth_token` and `oauth_client`.
    format: String,
    #[schemars(flatten)]
    members: BTreeMap<String, Value>,
}

/// A subject to add to a stream (SSF §8.1.3.2).
#[derive(JsonSchema)]
#[schemars(rename = "AddedSubject")]
pub(crate) struct AddedSubjectSchema {
    stream_id: StreamIdSchema,
    subject: SubjectSchema,
    /// Whether the Receiver has verified the subject. If it is left out, `true`.
    verified: Option<bool>,
}

/// A subject to remove from a stream (SSF §8.1.3.3).
#[derive(JsonSchema)]
#[schemars(rename = "RemovedSubject")]
pub(crate) struct RemovedSubjectSchema {
    stream_id: StreamIdSchema,
    subject: SubjectSchema,
}

/// A request for a verification event (SSF §8.1.4.2).
#[derive(JsonSchema)]
#[schemars(rename = "VerificationRequest")]
pub(crate) struct VerificationRequestSchema {
    stream_id: StreamIdSchema,
    /// The event repeats it byte for byte. Without it the event has no `state`.
    #[schemars(length(max = 1024))]
    state: Option<String>,
}

/// A poll (RFC 8936 §2.2). `{}` is a long poll that acknowledges nothing.
#[derive(JsonSchema)]
#[schemars(rename = "PollRequest", rename_all = "camelCase")]
pub(crate) struct PollRequestSchema {
    /// The most SETs to return. With 0 the poll only acknowledges.
    max_events: Option<u64>,
    /// Whether to answer at once instead of waiting for a SET. If it is left out, `false`.
    return_immediately: Option<bool>,
    /// The longest time to wait for a SET, in seconds. The Transmitter's own limit may be shorter.
    timeout_secs: Option<u64>,
    /// The `jti`s of SETs that the Receiver has. Unknown ones are ignored.
    #[schemars(length(max = 10_000))]
    ack: Option<Vec<String>>,
    /// The SETs that the Receiver refuses, by `jti`, with the errors (RFC 8936 §2.6).
    #[schemars(extend("maxProperties" = 10_000))]
    set_errs: Option<BTreeMap<String, SetErrorSchema>>,
}

/// Why a SET was refused (RFC 8935 §2.3).
#[derive(JsonSchema)]
#[schemars(rename = "SetError")]
pub(crate) struct SetErrorSchema {
    /// A code of RFC 8935 §2.4 or SSF §11, or any other one.
    err: String,
    description: Option<String>,
}

/// A JWK Set with public keys only (RFC 7517 §5).
#[derive(JsonSchema)]
#[schemars(rename = "KeySet")]
pub(crate) struct KeySetSchema {
    #[schemars(length(min = 1))]
    keys: Vec<PublicKeySchema>,
}

/// A public key (RFC 7517 §4), with the members of its `kty` (RFC 7518 §6, RFC 8037 §2).
#[derive(JsonSchema)]
#[schemars(rename = "PublicKey")]
pub(crate) struct PublicKeySchema {
    kty: KeyTypeSchema,
    /// The `kid` in the header of the SETs that the key signs.
    kid: String,
    r#use: KeyUseSchema,
    /// `RS256`, `ES256`, `ES384`, `ES512` or `EdDSA`.
    alg: String,
}

/// RFC 7518 §6.1, RFC 8037 §2.
#[derive(JsonSchema)]
#[schemars(rename = "KeyType")]
pub(crate) enum KeyTypeSchema {
    #[schemars(rename = "RSA")]
    Rsa,
    #[schemars(rename = "EC")]
    Ec,
    #[schemars(rename = "OKP")]
    Okp,
}

/// RFC 7517 §4.2.
#[derive(JsonSchema)]
#[schemars(rename = "KeyUse", rename_all = "lowercase")]
pub(crate) enum KeyUseSchema {
    Sig,
}

/// One event, or several in an array. NDJSON with `Content-Type: application/x-ndjson` is accepted,
/// too.
#[derive(JsonSchema)]
#[schemars(rename = "Events", untagged)]
pub(crate) enum EventsSchema {
    One(PublishedEventSchema),
    Many(#[schemars(length(min = 1))] Vec<PublishedEventSchema>),
}

/// One event about one subject, as a publisher sends it.
#[derive(JsonSchema)]
#[schemars(rename = "PublishedEvent")]
pub(crate) struct PublishedEventSchema {
    /// The event type's URI, or `caep:` or `risc:` and its name.
    r#type: String,
    /// The subject of the event.
    sub_id: SubjectSchema,
    /// Further identifiers of the same subject. None of them is `aliases`.
    #[schemars(length(min = 1, max = 16))]
    subject_identifiers: Option<Vec<SubjectSchema>>,
    /// The members of the event. Members that the event type does not define go into the SET
    /// unchanged.
    event: Option<Map<String, Value>>,
    /// The publisher's id for the event. A second event with the same id within 24 h is a duplicate.
    #[schemars(length(min = 1, max = 256))]
    id: Option<String>,
    /// Identifies the cause. All events of one cause share it (SSF §4.1.9).
    #[schemars(length(min = 1, max = 256))]
    txn: Option<String>,
    /// The only streams that may get the event.
    #[schemars(length(max = 1024))]
    stream_ids: Option<Vec<StreamIdSchema>>,
}

/// An OpenAPI document (OpenAPI §4.8.1).
#[derive(JsonSchema)]
#[schemars(rename = "OpenApi")]
pub(crate) struct OpenApiSchema {
    openapi: String,
    info: Map<String, Value>,
    paths: Map<String, Value>,
}
