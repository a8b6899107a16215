//! A redis-server for one test, on a Unix socket.

use std::{
    fs::File,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use redis::{AsyncCommands, FromRedisValue, aio::MultiplexedConnection};
use serde_json::Value;
use tempfile::TempDir;

use super::eventually;

/// A redis-server. Dropping it stops the server and removes its folder.
pub(crate) struct Redis {
    folder: TempDir,
    appendonly: bool,
    /// Additional arguments of the command line.
    arguments: Vec<String>,
    server: Option<Child>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Redis {
    /// Starts a server that loses its data when it stops.
    pub(crate) async fn start() -> Self {
        let mut redis = Self::down(false);
        redis.start_again().await;
        redis
    }

    /// Prepares a server without starting it. With `appendonly` the server keeps its data over a
    /// stop.
    pub(crate) fn down(appendonly: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder for redis-server");
        Self { folder, appendonly, arguments: Vec::new(), server: None }
    }

    /// Starts a server with additional arguments on its command line.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        let mut redis = Self::down(true);
        redis.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        redis.start_again().await;
        redis
    }

    /// Starts a server and its replica. Returns once the replica follows.
    pub(crate) async fn with_replica() -> (Self, Self) {
        let port = {
            let bound = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
            bound.local_addr().expect("it is bound").port().to_string()
        };
        let quickly = ["--repl-diskless-sync-delay", "0"];
        let listen = ["--bind", "127.0.0.1", "--port", &port];
        let primary = Self::with(&[&quickly[..], &listen].concat()).await;
        let follow = ["--replicaof", "127.0.0.1", &port];
        let replica = Self::with(&[&quickly[..], &follow].concat()).await;
        eventually("the replica follows", async || {
            let info: String = replica.run(&["INFO", "replication"]).await;
            info.contains("master_link_status:up")
        })
        .await;
        (primary, replica)
    }

    /// Starts the server on its own folder and socket, and returns once it answers.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.server.is_none(), "redis-server runs already");
        let log_file = self.folder.path().join("log");
        let log = || File::create(&log_file).expect("a log for redis-server");
        let mut server = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(self.socket())
            .arg("--dir")
            .arg(self.folder.path())
            .args(["--appendonly", if self.appendonly { "yes" } else { "no" }])
            // With `everysec`, a kill could lose a write that was already answered.
            .args(["--appendfsync", "always"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("the tests need the program redis-server in the PATH");
        eventually("redis-server answers", async || {
            if let Some(status) = server.try_wait().expect("a child of ours") {
                let log = std::fs::read_to_string(&log_file).unwrap_or_default();
                panic!("redis-server ended with {status}:\n{log}");
            }
            self.ping().await.is_ok()
        })
        .await;
        self.server = Some(server);
    }

    /// Kills the server, like a crash. Its append-only file is kept.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().ok();
            server.wait().ok();
        }
    }

    /// Suspends the server: it keeps its connections but answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.server.as_ref().expect("the daemon runs").id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.expect("the program kill").success());
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    async fn ping(&self) -> redis::RedisResult<()> {
        let client = redis::Client::open(self.url())?;
        client.get_multiplexed_async_connection().await?.ping().await
    }

    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("the URL of a socket");
        client.get_multiplexed_async_connection().await.expect("the server answers")
    }

    /// Runs one command, given as `redis-cli` would be.
    pub(crate) async fn run<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let result = self.try_run(command).await;
        result.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Runs one command on a server that may be slow or down.
    pub(crate) async fn try_run<T: FromRedisValue>(
        &self,
        command: &[&str],
    ) -> redis::RedisResult<T> {
        let (name, arguments) = command.split_first().expect("a command has a name");
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd(name).arg(arguments).query_async(&mut connection).await
    }

    /// Publishes an event as any publisher would. Returns the id of the entry.
    pub(crate) async fn publish(&self, key: &str, event: &Value) -> String {
        self.run(&["XADD", key, "*", "event", &event.to_string()]).await
    }
}
