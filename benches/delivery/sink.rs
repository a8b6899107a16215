//! The Receiver that SETs go to: a process of its own, with one thread, which notes what came and when.
//! It is this program again, with another argument.

mod journal;
mod poller;
mod server;

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use ssfd::cli::receive::certificate::make_certificate;

use super::https::Http;

/// By which this program knows that it is to be a sink; what kind of one comes next.
pub(crate) const ARGUMENT: &str = "sink";
const PUSH: &str = "push";
const POLL: &str = "poll";

/// Files in the folder in which sinks and daemon are started.
pub(crate) const AUTHORITY: &str = "authority.pem";
pub(crate) const CERTIFICATE: &str = "certificate.pem";
pub(crate) const KEY: &str = "key.pem";

/// What is asked of a sink, a line each; it answers with a line of JSON.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Question {
    /// How many SETs came since the last `Take` or `Forget`.
    Count,
    /// What came since then.
    Take,
    /// How many again; what came is thrown away.
    Forget,
}

/// SETs that came.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Arrivals {
    /// From publication to arrival, in microseconds, in ascending order.
    pub(crate) ages: Vec<u64>,
    /// SETs whose `jti` had come before.
    pub(crate) repeated: usize,
    /// When the first and the last of them came, in microseconds since 1970.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Arrivals {
    /// The age that so many are not above, `quantile` of 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a million ages at most"
    )]
    pub(crate) fn age(&self, quantile: f64) -> Duration {
        let at = (self.ages.len().saturating_sub(1) as f64 * quantile) as usize;
        Duration::from_micros(self.ages.get(at).copied().unwrap_or_default())
    }
}

/// A sink as the benchmark sees it; ended with this.
pub(crate) struct Sink {
    process: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Sink {
    /// An endpoint that answers 202, and its port. Certificates are in `folder`, where [`prepare`] has
    /// put them.
    pub(crate) fn push(folder: &Path, http: Http) -> (Self, u16) {
        let mut sink = Self::start(folder, &[PUSH, http.alpn()]);
        let port = sink.answer();
        (sink, port)
    }

    /// A poller of a stream of the daemon that listens on this address. It acknowledges with each poll
    /// what came with the last.
    pub(crate) fn poll(folder: &Path, address: &str, token: &str, stream: &str) -> Self {
        Self::start(folder, &[POLL, address, token, stream])
    }

    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .arg(ARGUMENT)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sink");
        let questions = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Self { process, questions, answers }
    }

    /// SETs since what came was taken or forgotten.
    pub(crate) fn count(&mut self) -> u64 {
        self.ask(Question::Count)
    }

    /// What came since then, each SET of it once.
    pub(crate) fn take(&mut self) -> Arrivals {
        let arrivals: Arrivals = self.ask(Question::Take);
        assert_eq!(arrivals.repeated, 0, "nothing failed, so no SET comes twice");
        arrivals
    }

    pub(crate) fn forget(&mut self) -> u64 {
        self.ask(Question::Forget)
    }

    fn ask<T: for<'de> Deserialize<'de>>(&mut self, question: Question) -> T {
        let question = serde_json::to_string(&question).expect("a word");
        writeln!(self.questions, "{question}").expect("the sink reads");
        self.answer()
    }

    fn answer<T: for<'de> Deserialize<'de>>(&mut self) -> T {
        let answer = self.answers.next().expect("the sink answers").expect("text");
        serde_json::from_str(&answer).expect("what was asked for")
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Puts certificates for sinks and daemon into a folder.
pub(crate) fn prepare(folder: &Path) {
    let made = make_certificate(&["127.0.0.1"]).expect("a certificate");
    let files =
        [(AUTHORITY, made.authority_pem), (CERTIFICATE, made.certificate_pem), (KEY, made.key_pem)];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("written");
    }
}

/// What the process of a sink does, until nobody is left to ask it anything.
pub(crate) fn run(arguments: &[String]) {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let journal = journal::Journal::default();
    journal.answer_questions();
    match arguments[..] {
        [PUSH, alpn] => server::serve(Http::of_alpn(alpn), &journal),
        [POLL, address, token, stream] => poller::poll(address, token, stream, &journal),
        _ => panic!("no such sink: {arguments:?}"),
    }
}
