//! Redis servers, and the ways to reach them: one server, one behind Sentinels, or a Cluster, with or
//! without TLS. The store uses this module, and so does the reader of what publishers write.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo, Pipeline, RedisFuture, RedisResult, TlsCertificates, TlsMode, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    io::tcp::TcpSettings,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::sync::Mutex;

use super::{error::CannotConnect, settings::Topology};

/// Where servers are, how to sign in to them, and how long they may take. The tables `store.redis` and
/// `ingest.redis` have these keys.
#[derive(Clone)]
pub struct ServerSettings {
    /// The table of the configuration that has these keys, and the key of the URLs, for errors.
    pub table: &'static str,
    pub urls_key: &'static str,
    pub urls: Vec<String>,
    pub topology: Topology,
    pub sentinel_primary: String,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub sentinel_username: Option<String>,
    pub sentinel_password_file: Option<PathBuf>,
    pub tls_ca: Option<PathBuf>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    /// How often the client of a Cluster repeats a command, and its wait before it does.
    pub retries: u32,
    pub retry_wait: Duration,
}

impl ServerSettings {
    /// Returns the first key with an invalid value, and the problem.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        let table = self.table;
        let check = |valid: bool, key, rule: &str| {
            if valid { Ok(()) } else { Err((key, rule.replace("{table}", table))) }
        };
        check(!self.urls.is_empty(), "urls", "must have at least one URL")?;
        let one = self.topology != Topology::Standalone || self.urls.len() == 1;
        check(one, "urls", "must be one URL, unless `topology` is `cluster` or `sentinel`")?;
        // Without a password nobody is signed in, and the server takes us for its default user.
        let named = self.username.is_none() || self.password_file.is_some();
        check(named, "username", "needs `{table}.password_file`")?;
        let named = self.sentinel_username.is_none() || self.sentinel_password_file.is_some();
        check(named, "sentinel_username", "needs `{table}.sentinel_password_file`")?;
        let pair = self.tls_certificate.is_some() == self.tls_key.is_some();
        check(pair, "tls_certificate", "and `{table}.tls_key` belong together")?;
        let bounded = !self.connect_timeout.is_zero() && !self.response_timeout.is_zero();
        check(bounded, "response_timeout", "and `{table}.connect_timeout` must be longer than 0")
    }
}

/// Where connections come from.
pub struct Servers {
    found: Found,
    connect_timeout: Duration,
    response_timeout: Duration,
}

enum Found {
    Standalone(redis::Client),
    /// The Sentinels are asked anew for each connection, because another server may be the primary now.
    Sentinels(Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

/// A connection to one server, or to all servers of a Cluster.
#[derive(Clone)]
pub enum Connection {
    One(MultiplexedConnection),
    /// The client opens a connection to each node, and replaces it by itself.
    Cluster(ClusterConnection),
}

impl Servers {
    /// Reads the files that the settings name. Opens no connection yet. `beyond` is added to the time in which
    /// a command is answered, for reads that wait.
    pub fn of(settings: &ServerSettings, beyond: Duration) -> Result<Self, CannotConnect> {
        let url_error = |error| CannotConnect::Url { key: settings.urls_key, source: error };
        let certificates = certificates(settings)?;
        let password = password(settings.password_file.as_deref())?;
        let mut urls = Vec::new();
        for url in &settings.urls {
            let url = url.as_str().into_connection_info().map_err(url_error)?;
            urls.push(url.set_tcp_settings(tcp(settings)));
        }
        let found = match settings.topology {
            Topology::Standalone => {
                let url = signed_in(urls.remove(0), settings.username.as_deref(), password);
                match certificates {
                    Some(certificates) if is_tls(&url) => {
                        redis::Client::build_with_tls(url, certificates)
                    }
                    _ => redis::Client::open(url),
                }
                .map(Found::Standalone)
            }
            Topology::Sentinel => sentinels(urls, settings, password, certificates)?
                .build()
                .map(|client| Found::Sentinels(Mutex::new(client))),
            Topology::Cluster => {
                let urls: Vec<_> = urls
                    .into_iter()
                    .map(|url| signed_in(url, settings.username.as_deref(), password.clone()))
                    .collect();
                cluster(urls, settings, beyond, certificates).build().map(Found::Cluster)
            }
        };
        let response_timeout = settings.response_timeout + beyond;
        let connect_timeout = settings.connect_timeout;
        Ok(Self { found: found.map_err(url_error)?, connect_timeout, response_timeout })
    }

    /// Opens a connection.
    pub async fn connect(&self) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout));
        match &self.found {
            Found::Standalone(client) => {
                let opening = client.get_multiplexed_async_connection_with_config(&config);
                opening.await.map(Connection::One)
            }
            Found::Sentinels(client) => {
                let mut client = client.lock().await;
                let opening = client.get_async_connection_with_config(&config);
                opening.await.map(Connection::One)
            }
            Found::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

fn sentinels(
    urls: Vec<ConnectionInfo>,
    settings: &ServerSettings,
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
        .map_err(|error| CannotConnect::Url { key: settings.urls_key, source: error })?
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
    settings: &ServerSettings,
    beyond: Duration,
    certificates: Option<TlsCertificates>,
) -> ClusterClientBuilder {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let tls = urls.iter().all(is_tls);
    // The times of the tries bound the time of a call as a whole.
    let tries = settings.retries + 1;
    let answered = settings.response_timeout + beyond;
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
fn tcp(settings: &ServerSettings) -> TcpSettings {
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

fn certificates(settings: &ServerSettings) -> Result<Option<TlsCertificates>, CannotConnect> {
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
