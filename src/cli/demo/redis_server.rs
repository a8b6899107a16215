//! The Redis server through which the demo publishes its events.

use std::{
    fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis::{AsyncCommands, RedisResult, aio::MultiplexedConnection};
use tokio::time::{Instant, sleep};

use super::PROVIDER;
use crate::{
    cli::{
        CliError,
        publish::redis::{RedisPublisher, connect},
    },
    clock,
    ingest::settings::RedisIngestSettings,
};

/// The longest time until the demo's own server is up.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait between two tries to connect to it.
const START_PAUSE: Duration = Duration::from_millis(20);

/// A running Redis server: one that the user gave, or the demo's own.
pub(super) struct RedisServer {
    url: String,
    key_prefix: String,
    connection: MultiplexedConnection,
    own: Option<OwnServer>,
}

/// A server process of the demo, which is killed on drop. Its data is in the temporary folder.
struct OwnServer {
    process: Child,
    socket: PathBuf,
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // Killed, because it has no data to keep. It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl RedisServer {
    /// Connects to a running server. The demo's keys there get a random prefix.
    pub(super) async fn given(url: &str) -> Result<Self, CliError> {
        let connection = connect(url).await.map_err(|error| CliError::of(&error))?;
        let random = clock::random_uuid().simple().to_string();
        let key_prefix = format!("ssfd-demo:{}:", &random[..8]);
        Ok(Self { url: url.to_owned(), key_prefix, connection, own: None })
    }

    /// Starts a server on a socket in `folder`. Returns `None` if there is no such program.
    pub(super) async fn start(folder: &Path) -> Result<Option<Self>, CliError> {
        let (socket, log) = (folder.join("redis.sock"), folder.join("redis.log"));
        let failed = |why: &dyn std::fmt::Display| {
            CliError::new(format!(
                "redis-server does not start: {why}; --no-redis runs the demo without it"
            ))
        };
        let spawned = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocketperm", "700"])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .args([Path::new("--unixsocket"), &socket, Path::new("--dir"), folder])
            .args([Path::new("--logfile"), &log])
            // Its own process group keeps an interrupt of the terminal from it, because the demo
            // ends it in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match spawned {
            Ok(process) => process,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let mut own = OwnServer { process, socket };
        let url = format!("redis+unix://{}", own.socket.display());
        let deadline = Instant::now() + START_TIMEOUT;
        let connection = loop {
            let error = match connect(&url).await {
                Ok(connection) => break connection,
                Err(error) => CliError::of(&error),
            };
            if let Ok(Some(status)) = own.process.try_wait() {
                let log = fs::read_to_string(&log).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it logged nothing");
                return Err(failed(&format!("{status}, {last}")));
            }
            if deadline < Instant::now() {
                return Err(failed(&error));
            }
            sleep(START_PAUSE).await;
        };
        let key_prefix = RedisIngestSettings::default().key_prefix;
        Ok(Some(Self { url, key_prefix, connection, own: Some(own) }))
    }

    /// Returns the daemon's settings for reading from this server.
    pub(super) fn settings(&self) -> RedisIngestSettings {
        RedisIngestSettings {
            url: Some(self.url.clone()),
            key_prefix: self.key_prefix.clone(),
            ..RedisIngestSettings::default()
        }
    }

    /// Returns the key of the Redis stream to publish to.
    pub(super) fn key(&self) -> String {
        format!("{}{PROVIDER}", self.key_prefix)
    }

    pub(super) fn publisher(&self) -> RedisPublisher {
        RedisPublisher::new(self.connection.clone(), self.key())
    }

    /// Returns the socket if the server is the demo's own.
    pub(super) fn socket(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.socket.as_path())
    }

    /// Removes the demo's keys. The daemon must have stopped, because it creates its consumer group
    /// again if it is missing.
    pub(super) async fn remove_keys(mut self) -> Result<(), CliError> {
        let key = self.key();
        let keys = [format!("{key}:rejected"), format!("{key}:backlog"), key];
        let removed: RedisResult<()> = match self.own {
            Some(_) => Ok(()),
            None => self.connection.del(&keys).await,
        };
        removed.map_err(|error| {
            CliError::new(format!("cannot remove the keys of the demo from Redis: {error}"))
        })
    }
}
