//! The command line: one file for each subcommand.

#![expect(clippy::print_stdout, reason = "a command speaks to its user")]

pub mod admin;
pub mod check;
pub mod clients;
pub mod dead;
pub mod demo;
pub mod explain;
pub mod http;
pub mod keys;
pub mod openapi;
pub mod publish;
pub mod receive;
pub mod replay;
pub mod serve;
pub mod store;
pub mod streams;
pub mod tokens;

mod moment;
mod pages;
mod secrets;

use std::{
    error::Error,
    fmt, fs,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand};

use crate::{
    config::{self, Config},
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
  ssfd dead list --token-file operator.token
  ssfd publish events.ndjson --token-file publisher.token
  ssfd receive push --issuer https://tx.example
  ssfd store copy --from sqlite:/var/lib/ssfd/ssfd.db --to config";

/// A Shared Signals Framework (SSF) Transmitter.
///
/// Takes security events from a Redis stream or over HTTP, and gets each to every Receiver whose
/// stream asked for it, as a signed Security Event Token, by push (RFC 8935) or poll (RFC 8936).
#[derive(Debug, Parser)]
#[command(name = "ssfd", version, after_help = EXAMPLES)]
pub struct Cli {
    /// The configuration file; without it the defaults stand. Each key can also be given as an
    /// environment variable, as `SSFD_PUBLIC__LISTEN` for `public.listen`
    #[arg(long, global = true, env = "SSFD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, for machines
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Publish(Box<publish::Publish>),
    Receive(Box<receive::Receive>),
    Check(check::Check),
    Explain(Box<explain::Explain>),
    Keys(keys::Keys),
    Tokens(tokens::Tokens),
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApi),
    Clients(clients::Clients),
    Streams(streams::Streams),
    Dead(Box<dead::Dead>),
    Replay(Box<replay::Replay>),
    Store(store::Store),
}

/// Why a command failed, as its user reads it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CliError(pub String);

impl CliError {
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }

    /// The error with its causes.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        Self(with_causes(error))
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| CliError::new(format!("{}: {error}", path.display())))
}

/// What a stranger wrote, without what would disturb a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A provider by its name; without one, the only one that there is.
fn provider(config: &Config, name: Option<&ProviderName>) -> Result<Provider, CliError> {
    let providers = config.providers().map_err(CliError::new)?;
    let list: Vec<_> = providers.iter().map(|provider| provider.name.as_str()).collect();
    let list = list.join(", ");
    match name {
        Some(name) => {
            providers.into_iter().find(|provider| provider.name == *name).ok_or_else(|| {
                CliError::new(format!("no provider `{name}` is configured; there is {list}"))
            })
        }
        None => <[Provider; 1]>::try_from(providers)
            .map(|[only]| only)
            .map_err(|_| CliError::new(format!("name one of the providers: {list}"))),
    }
}

impl Cli {
    /// Runs the subcommand, within an actix system.
    pub async fn run(self) -> Result<(), CliError> {
        let config = || -> Result<Config, CliError> {
            config::load(self.config.as_deref(), std::env::vars()).map_err(CliError::new)
        };
        match self.command {
            Command::Demo(demo) => demo.run(self.json).await,
            Command::Serve(serve) => serve.run(config()?).await,
            Command::Publish(publish) => publish.run(self.json).await,
            Command::Receive(receive) => receive.run(self.json).await,
            Command::Check(check) => check.run(&config()?, self.json),
            Command::Explain(explain) => explain.run(&config()?, self.json).await,
            Command::Keys(keys) => keys.run(self.json),
            Command::Tokens(tokens) => tokens.run(&config()?, self.json).await,
            Command::OpenApi(openapi) => {
                openapi.run();
                Ok(())
            }
            Command::Clients(clients) => clients.run(&config()?, self.json).await,
            Command::Streams(streams) => streams.run(self.json).await,
            Command::Dead(dead) => dead.run(self.json).await,
            Command::Replay(replay) => replay.run(self.json).await,
            Command::Store(store) => store.run(&config()?, self.json).await,
        }
    }
}
