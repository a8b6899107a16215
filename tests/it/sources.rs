//! Sources: native events of identity providers, through the real listener to a SET that waits.
//!
//! `schemes` has a case for each scheme of authentication with `signing` as the sender, and `hostile` has
//! forged and broken requests for each. `logout_tokens` has the tokens of OpenID providers, and `foreign_sets`
//! the SETs of another Transmitter; `relay` has two daemons in a row. `intake` has cases for the ways of a body,
//! `bounds` for what is held, refused or only observed, `kept` for what operators find afterwards, `listener`
//! for the listener itself, and `certificates` for its TLS. `entries` reads native records from Redis, and
//! `poll` has providers that are polled.
//!
//! `process` starts the real process: `killed` kills it, `handed_over` hands it the socket of its listener,
//! and `tried` runs the commands that try a source.

mod bounds;
mod certificates;
mod entries;
mod foreign_sets;
mod handed_over;
mod hostile;
mod intake;
mod kept;
mod killed;
mod listener;
mod logout_tokens;
pub(crate) mod poll;
mod process;
mod relay;
mod schemes;
pub(crate) mod signing;
mod tried;

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use ssfd::{config::Config, source::settings::SourceSettings};
use tempfile::TempDir;

use crate::harness::{
    daemon::rename_provider,
    events::SESSION_REVOKED,
    http_client::{Answer, Call, post},
    setup::Setup,
};

/// The name of the source.
const SOURCE: &str = "kc";
/// The secret of every source here.
pub(crate) const SECRET: &str = "a-secret-of-the-sender";

/// The URIs of the other event types that the stream asks for.
const ENABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-enabled";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";

/// A daemon with one source, and a poll stream that gets its events.
struct Stand {
    setup: Setup,
    folder: TempDir,
}

/// Returns rules for records such as `{"type": "LOGOUT", "id": "1", "user": "kim", "session": "s-1"}`.
fn rules() -> Value {
    json!([
        {
            "name": "logout",
            "when": {"/type": "LOGOUT"},
            "emit": "caep:session-revoked",
            "subject": {
                "user": {"opaque": "{/user}"},
                "session": {"opaque": "{/session}"},
            },
            "event": {"initiating_entity": "user", "reason_admin": {"en": "signed out"}},
        },
        {"name": "noise", "when": {"/type": "NOISE"}, "drop": "noise"},
        {"name": "refused", "when": {"/type": "REFUSED"}, "reject": "never takes it"},
        {"name": "odd", "when": {"/type": "ODD"}, "alarm": "nobody should send this"},
        {
            "name": "enabled",
            "when": {"/type": "UPDATE", "/enabled": {"exists": true}},
            "on_change": {"key": "{/user}", "value": "{/enabled}", "first": [false]},
            "emit": {
                "switch": [
                    {"when": {"/enabled": true}, "const": "risc:account-enabled"},
                    {"when": {"/enabled": false}, "const": "risc:account-disabled"},
                ],
            },
            "subject": {"opaque": "{/user}"},
        },
    ])
}

/// Returns the table of a source, with these members besides.
pub(crate) fn table(members: Value) -> Value {
    let mut table = json!({
        "type": "/type",
        "id": "{/id}",
        "time": {"from": "/time", "unit": "ms"},
        "rules": rules(),
    });
    for (key, value) in members.as_object().expect("members") {
        table[key] = value.clone();
    }
    table
}

/// Returns the members of a source whose sender shows [`SECRET`] as a bearer token.
fn by_bearer(members: Value) -> Value {
    let mut members = members;
    members["auth"] = json!({"scheme": "bearer", "secret_files": ["SECRET"]});
    members
}

/// Puts the path of the secret's file in place of `SECRET`, and that of the same secret in the form of
/// Standard Webhooks in place of `WHSEC`.
fn with_secret(table: &Value, path: &str) -> SourceSettings {
    let text = table.to_string().replace("\"SECRET\"", &json!(path).to_string());
    let text = text.replace("\"WHSEC\"", &json!(format!("{path}.whsec")).to_string());
    serde_json::from_str(&text).expect("a table")
}

/// Reads a recorded body of a real sender.
fn payload(sender: &str, file: &str) -> Vec<u8> {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests/it/sources/payloads", sender].iter().collect();
    std::fs::read(folder.join(file)).expect("a recorded file")
}

/// Gives the only provider a source.
fn add_source(config: &mut Config, name: &str, table: &Value, secret: &str) {
    let provider = config.providers.values_mut().next().expect("a provider");
    provider.sources.insert(name.parse().expect("a name"), with_secret(table, secret));
}

/// Returns a record of a sign-out.
fn logout(id: &str, user: &str) -> Value {
    json!({"type": "LOGOUT", "id": id, "user": user, "session": format!("s-{user}")})
}

impl Stand {
    /// Starts a daemon whose source has these members besides its rules. The provider has a name of its
    /// own, so that its metrics count this test alone.
    async fn new(provider: &str, members: Value) -> Self {
        Self::with(provider, members, |_| {}).await
    }

    async fn with(provider: &str, members: Value, change: impl FnOnce(&mut Config)) -> Self {
        Self::of(provider, table(members), change).await
    }

    /// Starts a daemon whose source has this table.
    async fn of(provider: &str, table: Value, change: impl FnOnce(&mut Config)) -> Self {
        Self::with_secret_file(provider, |config, path| {
            add_source(config, SOURCE, &table, path);
            change(config);
        })
        .await
    }

    /// Starts a daemon that `change` gives its sources. It gets the path of the file with [`SECRET`].
    async fn with_secret_file(provider: &str, change: impl FnOnce(&mut Config, &str)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).expect("writable");
        let whsec = format!("whsec_{}", STANDARD.encode(SECRET));
        std::fs::write(folder.path().join("secret.whsec"), whsec).expect("writable");
        let path = folder.path().join("secret");
        let setup = Setup::polling_with(|config| {
            rename_provider(config, provider);
            config.sources.listen = Some(([127, 0, 0, 1], 0).into());
            change(config, path.to_str().expect("UTF-8"));
        })
        .await;
        setup.update(json!({"events_requested": [SESSION_REVOKED, ENABLED, DISABLED]})).await;
        Self { setup, folder }
    }

    fn secret_file(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    fn url(&self) -> String {
        let daemon = &self.setup.daemon;
        format!("http://{}/in/{}/{SOURCE}", daemon.sources_address(), daemon.provider())
    }

    fn call(&self) -> Call {
        post(&self.url())
    }

    /// Sends a body with the bearer token.
    async fn send(&self, body: impl ToString) -> Answer {
        let call = self.call().bearer(SECRET).header("content-type", "application/json");
        call.body(body.to_string()).send().await
    }

    /// Returns the claims of the SETs that wait, in the order of their events.
    async fn claims(&self) -> Vec<Value> {
        let parse = |claims: &str| serde_json::from_str(claims).expect("claims are JSON");
        self.setup.waiting().await.iter().map(|set| parse(&set.claims)).collect()
    }

    /// Returns the users that the SETs that wait are about, in the order of their events.
    async fn users(&self) -> Vec<String> {
        let user = |claims: &Value| {
            let subject = &claims["sub_id"];
            let member = |name: &str| subject["user"][name].as_str().or(subject[name].as_str());
            member("id").or(member("sub")).expect("a subject with an id").to_owned()
        };
        self.claims().await.iter().map(user).collect()
    }

    /// Returns a counter of the source.
    async fn count(&self, metric: &str, label: &str, value: &str) -> u64 {
        let provider = self.setup.daemon.provider();
        let labels = format!(r#"provider="{provider}",source="{SOURCE}",{label}="{value}""#);
        whole(self.setup.daemon.metric(&format!("ssfd_source_{metric}{{{labels}}}")).await)
    }

    async fn records(&self, outcome: &str) -> u64 {
        self.count("records_total", "outcome", outcome).await
    }

    async fn requests(&self, outcome: &str) -> u64 {
        self.count("requests_total", "outcome", outcome).await
    }

    async fn refusals(&self, reason: &str) -> u64 {
        self.count("auth_failures_total", "reason", reason).await
    }

    async fn held(&self) -> u64 {
        let provider = self.setup.daemon.provider();
        let labels = format!(r#"provider="{provider}",source="{SOURCE}""#);
        whole(self.setup.daemon.metric(&format!("ssfd_source_held{{{labels}}}")).await)
    }
}

/// Reads a count, which Prometheus writes as a floating-point number.
fn whole(count: f64) -> u64 {
    count.to_string().parse().expect("a count")
}
