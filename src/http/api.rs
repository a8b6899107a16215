//! The interface as a table: which operations there are, who may ask for them, and what is said of
//! each. The listeners are made from it, and so is the OpenAPI document ([`super::openapi`]), so that
//! neither has anything that the other lacks.

pub(super) mod admin;
pub(super) mod internal;
pub(super) mod public;
pub(super) mod shape;

use actix_web::{Resource as Service, Route, http::Method, web};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{domain::grant::Scope, http::error};

/// All that stands at one path.
#[derive(Clone, Copy)]
pub(super) struct Resource {
    pub(super) base: Base,
    /// Below its base. `{name}` stands for one segment.
    pub(super) path: &'static str,
    pub(super) tag: Tag,
    pub(super) operations: &'static [Operation],
}

/// What a path stands below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// The issuer of a provider.
    Issuer,
    /// The host of an issuer: `{issuer_path}` at the end of the path is the issuer's own
    /// (SSF §7.2.1).
    Origin,
    /// The listener for upstream and operators.
    Internal,
}

/// The heading that a resource stands under.
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
}

/// One method of a resource.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    pub(super) verb: Verb,
    /// Its handler.
    handler: fn() -> Route,
    /// Its name, for those who make a client of the document.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) access: Access,
    pub(super) query: &'static [Parameter],
    pub(super) body: Option<Body>,
    pub(super) answers: &'static [Answer],
    /// Beside those that follow from `access` and `body`: the status, and what it stands for here.
    pub(super) refusals: &'static [(u16, &'static str)],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// HEAD as well (RFC 9110 §9.1), where anyone may ask.
    Get,
    Post,
    Patch,
    Put,
    Delete,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Anyone,
    /// A Receiver of the provider, with a token of this scope.
    Receiver(Scope),
    /// Upstream, with a token to publish.
    Publisher,
    /// A client of the provider's own authorization server, with its secret.
    Client,
    /// Who runs the daemon, with a token for that.
    Operator,
}

/// A parameter of the query.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) description: &'static str,
    pub(super) schema: Shape,
}

/// A request's body. `example` is one that is valid once its `stream_id` is that of a stream.
#[derive(Clone, Copy)]
pub(super) struct Body {
    pub(super) media_type: &'static str,
    pub(super) schema: Shape,
    pub(super) example: &'static str,
    /// Whether NDJSON is taken as well.
    pub(super) lines: bool,
}

/// A response to a request that was granted.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    /// The media type and, where it is JSON, the schema.
    pub(super) content: Option<(&'static str, Option<Shape>)>,
    pub(super) caching: Caching,
}

/// Who may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caching {
    /// Nobody is told.
    Unsaid,
    /// Nobody: `no-store`.
    Never,
    /// Anyone for a while; an `ETag` makes it cheap to ask again.
    Tagged,
}

/// What stands for a segment of a path.
pub(super) const SEGMENTS: [Parameter; 3] = [
    Parameter::required::<shape::StreamId>("stream_id", "Which stream is meant."),
    Parameter::required::<String>("jti", "Which SET is meant."),
    Parameter::required::<String>(
        "issuer_path",
        "The path of the issuer without its first slash, as `t/acme`.",
    ),
];

/// The schema of a type, and of those that it is made of.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

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
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Discovery => "What a Receiver needs to know before it has a credential (SSF §7).",
            Self::Authorization => "How a client gets its access token (RFC 6749, 8414, 9728).",
            Self::Streams => "The configuration of streams (SSF §8.1.1).",
            Self::Status => "Whether a stream delivers (SSF §8.1.2).",
            Self::Subjects => "Which subjects are on a stream (SSF §8.1.3).",
            Self::Verification => "Whether a stream works (SSF §8.1.4).",
            Self::Delivery => "How polled SETs get across (RFC 8936).",
            Self::Publishing => "How upstream publishes events.",
            Self::Operating => "What operators and their machines look at.",
            Self::Administration => {
                "What operators do about streams and SETs, whose ever they are."
            }
        }
    }
}

impl Resource {
    /// What serves it at this path. Other methods are answered with 405 and the list of its own
    /// (RFC 9110 §15.5.6).
    pub(super) fn at(&self, path: &str) -> Service {
        let mut service = web::resource(path);
        for operation in self.operations {
            for method in operation.methods() {
                service = service.route((operation.handler)().method(method));
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
            access: Access::Anyone,
            query: &[],
            body: None,
            answers: &[],
            refusals: &[],
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

    pub(super) const fn for_those_who(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    pub(super) const fn query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    /// Takes a JSON body of this type.
    pub(super) const fn body<T: JsonSchema>(mut self, example: &'static str) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        self.body = Some(Body { media_type: "application/json", schema, example, lines: false });
        self
    }

    /// As [`Operation::body`], but as a form.
    pub(super) const fn form<T: JsonSchema>(self, example: &'static str) -> Self {
        let mut operation = self.body::<T>(example);
        if let Some(body) = &mut operation.body {
            body.media_type = "application/x-www-form-urlencoded";
        }
        operation
    }

    /// As [`Operation::body`], and NDJSON of the same as well.
    pub(super) const fn body_or_lines<T: JsonSchema>(self, example: &'static str) -> Self {
        let mut operation = self.body::<T>(example);
        if let Some(body) = &mut operation.body {
            body.lines = true;
        }
        operation
    }

    pub(super) const fn answers(mut self, answers: &'static [Answer]) -> Self {
        self.answers = answers;
        self
    }

    pub(super) const fn refuses(mut self, refusals: &'static [(u16, &'static str)]) -> Self {
        self.refusals = refusals;
        self
    }

    /// The verb, and HEAD where a document is read.
    pub(super) fn methods(&self) -> impl Iterator<Item = Method> + use<> {
        let head = self.has_head().then_some(Method::HEAD);
        [self.verb.method()].into_iter().chain(head)
    }

    pub(super) fn has_head(&self) -> bool {
        self.verb == Verb::Get && self.access == Access::Anyone
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

impl Answer {
    /// JSON that is nobody's to keep.
    pub(super) const fn json<T: JsonSchema>(status: u16, description: &'static str) -> Self {
        let schema: Shape = SchemaGenerator::subschema_for::<T>;
        let content = Some(("application/json", Some(schema)));
        Self { status, description, content, caching: Caching::Never }
    }

    /// JSON that anyone may keep for a while.
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
