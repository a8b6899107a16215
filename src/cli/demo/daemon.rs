//! The daemon, in this process.

use std::time::Duration;

use tokio::{sync::oneshot, task::JoinHandle, time::sleep};
use url::Url;

use crate::{
    app::{App, StartError},
    cli::{CliError, http::HttpClient},
};

/// How long it may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
const READY_PAUSE: Duration = Duration::from_millis(10);

/// It runs until it is stopped.
pub(super) struct Daemon {
    /// The listener for upstream and operators.
    pub(super) internal: Url,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), StartError>>,
}

impl Daemon {
    /// Returns once it says that it is ready.
    pub(super) async fn start(app: App) -> Result<Self, CliError> {
        let internal = app.internal_addr().map_err(CliError::new)?;
        let internal = Url::parse(&format!("http://{internal}/")).expect("an address and a port");
        let (stop, stopping) = oneshot::channel();
        // It stops as well when nobody is left to say so.
        let stopping = async { stopping.await.unwrap_or_default() };
        let serving = actix_web::rt::spawn(app.serve(stopping, || {}));
        let daemon = Self { internal, stop, serving };
        if let Err(error) = daemon.ready().await {
            // What it says of itself is worth more.
            daemon.stop().await?;
            return Err(error);
        }
        Ok(daemon)
    }

    async fn ready(&self) -> Result<(), CliError> {
        let url = self.internal.join("readyz").expect("a path");
        let http = HttpClient::new(None).map_err(|error| CliError::of(&error))?;
        let asking = async {
            while http.get(&url).await.is_err() && !self.serving.is_finished() {
                sleep(READY_PAUSE).await;
            }
        };
        let asked = tokio::time::timeout(READY_TIMEOUT, asking).await;
        asked.map_err(|_| {
            CliError::new(format!(
                "the daemon is not ready after {READY_TIMEOUT:?}; its log says why"
            ))
        })
    }

    /// Drains it.
    pub(super) async fn stop(self) -> Result<(), CliError> {
        // It may have ended before.
        self.stop.send(()).ok();
        self.serving.await.map_err(CliError::new)?.map_err(CliError::new)
    }
}
