//! The identity provider of the demo. It acts as Keycloak: it posts its own record, with its own signature,
//! to a source of the daemon, whose preset makes an event of it.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header};
use serde_json::{Value, json};
use url::Url;

use super::{
    PROVIDER,
    results::{ExpectedSet, ExpectedTxn},
};
use crate::{
    cli::{CliError, http::HttpClient, receive::received::ReceiveMethod},
    clock,
    domain::time::Timestamp,
    source::{
        settings::SourceSettings,
        verify::{Verifier, VerifierContext},
    },
};

/// The name of the source.
pub(super) const SOURCE: &str = "keycloak";
/// The longest time until the daemon has answered a webhook.
const PATIENCE: Duration = Duration::from_secs(10);

/// The issuer of the realm, the user and the session that the record is about.
const REALM: &str = "https://login.example.com/realms/staff";
const USER: &str = "8edf9283-99e9-4135-a72b-fc0402eefcbe";
const SESSION: &str = "abop0tUfkPNri8mvyq4EjQbm";

/// A sender of webhooks that knows the secret of the source.
pub(super) struct IdentityProvider {
    /// The URL of the source.
    pub(super) url: Url,
    http: HttpClient,
    signer: Verifier,
}

/// Returns the table of the source, with the file of the secret.
pub(super) fn source(secret: &Path) -> SourceSettings {
    let table = json!({
        "preset": "keycloak-http",
        "vars": {"issuer": REALM},
        "auth": {"secret_files": [secret]},
        // A machine at work on other things is no reason for the demo to fail.
        "answer_timeout": "10s",
    });
    SourceSettings(table.as_object().cloned().expect("an object"))
}

impl IdentityProvider {
    /// `port` is that of the sources' listener. `roots` is the file with the demo's authority.
    pub(super) fn new(port: u16, source: &SourceSettings, roots: &Path) -> Result<Self, CliError> {
        let url = format!("https://localhost:{port}/in/{PROVIDER}/{SOURCE}");
        let config = source.read(SOURCE).map_err(|mistake| CliError::new(mistake.rule))?;
        let provider = PROVIDER.parse().expect("a valid name");
        let auth = config.auth.expect("the preset has a scheme");
        let context = VerifierContext {
            provider: &provider,
            kind: config.kind,
            trusted_proxies: &[],
            own_issuers: &[],
        };
        let signer = Verifier::open(&auth, context);
        Ok(Self {
            url: url.parse().expect("a plain URL"),
            http: HttpClient::new(Some(roots)).map_err(|error| CliError::of(&error))?,
            signer: signer.map_err(|error| CliError::of(&error))?,
        })
    }

    /// Signs a record and posts it.
    pub(super) async fn send(&self, record: &Value) -> Result<(), CliError> {
        let (url, body) = (&self.url, record.to_string());
        let signed = self.signer.sign(body.as_bytes(), "", clock::now()).map_err(CliError::new)?;
        let mut request =
            Request::post(url.as_str()).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in signed {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(CliError::new)?;
        let answer = self.http.send(url, request, PATIENCE).await;
        match answer.map_err(|error| CliError::of(&error))? {
            (status, _) if status.is_success() => Ok(()),
            (status, _) => Err(CliError::new(format!("{url} answered a webhook with {status}"))),
        }
    }
}

/// Returns Keycloak's record of a sign-out that happened just now, and the SET that each stream has to get
/// for it.
pub(super) fn sign_out(now: Timestamp) -> (Value, ExpectedSet) {
    let record = json!({
        "id": "e46d1285-2407-4553-bc45-0a1b2c3d4e5f", "time": now.as_millis(), "type": "LOGOUT",
        "realmId": "6a5d436f-6258-4614-b769-01859d37cc0a", "clientId": "portal", "userId": USER,
        "ipAddress": "203.0.113.9", "sessionId": SESSION,
    });
    let expected = ExpectedSet {
        event_type: "caep:session-revoked".parse().expect("an event type"),
        payload: json!({
            "event_timestamp": now.as_secs(), "initiating_entity": "user",
            "reason_admin": {"en": "Keycloak event LOGOUT"},
        }),
        subject: json!({
            "format": "complex",
            "user": {"format": "iss_sub", "iss": REALM, "sub": USER},
            "session": {"format": "opaque", "id": SESSION},
        }),
        txn: ExpectedTxn::Made,
        methods: vec![ReceiveMethod::Push, ReceiveMethod::Poll],
    };
    (record, expected)
}
