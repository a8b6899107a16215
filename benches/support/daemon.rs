//! `ssfd serve` in a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use ssfd::signing::{algorithm::Algorithm, generate::generate};
use tempfile::TempDir;

use super::{TYPE, now_micros, usage};

/// The folder of a daemon that is not started yet, with its configuration, its key and its store.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// Creates the folder. `settings` are lines of TOML that come first in the configuration.
    /// Endpoints on this machine are allowed, over plain HTTP too.
    pub(crate) fn new(algorithm: Algorithm, settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = generate(algorithm).expect("a key");
        std::fs::create_dir(folder.path().join("keys")).expect("a folder");
        std::fs::write(folder.path().join("keys/default.pem"), key).expect("written");
        let settings = format!(
            "{settings}\npublic.listen = \"127.0.0.1:0\"\ninternal.listen = \"127.0.0.1:0\"\n\
             push.allow_networks = [\"127.0.0.0/8\"]\nproviders.default.insecure_endpoints = true\n"
        );
        std::fs::write(folder.path().join("ssfd.toml"), settings).expect("written");
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn ssfd(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ssfd"));
        command.args(args).current_dir(self.path()).env("SSFD_CONFIG", "ssfd.toml");
        command.stdin(Stdio::null());
        command
    }

    /// Creates an access token.
    fn token(&self, holder: &[&str]) -> String {
        let create = [&["tokens", "create", "--json"], holder].concat();
        let made = self.ssfd(&create).output().expect("it runs").stdout;
        let made: Value = serde_json::from_slice(&made).expect("JSON");
        made["token"].as_str().expect("a token").to_owned()
    }
}

/// `ssfd serve` in its own folder. Dropping it ends the process.
pub(crate) struct Daemon {
    process: Child,
    public: String,
    internal: String,
    manager: String,
    publisher: String,
    client: Client<HttpConnector, Full<Bytes>>,
    spawned: u64,
    _folder: Folder,
}

impl Daemon {
    /// Starts a daemon. `settings` are lines of TOML that come first in the configuration.
    pub(crate) fn start(settings: &str) -> Self {
        Self::start_in(Folder::new(Algorithm::Es256, settings))
    }

    /// Starts a daemon in this folder and returns once it serves.
    pub(crate) fn start_in(folder: Folder) -> Self {
        let mut serve = folder.ssfd(&["serve"]);
        let spawned = now_micros();
        let mut process = serve.stderr(Stdio::piped()).spawn().expect("ssfd");
        let mut log = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let serving = log.find_map(|line| {
            let line: Value = serde_json::from_str(&line.ok()?).ok()?;
            (line["message"] == "serving").then_some(line)
        });
        let serving = serving.expect("it serves");
        // The log must be read, or the daemon would block once the pipe is full.
        std::thread::spawn(move || log.for_each(drop));
        let address = |name: &str| serving[name].as_str().expect("an address").to_owned();
        let (public, internal) = (address("public"), address("internal"));
        let client = Client::builder(TokioExecutor::new()).build_http();
        // The daemon has created the store.
        let manager = folder.token(&["receiver", "--receiver", "rx", "--audience", "rx"]);
        let publisher = folder.token(&["publisher"]);
        Self { process, public, internal, manager, publisher, client, spawned, _folder: folder }
    }

    /// Creates a push stream to this endpoint.
    pub(crate) async fn push_to(&self, endpoint: &str) {
        let delivery = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": endpoint});
        let stream = json!({"events_requested": [TYPE], "delivery": delivery});
        let status = self.post(&self.public, "/ssf/streams", &self.manager, &stream).await;
        assert_eq!(status, StatusCode::CREATED);
    }

    /// Publishes an event about a subject and returns once it is accepted.
    pub(crate) async fn publish(&self, subject: &str, payload: Value) {
        let subject = json!({"format": "opaque", "id": subject});
        let event = json!({"type": TYPE, "sub_id": subject, "event": payload});
        let status = self.post(&self.internal, "/events", &self.publisher, &event).await;
        assert_eq!(status, StatusCode::ACCEPTED);
    }

    /// Returns the time at which the process was started, in microseconds since 1970.
    pub(crate) fn spawned(&self) -> u64 {
        self.spawned
    }

    /// Returns the address of the listener for Receivers.
    pub(crate) fn public(&self) -> &str {
        &self.public
    }

    /// Returns the token of the Receiver `rx`.
    pub(crate) fn manager(&self) -> &str {
        &self.manager
    }

    /// Returns the id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns the resident memory of the process, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        usage::resident(self.pid())
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
