//! A Redis server that speaks TLS, with a certificate that signs itself, and has a user with a password.

use std::{fs, net::TcpListener, path::PathBuf};

use tempfile::TempDir;

use super::redis::Redis;

/// The server. Clients with TLS sign in as `ssfd`, and the tests use its socket.
pub(crate) struct GuardedRedis {
    folder: TempDir,
    pub(crate) redis: Redis,
    port: u16,
}

impl GuardedRedis {
    /// `allowed` are the permissions of the user, and `asks` says whether clients have to show a
    /// certificate too.
    pub(crate) async fn start(allowed: &str, asks: bool) -> Self {
        let folder = TempDir::new().expect("a folder");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
        fs::write(path("certificate.pem"), made.cert.pem()).expect("written");
        fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("written");
        fs::write(path("password"), "hunter2\n").expect("written");
        let (certificate, key, port) = (path("certificate.pem"), path("key.pem"), free_port());
        let redis = Redis::with(&[
            "--tls-port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &certificate,
            "--tls-auth-clients",
            if asks { "yes" } else { "no" },
        ])
        .await;
        let words: Vec<_> = allowed.split_whitespace().collect();
        let user = [&["ACL", "SETUSER", "ssfd", "on", ">hunter2"], &words[..]].concat();
        let () = redis.run(&user).await;
        Self { folder, redis, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("rediss://localhost:{}", self.port)
    }

    /// Returns the path of `certificate.pem`, `key.pem` or `password`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn free_port() -> u16 {
    let bound = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    bound.local_addr().expect("it is bound").port()
}
