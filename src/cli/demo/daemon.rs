//! The daemon, which runs inside the demo's process.

use std::time::Duration;

use tokio::{sync::oneshot, task::JoinHandle, time::sleep};
use url::Url;

use crate::{
    app::{App, StartError},
    cli::{CliError, http::HttpClient},
};

/// The longest time until the daemon is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait between two questions whether it is.
const READY_PAUSE: Duration = Duration::from_millis(10);

/// A running daemon.
pub(super) struct DemoDaemon {
    /// The URL of the listener for publishers and operators.
    pub(super) internal: Url,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), StartError>>,
}

impl DemoDaemon {
    /// Starts the daemon and returns once it is ready.
    pub(super) async fn start(app: App) -> Result<Self, CliError> {
        let internal = app.internal_addr().map_err(CliError::new)?;
        let internal = Url::parse(&format!("http://{internal}/")).expect("an address and a port");
        let (stop, stopping) = oneshot::channel();
        // A dropped sender stops the daemon as well.
        let stopping = async { stopping.await.unwrap_or_default() };
        let serving = actix_web::rt::spawn(app.serve(stopping, || {}));
        let daemon = Self { internal, stop, serving };
        if let Err(error) = daemon.ready().await {
            // If the daemon itself failed, its error tells more.
            daemon.stop().await?;
            return Err(error);
        }
        Ok(daemon)
    }

    async fn ready(&self) -> Result<(), CliError> {
        let url = self.internal.join("readyz").expect("a path");
        let http = HttpClient::new(None).map_err(|error| CliError::of(&error))?;
        let poll = async {
            while http.get(&url).await.is_err() && !self.serving.is_finished() {
                sleep(READY_PAUSE).await;
            }
        };
        let ready = tokio::time::timeout(READY_TIMEOUT, poll).await;
        ready.map_err(|_| {
            CliError::new(format!(
                "the daemon is not ready after {READY_TIMEOUT:?}; --log=info shows why"
            ))
        })
    }

    /// Drains the daemon and returns once it has ended.
    pub(super) async fn stop(self) -> Result<(), CliError> {
        // The daemon may have ended by itself.
        self.stop.send(()).ok();
        self.serving.await.map_err(CliError::new)?.map_err(CliError::new)
    }
}
