//! A `redis-server` of the benchmark's own, on a Unix socket.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use ssfd::clock;
use tempfile::TempDir;

const START_MAX: Duration = Duration::from_secs(10);

/// A redis-server. Dropping it stops the server and removes its folder.
pub(crate) struct Redis {
    server: Child,
    folder: TempDir,
}

impl Redis {
    /// Starts a server with an append-only file that has on disk whatever was answered, as the daemon
    /// asks for.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket", "redis.sock"])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the benchmarks need the program redis-server in the PATH");
        let redis = Self { server, folder };
        let began = clock::instant();
        while redis.try_connection().is_err() {
            assert!(began.elapsed() < START_MAX, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        redis
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }

    pub(crate) fn connection(&self) -> redis::Connection {
        self.try_connection().expect("the server answers")
    }

    fn try_connection(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.url())?.get_connection()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
