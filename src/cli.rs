//! The command line: one file for each subcommand.
//!
//! - [`Cli`] parses the arguments and runs a subcommand.
//! - `serve`, `check`, `keys`, `tokens`, `clients`, `store` and `explain` read the configuration.
//! - `streams`, `import`, `sources`, `devices`, `dead`, `replay` and `jobs` call the admin API of a running
//!   daemon through [`admin`], which takes its address from the configuration.
//! - `publish` and `receive` act as a publisher and as a Receiver, for tests and trials; `agent` is the
//!   reference client for devices. `demo` shows all of it together.
//! - `output`, `source`, `secrets`, `moment`, `pages` and `table` are shared: what is printed, the
//!   configuration, tokens, points in time, operations page by page, and lists with headers.

/// Makes the text below the help of a command: its examples, each on a line.
macro_rules! examples {
    ($($line:literal),+ $(,)?) => { concat!("Examples:" $(, "\n  ", $line)+) };
}

pub mod admin;
pub mod agent;
pub mod check;
pub mod clients;
pub mod dead;
pub mod demo;
pub mod devices;
pub mod explain;
pub mod http;
pub mod import;
pub mod jobs;
pub mod keys;
pub mod openapi;
pub mod publish;
pub mod receive;
pub mod replay;
pub mod serve;
pub mod sources;
pub mod store;
pub mod streams;
pub mod tokens;

mod audience;
mod moment;
mod output;
mod pages;
mod secrets;
mod source;
mod table;

use std::{
    error::Error,
    fmt, fs,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand};

use self::source::ConfigSource;
use crate::{
    config::Config,
    domain::{id::ProviderName, provider::Provider},
    telemetry::causes::with_causes,
};

const EXAMPLES: &str = "Examples:
  ssfd demo
  ssfd keys generate --out keys/default.pem
  ssfd check --config /etc/ssfd/ssfd.toml
  ssfd serve --config /etc/ssfd/ssfd.toml
  ssfd tokens create receiver --receiver acme --audience https://rx.example --scope ssf.manage
  ssfd clients add --receiver acme --audience https://rx.example
  ssfd streams list --token-file operator.token
  ssfd import authentik export.json --receiver acme --dry-run
  ssfd sources try keycloak --file record.json
  ssfd devices list --token-file operator.token
  ssfd dead list --token-file operator.token
  ssfd publish events.ndjson --token-file publisher.token
  ssfd receive push --issuer https://tx.example
  ssfd store backup /var/backups/ssfd-monday.db
  ssfd store copy --from sqlite:/var/lib/ssfd/ssfd.db --to config";

/// A Shared Signals Framework (SSF) Transmitter.
///
/// Takes security events from publishers, from a Redis stream or over HTTP. Delivers each event as
/// a signed Security Event Token (SET), by push (RFC 8935) or poll (RFC 8936), to every Receiver
/// whose stream requested it.
#[derive(Debug, Parser)]
#[command(name = "ssfd", version, after_help = EXAMPLES)]
pub struct Cli {
    /// The configuration file; every key has a default, and an environment variable such as
    /// `SSFD_PUBLIC__LISTEN` overrides the key `public.listen`
    #[arg(long, global = true, env = "SSFD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoCommand),
    Serve(serve::ServeCommand),
    Publish(Box<publish::PublishCommand>),
    Receive(Box<receive::ReceiveCommand>),
    Check(check::CheckCommand),
    Explain(Box<explain::ExplainCommand>),
    Keys(keys::KeysCommand),
    Tokens(tokens::TokensCommand),
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApiCommand),
    Clients(clients::ClientsCommand),
    Streams(streams::StreamsCommand),
    Import(import::ImportCommand),
    Sources(Box<sources::SourcesCommand>),
    Devices(Box<devices::DevicesCommand>),
    Agent(Box<agent::AgentCommand>),
    Jobs(jobs::JobsCommand),
    Dead(Box<dead::DeadCommand>),
    Replay(Box<replay::ReplayCommand>),
    Store(store::StoreCommand),
}

/// Why a command failed, as a text for its user.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CliError(pub String);

impl CliError {
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }

    /// Makes a text of an error and its causes.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        Self(with_causes(error))
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| CliError::new(format!("{}: {error}", path.display())))
}

/// Removes control characters from a text that others wrote, so that it cannot disturb a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Looks up a provider by its name. Without a name, returns the only provider.
fn provider(config: &Config, name: Option<&ProviderName>) -> Result<Provider, CliError> {
    let providers = config.providers().map_err(CliError::new)?;
    let list: Vec<_> = providers.iter().map(|provider| provider.name.as_str()).collect();
    let list = list.join(", ");
    match name {
        Some(name) => {
            providers.into_iter().find(|provider| provider.name == *name).ok_or_else(|| {
                CliError::new(format!("no provider `{name}` is configured; choose one of: {list}"))
            })
        }
        None => <[Provider; 1]>::try_from(providers).map(|[only]| only).map_err(|_| {
            CliError::new(format!(
                "several providers are configured; choose one with --provider: {list}"
            ))
        }),
    }
}

impl Cli {
    /// Runs the subcommand. Must be called within an actix system.
    pub async fn run(self) -> Result<(), CliError> {
        let source = ConfigSource::new(self.config);
        let config = || source.load();
        match self.command {
            Command::Demo(demo) => Box::pin(demo.run(self.json)).await,
            Command::Serve(serve) => serve.run(&source).await,
            Command::Publish(publish) => publish.run(&source, self.json).await,
            Command::Receive(receive) => receive.run(self.json).await,
            Command::Check(check) => check.run(&source, self.json).await,
            Command::Explain(explain) => explain.run(&source, self.json).await,
            Command::Keys(keys) => keys.run(self.json),
            Command::Tokens(tokens) => tokens.run(&config()?, self.json).await,
            Command::OpenApi(openapi) => openapi.run(),
            Command::Clients(clients) => clients.run(&config()?, self.json).await,
            Command::Streams(streams) => streams.run(&source, self.json).await,
            Command::Import(import) => import.run(&source, self.json).await,
            Command::Sources(sources) => sources.run(&source, self.json).await,
            Command::Devices(devices) => devices.run(&source, self.json).await,
            Command::Agent(agent) => agent.run(self.json).await,
            Command::Jobs(jobs) => jobs.run(&source, self.json).await,
            Command::Dead(dead) => dead.run(&source, self.json).await,
            Command::Replay(replay) => replay.run(&source, self.json).await,
            Command::Store(store) => store.run(&source, self.json).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Splits a line into words as a shell does.
    fn words(line: &str) -> Vec<String> {
        let quoted = |(n, part): (usize, &str)| match n % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        };
        line.split('\'').enumerate().flat_map(quoted).collect()
    }

    /// The commands in a text of examples, without variables before them and redirections behind.
    fn commands(examples: &str) -> Vec<String> {
        let lines = examples.replace("\\\n", "");
        let commands = lines.lines().filter_map(|line| line.split_once("ssfd "));
        let commands = commands.filter_map(|(_, command)| command.split('>').next());
        commands.map(|command| format!("ssfd {}", command.trim())).collect()
    }

    /// Checks the examples of a command and of those below it. Returns how many commands there are.
    fn check(command: &clap::Command, path: &str) -> usize {
        let examples = command.get_after_help().map(ToString::to_string);
        let examples = examples.unwrap_or_else(|| panic!("`{path}` has no examples"));
        let commands = commands(&examples);
        assert!(!commands.is_empty(), "`{path}` has no examples");
        for example in commands {
            assert!(example.starts_with(path), "`{path}` shows `{example}`");
            let parsed = Cli::try_parse_from(words(&example));
            assert!(parsed.is_ok(), "{example}: {}", parsed.expect_err("it is refused"));
        }
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        1 + below.map(|below| check(below, &format!("{path} {}", below.get_name()))).sum::<usize>()
    }

    #[test]
    fn each_command_shows_its_own_examples_and_they_are_valid() {
        assert!(40 < check(&Cli::command(), "ssfd"));
    }
}
