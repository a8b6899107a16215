//! `ssfd check`: finds mistakes in the configuration, in the files that it names and, on request, in the
//! servers that it names, without starting the daemon.
//!
//! - `Findings` collects one line for each thing that was looked at.
//! - `files` looks at the files, `certificates` at what they certify and for how long.
//! - `sources` looks at the sources and their presets, `agents` at the agents of devices.
//! - `connect` asks the servers.

mod agents;
mod certificates;
mod connect;
mod files;
mod sources;

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::{
    app,
    cli::{
        CliError, output,
        source::{ConfigSource, foreign_variables},
    },
    config::{Config, StoreBackend},
    domain::{id::ProviderName, provider::Provider},
    ingest,
    push::clients::PushClients,
    signing::{algorithm::Algorithm, key_ring::KeyRing},
    telemetry::causes::with_causes,
};

const EXAMPLES: &str = "Examples:
  ssfd check --config /etc/ssfd/ssfd.toml
  ssfd check --connect
  ssfd check --json";

/// Look for mistakes in the configuration and the files that it names, without starting the daemon
///
/// Prints one line for each thing that was looked at: `ok`, `warning` for what may fail in production,
/// or `error` for what does fail. The exit code is 1 if there is an error, and 0 otherwise.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckCommand {
    /// Also try the servers: the store, the Redis that publishers write to, and authorization servers
    #[arg(long)]
    connect: bool,
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mark {
    Ok,
    Warning,
    Error,
}

/// The result of looking at one thing.
#[derive(Debug, Serialize)]
struct Finding {
    mark: Mark,
    /// The key of the configuration, or the thing that was looked at.
    item: String,
    detail: String,
}

/// All findings, in the order in which things were looked at.
#[derive(Debug, Default)]
pub(super) struct Findings {
    all: Vec<Finding>,
    providers: Vec<ProviderSummary>,
}

/// A provider whose keys can be used.
#[derive(Debug, Serialize)]
struct ProviderSummary {
    name: ProviderName,
    issuer: String,
    algorithm: Algorithm,
    kid: String,
}

impl Mark {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl Findings {
    fn add(&mut self, mark: Mark, item: impl Into<String>, detail: impl ToString) {
        self.all.push(Finding { mark, item: item.into(), detail: detail.to_string() });
    }

    fn ok(&mut self, item: impl Into<String>, detail: impl ToString) {
        self.add(Mark::Ok, item, detail);
    }

    fn warning(&mut self, item: impl Into<String>, detail: impl ToString) {
        self.add(Mark::Warning, item, detail);
    }

    fn error(&mut self, item: impl Into<String>, detail: impl ToString) {
        self.add(Mark::Error, item, detail);
    }

    fn count(&self, mark: Mark) -> usize {
        self.all.iter().filter(|finding| finding.mark == mark).count()
    }

    fn text(&self) -> String {
        let line = |finding: &Finding| {
            format!("{:7}  {}: {}", finding.mark.as_str(), finding.item, finding.detail)
        };
        self.all.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn json(&self) -> String {
        let valid = self.count(Mark::Error) == 0;
        json!({"valid": valid, "providers": self.providers, "findings": self.all}).to_string()
    }
}

impl CheckCommand {
    pub async fn run(self, source: &ConfigSource, json: bool) -> Result<(), CliError> {
        let mut findings = Findings::default();
        match source.load() {
            Err(error) => findings.error("configuration", error),
            Ok(config) => {
                findings.ok("configuration", source.describe());
                look_at(&config, &mut findings);
                if let Some(file) = source.file() {
                    files::look_at_urls(&config, file, &mut findings);
                }
                if self.connect {
                    connect::try_servers(&config, &mut findings).await;
                }
            }
        }
        for name in foreign_variables() {
            findings.warning(
                name,
                "this variable is no setting and is ignored; a setting has two underscores after its \
                 section, as in SSFD_PUBLIC__LISTEN",
            );
        }
        let text = if json { findings.json() } else { findings.text() };
        output::print(text)?;
        match findings.count(Mark::Error) {
            0 => Ok(()),
            1 => Err(CliError::new("the configuration has an error")),
            some => Err(CliError::new(format!("the configuration has {some} errors"))),
        }
    }
}

fn look_at(config: &Config, findings: &mut Findings) {
    listeners(config, findings);
    match config.providers() {
        // The configuration would not have been loaded.
        Err(error) => findings.error("providers", error),
        Ok(providers) => providers.iter().for_each(|one| provider(config, one, findings)),
    }
    certificates::of_public_listener(config, findings);
    certificates::of_sources_listener(config, findings);
    match PushClients::new(&config.push) {
        Ok(_) => findings.ok("push", "the trusted roots can be read"),
        Err(error) => findings.error("push.trusted_roots", with_causes(&error)),
    }
    match ingest::servers(&config.ingest.redis, Duration::ZERO) {
        Ok(Some(_)) => findings.ok("ingest.redis", "events are read from Redis"),
        Ok(None) => findings.ok("ingest.redis", "no URL, so no events are read from Redis"),
        Err(error) => findings.error("ingest.redis", error),
    }
    store(config, findings);
    sources::look_at(config, findings);
    agents::look_at(config, findings);
    files::look_at(config, findings);
}

fn listeners(config: &Config, findings: &mut Findings) {
    let tls = if config.public.tls_certificate.is_some() { "TLS" } else { "plain HTTP" };
    findings.ok("public.listen", format!("{}, {tls}", config.public.listen));
    let internal = config.internal.listen;
    if internal.ip().is_loopback() {
        findings.ok("internal.listen", internal);
    } else {
        findings.warning(
            "internal.listen",
            format!(
                "{internal} can be reached from other machines; metrics and health need no token"
            ),
        );
    }
}

fn provider(config: &Config, provider: &Provider, findings: &mut Findings) {
    let item = format!("provider {}", provider.name);
    // The configuration of this provider alone, so that each provider has a line of its own.
    let mut alone = config.clone();
    let settings = config.named_providers().remove(&provider.name);
    alone.providers = settings.map(|one| (provider.name.clone(), one)).into_iter().collect();
    match app::load_keys(&alone) {
        Err(error) => findings.error(item.as_str(), error),
        Ok(rings) => {
            if let Some(signer) = rings.get(&provider.name).map(KeyRing::signer) {
                let (algorithm, kid) = (signer.algorithm(), signer.kid().to_string());
                let issuer = provider.issuer.to_string();
                findings.ok(item.as_str(), format!("{issuer}, signs {algorithm} with {kid}"));
                let name = provider.name.clone();
                findings.providers.push(ProviderSummary { name, issuer, algorithm, kid });
            }
        }
    }
    if let Err(error) = app::load_authorization(&alone) {
        findings.error(item.as_str(), error);
    }
    if provider.insecure_endpoints {
        findings.warning(
            format!("providers.{}.insecure_endpoints", provider.name),
            "push endpoints may use plain http, which is for tests only (RFC 8935 §2.1)",
        );
    }
}

fn store(config: &Config, findings: &mut Findings) {
    let place = app::store_place(&config.store);
    if config.store.backend == StoreBackend::Redis {
        findings.ok("store", format!("{place}; --connect tries it"));
        return;
    }
    let path = &config.store.sqlite.path;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder
        && !folder.is_dir()
    {
        let detail = format!("there is no folder {}; create it", folder.display());
        findings.error("store.sqlite.path", detail);
    } else if app::store_is_missing(&config.store) {
        findings.ok("store", format!("{place} does not exist yet, and `ssfd serve` creates it"));
    } else {
        match app::check_store_file(&config.store) {
            Ok(true) => findings.ok("store", place),
            Ok(false) => findings.ok(
                "store",
                format!(
                    "{place}, too large to be read as a whole here; `ssfd store backup` reads all"
                ),
            ),
            Err(error) => findings.error("store.sqlite.path", with_causes(&error)),
        }
    }
}
