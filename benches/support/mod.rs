//! What the benchmarks of delivery share: the daemon in a process of its own, and Receivers.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::{
    future::Future,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::{Value, json};
use ssfd::signing::{algorithm::Algorithm, generate::generate};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::spawn_local};

/// What the events of the benchmarks are.
pub(crate) const TYPE: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// Runs on one thread, which is not the daemon's.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), future)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Accepts,
    NeverAnswers,
    Fails,
    Closes,
}

impl Health {
    pub(crate) const ALL: [Self; 4] =
        [Self::Accepts, Self::NeverAnswers, Self::Fails, Self::Closes];
}

/// A push endpoint on a port of its own, whose health can be changed.
pub(crate) struct Receiver {
    pub(crate) endpoint: String,
    health: Arc<AtomicU8>,
}

impl Receiver {
    /// `accepted` is called with the payload of the event of each SET that is accepted.
    pub(crate) async fn start(health: Health, accepted: impl Fn(Value) + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}/", listener.local_addr().expect("it is bound"));
        let receiver = Self { endpoint, health: Arc::new(AtomicU8::new(health as u8)) };
        let (health, accepted) = (Arc::clone(&receiver.health), Arc::new(accepted));
        spawn_local(async move {
            while let Ok((connection, _)) = listener.accept().await {
                connection.set_nodelay(true).ok();
                let (health, accepted) = (Arc::clone(&health), Arc::clone(&accepted));
                let service = service_fn(move |request| {
                    let health = Health::ALL[usize::from(health.load(Ordering::Relaxed))];
                    answer(health, request, Arc::clone(&accepted))
                });
                let serving = http1::Builder::new();
                let serving = serving.serve_connection(TokioIo::new(connection), service);
                // A connection that breaks off is what a sick Receiver does.
                spawn_local(async { serving.await.ok() });
            }
        });
        receiver
    }

    pub(crate) fn become_such(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }
}

async fn answer(
    health: Health,
    request: Request<Incoming>,
    accepted: Arc<impl Fn(Value)>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut response = Response::new(Full::default());
    match health {
        Health::Accepts => {
            accepted(payload(&body));
            *response.status_mut() = StatusCode::ACCEPTED;
        }
        Health::Fails => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        Health::Closes => return Err(std::io::ErrorKind::ConnectionReset.into()),
        Health::NeverAnswers => std::future::pending().await,
    }
    Ok(response)
}

/// The payload of a SET's event.
fn payload(set: &[u8]) -> Value {
    let claims = set.split(|b| *b == b'.').nth(1).expect("a compact JWS has three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let mut claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["events"][TYPE].take()
}

/// `ssfd serve` in a folder of its own; ended with this.
pub(crate) struct Daemon {
    process: Child,
    public: String,
    internal: String,
    manager: String,
    publisher: String,
    client: Client<HttpConnector, Full<Bytes>>,
    _folder: TempDir,
}

impl Daemon {
    /// `settings` are lines of TOML that go first.
    pub(crate) fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        configure(folder.path(), settings);
        let token = |holder: &[&str]| {
            let create = [&["tokens", "create", "--json"], holder].concat();
            let made = ssfd(folder.path(), &create).output().expect("it runs").stdout;
            let made: Value = serde_json::from_slice(&made).expect("JSON");
            made["token"].as_str().expect("a token").to_owned()
        };
        let manager = token(&["receiver", "--receiver", "rx", "--audience", "rx"]);
        let publisher = token(&["publisher"]);
        let mut serve = ssfd(folder.path(), &["serve"]);
        let mut process = serve.stderr(Stdio::piped()).spawn().expect("ssfd");
        let mut log = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let serving = log.find_map(|line| {
            let line: Value = serde_json::from_str(&line.ok()?).ok()?;
            (line["message"] == "serving").then_some(line)
        });
        let serving = serving.expect("it serves");
        // What it says of sick Receivers has to go somewhere.
        std::thread::spawn(move || log.for_each(drop));
        let address = |name: &str| serving[name].as_str().expect("an address").to_owned();
        let (public, internal) = (address("public"), address("internal"));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { process, public, internal, manager, publisher, client, _folder: folder }
    }

    /// Creates a push stream to this endpoint.
    pub(crate) async fn push_to(&self, endpoint: &str) {
        let delivery = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": endpoint});
        let stream = json!({"events_requested": [TYPE], "delivery": delivery});
        let status = self.post(&self.public, "/ssf/streams", &self.manager, &stream).await;
        assert_eq!(status, StatusCode::CREATED);
    }

    /// Publishes an event about a subject; returns once it is accepted.
    pub(crate) async fn publish(&self, subject: &str, payload: Value) {
        let subject = json!({"format": "opaque", "id": subject});
        let event = json!({"type": TYPE, "sub_id": subject, "event": payload});
        let status = self.post(&self.internal, "/events", &self.publisher, &event).await;
        assert_eq!(status, StatusCode::ACCEPTED);
    }

    /// What the process holds in memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")).expect("what Linux says");
        kib.trim().parse::<u64>().expect("a number") * 1024
    }

    async fn post(&self, address: &str, path: &str, token: &str, body: &Value) -> StatusCode {
        let request = Request::post(format!("http://{address}{path}"))
            .header("authorization", format!("Bearer {token}"))
            .body(Full::from(body.to_string()))
            .expect("a request");
        let answer = self.client.request(request).await.expect("the daemon answers");
        let status = answer.status();
        answer.into_body().collect().await.expect("a whole body");
        status
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn configure(folder: &Path, settings: &str) {
    let key = generate(Algorithm::Es256).expect("a key");
    std::fs::create_dir(folder.join("keys")).expect("a folder");
    std::fs::write(folder.join("keys/default.pem"), key).expect("written");
    let settings = format!(
        "{settings}\npublic.listen = \"127.0.0.1:0\"\ninternal.listen = \"127.0.0.1:0\"\n\
         push.allow_networks = [\"127.0.0.0/8\"]\nproviders.default.insecure_endpoints = true\n"
    );
    std::fs::write(folder.join("ssfd.toml"), settings).expect("written");
}

fn ssfd(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssfd"));
    command.args(args).current_dir(folder).env("SSFD_CONFIG", "ssfd.toml");
    command.stdin(Stdio::null());
    command
}
