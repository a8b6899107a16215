//! The system under test: daemons in processes of their own, the servers that they need, and the
//! traffic through them, with the interruptions that a test can cause.

use std::{
    fs::File,
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use ssfd::clock;
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking, spawn_local},
};

use super::{
    ledger::{Accepted, Arrivals, Report},
    traffic::{self, Addresses},
};
use crate::{
    command_line::{Daemon, Workplace},
    harness::{
        events::SESSION_REVOKED,
        eventually,
        http_client::post,
        proxy::{ConnectionState, Proxy},
        redis::Redis,
        redis_cluster::RedisCluster,
        streams::{by_poll, push_to},
    },
    scripted_server::{Endpoint, Reply, Seen},
};

const EVENTS_KEY: &str = "ssf:events:default";
/// The highest number of SETs that arrive between two interruptions.
const ARRIVALS_BETWEEN: f64 = 150.0;

pub(super) struct System {
    place: Workplace,
    redis: Redis,
    /// The replica of that Redis, in a test that waits for it.
    replica: Option<Redis>,
    cluster: Option<RedisCluster>,
    environment: Environment,
    nodes: Vec<NodeProcess>,
    addresses: watch::Sender<Vec<Addresses>>,
    receiver: Arc<PushEndpoints>,
    endpoint: Endpoint,
    polled: Arc<Arrivals>,
    polling: JoinHandle<()>,
    refused: Arc<AtomicUsize>,
    publishing: Vec<(&'static str, JoinHandle<u64>)>,
    stop_publishing: watch::Sender<bool>,
}

/// One node. Most tests have only one.
struct NodeProcess {
    daemon: Option<Daemon>,
    /// The proxy on the connection to Redis, in a test that interrupts it.
    proxy: Option<Proxy>,
}

/// The environment that the daemons run in.
#[derive(Clone, Copy, PartialEq)]
enum Environment {
    Ordinary,
    /// A SET that was handed out by poll comes again only if its answer was lost, however busy the machine
    /// is.
    PatientPoll,
    /// The store is in the same Redis that publishers write to.
    RedisStore,
    /// The store is in the same Redis, and waits for its replica.
    ReplicatedStore,
    /// The store is in a Cluster. Publishers write to another Redis.
    ClusterStore,
    /// Three daemons share that one Redis, each through a proxy of its own.
    ThreeNodes,
    /// Three daemons share a store in a Cluster. Publishers write to another Redis.
    ThreeNodesOnCluster,
    /// No file can grow beyond one or two megabytes.
    SmallDisk,
    /// The clock of the daemon follows the file `clock`.
    OtherClock,
    /// Nothing can be written to the log.
    FullLog,
}

/// The push endpoints, one for each stream.
struct PushEndpoints {
    arrivals: Vec<Arrivals>,
    down: AtomicBool,
    refuses_every_tenth: AtomicBool,
}

impl PushEndpoints {
    fn new(streams: usize) -> Self {
        Self {
            arrivals: std::iter::repeat_with(Arrivals::default).take(streams).collect(),
            down: AtomicBool::new(false),
            refuses_every_tenth: AtomicBool::new(false),
        }
    }

    /// Answers the n-th request. `target` is the path of the stream, which is its number.
    fn answer(&self, n: usize, target: &str, jws: &str) -> Reply {
        if self.down.load(Ordering::SeqCst) {
            return Reply::Nothing;
        }
        if self.refuses_every_tenth.load(Ordering::SeqCst) && n.is_multiple_of(10) {
            return Reply::status(503);
        }
        let stream: usize = target[1..].parse().expect("the path is a number");
        self.arrivals[stream].add(jws);
        Reply::status(202)
    }
}

impl System {
    pub(super) async fn start() -> Self {
        Self::start_in(Environment::Ordinary, Workplace::new()).await
    }

    pub(super) async fn start_with_patient_poll() -> Self {
        Self::start_in(Environment::PatientPoll, Workplace::new()).await
    }

    pub(super) async fn start_on_redis() -> Self {
        Self::start_in(Environment::RedisStore, Workplace::new()).await
    }

    pub(super) async fn start_on_replicated_redis() -> Self {
        Self::start_in(Environment::ReplicatedStore, Workplace::new()).await
    }

    pub(super) async fn start_with_full_log() -> Self {
        Self::start_in(Environment::FullLog, Workplace::new()).await
    }

    pub(super) async fn start_on_cluster() -> Self {
        Self::start_in(Environment::ClusterStore, Workplace::new()).await
    }

    pub(super) async fn start_three_nodes() -> Self {
        Self::start_in(Environment::ThreeNodes, Workplace::new()).await
    }

    pub(super) async fn start_three_nodes_on_cluster() -> Self {
        Self::start_in(Environment::ThreeNodesOnCluster, Workplace::new()).await
    }

    pub(super) async fn start_with_small_disk() -> Self {
        Self::start_in(Environment::SmallDisk, Workplace::new()).await
    }

    /// Starts a daemon with another clock. `offset` is as in [`System::set_clock`].
    pub(super) async fn start_on_clock(offset: &str) -> Self {
        let place = Workplace::new();
        std::fs::write(place.path("clock"), offset).expect("written");
        Self::start_in(Environment::OtherClock, place).await
    }

    async fn start_in(environment: Environment, place: Workplace) -> Self {
        let is_replicated = environment == Environment::ReplicatedStore;
        let (redis, replica) = if is_replicated {
            let (primary, replica) = Redis::with_replica().await;
            (primary, Some(replica))
        } else {
            (Redis::with(&[]).await, None)
        };
        let cluster = match environment {
            Environment::ClusterStore => Some(RedisCluster::start(3, 0).await),
            Environment::ThreeNodesOnCluster => Some(RedisCluster::start(3, 1).await),
            _ => None,
        };
        let store = match environment {
            Environment::RedisStore
            | Environment::ReplicatedStore
            | Environment::ThreeNodes
            | Environment::ClusterStore
            | Environment::ThreeNodesOnCluster => {
                let replicas = u32::from(is_replicated);
                let (urls, topology) = match &cluster {
                    Some(cluster) => (cluster.urls(), "cluster"),
                    None => (vec![redis.url()], "standalone"),
                };
                // A node that was killed counts as alive until its lease expires, so the lease is
                // short.
                format!(
                    "store.backend = \"redis\"\nstore.redis.urls = {urls:?}\n\
                     store.redis.topology = {topology:?}\nstore.redis.checks = \"warn\"\n\
                     store.redis.response_timeout = \"1s\"\n\
                     store.redis.wait_replicas = {replicas}\nstore.redis.wait_timeout = \"200ms\"\n\
                     cluster.heartbeat = \"400ms\"\ncluster.lease_ttl = \"2s\"\n"
                )
            }
            _ => String::new(),
        };
        let redelivery = if environment == Environment::PatientPoll { "20s" } else { "1s" };
        place.configure(&format!(
            "{store}ingest.redis.url = {:?}\ningest.redis.reconnect_max = \"100ms\"\n\
             delivery.retry.schedule = [\"10ms\"]\npush.allow_networks = [\"127.0.0.0/8\"]\n\
             poll.redelivery_interval = {redelivery:?}\ndelivery.sweep_interval = \"100ms\"\n\
             delivery.breaker = {{ open_for = \"50ms\", open_for_max = \"100ms\" }}\n[providers.default]\ninsecure_endpoints = true\n",
            redis.url()
        ));
        place.create_store();
        let token = |holder: &[&str]| {
            let made = place.prints_json(&[&["tokens", "create", "--json"], holder].concat());
            made["token"].as_str().expect("a token").to_owned()
        };
        let (publisher, manager) =
            (token(&["publisher"]), token(&["receiver", "--receiver", "rx", "--audience", "rx"]));

        // Several nodes have several streams, so that each node delivers some of them.
        let (nodes, streams) = match environment {
            Environment::ThreeNodes | Environment::ThreeNodesOnCluster => (3, 9),
            _ => (1, 1),
        };
        let receiver = Arc::new(PushEndpoints::new(streams));
        let answering = Arc::clone(&receiver);
        let answer = move |n, seen: &Seen| answering.answer(n, &seen.target, seen.jws());
        let endpoint = Endpoint::start_plain(answer).await;

        let (addresses, known) = watch::channel(vec![Addresses::default(); nodes]);
        let daemons = traffic::Directory::new(known);
        let has_proxy = environment == Environment::ThreeNodes;
        let proxy = || has_proxy.then(|| Proxy::to(&redis.socket()));
        let nodes = (0..nodes).map(|_| NodeProcess { daemon: None, proxy: proxy() }).collect();
        let mut system = Self {
            place,
            redis,
            replica,
            cluster,
            environment,
            nodes,
            addresses,
            receiver,
            polled: Arc::default(),
            polling: spawn_local(async {}),
            refused: Arc::default(),
            publishing: Vec::new(),
            stop_publishing: watch::Sender::new(false),
            endpoint,
        };
        system.start_again().await;
        for stream in 0..streams {
            let endpoint = system.endpoint.url(&format!("/{stream}"));
            system.create_stream(&manager, push_to(&endpoint)).await;
        }
        let stream = system.create_stream(&manager, by_poll()).await;
        // The other nodes start after the streams exist, because a node reads all streams as it
        // starts.
        for node in 1..system.nodes.len() {
            system.start_node(node).await;
        }
        let polled = Arc::clone(&system.polled);
        system.polling = spawn_local(traffic::poll(daemons.clone(), manager, stream, polled));
        let stop = || system.stop_publishing.subscribe();
        let refused = Arc::clone(&system.refused);
        system.publishing = vec![
            (
                "redis",
                spawn_local(traffic::publish_to_redis(system.redis.url(), EVENTS_KEY, stop())),
            ),
            ("http", spawn_local(traffic::publish_over_http(daemons, publisher, refused, stop()))),
        ];
        system
    }

    async fn create_stream(&self, token: &str, delivery: Value) -> String {
        let url = format!("http://{}/ssf/streams", self.addresses.borrow()[0].public);
        let body = json!({"events_requested": [SESSION_REVOKED], "delivery": delivery});
        let stream = post(&url).bearer(token).json(&body).send().await.expect(201).json();
        stream["stream_id"].as_str().expect("a stream has an id").to_owned()
    }

    fn command(&self, node: usize) -> Command {
        let mut serve = self.place.ssfd(&["serve"]);
        if let Some(proxy) = &self.nodes[node].proxy {
            serve.env("SSFD_STORE__REDIS__URLS", proxy.url());
            serve.env("SSFD_INGEST__REDIS__URL", proxy.url());
        }
        match self.environment {
            Environment::Ordinary
            | Environment::PatientPoll
            | Environment::RedisStore
            | Environment::ReplicatedStore
            | Environment::ClusterStore
            | Environment::ThreeNodes
            | Environment::ThreeNodesOnCluster => {}
            Environment::SmallDisk => {
                // A write beyond the limit raises a signal. With the signal ignored, the write
                // fails like one on a full disk. The limit is soft, so that `prlimit` can lift it.
                let within = "trap '' XFSZ; ulimit -S -f 2000; exec \"$0\" serve";
                let ssfd = serve.get_program().to_owned();
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", within]).arg(ssfd);
                shell.current_dir(self.place.path("")).env_clear();
                shell.env("SSFD_CONFIG", "ssfd.toml").env("SSFD_PROCESS__LAME_DUCK", "0s");
                serve = shell;
            }
            // Addresses of its own, because no log tells them.
            Environment::FullLog => {
                let [public, internal] = [(); 2].map(|()| free_address());
                serve.env("SSFD_PUBLIC__LISTEN", public).env("SSFD_INTERNAL__LISTEN", internal);
            }
            Environment::OtherClock => {
                serve.env("LD_PRELOAD", clock_library());
                serve.env("FAKETIME_TIMESTAMP_FILE", self.place.path("clock"));
                serve.env("FAKETIME_NO_CACHE", "1");
                // An administrator who corrects the clock does not change the monotonic clock.
                serve.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
            }
        }
        serve
    }

    /// Starts the daemon and returns once it serves.
    pub(super) async fn start_again(&mut self) {
        self.start_node(0).await;
    }

    pub(super) async fn start_node(&mut self, node: usize) {
        let command = self.command(node);
        let (daemon, addresses) = if self.environment == Environment::FullLog {
            start_unheard(command).await
        } else {
            let started = spawn_blocking(move || {
                let mut daemon = Daemon::start(command);
                let (public, internal) = daemon.addresses();
                (daemon, Addresses { public, internal })
            });
            started.await.expect("the daemon starts")
        };
        self.addresses.send_modify(|all| all[node] = addresses);
        self.nodes[node].daemon = Some(daemon);
    }

    /// Ends the daemon at once (SIGKILL).
    pub(super) fn kill(&mut self) {
        self.kill_node(0);
    }

    pub(super) fn kill_node(&mut self, node: usize) {
        drop(self.nodes[node].daemon.take().expect("the daemon runs"));
    }

    /// Sends a signal to a node: `STOP` suspends it, `CONT` resumes it.
    pub(super) fn signal_node(&self, node: usize, name: &str) {
        self.nodes[node].daemon.as_ref().expect("the daemon runs").signal(name);
    }

    /// Stalls, cuts or restores the connection of a node to Redis.
    pub(super) fn set_connection(&self, node: usize, state: ConnectionState) {
        self.nodes[node].proxy.as_ref().expect("each node has a proxy").set(state);
    }

    /// Returns once `count` nodes hold a lease.
    pub(super) async fn wait_for_nodes(&self, count: usize) {
        eventually("the expected number of nodes hold a lease", async || {
            // An expired lease is removed by the next heartbeat of another node.
            let nodes = self.redis.try_run::<usize>(&["HLEN", "{ssf:cluster}:nodes"]).await;
            nodes.is_ok_and(|nodes| nodes == count)
        })
        .await;
    }

    /// Asks the daemon to stop (SIGTERM), and returns once it has ended.
    pub(super) async fn stop(&mut self) {
        self.stop_node(0).await;
    }

    pub(super) async fn stop_node(&mut self, node: usize) {
        let daemon = self.nodes[node].daemon.take().expect("the daemon runs");
        daemon.signal("TERM");
        let (code, lines) = spawn_blocking(|| daemon.ends()).await.expect("the daemon ends");
        assert_eq!(code, Some(0), "{lines:#?}");
    }

    /// Promotes a replica of the store by an orderly failover.
    pub(super) async fn fail_over_to(&self, replica: usize) {
        self.cluster.as_ref().expect("a Cluster").fail_over_to(replica).await;
    }

    pub(super) fn kill_redis(&mut self) {
        self.redis.kill();
    }

    pub(super) async fn start_redis(&mut self) {
        self.redis.start_again().await;
    }

    pub(super) fn kill_replica(&mut self) {
        self.replica.as_mut().expect("there is a replica").kill();
    }

    pub(super) async fn start_replica(&mut self) {
        self.replica.as_mut().expect("there is a replica").start_again().await;
    }

    /// Sets the memory that Redis may use, in bytes; 0 means no limit.
    pub(super) async fn limit_memory(&self, bytes: &str) {
        let () = self.redis.run(&["CONFIG", "SET", "maxmemory", bytes]).await;
    }

    pub(super) fn set_receiver_down(&self, down: bool) {
        self.receiver.down.store(down, Ordering::SeqCst);
    }

    pub(super) fn receiver_refuses_every_tenth(&self) {
        self.receiver.refuses_every_tenth.store(true, Ordering::SeqCst);
    }

    /// Sets the difference between the daemon's clock and the real one, such as `+2h` or `-10s`.
    pub(super) fn set_clock(&self, offset: &str) {
        std::fs::write(self.place.path("clock"), offset).expect("written");
    }

    pub(super) fn lift_the_disk_limit(&self) {
        let id = self.nodes[0].daemon.as_ref().expect("the daemon runs").id().to_string();
        let lifted = Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited"]).status();
        assert!(lifted.expect("prlimit of util-linux").success());
    }

    /// Returns once a random number of further SETs have arrived, possibly none.
    pub(super) async fn wait_for_arrivals(&self) {
        let pushed = || self.receiver.arrivals.iter().map(Arrivals::count).sum::<usize>();
        let arrived = || (pushed() + self.polled.count()) as u64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let enough = arrived() + (clock::dice() * ARRIVALS_BETWEEN) as u64;
        until_enough("SETs arrive", enough, arrived).await;
    }

    /// Returns once the daemon refuses events.
    pub(super) async fn wait_for_refusals(&self) {
        let refused = || self.refused.load(Ordering::SeqCst);
        eventually("the daemon refuses events", async || 10 < refused()).await;
    }

    /// Returns once the daemon has refused some further events.
    pub(super) async fn wait_for_more_refusals(&self) {
        let refused = || self.refused.load(Ordering::SeqCst);
        let enough = refused() + 3;
        eventually("the daemon refuses events", async || enough < refused()).await;
    }

    /// Returns once some further SETs were polled.
    pub(super) async fn wait_for_polls(&self) {
        let enough = self.polled.count() + 20;
        eventually("SETs are polled", async || enough < self.polled.count()).await;
    }

    /// Ends the traffic, waits until every accepted event has arrived, and stops the daemons.
    pub(super) async fn finish(mut self) -> Report {
        self.stop_publishing.send_replace(true);
        let mut accepted = Accepted::default();
        for (by, publishing) in std::mem::take(&mut self.publishing) {
            let count = publishing.await.expect("a publisher does not panic");
            accepted.0.insert(by.to_owned(), count);
        }
        for arrivals in self.receiver.arrivals.iter().chain([&*self.polled]) {
            let arrived = || arrivals.events();
            until_enough("every accepted event arrives", accepted.events(), arrived).await;
        }
        for node in 0..self.nodes.len() {
            self.stop_node(node).await;
        }
        self.polling.abort();
        let pushed = self.receiver.arrivals.iter().enumerate();
        let mut arrivals: Vec<_> =
            pushed.map(|(n, arrivals)| (format!("push {n}"), arrivals.taken())).collect();
        arrivals.push(("poll".to_owned(), self.polled.taken()));
        Report { accepted, arrivals }
    }
}

/// Returns once `count` has grown to `enough`. Panics only if it does not grow at all for as long as a test
/// waits, because a busy machine may take any time for all of it.
async fn until_enough(what: &str, enough: u64, count: impl Fn() -> u64) {
    while count() < enough {
        let before = count();
        eventually(what, async || before < count()).await;
    }
}

/// Starts a daemon whose log cannot be written, and returns once it listens.
async fn start_unheard(command: Command) -> (Daemon, Addresses) {
    let address = |name: &str| {
        let set = command.get_envs().find(|(variable, _)| *variable == name);
        let value = set.and_then(|(_, value)| value).expect("the command has an address");
        value.to_str().expect("text").to_owned()
    };
    let (public, internal) = (address("SSFD_PUBLIC__LISTEN"), address("SSFD_INTERNAL__LISTEN"));
    let full = File::options().write(true).open("/dev/full").expect("it opens");
    let daemon = Daemon::start_unheard(command, full.into());
    for address in [&public, &internal] {
        eventually("the daemon listens", async || TcpStream::connect(address).is_ok()).await;
    }
    (daemon, Addresses { public, internal })
}

fn free_address() -> String {
    let bound = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    bound.local_addr().expect("it is bound").to_string()
}

/// Returns the library that is loaded before the C library to give a process another clock.
fn clock_library() -> String {
    let shown = Command::new("faketime").args(["now", "sh", "-c", "echo \"$LD_PRELOAD\""]).output();
    let shown = shown.expect("the tests need the program faketime in the PATH");
    String::from_utf8(shown.stdout).expect("a path").trim().to_owned()
}
