//! A primary, its replica, and a Sentinel that watches them.

use std::{
    fs::{self, File},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{eventually, redis::Redis};

/// The name under which the Sentinel knows the primary.
pub(crate) const NAME: &str = "tests";

/// The three servers. Dropping this stops them.
pub(crate) struct Sentinel {
    _folder: TempDir,
    port: u16,
    server: Child,
    primary: Redis,
    replica: Redis,
}

impl Sentinel {
    /// Starts the servers. Returns once the Sentinel knows both others and the replica is in sync.
    pub(crate) async fn start() -> Self {
        let [primary_port, replica_port, port] = [(); 3].map(|()| free_port());
        let listen = ["--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"];
        let ports = [primary_port, replica_port, port].map(|port| port.to_string());
        let primary = Redis::with(&[&listen[..], &["--port", &ports[0]]].concat()).await;
        let follow = ["--port", &ports[1], "--replicaof", "127.0.0.1", &ports[0]];
        let replica = Redis::with(&[&listen[..], &follow].concat()).await;
        eventually("the replica follows", async || {
            let info: String = replica.run(&["INFO", "replication"]).await;
            info.contains("master_link_status:up")
        })
        .await;

        let folder = tempfile::tempdir().expect("a folder for the Sentinel");
        let configuration = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {primary_port} 1\n\
             sentinel down-after-milliseconds {NAME} 300\nsentinel failover-timeout {NAME} 2000\n"
        );
        fs::write(&configuration, text).expect("written");
        let log = || File::create(folder.path().join("log")).expect("a log");
        let server = Command::new("redis-server")
            .arg(&configuration)
            .arg("--sentinel")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("the tests need the program redis-server in the PATH");
        let sentinel = Self { _folder: folder, port, server, primary, replica };
        eventually("the Sentinel knows the replica", async || sentinel.knows_replica().await).await;
        sentinel
    }

    async fn knows_replica(&self) -> bool {
        let client = redis::Client::open(self.url()).expect("a URL");
        let Ok(mut connection) = client.get_multiplexed_async_connection().await else {
            return false;
        };
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("REPLICAS").arg(NAME);
        let replicas: redis::RedisResult<Vec<redis::Value>> =
            ask.query_async(&mut connection).await;
        replicas.is_ok_and(|replicas| !replicas.is_empty())
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn primary(&self) -> &Redis {
        &self.primary
    }

    pub(crate) fn replica(&self) -> &Redis {
        &self.replica
    }

    pub(crate) fn kill_primary(&mut self) {
        self.primary.kill();
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

fn free_port() -> u16 {
    let bound = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    bound.local_addr().expect("it is bound").port()
}
