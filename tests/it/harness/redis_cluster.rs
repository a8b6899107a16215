//! A Redis Cluster for one test, on ports of this machine.

use std::{
    fs::File,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use redis::{FromRedisValue, aio::MultiplexedConnection};
use tempfile::TempDir;

use super::eventually;

const SLOTS: usize = 16_384;

/// A number of primaries, each with the same number of replicas. The servers end when this is
/// dropped or the process ends.
pub(crate) struct RedisCluster {
    _folder: TempDir,
    pub(crate) primaries: Vec<ClusterNode>,
    pub(crate) replicas: Vec<ClusterNode>,
}

/// One server of a Cluster.
pub(crate) struct ClusterNode {
    port: u16,
    bus_port: u16,
    server: Option<Child>,
}

impl RedisCluster {
    /// Starts a Cluster. Returns once every node knows all others and serves its hash slots.
    pub(crate) async fn start(primaries: usize, replicas_each: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for redis-server");
        let mut nodes = Vec::new();
        for n in 0..primaries * (1 + replicas_each) {
            nodes.push(ClusterNode::start(&folder, n).await);
        }
        let replicas = nodes.split_off(primaries);
        let share = SLOTS.div_ceil(primaries);
        for (n, node) in nodes.iter().enumerate() {
            let (first, last) = (n * share, ((n + 1) * share).min(SLOTS) - 1);
            let () = node.run(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]).await;
            let range = [first, last].map(|slot| slot.to_string());
            let () = node.run(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]).await;
        }
        let cluster = Self { _folder: folder, primaries: nodes, replicas };
        let first = &cluster.primaries[0];
        for node in cluster.nodes().skip(1) {
            let [port, bus_port] = [node.port, node.bus_port].map(|port| port.to_string());
            let () = first.run(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port]).await;
        }
        cluster.wait_for_all().await;
        for (n, replica) in cluster.replicas.iter().enumerate() {
            let id: String = cluster.primaries[n % primaries].run(&["CLUSTER", "MYID"]).await;
            let () = replica.run(&["CLUSTER", "REPLICATE", &id]).await;
        }
        for replica in &cluster.replicas {
            eventually("a replica follows its primary", async || {
                let info: String = replica.run(&["INFO", "replication"]).await;
                info.contains("master_link_status:up")
            })
            .await;
        }
        cluster
    }

    async fn wait_for_all(&self) {
        let known = format!("cluster_known_nodes:{}", self.nodes().count());
        for node in self.nodes() {
            eventually("a node knows the others", async || {
                let info: String = node.run(&["CLUSTER", "INFO"]).await;
                info.contains("cluster_state:ok") && info.contains(&known)
            })
            .await;
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &ClusterNode> {
        self.primaries.iter().chain(&self.replicas)
    }

    /// Promotes a replica by an orderly failover. Returns once the replica is a primary.
    pub(crate) async fn fail_over_to(&self, replica: usize) {
        let replica = &self.replicas[replica];
        let () = replica.run(&["CLUSTER", "FAILOVER"]).await;
        eventually("the replica is the primary", async || {
            let info: String = replica.run(&["INFO", "replication"]).await;
            info.contains("role:master")
        })
        .await;
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes().map(ClusterNode::url).collect()
    }
}

impl ClusterNode {
    async fn start(folder: &TempDir, number: usize) -> Self {
        let folder = folder.path().join(number.to_string());
        std::fs::create_dir(&folder).expect("a folder for redis-server");
        let log_file = folder.join("log");
        let log = || File::create(&log_file).expect("a log for redis-server");
        let [port, bus_port] = free_ports();
        // The shell stops the server when its own standard input closes, so the server ends with
        // this process, however that ends.
        let server = Command::new("sh")
            .args(["-c", "redis-server \"$@\" & read -r _; kill -9 $!; wait", "sh"])
            .args(["--port", &port.to_string(), "--cluster-port", &bus_port.to_string()])
            .args(["--bind", "127.0.0.1", "--cluster-enabled", "yes"])
            .args(["--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"])
            .args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("the tests need the program sh in the PATH");
        let node = Self { port, bus_port, server: Some(server) };
        eventually("redis-server answers", async || {
            let Ok(mut connection) = node.connect().await else { return false };
            redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
        })
        .await;
        node
    }

    /// Kills the server, like a crash.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.stdin.take());
            server.wait().ok();
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        redis::Client::open(self.url())?.get_multiplexed_async_connection().await
    }

    /// Runs one command on this node, given as `redis-cli` would be.
    pub(crate) async fn run<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let (name, arguments) = command.split_first().expect("a command has a name");
        let mut connection = self.connect().await.expect("the server answers");
        let result = redis::cmd(name).arg(arguments).query_async(&mut connection).await;
        result.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

impl Drop for ClusterNode {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Finds two free ports. They stay free only until another process takes one.
fn free_ports() -> [u16; 2] {
    let bound = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
    bound.map(|listener| listener.local_addr().expect("it is bound").port())
}
