//! The providers that presets are for, as scripts: each sends its records as the real one does, by what its
//! page says of headers, signature, media type and batches.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use ssfd::clock;

use crate::{
    harness::{authorization_server::Key, http_client::Call},
    sources::signing::{self, Headers, SVIX, hex, sha256, tag},
};

/// The secret that provider and source share.
pub(super) const SECRET: &str = "a-secret-of-the-provider";
/// One that the source does not know.
pub(super) const WRONG: &str = "another-secret-of-the-provider";

/// The record of an example, and the parts of its request that belong to it.
#[derive(Clone, Debug)]
pub(super) struct Native {
    pub(super) record: Value,
    pub(super) headers: Vec<(String, String)>,
    pub(super) query: Vec<(String, String)>,
}

/// The credentials of a provider.
pub(super) struct Credentials<'a> {
    pub(super) secret: &'a str,
    pub(super) key: &'a Key,
}

/// A way in which a provider sends.
#[derive(Clone, Copy)]
pub(super) struct Sender {
    pub(super) name: &'static str,
    /// Tells whether the provider would send this record to this source.
    pub(super) sends: fn(&Value) -> bool,
    /// Whether one request has several records.
    pub(super) in_batches: bool,
    media_type: &'static str,
    /// Puts records into a body.
    body: fn(&[Value], &Credentials<'_>) -> String,
    /// The headers with the credential, by the headers that belong to the record and the body.
    sign: Sign,
}

type Sign = fn(&Credentials<'_>, &[(String, String)], &str) -> Headers;

impl Sender {
    /// Makes the request that a provider sends for these records.
    pub(super) fn request(&self, url: &str, natives: &[Native], by: &Credentials<'_>) -> Call {
        let records: Vec<_> = natives.iter().map(|native| native.record.clone()).collect();
        let body = (self.body)(&records, by);
        let first = &natives[0];
        let query: Vec<_> =
            first.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let url =
            if query.is_empty() { url.to_owned() } else { format!("{url}?{}", query.join("&")) };
        let mut call = crate::harness::http_client::post(&url);
        let signed = (self.sign)(by, &first.headers, &body);
        let is_signed = |name: &str| signed.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        for (name, value) in first.headers.iter().filter(|(name, _)| !is_signed(name)) {
            // The names of headers in a test live as long as it does.
            call = call.header(String::leak(name.clone()), value);
        }
        for (name, value) in &signed {
            call = call.header(name, value);
        }
        call.header("content-type", self.media_type).body(body)
    }
}

const JSON: &str = "application/json";

/// A body with one record.
fn one(records: &[Value], _: &Credentials<'_>) -> String {
    let [record] = records else { panic!("one record in each request") };
    record.to_string()
}

fn array(records: &[Value], _: &Credentials<'_>) -> String {
    Value::from(records.to_vec()).to_string()
}

fn lines(records: &[Value], _: &Credentials<'_>) -> String {
    records.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn jws(records: &[Value], by: &Credentials<'_>, media_type: &str) -> String {
    let [claims] = records else { panic!("one token in each request") };
    let mut header = by.key.header();
    header["typ"] = media_type.into();
    by.key.sign(&header, claims)
}

fn by_hmac(header: &'static str, by: &Credentials<'_>, body: &str) -> Headers {
    vec![(header, hex(&tag(by.secret.as_bytes(), &[body.as_bytes()])))]
}

fn now() -> i64 {
    clock::now().as_secs()
}

/// A secret in `Authorization` as it is.
fn as_it_is(by: &Credentials<'_>, _: &[(String, String)], _: &str) -> Headers {
    vec![("authorization", by.secret.to_owned())]
}

fn bearer(by: &Credentials<'_>, _: &[(String, String)], _: &str) -> Headers {
    vec![("authorization", format!("Bearer {}", by.secret))]
}

/// The headers of Svix. Those of the record have the id of the message.
fn svix(by: &Credentials<'_>, headers: &[(String, String)], body: &str) -> Headers {
    let id = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(SVIX[0]));
    let (_, id) = id.expect("each message has an id");
    signing::webhook(SVIX, by.secret.as_bytes(), (id, now()), body)
}

/// A JWT about the body, as `FusionAuth` makes it: without a time.
fn fusionauth(by: &Credentials<'_>, _: &[(String, String)], body: &str) -> Headers {
    let hash = STANDARD.encode(sha256(body.as_bytes()));
    let token = signing::jwt(by.secret, &json!({"request_body_sha256": hash}));
    vec![("x-fusionauth-signature-jwt", token)]
}

/// Notifications of Microsoft Graph, each with the text that was agreed on.
fn graph(records: &[Value], by: &Credentials<'_>) -> String {
    let with_state = |record: &Value| {
        let mut record = record.clone();
        record["clientState"] = by.secret.into();
        record
    };
    json!({"value": records.iter().map(with_state).collect::<Vec<_>>()}).to_string()
}

/// A provider that sends each record by itself, as JSON.
const SINGLE: Sender = Sender {
    name: "one record",
    sends: |_| true,
    in_batches: false,
    media_type: JSON,
    body: one,
    sign: |_, _, _| Vec::new(),
};

fn signed(sign: Sign) -> Vec<Sender> {
    vec![Sender { sign, ..SINGLE }]
}

/// The ways in which the provider of a preset sends. `None` if it is asked, and sends nothing.
pub(super) fn of(preset: &str) -> Option<Vec<Sender>> {
    let batch = Sender { in_batches: true, sign: as_it_is, ..SINGLE };
    Some(match preset {
        "auth0" => vec![
            Sender { name: "JSON array", body: array, ..batch },
            Sender {
                name: "JSON lines",
                body: lines,
                media_type: "application/json-lines",
                ..batch
            },
        ],
        "authentik" | "kratos" => signed(bearer),
        "clerk" => signed(svix),
        "entra" => vec![
            Sender {
                name: "diagnostic records",
                sends: |record| record.get("subscriptionId").is_none(),
                body: |records, _| json!({"records": records}).to_string(),
                ..batch
            },
            Sender {
                name: "Graph",
                sends: |record| record.get("subscriptionId").is_some(),
                body: graph,
                sign: SINGLE.sign,
                ..batch
            },
        ],
        "fleet" => vec![SINGLE],
        "fusionauth" => signed(fusionauth),
        "jamf" => signed(|by, _, _| vec![("authorization", signing::basic("jamf", by.secret))]),
        "keycloak-http" | "keycloak-webhook" => {
            signed(|by, _, body| by_hmac("x-keycloak-signature", by, body))
        }
        "keycloak-rest" => return None,
        "logout-token" => vec![Sender {
            name: "form",
            media_type: "application/x-www-form-urlencoded",
            body: |claims, by| format!("logout_token={}", jws(claims, by, "logout+jwt")),
            ..SINGLE
        }],
        "logto" => signed(|by, _, body| by_hmac("logto-signature-sha-256", by, body)),
        "okta" => vec![Sender {
            name: "event hook",
            body: |records, _| json!({"data": {"events": records}}).to_string(),
            ..batch
        }],
        "scim-events" | "set-relay" => vec![Sender {
            name: "push",
            media_type: "application/secevent+jwt",
            body: |claims, by| jws(claims, by, "secevent+jwt"),
            ..SINGLE
        }],
        "workos" => signed(|by, _, body| {
            vec![("workos-signature", signing::timed(by.secret, now() * 1000, body))]
        }),
        "zitadel" => signed(|by, _, body| {
            vec![("zitadel-signature", signing::timed(by.secret, now(), body))]
        }),
        other => panic!("the preset {other} has no sender here; write one as its provider sends"),
    })
}
