//! `ssfd agent`: the reference client of agents, for a device.
//!
//! - [`AgentClient`] speaks the protocol: it asks for a challenge, answers it with the token of the device,
//!   and sends the facts. `facts` reads them from a file or a command, within bounds.
//! - Between check-ins the command sleeps a little less than the interval, by chance, so that many agents
//!   do not come at the same moment.

mod client;
mod facts;

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use humantime_serde::re::humantime;
use serde_json::json;
use tokio::time::sleep;
use url::Url;

pub use self::client::{AgentClient, AgentError, AgentResult};
use self::facts::FactsFrom;
use crate::{
    auth,
    cli::{CliError, http::HttpClient, output},
    clock,
    domain::{id::DeviceId, secret::Secret},
    telemetry::causes::with_causes,
};

const EXAMPLES: &str = "Examples:
  ssfd agent --url https://tx.example/in/default/laptops --device mac-0042 \\
    --audience https://tx.example/agents/laptops --device-token-file device.token --facts facts.json --once
  ssfd agent --url https://tx.example/in/default/laptops --device mac-0042 \\
    --audience https://tx.example/agents/laptops --device-token-file device.token \\
    --facts-command /usr/local/bin/posture-facts --interval 15m
  ssfd agent --url https://tx.example/in/default/laptops --device mac-0042 \\
    --audience https://tx.example/agents/laptops --device-token-file device.token --facts facts.json \\
    --enrolment-secret-file enrolment.secret";

/// The part of the interval that a wait is shortened by at most.
const JITTER: f64 = 0.1;
/// The waits after a check-in that failed: the shortest, and each is twice as long as the one before.
const RETRY_MIN: Duration = Duration::from_secs(5);
/// The longest token in a file, in bytes.
const TOKEN_BYTES_MAX: u64 = 1024;

/// Report the posture of this device: answer a challenge and send facts, once or again and again.
///
/// The reference client of agents, for devices with the protocol of docs/publish/agents.md. The facts are
/// a JSON document, in a file or printed by a command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AgentCommand {
    /// The URL of the agents: the listener of sources, and `/in/<provider>/<agents>`
    #[arg(long)]
    url: Url,
    /// The id of this device
    #[arg(long, value_name = "ID")]
    device: DeviceId,
    /// The audience of answers, as `ssfd devices add` shows it
    #[arg(long)]
    audience: String,
    /// The file with the token of this device
    #[arg(long, value_name = "FILE")]
    device_token_file: PathBuf,
    /// A JSON file with the facts
    #[arg(long, value_name = "FILE", required_unless_present = "facts_command")]
    facts: Option<PathBuf>,
    /// A command for the shell that prints the facts as JSON
    #[arg(long, value_name = "COMMAND", conflicts_with = "facts")]
    facts_command: Option<String>,
    /// Check in once, and end
    #[arg(long, conflicts_with = "interval")]
    once: bool,
    /// How often to check in
    #[arg(long, default_value = "15m", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// A file with the enrolment secret: if the device is not known, it registers itself; without a token
    /// file it makes a token
    #[arg(long, value_name = "FILE")]
    enrolment_secret_file: Option<PathBuf>,
    /// The platform to register with
    #[arg(long, requires = "enrolment_secret_file")]
    platform: Option<String>,
    /// A PEM file of certificate authorities to trust in addition to those of the system
    #[arg(long, value_name = "FILE")]
    trusted_roots: Option<PathBuf>,
}

impl AgentCommand {
    pub async fn run(self, json: bool) -> Result<(), CliError> {
        if self.interval < Duration::from_secs(1) {
            return Err(CliError::new("--interval must be at least 1s"));
        }
        let http = HttpClient::new(self.trusted_roots.as_deref());
        let http = http.map_err(|error| CliError::of(&error))?;
        let enrolment = self.enrolment_secret_file.as_deref().map(secret).transpose()?;
        let token = match secret(&self.device_token_file) {
            Ok(token) => token,
            Err(_) if enrolment.is_some() && !self.device_token_file.exists() => {
                new_token(&self.device_token_file)?
            }
            Err(error) => return Err(error),
        };
        let client = AgentClient::new(http, self.url, self.device, self.audience, token);
        let facts = match (self.facts, self.facts_command) {
            (Some(file), _) => FactsFrom::File(file),
            (None, Some(command)) => FactsFrom::Command(command),
            (None, None) => return Err(CliError::new("give --facts or --facts-command")),
        };
        let enrolment = enrolment.map(|secret| (secret, self.platform));
        let agent = Agent { client, facts, enrolment, json };
        if self.once {
            return agent.check_in().await;
        }
        agent.keep_checking_in(self.interval).await
    }
}

/// The client with its facts.
struct Agent {
    client: AgentClient,
    facts: FactsFrom,
    /// The secret to register with, and the platform.
    enrolment: Option<(Secret, Option<String>)>,
    json: bool,
}

impl Agent {
    async fn keep_checking_in(&self, interval: Duration) -> Result<(), CliError> {
        let mut retry = RETRY_MIN;
        loop {
            let wait = match self.check_in().await {
                Ok(()) => {
                    retry = RETRY_MIN;
                    interval.mul_f64(1.0 - JITTER * clock::dice())
                }
                Err(error) => {
                    output::note(format!("error: {error}"));
                    let wait = retry.min(interval).mul_f64(1.0 - JITTER * clock::dice());
                    retry = retry.saturating_mul(2);
                    wait
                }
            };
            sleep(wait).await;
        }
    }

    /// Checks in once, and prints the result.
    async fn check_in(&self) -> Result<(), CliError> {
        let facts = self.facts.read().await?;
        let mut result = self.client.check_in(&facts, clock::now()).await;
        if let (Err(AgentError::Refused { .. }), Some((secret, platform))) =
            (&result, &self.enrolment)
        {
            let enrolled = self.client.enrol(secret, platform.as_deref()).await;
            enrolled.map_err(|error| CliError::new(with_causes(&error)))?;
            output::note("the device is registered");
            result = self.client.check_in(&facts, clock::now()).await;
        }
        let AgentResult { status, failing } =
            result.map_err(|error| CliError::new(with_causes(&error)))?;
        if self.json {
            return output::print(json!({"status": status, "failing": failing}));
        }
        let fails = if failing.is_empty() {
            String::new()
        } else {
            format!(": fails {}", failing.join(", "))
        };
        output::print(format!("{status}{fails}"))
    }
}

/// Reads a secret from the first line of a file.
fn secret(file: &Path) -> Result<Secret, CliError> {
    let failed = |error: std::io::Error| CliError::new(format!("{}: {error}", file.display()));
    if TOKEN_BYTES_MAX < fs::metadata(file).map_err(failed)?.len() {
        return Err(CliError::new(format!(
            "{} is larger than {TOKEN_BYTES_MAX} bytes, so it is no token",
            file.display()
        )));
    }
    let text = fs::read_to_string(file).map_err(failed)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(CliError::new(format!("{} is empty; write the token into it", file.display()))),
        text => Ok(Secret::new(text)),
    }
}

/// Makes a token, and a file with it that only its owner can read.
fn new_token(file: &Path) -> Result<Secret, CliError> {
    let token = auth::new_token();
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let written = options.open(file).and_then(|mut made| {
        writeln!(made, "{}", token.expose())?;
        made.sync_all()
    });
    written.map_err(|error| CliError::new(format!("{}: {error}", file.display())))?;
    Ok(token)
}
