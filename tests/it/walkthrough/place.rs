//! A folder in which scripts run, with a Redis and ports of its own.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use ssfd::cli::receive::certificate::make_certificate;
use tempfile::TempDir;

use crate::harness::redis::Redis;

/// The longest time that one script may take, in seconds.
const SECS_MAX: u32 = 300;

/// A folder, a Redis, and ports that take the place of the usual ones.
pub(super) struct Place {
    folder: TempDir,
    _redis: Redis,
    pub(super) public: u16,
    pub(super) internal: u16,
    /// The port of a push Receiver, or of a proxy.
    pub(super) other: u16,
    redis_port: u16,
}

impl Place {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bound = [(); 4].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
        let [public, internal, other, redis_port] =
            bound.map(|bound| bound.local_addr().expect("it is bound").port());
        let port = redis_port.to_string();
        let redis = Redis::with(&["--bind", "127.0.0.1", "--port", &port]).await;
        Self { folder, _redis: redis, public, internal, other, redis_port }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the folder as a text.
    pub(super) fn root(&self) -> &str {
        self.folder.path().to_str().expect("UTF-8")
    }

    pub(super) fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.redis_port)
    }

    /// Writes a certificate for `localhost` and its authority: `<name>.pem`, `<name>.key` and `roots.pem`.
    pub(super) fn certify(&self, name: &str) {
        let made = make_certificate(&["localhost"]).expect("a certificate");
        let write = |file: String, text: &str| {
            let file = self.path(&file);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, text).expect("written");
        };
        write(format!("{name}.pem"), &made.certificate_pem);
        write(format!("{name}.key"), &made.key_pem);
        write("roots.pem".to_owned(), &made.authority_pem);
    }

    /// Replaces the usual addresses of Redis and of the listeners.
    pub(super) fn with_own_addresses(&self, text: &str) -> String {
        text.replace("redis://127.0.0.1:6379", &self.redis_url())
            .replace("redis://redis-1.example:6379", &self.redis_url())
            .replace("redis-cli ", &format!("redis-cli -p {} ", self.redis_port))
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", self.public))
            .replace("127.0.0.1:9090", &format!("127.0.0.1:{}", self.internal))
    }

    /// Runs a script with nothing in its environment but these variables, and returns its standard
    /// output. A script that fails or takes too long is a failure of the test.
    pub(super) async fn run(&self, script: String, variables: &[(&str, String)]) -> String {
        let folder = self.folder.path().to_owned();
        let program = Path::new(env!("CARGO_BIN_EXE_ssfd")).parent().expect("a folder");
        // Debian keeps nginx where not every user looks for programs.
        let usual = std::env::var("PATH").expect("a PATH");
        let path = format!("{}/usr/bin:{}:{usual}:/usr/sbin", self.root(), program.display());
        let mut command = Command::new("timeout");
        command.args([&SECS_MAX.to_string(), "bash", "-c", &script]).current_dir(folder);
        command.env_clear().env("PATH", path).stdin(Stdio::null());
        // Nobody waits for load balancers here.
        command.env("SSFD_PROCESS__LAME_DUCK", "0s");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let run = move || -> Output { command.output().expect("bash runs") };
        let output = tokio::task::spawn_blocking(run).await.expect("no panic");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        let log = fs::read_to_string(self.path("daemon.log")).unwrap_or_default();
        assert!(output.status.success(), "{}\n{script}\n{said}\n{errors}\n{log}", output.status);
        said
    }
}
