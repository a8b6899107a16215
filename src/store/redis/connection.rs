//! Connections to the servers. A connection is opened when it is needed, shared by concurrent calls, and
//! replaced when it breaks. Commands that block never use these connections.
//!
//! A command whose connection broke may have been executed all the same. The command is repeated, because
//! repeating any of our scripts is harmless (see [`script`](super::script)). A command that ran out of time
//! is not repeated, so that each call comes to an end.

use std::{fs, path::Path, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    FromRedisValue, IntoConnectionInfo, RedisError, RedisResult, ServerErrorKind, TlsCertificates,
    TlsMode, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    cluster_routing::{
        MultipleNodeRoutingInfo::AllMasters, Route, RoutingInfo, SingleNodeRoutingInfo,
        SlotAddr::Master,
    },
    io::tcp::TcpSettings,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::{runtime::Handle, sync::Mutex, time::sleep};

use super::{
    error::CannotConnect,
    settings::{RedisSettings, Topology},
    slot::Slot,
};
use crate::store::StoreError;

/// All connections of a store.
pub(super) struct Connections {
    lines: Vec<Mutex<Option<Opened>>>,
    servers: Arc<Servers>,
    settings: RedisSettings,
    /// The runtime that drives the connections, whichever call opened them.
    runtime: Handle,
}

/// Where connections come from.
enum Servers {
    Standalone(redis::Client),
    /// The Sentinels are asked anew for each connection, because another server may be the primary now.
    Sentinels(Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

#[derive(Clone)]
struct Opened {
    /// Tells a broken connection from its replacement.
    number: u64,
    connection: Connection,
}

#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    /// The client opens a connection to each node, and replaces it by itself.
    Cluster(ClusterConnection),
}

impl Connections {
    /// Opens no connection yet. Must be called within a runtime that outlives the connections.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, CannotConnect> {
        Ok(Self {
            lines: (0..settings.connections.get()).map(|_| Mutex::new(None)).collect(),
            servers: Arc::new(Servers::of(settings)?),
            settings: settings.clone(),
            runtime: Handle::current(),
        })
    }

    /// Sends a command about a slot. Commands about one slot keep their order.
    pub(super) async fn send(&self, slot: Slot, command: &Cmd) -> RedisResult<Value> {
        let line = &self.lines[slot.index() % self.lines.len()];
        let mut tries = 0;
        loop {
            let error = match self.try_once(line, command).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // The client of a Cluster repeats commands by itself.
            let over = self.settings.topology == Topology::Cluster || !passes(&error);
            if over || self.settings.retries <= tries {
                return Err(error);
            }
            tries += 1;
            sleep(self.settings.retry_wait).await;
        }
    }

    /// Waits until the configured number of replicas have all writes that were sent before to the node of
    /// this key.
    pub(super) async fn await_replicas(&self, slot: Slot, key: &[u8]) -> RedisResult<()> {
        let wanted = self.settings.wait_replicas;
        if wanted == 0 {
            return Ok(());
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(wanted).arg(self.settings.wait_timeout.as_millis().max(1).to_string());
        let line = &self.lines[slot.index() % self.lines.len()];
        // `WAIT` covers the writes of the same connection only.
        let reached = match &mut self.open(line).await?.connection {
            Connection::One(connection) => connection.req_packed_command(&wait).await?,
            Connection::Cluster(connection) => {
                let node = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, Master));
                connection.route_command(wait, RoutingInfo::SingleNode(node)).await?
            }
        };
        match reached {
            Value::Int(reached) if i64::from(wanted) <= reached => Ok(()),
            _ => Err((ErrorKind::Client, "too few replicas have the write").into()),
        }
    }

    /// Opens new connections for further calls. Calls that are under way keep theirs.
    pub(super) fn leave(&self) {
        for line in &self.lines {
            // A locked connection is being opened.
            if let Ok(mut line) = line.try_lock() {
                *line = None;
            }
        }
    }

    /// Opens a connection for reads that wait for as long as `block`.
    pub(super) async fn connect_apart(&self, block: Duration) -> Result<Connection, StoreError> {
        let mut settings = self.settings.clone();
        settings.response_timeout += block;
        Ok(Servers::of(&settings)?.connect(&settings).await?)
    }

    /// Sends a command to each server that is written to. Each answer comes with the server's
    /// address, if there are several.
    pub(super) async fn ask_each(&self, command: &Cmd) -> RedisResult<Vec<(String, Value)>> {
        match &mut self.open(&self.lines[0]).await?.connection {
            Connection::One(connection) => {
                let answer = connection.req_packed_command(command).await?;
                Ok(vec![(String::new(), answer.extract_error()?)])
            }
            Connection::Cluster(connection) => {
                let everywhere = RoutingInfo::MultiNode((AllMasters, None));
                let answers = connection.route_command(command.clone(), everywhere).await?;
                Ok(FromRedisValue::from_redis_value(answers)?)
            }
        }
    }

    async fn try_once(&self, line: &Mutex<Option<Opened>>, command: &Cmd) -> RedisResult<Value> {
        let Opened { number, connection } = self.open(line).await?;
        let answer = match connection {
            Connection::One(mut connection) => connection.req_packed_command(command).await,
            Connection::Cluster(mut connection) => connection.req_packed_command(command).await,
        };
        let answer = answer.and_then(Value::extract_error);
        // An answer may be missing because the connection is gone and nobody noticed.
        // The client of a Cluster replaces connections by itself, but may wait for itself in doing so.
        if let Err(error) = &answer
            && (error.is_timeout()
                || (self.settings.topology != Topology::Cluster
                    && (error.is_unrecoverable_error() || error.kind() == READ_ONLY)))
        {
            let mut line = line.lock().await;
            if line.as_ref().is_some_and(|opened| opened.number == number) {
                *line = None;
            }
        }
        answer
    }

    /// Returns the open connection of a line, or opens a new one. Other calls wait for it meanwhile.
    async fn open(&self, line: &Mutex<Option<Opened>>) -> RedisResult<Opened> {
        static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let mut line = line.lock().await;
        if let Some(opened) = &*line {
            return Ok(opened.clone());
        }
        let (servers, settings) = (Arc::clone(&self.servers), self.settings.clone());
        let opening = self.runtime.spawn(async move { servers.connect(&settings).await });
        let connection = opening.await.unwrap_or_else(|_| {
            Err((ErrorKind::Client, "the runtime of the connections has ended").into())
        })?;
        let number = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let opened = Opened { number, connection };
        *line = Some(opened.clone());
        Ok(opened)
    }
}

const READ_ONLY: ErrorKind = ErrorKind::Server(ServerErrorKind::ReadOnly);

/// Tells whether another try may succeed.
fn passes(error: &RedisError) -> bool {
    use ServerErrorKind::*;
    if error.is_timeout() {
        return false;
    }
    match error.kind() {
        ErrorKind::Io
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::Server(BusyLoading | TryAgain | ClusterDown | MasterDown | ReadOnly) => true,
        // Another client's script runs for too long.
        _ => error.code() == Some("BUSY"),
    }
}

impl Servers {
    fn of(settings: &RedisSettings) -> Result<Self, CannotConnect> {
        let certificates = certificates(settings)?;
        let password = password(settings.password_file.as_deref())?;
        let mut urls = Vec::new();
        for url in &settings.urls {
            let url = url.as_str().into_connection_info().map_err(CannotConnect::Url)?;
            urls.push(url.set_tcp_settings(tcp(settings)));
        }
        let servers = match settings.topology {
            Topology::Standalone => {
                let url = signed_in(urls.remove(0), settings.username.as_deref(), password);
                match certificates {
                    Some(certificates) if is_tls(&url) => {
                        redis::Client::build_with_tls(url, certificates)
                    }
                    _ => redis::Client::open(url),
                }
                .map(Self::Standalone)
            }
            Topology::Sentinel => sentinels(urls, settings, password, certificates)?
                .build()
                .map(|client| Self::Sentinels(Mutex::new(client))),
            Topology::Cluster => {
                let urls: Vec<_> = urls
                    .into_iter()
                    .map(|url| signed_in(url, settings.username.as_deref(), password.clone()))
                    .collect();
                cluster(urls, settings, certificates).build().map(Self::Cluster)
            }
        };
        servers.map_err(CannotConnect::Url)
    }

    async fn connect(&self, settings: &RedisSettings) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.connect_timeout))
            .set_response_timeout(Some(settings.response_timeout + settings.wait_timeout));
        match self {
            Self::Standalone(client) => {
                let opening = client.get_multiplexed_async_connection_with_config(&config);
                opening.await.map(Connection::One)
            }
            Self::Sentinels(client) => {
                let mut client = client.lock().await;
                let opening = client.get_async_connection_with_config(&config);
                opening.await.map(Connection::One)
            }
            Self::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

fn sentinels(
    urls: Vec<ConnectionInfo>,
    settings: &RedisSettings,
    password: Option<String>,
    certificates: Option<TlsCertificates>,
) -> Result<SentinelClientBuilder, CannotConnect> {
    let tls = urls.iter().all(is_tls);
    // The user in the URL is the user of the Sentinel that the URL names.
    let asked = urls[0].redis_settings().clone();
    let addresses = urls.into_iter().map(|url| url.addr().clone());
    let primary = settings.sentinel_primary.clone();
    let builder = SentinelClientBuilder::new(addresses, primary, SentinelServerType::Master);
    let mut builder = builder
        .map_err(CannotConnect::Url)?
        .set_client_to_redis_tcp_settings(tcp(settings))
        .set_client_to_sentinel_tcp_settings(tcp(settings));
    if tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(username) = &settings.username {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = password {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(username) = settings.sentinel_username.as_deref().or(asked.username()) {
        builder = builder.set_client_to_sentinel_username(username);
    }
    let of_file = self::password(settings.sentinel_password_file.as_deref())?;
    if let Some(password) = of_file.as_deref().or(asked.password()) {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if let Some(certificates) = certificates.filter(|_| tls) {
        builder = builder
            .set_client_to_sentinel_certificates(certificates.clone())
            .set_client_to_redis_certificates(certificates);
    }
    Ok(builder)
}

fn cluster(
    urls: Vec<ConnectionInfo>,
    settings: &RedisSettings,
    certificates: Option<TlsCertificates>,
) -> ClusterClientBuilder {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let tls = urls.iter().all(is_tls);
    // The times of the tries bound the time of a call as a whole.
    let tries = settings.retries + 1;
    let answered = settings.response_timeout + settings.wait_timeout;
    let mut builder = ClusterClient::builder(urls)
        .retries(settings.retries)
        .min_retry_wait(millis(settings.retry_wait))
        .max_retry_wait(millis(settings.retry_wait * 4))
        .tcp_settings(tcp(settings))
        .connection_timeout(settings.connect_timeout)
        .response_timeout(answered)
        .overall_response_timeout(Some((answered + settings.retry_wait * 4) * tries));
    if let Some(certificates) = certificates.filter(|_| tls) {
        builder = builder.certs(certificates);
    }
    builder
}

/// Sets the options of a socket. Without a delay, a small command does not wait for the answer to the one
/// before. The connection ends if the other side acknowledges nothing in time, as when its machine is gone.
fn tcp(settings: &RedisSettings) -> TcpSettings {
    TcpSettings::default().set_nodelay(true).set_user_timeout(settings.response_timeout)
}

fn is_tls(url: &ConnectionInfo) -> bool {
    matches!(url.addr(), ConnectionAddr::TcpTls { .. })
}

fn signed_in(
    url: ConnectionInfo,
    username: Option<&str>,
    password: Option<String>,
) -> ConnectionInfo {
    let mut redis = url.redis_settings().clone();
    if let Some(username) = username {
        redis = redis.set_username(username);
    }
    if let Some(password) = password {
        redis = redis.set_password(password);
    }
    url.set_redis_settings(redis)
}

fn password(file: Option<&Path>) -> Result<Option<String>, CannotConnect> {
    let Some(path) = file else { return Ok(None) };
    let text = String::from_utf8(read(path)?)
        .map_err(|_| CannotConnect::Unreadable(path.to_owned(), "not UTF-8".into()))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn certificates(settings: &RedisSettings) -> Result<Option<TlsCertificates>, CannotConnect> {
    let root_cert = settings.tls_ca.as_deref().map(read).transpose()?;
    let client_tls = match (&settings.tls_certificate, &settings.tls_key) {
        (Some(certificate), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
        }
        _ => None,
    };
    let any = root_cert.is_some() || client_tls.is_some();
    Ok(any.then_some(TlsCertificates { client_tls, root_cert }))
}

fn read(path: &Path) -> Result<Vec<u8>, CannotConnect> {
    fs::read(path).map_err(|error| CannotConnect::Unreadable(path.to_owned(), error.to_string()))
}
