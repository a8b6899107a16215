//! The daemon behind the reverse proxies that operators put in front of it: nginx and haproxy, as the
//! distribution packages them.
//!
//! [`the_defaults_suit_the_proxies`] holds the defaults of the daemon to the usual times of proxies. Other
//! tests run both with shorter times, so that they take seconds.

use std::{
    fs::{self, File},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use ssfd::{clock, config::Config};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};

use crate::harness::{
    daemon::Daemon,
    eventually,
    polling::{poll_now, subjects},
    setup::Setup,
};

/// `timeout server` of haproxy in many configurations, and the limit of HTTP clients of Receivers.
const PROXY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long nginx keeps a connection to a server without a request.
const PROXY_KEEP_ALIVE: Duration = Duration::from_mins(1);

/// The time that the network and two busy machines may take.
const MARGIN: Duration = Duration::from_secs(5);

/// A proxy in front of a daemon. Dropping it ends it.
pub(crate) struct Proxy {
    folder: TempDir,
    port: u16,
    process: Child,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Nginx,
    Haproxy,
}

/// The times of a proxy.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// How long the proxy waits for an answer.
    timeout: Duration,
    /// How long it keeps a connection without a request.
    keep_alive: Duration,
}

const USUAL: Times = Times { timeout: PROXY_TIMEOUT, keep_alive: PROXY_KEEP_ALIVE };

const KINDS: [Kind; 2] = [Kind::Nginx, Kind::Haproxy];

impl Drop for Proxy {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Kind {
    /// Returns the name of the program, and its arguments.
    fn command(self, folder: &str) -> (&'static str, Vec<String>) {
        let file = format!("{folder}/proxy.conf");
        match self {
            Self::Nginx => {
                ("nginx", ["-p", folder, "-e", "stderr", "-c", &file].map(str::to_owned).to_vec())
            }
            Self::Haproxy => ("haproxy", ["-db", "-f", &file].map(str::to_owned).to_vec()),
        }
    }

    /// Configures nothing but what is needed, and the times.
    fn configuration(self, folder: &str, port: u16, server: &str, times: Times) -> String {
        let template = match self {
            Self::Nginx => include_str!("../data/proxies/nginx.conf"),
            Self::Haproxy => include_str!("../data/proxies/haproxy.conf"),
        };
        let millis = |time: Duration| time.as_millis().to_string();
        [
            ("FOLDER", folder.to_owned()),
            ("PORT", port.to_string()),
            ("SERVER", server.to_owned()),
            ("TIMEOUT", millis(times.timeout)),
            ("KEEP_ALIVE", millis(times.keep_alive)),
        ]
        .iter()
        .fold(template.to_owned(), |text, (word, value)| text.replace(word, value))
    }

    async fn start(self, setup: &Setup, times: Times) -> Proxy {
        self.start_with(&setup.daemon, times, "").await
    }

    /// Starts a proxy with further locations, in the words of nginx.
    async fn start_with(self, daemon: &Daemon, times: Times, locations: &str) -> Proxy {
        let folder = tempfile::tempdir().expect("a folder for a proxy");
        let path = folder.path().display().to_string();
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = port.expect("a free port").port();
        let server = daemon.public_url("").replace("http://", "");
        let configuration = self.configuration(&path, port, &server, times);
        let configuration = configuration.replace("LOCATIONS", locations);
        fs::write(folder.path().join("proxy.conf"), configuration).expect("written");
        let (program, arguments) = self.command(&path);
        let log = || File::create(folder.path().join("log")).expect("a log");
        // Debian keeps both where not every user looks for programs.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let process = Command::new(program)
            .args(arguments)
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .unwrap_or_else(|error| panic!("the tests need the program {program}: {error}"));
        let mut proxy = Proxy { folder, port, process };
        eventually(&format!("{self:?} answers"), async || {
            if let Some(status) = proxy.process.try_wait().expect("a child of ours") {
                let log = fs::read_to_string(proxy.folder.path().join("log")).unwrap_or_default();
                panic!("{self:?} ended with {status}:\n{log}");
            }
            TcpStream::connect(("127.0.0.1", proxy.port)).await.is_ok()
        })
        .await;
        proxy
    }
}

impl Proxy {
    /// Starts nginx with these locations.
    pub(crate) async fn nginx(daemon: &Daemon, locations: &str) -> Self {
        Kind::Nginx.start_with(daemon, USUAL, locations).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// Gives each SET to one poll.
fn handed_out_once(config: &mut Config) {
    config.poll.redelivery_interval = Duration::from_hours(1);
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// Polls through a proxy, on a connection to it that is kept open.
async fn poll(
    setup: &Setup,
    proxy: &Proxy,
    client: &HttpClient,
    body: &str,
) -> (StatusCode, String) {
    let url = setup.daemon.provider_url(setup.daemon.provider(), "/ssf/poll/");
    let path = url::Url::parse(&url).expect("an URL").path().to_owned();
    let request = Request::post(format!("http://127.0.0.1:{}{path}{}", proxy.port, setup.stream))
        .header("authorization", format!("Bearer {}", setup.token))
        .body(Full::from(body.to_owned()))
        .expect("a request");
    let (head, body) = client.request(request).await.expect("the proxy answers").into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    (head.status, String::from_utf8_lossy(&body).into_owned())
}

fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

#[test]
fn the_defaults_suit_the_proxies() {
    let config = Config::default();
    let (wait, idle) = (config.poll.wait, config.public.connections.idle_timeout);
    assert!(wait + MARGIN <= PROXY_TIMEOUT, "a long poll outlasts proxies and Receivers: {wait:?}");
    assert!(PROXY_KEEP_ALIVE + MARGIN <= idle, "proxies keep connections for longer: {idle:?}");
}

/// The proxy would answer 504. The times are shorter than the usual ones, and further apart, so that a busy
/// machine passes.
#[actix_web::test]
async fn a_long_poll_without_a_set_is_answered_before_the_proxy_gives_up() {
    let wait = Config::default().poll.wait / 25;
    let setup = Setup::polling_with(|config| config.poll.wait = wait).await;
    let behind = async |kind: Kind| {
        let proxy = kind.start(&setup, Times { timeout: PROXY_TIMEOUT / 5, ..USUAL }).await;
        let began = clock::instant();
        let answer = poll(&setup, &proxy, &client(), "{}").await;
        assert_eq!(answer, (StatusCode::OK, r#"{"sets":{}}"#.to_owned()), "{kind:?}");
        assert!(wait <= began.elapsed(), "{kind:?}: it did not wait");
    };
    join_all(KINDS.map(behind)).await;
}

/// The proxy would answer 502 if the daemon closed a connection just when the proxy sends a request. A poll
/// is a POST, and so no proxy repeats it. The proxy keeps connections for a shorter time than usual, so that
/// the test takes seconds.
#[actix_web::test]
async fn a_connection_that_a_proxy_keeps_is_not_closed_under_a_request() {
    const LANES: u32 = 12;
    let keep_alive = PROXY_KEEP_ALIVE / 60;
    let setup = Setup::polling_with(|_| {}).await;
    let behind = async |kind: Kind| {
        let proxy = kind.start(&setup, Times { keep_alive, ..USUAL }).await;
        // The pauses lie around the time for which the proxy keeps a connection.
        let lane = async |n: u32| {
            let client = client();
            for pause in [keep_alive * (80 + 4 * n) / 100, Duration::ZERO] {
                let now = r#"{"returnImmediately": true}"#;
                let answer = poll(&setup, &proxy, &client, now).await;
                assert_eq!(answer, (StatusCode::OK, r#"{"sets":{}}"#.to_owned()), "{kind:?}");
                sleep(pause).await;
            }
        };
        join_all((0..LANES).map(lane)).await;
    };
    join_all(KINDS.map(behind)).await;
}

/// nginx closes its connection to the daemon when the client closes its own. haproxy does so with
/// `option abortonclose`.
#[actix_web::test]
async fn a_poll_that_was_abandoned_behind_a_proxy_takes_nothing() {
    let setup = Setup::polling_with(|config| {
        handed_out_once(config);
        config.poll.wait = Duration::from_mins(5);
    })
    .await;
    let proxy = Kind::Nginx.start(&setup, USUAL).await;
    let mut connection = TcpStream::connect(("127.0.0.1", proxy.port)).await.expect("it listens");
    let url = setup.daemon.provider_url(setup.daemon.provider(), "/ssf/poll/") + &setup.stream;
    let path = url::Url::parse(&url).expect("an URL").path().to_owned();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-length: 2\r\n\r\n{{}}",
        setup.token
    );
    connection.write_all(request.as_bytes()).await.expect("it reads");
    let waiting = async || setup.shown().await["polling"]["long_polls"].as_u64().expect("a number");
    eventually("the poll waits", async || waiting().await == 1).await;
    drop(connection);
    eventually("the poll is noticed to be abandoned", async || waiting().await == 0).await;
    setup.publish(&["s-1"]).await;
    assert_eq!(subjects(&poll_now(&setup, json!({})).await), ["s-1"]);
}
