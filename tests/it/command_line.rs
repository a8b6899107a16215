//! The binary `ssfd` as its operators run it, in a working directory of its own.

mod backup;
mod check;
mod clients;
mod damaged;
mod demo;
mod help;
mod keys;
mod log;
mod pipes;
mod publish;
mod refusals;
mod serve;
mod store;
mod streams;
mod tokens;
mod variables;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{DEADLINE, test_key};

/// A working directory with a signing key and a configuration that uses free ports.
pub(crate) struct Workplace {
    folder: TempDir,
}

/// A program that has ended.
struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// A running command that does not end by itself, such as `ssfd serve`. Killed on drop.
pub(crate) struct Daemon {
    child: Child,
    log: Receiver<String>,
    seen: Vec<Value>,
}

impl Workplace {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::create_dir(place.path("keys")).expect("a folder");
        let key = place.path("keys/default.pem");
        fs::copy(test_key("test-p256-pkcs8.pem"), &key).expect("a copy");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a file of ours");
        place.configure("");
        place
    }

    /// Makes a working directory with a store.
    pub(crate) fn with_store() -> Self {
        let place = Self::new();
        place.create_store();
        place
    }

    /// Creates the store as `ssfd serve` does. No other command does.
    pub(crate) fn create_store(&self) {
        let mut daemon = self.serve();
        daemon.addresses();
        daemon.signal("TERM");
        let (code, lines) = daemon.ends();
        assert_eq!(code, Some(0), "{lines:#?}");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `ssfd.toml` with free ports and the settings in `more`.
    pub(crate) fn configure(&self, more: &str) {
        let ports = "public.listen = \"127.0.0.1:0\"\ninternal.listen = \"127.0.0.1:0\"\n";
        fs::write(self.path("ssfd.toml"), format!("{ports}{more}")).expect("written");
    }

    /// Returns the command `ssfd` with an empty environment.
    pub(crate) fn ssfd(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ssfd"));
        command.args(args).current_dir(self.folder.path()).env_clear();
        command.env("SSFD_CONFIG", "ssfd.toml").stdin(Stdio::null());
        // No load balancer has to notice that a daemon of a test stops.
        command.env("SSFD_PROCESS__LAME_DUCK", "0s");
        // The limit of open files of this machine may have no room for the defaults, which is logged.
        command.env("SSFD_PUBLIC__CONNECTIONS__MAX", "1000");
        command.env("SSFD_INTERNAL__CONNECTIONS__MAX", "100");
        command
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Ended {
        run(self.ssfd(args))
    }

    /// Runs a command that must succeed. Returns its standard output.
    #[track_caller]
    pub(crate) fn succeeds(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert!(ended.status.success(), "{args:?}: {}", ended.stderr);
        ended.stdout
    }

    #[track_caller]
    pub(crate) fn prints_json(&self, args: &[&str]) -> Value {
        let stdout = self.succeeds(args);
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error} in {stdout}"))
    }

    /// Runs a command that must fail with all of `words` in standard error and nothing in standard
    /// output.
    #[track_caller]
    pub(crate) fn fails(&self, args: &[&str], words: &[&str]) {
        let ended = self.run(args);
        assert_eq!(ended.status.code(), Some(1), "{args:?}: {}{}", ended.stdout, ended.stderr);
        for word in words {
            assert!(ended.stderr.contains(word), "{args:?}: no `{word}` in: {}", ended.stderr);
        }
        assert_eq!(ended.stdout, "", "{args:?}");
    }

    pub(crate) fn serve(&self) -> Daemon {
        Daemon::start(self.ssfd(&["serve"]))
    }
}

/// Sends one HTTP request. Returns the status and the body of the answer.
#[track_caller]
pub(crate) fn ask(address: &str, request: &str, token: Option<&str>, body: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).expect("the listener is up");
    connection.set_read_timeout(Some(DEADLINE)).expect("not zero");
    let credential = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    write!(
        connection,
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{}\
         content-length: {}\r\n\r\n{body}",
        credential.unwrap_or_default(),
        body.len()
    )
    .expect("it reads");
    let mut response = String::new();
    connection.read_to_string(&mut response).expect("it answers");
    let (head, body) = response.split_once("\r\n\r\n").expect("a response");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

#[track_caller]
fn run(mut command: Command) -> Ended {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ssfd");
    let (stdout, stderr) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let (stdout, stderr) = (stdout.recv_timeout(DEADLINE), stderr.recv_timeout(DEADLINE));
    let (Ok(stdout), Ok(stderr)) = (stdout, stderr) else {
        child.kill().expect("it runs");
        panic!("{command:?} does not end");
    };
    let status = child.wait().expect("it has closed its outputs");
    Ended { status, stdout, stderr }
}

/// Runs a command whose standard output goes elsewhere.
#[track_caller]
fn run_with_output(mut command: Command, stdout: Stdio) -> Ended {
    let mut child = command.stdout(stdout).stderr(Stdio::piped()).spawn().expect("ssfd");
    // The command keeps an end of a pipe otherwise.
    drop(command);
    let Ok(stderr) = read_all(child.stderr.take()).recv_timeout(DEADLINE) else {
        child.kill().expect("it runs");
        panic!("it does not end");
    };
    let status = child.wait().expect("it has closed its output");
    Ended { status, stdout: String::new(), stderr }
}

fn read_all(output: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let mut output = output.expect("it is piped");
    thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).expect("UTF-8");
        // The receiving end may be gone.
        sender.send(text).ok();
    });
    receiver
}

fn lines(output: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let output = BufReader::new(output.expect("it is piped"));
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            sender.send(line).ok();
        }
    });
    lines
}

impl Daemon {
    /// Starts a command and follows its log.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("ssfd");
        let log = lines(child.stderr.take());
        Self { child, log, seen: Vec::new() }
    }

    /// Starts a command whose log goes to this output.
    pub(crate) fn start_unheard(mut command: Command, log: Stdio) -> Self {
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("ssfd");
        let (_, nothing) = mpsc::channel();
        Self { child, log: nothing, seen: Vec::new() }
    }

    /// Starts a command and follows its standard output.
    fn start_printing(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("ssfd");
        let log = lines(child.stdout.take());
        Self { child, log, seen: Vec::new() }
    }

    /// Returns the next log line with this message. Every line has to be JSON.
    #[track_caller]
    pub(crate) fn logs(&mut self, message: &str) -> Value {
        while let Some(line) = self.next_line() {
            if line["message"] == message {
                return line;
            }
        }
        panic!("no line `{message}` in {:#?}", self.seen);
    }

    #[track_caller]
    fn next_line(&mut self) -> Option<Value> {
        match self.log.recv_timeout(DEADLINE) {
            Ok(line) => {
                let json: Value = serde_json::from_str(&line)
                    .unwrap_or_else(|error| panic!("a line that is no JSON: {line}: {error}"));
                self.seen.push(json.clone());
                Some(json)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("silence after {:#?}", self.seen),
        }
    }

    /// Returns the addresses of the public and the internal listener.
    #[track_caller]
    pub(crate) fn addresses(&mut self) -> (String, String) {
        let serving = self.logs("serving");
        let address = |name: &str| serving[name].as_str().expect("an address").to_owned();
        (address("public"), address("internal"))
    }

    /// Returns whether a line with this message was logged by now.
    #[track_caller]
    pub(crate) fn has_logged(&mut self, message: &str) -> bool {
        let before = self.seen.len();
        while let Ok(line) = self.log.try_recv() {
            self.seen.push(serde_json::from_str(&line).expect("every line is JSON"));
        }
        self.seen[before..].iter().any(|line| line["message"] == message)
    }

    /// Returns the lines that were read so far.
    pub(crate) fn seen(&self) -> &[Value] {
        &self.seen
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(status.success(), "{kill}");
    }

    /// Waits for the end. Returns the exit code and all lines.
    #[track_caller]
    pub(crate) fn ends(mut self) -> (Option<i32>, Vec<Value>) {
        while self.next_line().is_some() {}
        let status = self.child.wait().expect("it has closed its output");
        (status.code(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The process may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
