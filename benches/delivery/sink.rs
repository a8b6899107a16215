//! The Receiver of the benchmark: a process of its own with one thread, which records each SET and
//! its time of arrival. The process runs this program with another argument.

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

/// The first argument of a sink process. The next one is the kind of sink.
pub(crate) const ARGUMENT: &str = "sink";
const PUSH: &str = "push";
const POLL: &str = "poll";

/// The names of files in the folder where sinks and daemon run.
pub(crate) const AUTHORITY: &str = "authority.pem";
pub(crate) const CERTIFICATE: &str = "certificate.pem";
pub(crate) const KEY: &str = "key.pem";

/// A request to a sink, on one line. The sink answers with one line of JSON.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Question {
    /// Asks for the number of SETs since the last `Take` or `Forget`.
    Count,
    /// Asks for the SETs since the last `Take` or `Forget`.
    Take,
    /// Discards these SETs. The answer is their number.
    Forget,
}

/// The SETs that arrived.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Arrivals {
    /// The ages of the SETs from publication to arrival, in microseconds, in ascending order.
    pub(crate) ages: Vec<u64>,
    /// The number of SETs whose `jti` had arrived before.
    pub(crate) repeated: usize,
    /// The times of the first and the last arrival, in microseconds since 1970.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Arrivals {
    /// Returns a quantile of the ages. `quantile` is from 0 to 1.
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

/// The benchmark's side of a sink. Dropping it ends the process.
pub(crate) struct Sink {
    process: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Sink {
    /// Starts an endpoint that answers 202. Returns it with its port. The certificates are in
    /// `folder`, where [`prepare`] has put them.
    pub(crate) fn push(folder: &Path, http: Http) -> (Self, u16) {
        let mut sink = Self::start(folder, &[PUSH, http.alpn()]);
        let port = sink.answer();
        (sink, port)
    }

    /// Starts a poller of one stream of the daemon at this address. Each poll acknowledges the SETs
    /// of the previous one.
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

    /// Returns the number of SETs since the last `take` or `forget`.
    pub(crate) fn count(&mut self) -> u64 {
        self.ask(Question::Count)
    }

    /// Returns the SETs since the last `take` or `forget`, each once.
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

/// Runs the process of a sink until the benchmark closes its standard input.
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
