//! `ssfd demo`: shows the daemon at work, with nothing to install or configure.
//!
//! - `Setup` is the environment: keys, certificates, a store in a temporary folder, Redis and the
//!   daemon.
//! - `receivers` are the two Receivers, one by push and one by poll. Each talks to the daemon
//!   through a `receiver_client`.
//! - `identity_provider` acts as Keycloak, and sends a webhook to a source.
//! - `Scenario` publishes the sample events of `events`, has the webhook sent, and collects what arrives.
//! - `results` decides which expected SETs have arrived. It has no side effects.
//! - `DemoOutput` prints, for people or as JSON, and `Instructions` are the commands that
//!   `--stay` suggests.

mod daemon;
mod events;
mod identity_provider;
mod instructions;
mod output;
mod receiver_client;
mod receivers;
mod redis_server;
mod results;
mod scenario;
mod setup;

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, pin::pin, time::Duration};

use clap::Args;
use humantime_serde::re::humantime;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, timeout_at},
};

use self::{
    instructions::Instructions, output::DemoOutput, redis_server::RedisServer, scenario::Scenario,
    setup::Setup,
};
use crate::{
    cli::CliError,
    telemetry::logging::{self, LogSettings},
};

/// The name of the only provider.
const PROVIDER: &str = "demo";

const EXAMPLES: &str = "Examples:
  ssfd demo
  ssfd demo --stay
  ssfd demo --redis redis://127.0.0.1:6379
  ssfd demo --no-redis --json";

/// Show the daemon at work: publish sample events, send a webhook as Keycloak does, and deliver all to two
/// Receivers by push and by poll
///
/// Everything is real and runs on this machine: the daemon with a SQLite store, TLS, streams that
/// are created over HTTP, a source with the preset for Keycloak, and signatures that the Receivers
/// verify with the published keys. If
/// there is a redis-server in the PATH, the demo starts it and publishes through Redis; otherwise
/// it publishes over HTTP. Everything is removed afterwards. The exit code is 0 only if every SET
/// arrived and was verified.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoCommand {
    /// Keep running after the summary until interrupted, and print commands to try by hand
    #[arg(long)]
    stay: bool,
    /// Publish the events through this Redis server; the demo's keys are removed at the end
    #[arg(long, value_name = "URL", conflicts_with = "no_redis")]
    redis: Option<String>,
    /// Publish the events over HTTP, even if there is a redis-server in the PATH
    #[arg(long)]
    no_redis: bool,
    /// Give up if the demo has not finished after this time
    #[arg(long, value_name = "DURATION", default_value = "30s",
        value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// The log level of the daemon, as `log.level` in its configuration
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: String,
}

impl DemoCommand {
    pub async fn run(self, json: bool) -> Result<(), CliError> {
        let log = LogSettings { level: self.log.clone(), ..LogSettings::default() };
        let _until_the_end = logging::init(&log).map_err(CliError::new)?;
        let deadline = Instant::now() + self.timeout;
        let mut interrupted = pin!(interrupted()?);
        let output = DemoOutput { json };
        // An interrupt waits until the setup is complete, so that all of it can be removed.
        let setup = self.set_up(&output).await?;
        let ran = tokio::select! {
            ran = self.run_scenario(&setup, &output, deadline) => ran,
            () = &mut interrupted => Err(CliError::new("interrupted")),
        };
        let ended = match ran {
            Ok((scenario, success)) => {
                self.finish(scenario, &setup, &output, interrupted).await.and(success)
            }
            Err(error) => Err(error),
        };
        let torn_down = setup.tear_down().await;
        ended.and(torn_down)
    }

    async fn set_up(&self, output: &DemoOutput) -> Result<Setup, CliError> {
        // Only this user may read the folder, because it holds private keys.
        let private = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("ssfd-demo-").permissions(private).tempdir();
        let folder = folder
            .map_err(|error| CliError::new(format!("cannot create a temporary folder: {error}")))?;
        output.text(
            "Runs a Transmitter, two Receivers and a publisher on this machine, and removes them \
             afterwards:\n",
        )?;
        output.step(&format!("created the folder {}", folder.path().display()))?;
        let redis = match &self.redis {
            Some(url) => {
                let redis = RedisServer::given(url).await?;
                output.step(&format!(
                    "connected to Redis; the demo uses only keys that begin with {}",
                    redis.key()
                ))?;
                Some(redis)
            }
            None if self.no_redis => None,
            None => {
                let redis = RedisServer::start(folder.path()).await?;
                output.step(match redis {
                    Some(_) => "started redis-server on a socket in this folder",
                    None => "found no redis-server in the PATH, so events go over HTTP",
                })?;
                redis
            }
        };
        Setup::start(folder, redis, output).await
    }

    /// Runs the scenario. Returns it, because it can go on, together with its success.
    async fn run_scenario<'a>(
        &self,
        setup: &'a Setup,
        output: &'a DemoOutput,
        deadline: Instant,
    ) -> Result<(Scenario<'a>, Result<(), CliError>), CliError> {
        output.step(&format!(
            "started the daemon at {}, with its store in this folder",
            setup.issuer
        ))?;
        let late = |_| {
            let timeout = humantime::format_duration(self.timeout);
            CliError::new(format!(
                "the streams were not created within {timeout}; --timeout gives more time"
            ))
        };
        let mut scenario =
            timeout_at(deadline, Scenario::start(setup, output)).await.map_err(late)??;
        let summary = scenario.run(deadline).await?;
        output.summary(&summary)?;
        let success = if summary.is_success() {
            Ok(())
        } else {
            let (missing, unverified) = (summary.missing.len(), summary.unverified);
            Err(CliError::new(format!(
                "{missing} SETs did not arrive and {unverified} could not be verified"
            )))
        };
        Ok((scenario, success))
    }

    async fn finish(
        &self,
        mut scenario: Scenario<'_>,
        setup: &Setup,
        output: &DemoOutput,
        interrupted: impl Future<Output = ()>,
    ) -> Result<(), CliError> {
        if self.stay {
            // The stream is for the user to poll by hand.
            scenario.receivers.stop_polling().await?;
            output.instructions(&Instructions::new(setup, &scenario.receivers.streams))?;
            tokio::select! {
                shown = scenario.show_arrivals() => shown?,
                () = interrupted => {}
            }
        }
        scenario.stop().await
    }
}

/// Resolves on SIGINT, SIGTERM, or SIGHUP, which a closed terminal sends.
fn interrupted() -> Result<impl Future<Output = ()>, CliError> {
    let listen = |kind| signal(kind).map_err(CliError::new);
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}
