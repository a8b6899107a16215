//! `ssfd serve`: runs the daemon.

use std::{sync::Arc, time::Duration};

use clap::Args;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

use crate::{
    app::{self, HandedOver},
    cli::{
        CliError,
        source::{ConfigSource, foreign_variables},
    },
    telemetry::{logging, readiness::Readiness},
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
        // Before the thread of the log, and all others.
        let handed = HandedOver::take().map_err(CliError::new)?;
        let config = source.load()?;
        let _until_the_end = logging::init(&config.log).map_err(CliError::new)?;
        let foreign = foreign_variables();
        if !foreign.is_empty() {
            tracing::warn!(
                variables = foreign.join(", "),
                "variables that are no settings are ignored; a setting has two underscores after its \
                 section, as in SSFD_PUBLIC__LISTEN"
            );
        }
        let lame_duck = config.process.lame_duck;
        let app = app::build_with(handed, config).await.map_err(CliError::new)?;
        let addresses = (app.public_addr(), app.internal_addr(), app.sources_addr());
        let ready = || {
            let (public, internal, sources) = addresses;
            tracing::info!(
                public = %public.map(|a| a.to_string()).unwrap_or_default(),
                internal = %internal.map(|a| a.to_string()).unwrap_or_default(),
                sources = sources.ok().flatten().map(tracing::field::display),
                version = env!("CARGO_PKG_VERSION"),
                "serving"
            );
            notify(NotifyState::Ready);
        };
        let stop = Signals::listen()?.stop(Arc::clone(app.readiness()), lame_duck);
        Box::pin(app.serve(stop, ready)).await.map_err(CliError::new)?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// The signals that the daemon listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// A signal that asks the daemon to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopSignal {
    /// From a service manager.
    Terminate,
    /// From a person who waits at a terminal.
    Interrupt,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::new);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Resolves when the daemon is to stop serving. SIGTERM makes `/readyz` answer 503 for the time of
    /// `lame_duck` before, in which everything is served as usual: a load balancer turns away from a node
    /// that is not ready, and so nobody meets a closed port. SIGINT, or a second signal, ends this time.
    async fn stop(mut self, readiness: Arc<Readiness>, lame_duck: Duration) {
        let first = self.next().await;
        readiness.lost("stopping");
        tracing::info!("stopping");
        notify(NotifyState::Stopping);
        if first == StopSignal::Terminate {
            // Either the time is over or another signal came.
            timeout(lame_duck, self.next()).await.ok();
        }
    }

    async fn next(&mut self) -> StopSignal {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return StopSignal::Terminate,
                _ = self.interrupt.recv() => return StopSignal::Interrupt,
                // Caught, because SIGHUP ends a process by default.
                _ = self.hang_up.recv() => {
                    tracing::warn!("SIGHUP: nothing is reloaded; restart instead");
                }
            }
        }
    }
}

/// Notifies systemd, if systemd started this process.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}
