//! Sockets that a service manager holds and hands over: the daemon may stop, die and start again, and no
//! sender meets a closed port.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixListener},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::{
    logout,
    process::{PolledStream, addresses, workplace, write_request},
};
use crate::{
    command_line::{Daemon, Workplace, ask},
    harness::{DEADLINE, eventually},
};

/// Returns the command that serves with a socket as its descriptor 3, as `sd_listen_fds(3)` says. A program can
/// give a child its standard input alone, so a shell puts the socket in its place, and names itself before it
/// becomes the daemon.
fn serve_with(place: &Workplace, socket: impl Into<OwnedFd>, name: &str) -> Command {
    let ssfd = place.ssfd(&["serve"]);
    let script = "exec 3<&0 0</dev/null; export LISTEN_PID=$$; exec \"$@\"";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script, "sh"]).arg(ssfd.get_program()).args(ssfd.get_args());
    shell.env_clear().current_dir(ssfd.get_current_dir().expect("the working directory"));
    let variables = ssfd.get_envs().filter_map(|(name, value)| Some((name, value?)));
    shell.envs(variables).env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
    shell.stdin(Stdio::from(socket.into()));
    shell
}

fn bound() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

/// A sender that repeats a record until it is taken in, as the senders of webhooks do.
struct Sender {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    taken_in: AtomicUsize,
    /// Connections that ended before the answer.
    broken: AtomicUsize,
    /// Answers after which the connection stays open.
    kept: AtomicUsize,
}

impl Sender {
    fn start(self, thread: usize, keeps: bool, enough: Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
        thread::spawn(move || {
            let (mut sent, mut connection) = (Vec::new(), None);
            while !enough.load(Ordering::SeqCst) {
                let id = format!("{thread}-{}", sent.len());
                while !self.send(&id, &mut connection) {}
                if !keeps {
                    connection = None;
                }
                sent.push(id);
            }
            sent
        })
    }

    /// Sends a record, on the connection that is open or on a new one. Returns whether it was taken in.
    fn send(&self, id: &str, connection: &mut Option<TcpStream>) -> bool {
        let is_reused = connection.is_some();
        let mut open = connection.take().unwrap_or_else(|| {
            let open = TcpStream::connect(self.address).expect("the port is never closed");
            open.set_read_timeout(Some(DEADLINE)).expect("not zero");
            open
        });
        let written = write_request(&mut open, &logout(id, id));
        match written.and_then(|()| read_answer(&mut open)) {
            Ok((200, closes)) => {
                self.counts.taken_in.fetch_add(1, Ordering::SeqCst);
                if !closes {
                    self.counts.kept.fetch_add(1, Ordering::SeqCst);
                    *connection = Some(open);
                }
                true
            }
            Ok((503, _)) => false,
            Ok((status, _)) => panic!("{status}"),
            Err(error) => {
                let timed_out = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
                assert!(!timed_out.contains(&error.kind()), "no answer in time");
                // An idle connection may be closed at any time (RFC 9112 §9.5).
                self.counts.broken.fetch_add(usize::from(!is_reused), Ordering::SeqCst);
                false
            }
        }
    }
}

/// Reads the status of an answer without a body, and whether it closes the connection.
fn read_answer(connection: &mut TcpStream) -> std::io::Result<(u16, bool)> {
    let mut head = String::new();
    let mut lines = BufReader::with_capacity(1, connection);
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let closes = head.to_ascii_lowercase().contains("connection: close");
    Ok((status.expect("a status"), closes))
}

#[actix_web::test]
async fn a_daemon_that_is_stopped_killed_and_started_again_loses_and_refuses_no_webhook() {
    const SENDERS: usize = 4;
    let place = workplace();
    let (socket, address) = bound();
    let serve = || {
        let socket = socket.try_clone().expect("a socket of ours");
        Daemon::start(serve_with(&place, socket, "sources"))
    };
    let mut daemon = serve();
    let at = addresses(&mut daemon);
    assert_eq!(at.sources, address.to_string());
    let stream = PolledStream::create(&place, &at.public);

    let (counts, enough) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..=SENDERS)
        .map(|thread| {
            let sender = Sender { address, counts: Arc::clone(&counts) };
            // The last one keeps its connection open.
            sender.start(thread, thread == SENDERS, Arc::clone(&enough))
        })
        .collect();
    let taken_in = || counts.taken_in.load(Ordering::SeqCst);
    let some_more = async || {
        let before = taken_in();
        eventually("records are taken in", async || before + 20 < taken_in()).await;
    };
    some_more().await;
    daemon.signal("TERM");
    let (code, lines) = daemon.ends();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert_eq!(counts.broken.load(Ordering::SeqCst), 0, "a stop breaks no connection");
    assert!(0 < counts.kept.load(Ordering::SeqCst), "connections are kept");
    // Nobody listens now, and the senders wait.
    let waiting = taken_in();
    let mut daemon = serve();
    addresses(&mut daemon);
    some_more().await;
    assert!(waiting < taken_in());
    daemon.signal("KILL");
    daemon.ends();

    let mut daemon = serve();
    let at = addresses(&mut daemon);
    some_more().await;
    enough.store(true, Ordering::SeqCst);
    let sent: Vec<_> = senders
        .into_iter()
        .flat_map(|sender| sender.join().expect("no sender was refused"))
        .collect();
    let (mut arrived, mut acks) = (BTreeMap::<String, usize>::new(), Vec::new());
    loop {
        let sets = stream.poll(&at.public, &acks);
        if sets.is_empty() {
            break;
        }
        acks = sets.iter().map(|(jti, _)| jti.clone()).collect();
        for (_, claims) in sets {
            let user = claims["sub_id"]["user"]["id"].as_str().expect("an id").to_owned();
            *arrived.entry(user).or_default() += 1;
        }
    }
    assert_eq!(arrived, sent.into_iter().map(|id| (id, 1)).collect());
}

#[test]
fn a_socket_of_each_listener_is_taken_by_its_name() {
    for (name, request, status) in [
        ("public", "GET /.well-known/ssf-configuration", 200),
        ("internal", "GET /healthz", 200),
        ("sources", "POST /in/default/kc", 401),
    ] {
        let place = workplace();
        let (socket, address) = bound();
        let mut daemon = Daemon::start(serve_with(&place, socket, name));
        let serving = daemon.logs("serving");
        assert_eq!(serving[name], address.to_string(), "{serving}");
        assert_eq!(ask(&address.to_string(), request, None, "{}").0, status, "{name}");
        daemon.signal("TERM");
        assert_eq!(daemon.ends().0, Some(0), "{name}");
    }
}

/// Checks that the daemon does not start with a socket, and says these words.
#[track_caller]
fn refuses(place: &Workplace, socket: impl Into<OwnedFd>, name: &str, words: &[&str]) {
    let output = serve_with(place, socket, name).output().expect("a shell");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
}

#[test]
fn a_socket_that_cannot_be_used_is_refused_with_the_remedy() {
    let place = workplace();
    let wrong = ["FileDescriptorName=", "`ssfd.socket`"];
    refuses(&place, bound().0, "ssfd.socket", &wrong);
    refuses(&place, bound().0, "", &["FileDescriptorName="]);
    let unix = UnixListener::bind(place.path("socket")).expect("a socket");
    refuses(&place, unix, "sources", &["`sources`", "ListenStream=", "TCP"]);
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    refuses(&place, datagrams, "public", &["`public`", "ListenStream=", "TCP"]);
}

/// The address of the socket counts, and not that of the configuration.
#[test]
fn a_source_that_believes_anybody_is_refused_on_a_socket_that_others_reach() {
    let place = workplace();
    place.configure(
        "sources.listen = \"127.0.0.1:0\"\n[providers.default.sources.kc]\ntype = \"/type\"\n\
         auth = { scheme = \"none\" }\n[[providers.default.sources.kc.rules]]\nname = \"one\"\n\
         drop = \"all\"\n",
    );
    let open = TcpListener::bind("0.0.0.0:0").expect("a free port");
    refuses(&place, open, "sources", &["auth.scheme", "loopback"]);
    let mut daemon = Daemon::start(serve_with(&place, bound().0, "sources"));
    addresses(&mut daemon);
}
