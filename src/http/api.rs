//! The interface as a table. A [`Resource`] is a path with its [`Operation`]s; an operation has its
//! handler, who may call it, its parameters, body and answers, and its description. Both listeners
//! and the OpenAPI document ([`super::openapi`]) are made from the table, so that neither has an
//! operation that the other lacks.
//!
//! `public` has the resources of Receivers, `internal`, `admin` and `devices` those of the internal
//! listener. `shape` has the schemas of request bodies.

pub(super) mod admin;
pub(super) mod devices;
pub(super) mod internal;
pub(super) mod public;
pub(super) mod shape;

use actix_web::{Resource as Service, Route, http::Method, middleware::from_fn, web};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    domain::grant::Scope,
    http::{agents, connection::to_its_end, error, sources},
};

/// The path of a source, and below it those of agents.
const SOURCE: &str = "/in/{provider}/{source}";

/// Serves the sources and the agents. They are not in the table, because each source has the protocol of
/// its sender, and agents have one of their own.
pub(super) fn sources_and_agents() -> Vec<Service> {
    let post = |path: &str, route: Route| {
        let service = web::resource(format!("{SOURCE}/{path}"));
        let refused = || async { error::not_allowed("POST") };
        service
            .route(route.method(Method::POST).wrap(from_fn(to_its_end)))
            .default_service(web::to(refused))
    };
    vec![
        web::resource(SOURCE).route(web::to(sources::receive).wrap(from_fn(to_its_end))),
        post("challenge", web::to(agents::challenge)),
        post("check-in", web::to(agents::check_in)),
        post("enrol", web::to(agents::enrol)),
    ]
}

/// One path and its operations.
#[derive(Clone, Copy)]
pub(super) struct Resource {
    pub(super) base: Base,
    /// The path below the base. `{name}` stands for one segment.
    pub(super) path: &'static str,
    pub(super) tag: Tag,
    pub(super) operations: &'static [Operation],
}

/// The place that the path of a resource is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// The issuer of a provider.
    Issuer,
    /// The host of an issuer. `{issuer_path}` at the end of the path stands for the issuer's own path
    /// (SSF §7.2.1).
    Origin,
    /// The listener for publishers and operators.
    Internal,
}

/// The heading of a resource in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tag {
    Discovery,
    Authorization,
    Streams,
    Status,
    Subjects,
    Verification,
    Delivery,
    Publishing,
    Operating,
    Administration,
    Sources,
    Devices,
}

/// One method of a resource.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    pub(super) verb: Verb,
    handler: fn() -> Route,
    /// The name of the operation in a client that is generated from the document.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) caller: Caller,
    pub(super) query: &'static [Parameter],
    pub(super) body: Option<BodySpec>,
    pub(super) answers: &'static [AnswerSpec],
    /// Refusals beside those that follow from `caller` and `body`: the status, and what it means here.
    pub(super) refusals: &'static [(u16, &'static str)],
    /// Whether the request ends when its connection is closed. Others that change something go on.
    abandonable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// Also HEAD (RFC 9110 §9.1), if anyone may call the operation.
    Get,
    Post,
    Patch,
    Put,
    Delete,
}

/// The callers that an operation admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    Anyone,
    /// A Receiver of the provider, with a token of this scope.
    Receiver(Scope),
    /// A publisher, with a token to publish.
    Publisher,
    /// A client of the provider's built-in authorization server, with its secret.
    Client,
    /// An operator of the daemon, with an operator's token.
    Operator,
}

/// A parameter of the query.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) description: &'static str,
    pub(super) schema: MakeSchema,
}

/// The body of a request. `example` is valid if its `stream_id` is replaced by that of a stream.
#[derive(Clone, Copy)]
pub(super) struct BodySpec {
    pub(super) media_type: &'static str,
    pub(super) schema: MakeSchema,
    pub(super) example: &'static str,
    /// Whether NDJSON is accepted, too.
    pub(super) lines: bool,
}

/// The response to a request that was granted.
#[derive(Clone, Copy)]
pub(super) struct AnswerSpec {
    pub(super) status: u16,
    pub(super) description: &'static str,
    /// The media type and, where it is JSON, the schema.
    pub(super) content: Option<(&'static str, Option<MakeSchema>)>,
    pub(super) caching: Caching,
}

/// How an answer may be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caching {
    /// The answer has no `Cache-Control`.
    Unsaid,
    /// Nobody (`no-store`).
    Never,
    /// Anyone, for a while. An `ETag` makes a further request cheap.
    Tagged,
}

/// The parameters that stand for a segment of a path.
pub(super) const SEGMENTS: [Parameter; 7] = [
    Parameter::required::<String>("provider", "The name of the provider."),
    Parameter::required::<String>("source", "The name of the source."),
    Parameter::required::<String>("agents", "The name of the table of agents."),
    Parameter::required::<String>("device", "The id of the device."),
    Parameter::required::<shape::StreamIdSchema>("stream_id", "The id of the stream."),
    Parameter::required::<String>("jti", "The `jti` of the SET."),
    Parameter::required::<String>(
        "issuer_path",
        "The path of the issuer without its first slash, as `t/acme`.",
    ),
];

/// Makes the schema of a type, and those of the types that it is made of.
pub(super) type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

impl Tag {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Discovery => "Discovery",
            Self::Authorization => "Authorization",
            Self::Streams => "Streams",
            Self::Status => "Status",
            Self::Subjects => "Subjects",
            Self::Verification => "Verification",
            Self::Delivery => "Delivery",
            Self::Publishing => "Publishing",
            Self::Operating => "Operating",
            Self::Administration => "Administration",
            Self::Sources => "Sources",
            Self::Devices => "Devices",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Discovery => {
                "The documents that a Receiver reads before it has a credential (SSF §7)."
            }
            Self::Authorization => "How a client gets its access token (RFC 6749, 8414, 9728).",
            Self::Streams => "The configuration of streams (SSF §8.1.1).",
            Self::Status => "Whether a stream delivers (SSF §8.1.2).",
            Self::Subjects => "Which subjects are on a stream (SSF §8.1.3).",
            Self::Verification => "Whether a stream works (SSF §8.1.4).",
            Self::Delivery => "Delivery by poll (RFC 8936).",
            Self::Publishing => "How publishers publish events.",
            Self::Operating => "Health and metrics, for operators and their monitoring.",
            Self::Administration => "How operators manage the streams and SETs of all Receivers.",
            Self::Sources => {
                "How operators manage the sources, which take native events of identity providers."
            }
            Self::Devices => "How operators manage the devices that report their posture.",
        }
    }
}

impl Resource {
    /// Serves the resource at this path. A method that it does not have is answered 405, with the list
    /// of its methods (RFC 9110 §15.5.6).
    pub(super) fn at(&self, path: &str) -> Service {
        let mut service = web::resource(path);
        for operation in self.operations {
            for method in operation.methods() {
                let route = (operation.handler)().method(method);
                service = service.route(if operation.abandonable {
                    route
                } else {
                    route.wrap(from_fn(to_its_end))
                });
            }
        }
        let methods = self.operations.iter().flat_map(Operation::methods);
        let allowed = methods.map(|method| method.to_string()).collect::<Vec<_>>().join(", ");
        service.default_service(web::to(move || {
            let refused = error::not_allowed(&allowed);
            async move { refused }
        }))
    }

    pub(super) fn service(&self) -> Service {
        self.at(self.path)
    }
}

impl Operation {
    const fn new(verb: Verb, id: &'static str, handler: fn() -> Route) -> Self {
        Self {
            verb,
            handler,
            id,
            summary: "",
            description: "",
            caller: Caller::Anyone,
            query: &[],
            body: None,
            answers: &[],
            refusals: &[],
            abandonable: matches!(verb, Verb::Get),
        }
    }

    pub(super) const fn get(id: &'static str, handler: fn() -> Route) -> Self {
        Self::new(Verb::Get, id, handler)
    }

    pub(super) const fn post(id: &'static str, handler: fn() -> Route) -> Self {
        Self::new(Verb::Post, id, handler)
    }

    pub(super) const fn patch(id: &'static str, handler: fn() -> Route) -> Self {
        Self::new(Verb::Patch, id, handler)
    }

    pub(super) const fn put(id: &'static str, handler: fn() -> Route) -> Self {
        Self::new(Verb::Put, id, handler)
    }

    pub(super) const fn delete(id: &'static str, handler: fn() -> Route) -> Self {
        Self::new(Verb::Delete, id, handler)
    }

    pub(super) const fn says(mut self, summary: &'static str, description: &'static str) -> Self {
        (self.summary, self.description) = (summary, description);
        self
    }

    pub(super) const fn caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    pub(super) const fn query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    /// Accepts a JSON body of this type.
    pub(super) const fn body<T: JsonSchema>(mut self, example: &'static str) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        self.body =
            Some(BodySpec { media_type: "application/json", schema, example, lines: false });
        self
    }

    /// Accepts a form with the members of this type.
    pub(super) const fn form<T: JsonSchema>(self, example: &'static str) -> Self {
        let mut operation = self.body::<T>(example);
        if let Some(body) = &mut operation.body {
            body.media_type = "application/x-www-form-urlencoded";
        }
        operation
    }

    /// Accepts a JSON body of this type, or NDJSON.
    pub(super) const fn body_or_lines<T: JsonSchema>(self, example: &'static str) -> Self {
        let mut operation = self.body::<T>(example);
        if let Some(body) = &mut operation.body {
            body.lines = true;
        }
        operation
    }

    /// Ends the request when its connection is closed, because it may wait for long.
    pub(super) const fn abandonable(mut self) -> Self {
        self.abandonable = true;
        self
    }

    pub(super) const fn answers(mut self, answers: &'static [AnswerSpec]) -> Self {
        self.answers = answers;
        self
    }

    pub(super) const fn refuses(mut self, refusals: &'static [(u16, &'static str)]) -> Self {
        self.refusals = refusals;
        self
    }

    /// Returns the methods: the verb, and HEAD where a document is read.
    pub(super) fn methods(&self) -> impl Iterator<Item = Method> + use<> {
        let head = self.has_head().then_some(Method::HEAD);
        [self.verb.method()].into_iter().chain(head)
    }

    pub(super) fn has_head(&self) -> bool {
        self.verb == Verb::Get && self.caller == Caller::Anyone
    }
}

impl Verb {
    fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Patch => Method::PATCH,
            Self::Put => Method::PUT,
            Self::Delete => Method::DELETE,
        }
    }
}

impl Parameter {
    pub(super) const fn required<T: JsonSchema>(
        name: &'static str,
        description: &'static str,
    ) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        Self { name, required: true, description, schema }
    }

    pub(super) const fn optional<T: JsonSchema>(
        name: &'static str,
        description: &'static str,
    ) -> Self {
        Self { required: false, ..Self::required::<T>(name, description) }
    }
}

impl AnswerSpec {
    /// JSON that nobody may cache.
    pub(super) const fn json<T: JsonSchema>(status: u16, description: &'static str) -> Self {
        let schema: MakeSchema = SchemaGenerator::subschema_for::<T>;
        let content = Some(("application/json", Some(schema)));
        Self { status, description, content, caching: Caching::Never }
    }

    /// JSON that anyone may cache for a while.
    pub(super) const fn document<T: JsonSchema>(description: &'static str) -> Self {
        Self { caching: Caching::Tagged, ..Self::json::<T>(200, description) }
    }

    pub(super) const fn text(media_type: &'static str, description: &'static str) -> Self {
        let content = Some((media_type, None));
        Self { status: 200, description, content, caching: Caching::Unsaid }
    }

    pub(super) const fn empty(status: u16, description: &'static str) -> Self {
        Self { status, description, content: None, caching: Caching::Never }
    }
}
