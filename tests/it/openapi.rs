//! The OpenAPI document, and whether the daemon keeps to it.

mod answers;
mod document;
mod routes;

use std::time::Duration;

use hyper::Method;
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use ssfd::{
    clock,
    delivery::{
        lane::Lane,
        outbox::{NewSet, SetKind},
    },
    domain::{
        grant::Scope,
        id::{AgentsName, ProviderName},
        posture::{Admission, ClockOff, Device, DeviceKey, Standing},
        set::Origin,
        set_error::SetError,
    },
    store::{
        Acknowledgement, Append, AppendBatch, Step,
        records::{
            device::DeviceStore as _,
            held_losses::{HeldLosses, HeldLossesStore as _},
        },
    },
};
use url::form_urlencoded;

use crate::harness::{
    daemon::{Daemon, PROVIDER},
    http_client::{Answer, Call},
    streams::by_poll,
};
use crate::oauth::token_endpoint::{add_client, basic};
use crate::{agents, sources};

/// A dead letter that every [`Stand`] has.
const DEAD: &str = "dead-1";
/// A source that every [`Stand`] has.
const SOURCE: &str = "kc";
/// A table of agents that every [`Stand`] has, and a device of it.
const AGENTS: &str = "laptops";
const DEVICE: &str = "dev-1";

/// The document, read as a client would.
struct Document(Value);

/// One method of one path.
struct Operation<'a> {
    document: &'a Document,
    path: &'a str,
    method: Method,
    item: &'a Value,
    described: &'a Value,
}

/// The credentials that operations may ask for.
struct Tokens {
    reader: String,
    manager: String,
    publisher: String,
    operator: String,
    /// The credentials of a client at the token endpoint.
    client: String,
}

impl Tokens {
    async fn of(daemon: &Daemon) -> Self {
        Self {
            reader: daemon.receiver_token("rx", &[Scope::Read]).await,
            manager: daemon.receiver_token("rx", &[Scope::Manage]).await,
            publisher: daemon.publisher_token().await,
            operator: daemon.operator_token().await,
            client: basic("rx", &add_client(daemon, "rx", &[Scope::Read, Scope::Manage]).await),
        }
    }

    /// The value of `Authorization`.
    fn for_scheme(&self, scheme: &str) -> String {
        match scheme {
            "receiver" => bearer(&self.manager),
            "publisher" => bearer(&self.publisher),
            "operator" => bearer(&self.operator),
            "client" => self.client.clone(),
            other => panic!("no test has a credential for `{other}`"),
        }
    }
}

impl Document {
    fn whole() -> Self {
        Self(ssfd::http::openapi::document())
    }

    fn paths(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0["paths"].as_object().expect("paths").iter().map(|(path, item)| (&**path, item))
    }

    fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        self.paths().flat_map(move |(path, item)| {
            methods(item).into_iter().map(move |method| Operation {
                document: self,
                path,
                described: &item[method.as_str().to_lowercase()],
                method,
                item,
            })
        })
    }

    /// Follows a reference. Returns the value itself if it is no reference.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("within the document");
                self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} is nowhere"))
            }
            None => value,
        }
    }

    fn validator(&self, schema: &Value) -> Validator {
        let schema = json!({"allOf": [schema], "components": self.0["components"]});
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&schema)
            .unwrap_or_else(|error| panic!("no schema: {error}: {schema}"))
    }

    #[track_caller]
    fn assert_valid(&self, schema: &Value, value: &Value, what: &str) {
        let validator = self.validator(schema);
        let errors: Vec<_> = validator.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{what}: {errors:?} in {value}");
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Returns the methods that the document has for a path.
fn methods(item: &Value) -> Vec<Method> {
    let members = item.as_object().expect("a path item").keys();
    let methods = ["get", "head", "post", "put", "patch", "delete", "options", "trace"];
    let documented = members.filter(|member| methods.contains(&member.as_str()));
    documented.map(|name| name.to_uppercase().parse().expect("a method")).collect()
}

/// Returns the URL of a path on this daemon, with this stream in place of `{stream_id}`.
fn url(daemon: &Daemon, path: &str, item: &Value, stream: &str) -> String {
    let path = path.replace("{stream_id}", stream).replace("{issuer_path}", "t/acme");
    let path = path.replace("{jti}", DEAD);
    let path = path.replace("{provider}", PROVIDER).replace("{source}", SOURCE);
    let path = path.replace("{agents}", AGENTS).replace("{device}", DEVICE);
    assert!(!path.contains('{'), "no test fills {path}");
    match item["servers"][0]["url"].as_str() {
        None => daemon.provider_url(PROVIDER, &path),
        Some("{origin}") => daemon.public_url(&path),
        Some("http://{internal}") => daemon.internal_url(&path),
        Some(other) => panic!("no test knows the server {other}"),
    }
}

impl Operation<'_> {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The security scheme and its scopes.
    fn security(&self) -> Option<(&str, &Value)> {
        let required = self.described["security"][0].as_object()?;
        required.iter().next().map(|(scheme, scopes)| (&**scheme, scopes))
    }

    /// The media type, the schema and the example of its body.
    fn body(&self) -> Option<(&str, &Value, &Value)> {
        let content = self.described["requestBody"]["content"].as_object()?;
        let (kind, body) = content.iter().next().expect("a body is of some type");
        Some((kind, &body["schema"], &body["example"]))
    }

    fn documents(&self, status: u16) -> bool {
        self.described["responses"].get(status.to_string()).is_some()
    }

    /// A call without a credential or a body. The stream is in its path and its query.
    fn call(&self, daemon: &Daemon, stream: &str) -> Call {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for parameter in self.described["parameters"].as_array().into_iter().flatten() {
            match parameter["name"].as_str() {
                Some("stream_id") => _ = query.append_pair("stream_id", stream),
                Some("jti") => _ = query.append_pair("jti", DEAD),
                _ => assert_eq!(parameter["required"], false, "no test gives it: {parameter}"),
            }
        }
        let (url, query) = (url(daemon, self.path, self.item, stream), query.finish());
        let question = if query.is_empty() { "" } else { "?" };
        Call::new(self.method.clone(), &format!("{url}{question}{query}"))
    }

    fn call_with(&self, daemon: &Daemon, tokens: &Tokens, stream: &str) -> Call {
        let call = self.call(daemon, stream);
        match self.security() {
            Some((scheme, _)) => call.header("authorization", &tokens.for_scheme(scheme)),
            None => call,
        }
    }

    fn is_form(&self) -> bool {
        self.body().is_some_and(|(kind, ..)| kind == "application/x-www-form-urlencoded")
    }

    /// Returns whether the operation names a stream.
    fn names_a_stream(&self) -> bool {
        let query = self.described["parameters"].as_array().into_iter().flatten();
        self.path.contains("{stream_id}")
            || query.into_iter().any(|given| given["name"] == "stream_id")
            || self.body().is_some_and(|(.., example)| example.get("stream_id").is_some())
    }

    /// Adds a body to the call, as JSON or as a form.
    fn with_body(&self, call: Call, body: &Value) -> Call {
        if !self.is_form() {
            return call.json(body);
        }
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in body.as_object().expect("a form has members") {
            form.append_pair(name, value.as_str().unwrap_or_default());
        }
        call.header("content-type", "application/x-www-form-urlencoded").body(form.finish())
    }

    /// Returns the example of the body, with this stream.
    fn example(&self, stream: &str) -> Option<Value> {
        let mut example = self.body()?.2.clone();
        if let Some(named) = example.get_mut("stream_id") {
            *named = stream.into();
        }
        Some(example)
    }

    /// Checks that an answer is as the document describes its status.
    #[track_caller]
    fn assert_documented(&self, answer: &Answer) {
        let (name, status) = (self.name(), answer.status.as_str());
        let response = &self.described["responses"][status];
        assert!(response.is_object(), "{name}: {status} is not documented: {}", answer.text());
        let response = self.document.resolved(response);
        for (header, described) in response["headers"].as_object().into_iter().flatten() {
            let described = self.document.resolved(described);
            let what = format!("{name}: {status}: {header}");
            match answer.headers.get(header) {
                Some(value) => {
                    let value = value.to_str().expect("a header of text").into();
                    self.document.assert_valid(&described["schema"], &value, &what);
                }
                None => assert_eq!(described["required"], false, "{what} is missing"),
            }
        }
        match response["content"].as_object() {
            None => assert!(answer.body.is_empty(), "{name}: {status}: {}", answer.text()),
            Some(content) => self.assert_content(content, answer),
        }
    }

    #[track_caller]
    fn assert_content(&self, content: &Map<String, Value>, answer: &Answer) {
        let what = format!("{}: {}", self.name(), answer.status);
        let kind = answer.header(hyper::header::CONTENT_TYPE);
        let content = content.get(kind).unwrap_or_else(|| panic!("{what} is {kind:?}"));
        let body = if kind.ends_with("json") { answer.json() } else { answer.text().into() };
        self.document.assert_valid(&content["schema"], &body, &what);
    }
}

/// A daemon, credentials for it, and the document that it has to keep to.
struct Stand {
    daemon: Daemon,
    tokens: Tokens,
    document: Document,
}

impl Stand {
    async fn new() -> Self {
        let daemon = Daemon::with(|config| {
            config.public.body_bytes_max = 2000;
            config.internal.events_bytes_max = 2000;
            config.sources.listen = Some(([127, 0, 0, 1], 0).into());
            let provider = config.providers.values_mut().next().expect("a provider");
            let source = sources::table(json!({"auth": {"scheme": "none"}}));
            let source = serde_json::from_value(source).expect("a table");
            provider.sources.insert(SOURCE.parse().expect("a name"), source);
            let agents = agents::table(json!({}));
            provider.agents.insert(AGENTS.parse().expect("a name"), agents);
        })
        .await;
        let tokens = Tokens::of(&daemon).await;
        let stand = Self { daemon, tokens, document: Document::whole() };
        stand.add_dead_letter().await;
        stand
    }

    /// Adds [`DEAD`] to a stream of its own.
    async fn add_dead_letter(&self) {
        let (stream, store) = (self.stream().await.parse().expect("an id"), self.daemon.store());
        let set = NewSet {
            stream,
            jti: DEAD.parse().expect("a jti"),
            lane: Lane::from_i64(0),
            kind: SetKind::Event,
            claims: r#"{"jti":"dead-1","events":{"urn:example:x":{}}}"#.into(),
            identifiers: None,
        };
        let (stream, now) = (set.stream.clone(), clock::now());
        let provider = PROVIDER.parse().expect("a name");
        let sets = vec![set];
        let origin = Origin::drawn(clock::random_uuid(), now);
        let event = Append {
            provider,
            origin,
            event_id: None,
            id_kept_longer: Duration::ZERO,
            sets,
            opt_out: None,
            record: None,
            step: Step::Whole,
        };
        let batch = AppendBatch { events: vec![event], position: None, now };
        store.append(batch, &|_| ()).await.expect("appended");
        let error = SetError::new("invalid_key", "which one?");
        let refused = vec![(DEAD.parse().expect("a jti"), error)];
        let refused = Acknowledgement { acked: vec![], refused };
        store.acknowledge(&stream, refused, now).await.expect("refused");
    }

    /// Creates a stream for one operation, which may delete it, and makes anew whatever else an operation
    /// may use up.
    async fn stream(&self) -> String {
        self.renew_device().await;
        self.daemon.create_stream(&self.tokens.manager, by_poll()).await
    }

    /// Makes [`DEVICE`] anew, quarantined so that it can be approved, and losses that can be released.
    async fn renew_device(&self) {
        let (provider, agents): (ProviderName, AgentsName) =
            (PROVIDER.parse().expect("a name"), AGENTS.parse().expect("a name"));
        let key = DeviceKey {
            provider: provider.clone(),
            agents: agents.clone(),
            device: DEVICE.parse().expect("an id"),
        };
        let (store, now) = (self.daemon.store(), clock::now());
        let device = Device {
            key: key.clone(),
            name: None,
            platform: None,
            user: None,
            admission: Admission::Quarantined,
            registered_at: now,
            token: None,
            standing: Standing::registered(now),
            pending: None,
            clock_off: Some(ClockOff { secs: 600, seen_at: now }),
            spent: Vec::new(),
        };
        if let Some(before) = store.device(&key).await.expect("readable") {
            store.remove_device(&key, before.version).await.expect("removed");
        }
        store.create_device(&device, "renewed".to_owned()).await.expect("created");
        if let Some(held) = store.held_losses(&provider, &agents).await.expect("readable") {
            store.end_held_losses(&held).await.expect("ended");
        }
        let held_at = now.as_millis();
        let held = HeldLosses { provider, agents, held_at, devices: 3, released_at: None };
        store.hold_losses(&held).await.expect("held");
    }
}
