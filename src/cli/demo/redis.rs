//! The Redis server that the events go through.

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

/// How long a server of our own may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const START_PAUSE: Duration = Duration::from_millis(20);

/// A server that answers.
pub(super) struct RedisServer {
    url: String,
    key_prefix: String,
    connection: MultiplexedConnection,
    own: Option<OwnServer>,
}

/// Ended when it is dropped. It lives in a folder that is thrown away.
struct OwnServer {
    process: Child,
    socket: PathBuf,
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // At once: it has nothing to keep. If it is gone already, so much the better.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl RedisServer {
    /// A server that runs. Our keys there have a prefix that nobody else has.
    pub(super) async fn given(url: &str) -> Result<Self, CliError> {
        let connection = connect(url).await.map_err(|error| CliError::of(&error))?;
        let drawn = clock::random_uuid().simple().to_string();
        let key_prefix = format!("ssfd-demo:{}:", &drawn[..8]);
        Ok(Self { url: url.to_owned(), key_prefix, connection, own: None })
    }

    /// A server of our own, on a socket in `folder`; none without the program.
    pub(super) async fn start(folder: &Path) -> Result<Option<Self>, CliError> {
        let (socket, log) = (folder.join("redis.sock"), folder.join("redis.log"));
        let failed = |why: &dyn std::fmt::Display| {
            CliError::new(format!("redis-server does not start: {why}; --no-redis does without"))
        };
        let spawned = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocketperm", "700"])
            .args([Path::new("--unixsocket"), &socket, Path::new("--dir"), folder])
            .args([Path::new("--logfile"), &log])
            // Out of the terminal's reach: an interrupt is for us, and we end it when we are done.
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

    /// What the daemon needs to know of it.
    pub(super) fn settings(&self) -> RedisIngestSettings {
        RedisIngestSettings {
            url: Some(self.url.clone()),
            key_prefix: self.key_prefix.clone(),
            ..RedisIngestSettings::default()
        }
    }

    pub(super) fn key(&self) -> String {
        format!("{}{PROVIDER}", self.key_prefix)
    }

    pub(super) fn publisher(&self) -> RedisPublisher {
        RedisPublisher::new(self.connection.clone(), self.key())
    }

    /// The socket, where the server is ours.
    pub(super) fn socket(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.socket.as_path())
    }

    /// Leaves nothing behind. The daemon must have stopped: it makes its group anew where it is
    /// missing.
    pub(super) async fn clear(mut self) -> Result<(), CliError> {
        let key = self.key();
        let keys = [format!("{key}:rejected"), format!("{key}:backlog"), key];
        let cleared: RedisResult<()> = match self.own {
            Some(_) => Ok(()),
            None => self.connection.del(&keys).await,
        };
        cleared.map_err(|error| CliError::new(format!("cannot clear Redis: {error}")))
    }
}
