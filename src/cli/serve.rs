//! `ssfd serve`: runs the daemon.

use clap::Args;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    app,
    cli::{
        CliError,
        source::{ConfigSource, foreign_variables},
    },
    telemetry::logging,
};

const EXAMPLES: &str = "Examples:
  ssfd serve --config /etc/ssfd/ssfd.toml
  SSFD_PUBLIC__LISTEN=0.0.0.0:8080 ssfd serve";

/// Run the daemon until SIGTERM or SIGINT, then drain and exit
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeCommand {}

impl ServeCommand {
    pub async fn run(self, source: &ConfigSource) -> Result<(), CliError> {
        let config = source.load()?;
        logging::init(&config.log).map_err(CliError::new)?;
        let foreign = foreign_variables();
        if !foreign.is_empty() {
            tracing::warn!(
                variables = foreign.join(", "),
                "variables that are no settings are ignored; a setting has two underscores after its \
                 section, as in SSFD_PUBLIC__LISTEN"
            );
        }
        let app = app::build(config).await.map_err(CliError::new)?;
        let addresses = (app.public_addr(), app.internal_addr());
        let ready = || {
            let (public, internal) = addresses;
            tracing::info!(
                public = %public.map(|a| a.to_string()).unwrap_or_default(),
                internal = %internal.map(|a| a.to_string()).unwrap_or_default(),
                version = env!("CARGO_PKG_VERSION"),
                "serving"
            );
            notify(NotifyState::Ready);
        };
        app.serve(stop_signal()?, ready).await.map_err(CliError::new)?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Resolves on SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, CliError> {
    let listen = |kind| signal(kind).map_err(CliError::new);
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                // Caught, because SIGHUP ends a process by default.
                _ = hang_up.recv() => tracing::warn!("SIGHUP: nothing is reloaded; restart instead"),
            }
        }
        tracing::info!("stopping");
        notify(NotifyState::Stopping);
    })
}

/// Notifies systemd, if systemd started this process.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}
