//! The interface as an OpenAPI 3.1 document, made from the same table as the listeners (`http::api`).
//! `openapi.json` in the repository is the whole document.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value, json};

use crate::http::{
    Of,
    api::{
        AnswerSpec, Base, Caching, Caller, Operation, Parameter, Resource, SEGMENTS, Tag, admin,
        devices, internal, public,
    },
    document::{Document, SharedText},
    error::ProblemDetails,
    jwks::cacheable,
};

/// How long the document may be cached, in seconds.
const MAX_AGE_SECS: u32 = 3600;

const PROBLEM: &str = "application/problem+json";

/// The part for Receivers, without its servers, because these differ from provider to provider, and
/// without the brace that begins it.
static PUBLIC: LazyLock<SharedText> = LazyLock::new(|| {
    let document = DocumentScope::Public.document().to_string();
    let rest = document.strip_prefix('{').expect("a document is a JSON object");
    SharedText::new(rest.to_owned())
});

static WHOLE: LazyLock<SharedText> = LazyLock::new(|| SharedText::new(document().to_string()));

/// How much of the interface a document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DocumentScope {
    Whole,
    /// The operations for Receivers, below an issuer.
    Public,
}

/// Describes all operations of the daemon, on either listener.
pub fn document() -> Value {
    let mut document = DocumentScope::Whole.document();
    document["servers"] = json!([{
        "url": "{issuer}",
        "description": "The listener for Receivers",
        "variables": {"issuer": {
            "default": "https://localhost",
            "description": "The issuer of a provider, as configured",
        }},
    }]);
    document
}

pub(super) async fn whole(request: HttpRequest) -> HttpResponse {
    cacheable(&request, &*WHOLE, MAX_AGE_SECS)
}

pub(super) async fn of_provider(request: HttpRequest, provider: Of) -> HttpResponse {
    let servers = json!([{"url": provider.issuer.as_str().trim_end_matches('/')}]);
    // The servers become the first member of the object.
    let own = format!("{{\"servers\":{servers},");
    cacheable(&request, Document::new(own, &PUBLIC), MAX_AGE_SECS)
}

impl DocumentScope {
    fn document(self) -> Value {
        let settings = SchemaSettings::draft2020_12()
            .with(|settings| settings.definitions_path = "/components/schemas".into())
            .with_transform(RecursiveTransform(tidy));
        let mut schemas = settings.into_generator();
        let mut paths = Map::new();
        let mut tags = BTreeMap::new();
        for resource in self.resources() {
            let twice = paths.insert(resource.path.into(), self.path_item(resource, &mut schemas));
            debug_assert!(twice.is_none(), "{} stands below two bases", resource.path);
            tags.insert(resource.tag, resource.tag.description());
        }
        let tag = |(tag, text): (Tag, &str)| json!({"name": tag.name(), "description": text});
        let responses = responses(&mut schemas);
        json!({
            "openapi": "3.1.1",
            "info": {
                "title": "ssfd, a Shared Signals Framework Transmitter",
                "version": env!("CARGO_PKG_VERSION"),
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
                "description": "SSF 1.0, RFC 8935 and RFC 8936. Unknown members of a body are \
                    ignored. A path that names nothing is answered 404, a method that a path does \
                    not have 405 with `Allow`. Every refusal has the form of RFC 9457.",
            },
            "tags": tags.into_iter().map(tag).collect::<Value>(),
            "paths": paths,
            "components": {
                "securitySchemes": self.security_schemes(),
                "headers": headers(),
                "responses": responses,
                "schemas": schemas.take_definitions(true),
            },
        })
    }

    fn resources(self) -> impl Iterator<Item = &'static Resource> {
        let internal = match self {
            Self::Whole => &[internal::RESOURCES, admin::RESOURCES, devices::RESOURCES][..],
            Self::Public => &[],
        };
        public::RESOURCES.iter().chain(internal.iter().copied().flatten())
    }

    fn path_item(self, resource: &Resource, schemas: &mut SchemaGenerator) -> Value {
        let mut item = Map::new();
        if let Some(servers) = self.servers(resource.base) {
            item.insert("servers".into(), servers);
        }
        let segments = SEGMENTS
            .iter()
            .filter(|segment| resource.path.contains(&format!("{{{}}}", segment.name)));
        let segments: Vec<_> =
            segments.map(|segment| parameter("path", segment, schemas)).collect();
        if !segments.is_empty() {
            item.insert("parameters".into(), segments.into());
        }
        for operation in resource.operations {
            for method in operation.methods() {
                let described = match method.as_str() {
                    "HEAD" => head_of(operation, resource),
                    _ => operation_object(operation, resource, schemas),
                };
                item.insert(method.as_str().to_lowercase(), described);
            }
        }
        item.into()
    }

    /// Returns the servers of a path, where they are not those of the document.
    fn servers(self, base: Base) -> Option<Value> {
        match (base, self) {
            (Base::Issuer, _) => None,
            // The document is at the same host.
            (Base::Origin, Self::Public) => {
                Some(json!([{"url": "/", "description": "The host of the issuer"}]))
            }
            (Base::Origin, Self::Whole) => Some(json!([{
                "url": "{origin}",
                "description": "The host of the issuer",
                "variables": {"origin": {
                    "default": "https://localhost",
                    "description": "Scheme, host and port of an issuer",
                }},
            }])),
            (Base::Internal, _) => Some(json!([{
                "url": "http://{internal}",
                "description": "The listener for publishers and operators",
                "variables": {"internal": {
                    "default": "127.0.0.1:9090",
                    "description": "`internal.listen` of the configuration",
                }},
            }])),
        }
    }

    fn security_schemes(self) -> Value {
        let bearer = |description: &str| json!({"type": "http", "scheme": "bearer", "description": description});
        let mut schemes = json!({
            "client": {
                "type": "http",
                "scheme": "basic",
                "description":
                    "A client of the provider's own authorization server (RFC 6749 §2.3.1).",
            },
            "receiver": bearer(
                "A Receiver's token, in the header alone (RFC 6750 §2.1). `ssf.manage` allows all \
                 that `ssf.read` does (CAEP-IOP §2.7.2). The token gives access to the streams of \
                 its Receiver alone (SSF §8).",
            ),
        });
        if self == Self::Whole {
            schemes["publisher"] = bearer("A publisher's token, for one provider.");
            schemes["operator"] = bearer("An operator's token.");
        }
        schemes
    }
}

/// Removes from a schema what only Rust needs. No member is ever null, because an absent member is left
/// out. The width of a number and the line breaks of a comment mean nothing to a reader.
fn tidy(schema: &mut Schema) {
    let null = |value: &Value| *value == "null" || *value == json!({"type": "null"});
    for key in ["type", "anyOf"] {
        let Some(Value::Array(options)) = schema.get_mut(key) else { continue };
        options.retain(|option| !null(option));
        if let [only] = options.as_slice() {
            let only = only.clone();
            schema.remove(key);
            match only {
                Value::Object(members) => schema.ensure_object().extend(members),
                name => schema.insert(key.into(), name).map_or((), drop),
            }
        }
    }
    if schema.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint"))
    {
        schema.remove("format");
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}

/// Describes one operation.
fn operation_object(
    operation: &Operation,
    resource: &Resource,
    schemas: &mut SchemaGenerator,
) -> Value {
    let mut object = json!({
        "operationId": operation.id,
        "tags": [resource.tag.name()],
        "summary": operation.summary,
        "description": operation.description,
        "security": security(operation.caller),
    });
    if !operation.query.is_empty() {
        let query = operation.query.iter().map(|given| parameter("query", given, schemas));
        object["parameters"] = query.collect();
    }
    if let Some(body) = operation.body {
        let example: Value = serde_json::from_str(body.example).expect("an example is JSON");
        let schema = (body.schema)(schemas);
        object["requestBody"] = json!({
            "required": true,
            "content": {body.media_type: {"schema": schema, "example": example}},
        });
        if body.lines {
            object["requestBody"]["content"]["application/x-ndjson"] =
                json!({"schema": {"type": "string"}, "example": example.to_string()});
        }
    }
    let mut responses = Map::new();
    for answer in operation.answers {
        responses.insert(answer.status.to_string(), response(answer, schemas));
        if answer.caching == Caching::Tagged {
            responses.insert("304".into(), json!({"$ref": "#/components/responses/NotModified"}));
        }
    }
    for (status, description) in refusals(operation, resource.base) {
        let refusal = if let Some(answer) = responses.remove(&status.to_string()) {
            // The media type tells an answer from a problem.
            either(answer, description)
        } else {
            let name = format!("#/components/responses/{}", component(status));
            json!({"$ref": name, "description": description})
        };
        responses.insert(status.to_string(), refusal);
    }
    object["responses"] = responses.into();
    object
}

/// Describes a status that may be an answer or a refusal.
fn either(mut answer: Value, refusal: &str) -> Value {
    let granted = answer["description"].as_str().unwrap_or_default();
    answer["description"] = format!("{granted} Or: {refusal}").into();
    answer["content"][PROBLEM] = problem();
    answer
}

/// RFC 9110 §9.3.2.
fn head_of(operation: &Operation, resource: &Resource) -> Value {
    let mut answers = Map::new();
    for answer in operation.answers {
        let text = "As GET, without the body.";
        let mut response = json!({"description": text});
        if let Some(headers) = answer_headers(answer.status, answer.caching) {
            response["headers"] = headers;
        }
        answers.insert(answer.status.to_string(), response);
        if answer.caching == Caching::Tagged {
            answers.insert("304".into(), json!({"$ref": "#/components/responses/NotModified"}));
        }
    }
    json!({
        "operationId": format!("{}Head", operation.id),
        "tags": [resource.tag.name()],
        "summary": format!("{}: its head alone", operation.summary),
        "security": [],
        "responses": answers,
    })
}

fn security(caller: Caller) -> Value {
    match caller {
        Caller::Anyone => json!([]),
        Caller::Receiver(scope) => {
            // Either the scope of the profile, or the finer scope that allows this operation alone.
            let either = BTreeSet::from([scope.standard(), scope]);
            either.into_iter().map(|scope| json!({"receiver": [scope.as_str()]})).collect()
        }
        Caller::Client => json!([{"client": []}]),
        Caller::Publisher => json!([{"publisher": []}]),
        Caller::Operator => json!([{"operator": []}]),
    }
}

fn parameter(place: &str, given: &Parameter, schemas: &mut SchemaGenerator) -> Value {
    json!({
        "name": given.name,
        "in": place,
        "required": given.required,
        "description": given.description,
        "schema": (given.schema)(schemas),
    })
}

fn response(answer: &AnswerSpec, schemas: &mut SchemaGenerator) -> Value {
    let mut response = json!({"description": answer.description});
    if let Some((media_type, schema)) = answer.content {
        let schema =
            schema.map_or_else(|| json!({"type": "string"}), |schema| schema(schemas).into());
        response["content"] = json!({media_type: {"schema": schema}});
    }
    if let Some(headers) = answer_headers(answer.status, answer.caching) {
        response["headers"] = headers;
    }
    response
}

fn answer_headers(status: u16, caching: Caching) -> Option<Value> {
    let header = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    let mut headers = match caching {
        Caching::Unsaid => return None,
        Caching::Never => json!({"Cache-Control": header("NoStore")}),
        Caching::Tagged => json!({"Cache-Control": header("MaxAge"), "ETag": header("ETag")}),
    };
    match status {
        415 => headers["Accept-Encoding"] = header("AcceptEncoding"),
        401 | 403 => headers["WWW-Authenticate"] = header("Challenge"),
        429 => headers["Retry-After"] = header("RetryAfter"),
        503 => headers["Retry-After"] = header("RetryAfterIfKnown"),
        _ => {}
    }
    Some(headers)
}

/// Returns how an operation may be refused: because of its credential or its body, or for a reason of
/// its own.
fn refusals(operation: &Operation, base: Base) -> BTreeMap<u16, &'static str> {
    let mut refusals = BTreeMap::new();
    let by_caller: &[u16] = match operation.caller {
        Caller::Anyone if base == Base::Internal => &[],
        Caller::Anyone => &[429],
        Caller::Receiver(_) => &[400, 401, 403, 429, 503],
        Caller::Publisher | Caller::Operator => &[400, 401, 429, 503],
        // A wrong credential is answered in the form of RFC 6749.
        Caller::Client => &[429, 503],
    };
    refusals.extend(by_caller.iter().map(|status| (*status, meaning(*status))));
    if operation.body.is_some() {
        refusals.extend([400, 408, 413, 415].map(|status| (status, meaning(status))));
    }
    refusals.extend(operation.refusals.iter().copied());
    refusals
}

/// Describes a refusal for which the operation has no description.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request is malformed; `detail` names the member and the rule.",
        401 => "No valid credential was shown (RFC 6750 §3.1).",
        403 => "The token lacks the scope (RFC 6750 §3.1).",
        404 => "The resource does not exist.",
        408 => "The body did not arrive in time.",
        409 => "The state of the resource does not allow the operation.",
        413 => "The body is too large.",
        415 => "The body has a `Content-Encoding`, and no content coding is supported.",
        429 => "The caller asks too often, or shows too many credentials that are refused.",
        503 => "A service that the daemon needs for the answer does not respond at present.",
        other => unreachable!("{other} is no refusal of ours"),
    }
}

const REFUSALS: [u16; 10] = [400, 401, 403, 404, 408, 409, 413, 415, 429, 503];

/// Returns the name of a refusal's response: the reason phrase in one word.
fn component(status: u16) -> String {
    let status = StatusCode::from_u16(status).expect("a status of three digits");
    status.canonical_reason().unwrap_or("Refused").replace(' ', "")
}

fn problem() -> Value {
    json!({"schema": {"$ref": "#/components/schemas/Problem"}})
}

fn responses(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<ProblemDetails<'static>>();
    let mut responses = Map::new();
    for status in REFUSALS {
        let response = json!({
            "description": meaning(status),
            "headers": answer_headers(status, Caching::Never),
            "content": {PROBLEM: problem()},
        });
        responses.insert(component(status), response);
    }
    let headers = answer_headers(304, Caching::Tagged);
    responses.insert(
        "NotModified".into(),
        json!({"description": "The document that `If-None-Match` names is current.", "headers": headers}),
    );
    responses.into()
}

fn headers() -> Value {
    let header = |required: bool, description: &str, schema: Value| json!({"required": required, "description": description, "schema": schema});
    json!({
        "NoStore": header(true, "Nobody may cache the answer.", json!({"const": "no-store"})),
        "MaxAge": header(
            true,
            "How long the document may be cached.",
            json!({"type": "string", "pattern": "^public, max-age=[0-9]+$"}),
        ),
        "ETag": header(
            true,
            "Names this version of the document, for `If-None-Match`.",
            json!({"type": "string", "pattern": "^\"[A-Za-z0-9_-]+\"$"}),
        ),
        // Not required with 403, because some 403s are not about the credential.
        "Challenge": header(
            false,
            "What the credential lacks, and where to get one (RFC 6750 §3, RFC 9728 §5.1).",
            json!({"type": "string", "pattern": "^(Bearer|Basic) realm=\"ssf\""}),
        ),
        "RetryAfterIfKnown": header(
            false,
            "After how many seconds to try again, where that is known.",
            json!({"type": "string", "pattern": "^[0-9]+$"}),
        ),
        "AcceptEncoding": header(
            true,
            "The content codings of a body that are supported (RFC 9110 §15.5.16).",
            json!({"const": "identity"}),
        ),
        "RetryAfter": header(
            true,
            "After how many seconds to try again (RFC 9110 §10.2.3).",
            json!({"type": "string", "pattern": "^[0-9]+$"}),
        ),
    })
}
