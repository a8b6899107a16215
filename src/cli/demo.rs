//! `ssfd demo`: the main job with nothing to install.

mod daemon;
mod events;
mod party;
mod play;
mod receivers;
mod redis;
mod show;
mod stage;
mod stay;
mod tally;

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, pin::pin, time::Duration};

use clap::Args;
use humantime_serde::re::humantime;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, timeout_at},
};

use self::{play::Play, redis::RedisServer, show::Screen, stage::Stage, stay::Invitation};
use crate::{
    cli::CliError,
    telemetry::logging::{self, LogSettings},
};

/// The one provider.
const PROVIDER: &str = "demo";

const EXAMPLES: &str = "Examples:
  ssfd demo
  ssfd demo --stay
  ssfd demo --redis redis://127.0.0.1:6379
  ssfd demo --no-redis --json";

/// See the daemon at work: events go in, and two Receivers get them, by push and by poll.
///
/// Everything is real and on this machine: the daemon with its SQLite store, TLS, streams that are
/// registered over HTTP, signatures that are verified by the published keys. Events go in through
/// Redis if there is a redis-server in the PATH, which is started for the occasion, else over HTTP.
/// Nothing is left behind. The exit code is 0 only if every SET arrived and was verified.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Demo {
    /// Go on after the summary, with commands to try by hand, until interrupted
    #[arg(long)]
    stay: bool,
    /// Send the events through this Redis server; the keys there are removed at the end
    #[arg(long, value_name = "URL", conflicts_with = "no_redis")]
    redis: Option<String>,
    /// Send the events over HTTP
    #[arg(long)]
    no_redis: bool,
    /// When to give up
    #[arg(long, value_name = "DURATION", default_value = "30s",
        value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// What the daemon logs, as `log.level` of its configuration
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: String,
}

impl Demo {
    pub async fn run(self, json: bool) -> Result<(), CliError> {
        let log = LogSettings { level: self.log.clone(), ..LogSettings::default() };
        logging::init(&log).map_err(CliError::new)?;
        let deadline = Instant::now() + self.timeout;
        let mut interrupted = pin!(interrupted()?);
        let screen = Screen { json };
        // Whoever interrupts meanwhile waits until it stands, and can be taken down in order.
        let stage = self.set(&screen).await?;
        let played = tokio::select! {
            played = self.play(&stage, &screen, deadline) => played,
            () = &mut interrupted => Err(CliError::new("interrupted")),
        };
        let ended = match played {
            Ok((play, verdict)) => self.end(play, &stage, &screen, interrupted).await.and(verdict),
            Err(error) => Err(error),
        };
        let struck = stage.strike().await;
        ended.and(struck)
    }

    async fn set(&self, screen: &Screen) -> Result<Stage, CliError> {
        // It holds keys: nobody else may look into it.
        let ours_alone = Permissions::from_mode(0o700);
        let folder =
            tempfile::Builder::new().prefix("ssfd-demo-").permissions(ours_alone).tempdir();
        let folder = folder.map_err(|error| CliError::new(format!("no folder: {error}")))?;
        screen
            .text("A Transmitter, two Receivers and an upstream, all on this machine and gone afterwards:\n")?;
        screen.step(&format!("made {}", folder.path().display()))?;
        let redis = match &self.redis {
            Some(url) => {
                let redis = RedisServer::given(url).await?;
                screen.step(&format!("reached Redis; what is {}… there is ours", redis.key()))?;
                Some(redis)
            }
            None if self.no_redis => None,
            None => {
                let redis = RedisServer::start(folder.path()).await?;
                screen.step(match redis {
                    Some(_) => "started redis-server on a socket there",
                    None => "found no redis-server in the PATH, which is no harm",
                })?;
                redis
            }
        };
        Stage::set(folder, redis, screen).await
    }

    /// How it went stands beside the play, which may go on.
    async fn play<'a>(
        &self,
        stage: &'a Stage,
        screen: &'a Screen,
        deadline: Instant,
    ) -> Result<(Play<'a>, Result<(), CliError>), CliError> {
        screen.step(&format!("started the daemon as {}, with a store there", stage.issuer))?;
        let late = |_| {
            let timeout = humantime::format_duration(self.timeout);
            CliError::new(format!("the streams are not registered within {timeout}"))
        };
        let mut play = timeout_at(deadline, Play::start(stage, screen)).await.map_err(late)??;
        let summary = play.perform(deadline).await?;
        screen.summary(&summary)?;
        let verdict = if summary.is_good() {
            Ok(())
        } else {
            let (missing, unverified) = (summary.missing.len(), summary.unverified);
            Err(CliError::new(format!("SETs missing: {missing}, not verified: {unverified}")))
        };
        Ok((play, verdict))
    }

    async fn end(
        &self,
        mut play: Play<'_>,
        stage: &Stage,
        screen: &Screen,
        interrupted: impl Future<Output = ()>,
    ) -> Result<(), CliError> {
        if self.stay {
            // Whoever tries to poll does not want to share.
            play.receivers.stop_polling().await?;
            screen.invitation(&Invitation::new(stage, &play.receivers.streams))?;
            tokio::select! {
                shown = play.go_on() => shown?,
                () = interrupted => {}
            }
        }
        play.end().await
    }
}

/// Resolves when somebody wants the demo to end. A closed terminal does too.
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
