//! Receivers as strangers: each does as it pleases, and what it says need not be what it did.

use std::{collections::BTreeSet, time::Duration};

use ssfd::delivery::{
    outbox::Seq,
    outcome::{FailureClass, Outcome},
    push::classify,
};

use super::chance::Chance;

/// How long an attempt may take, as the push client has it.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// The key that a SET was signed with. A later key is greater.
pub(super) type Key = u64;

/// How a Receiver is disposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Temper {
    Well,
    /// Answers other than 202, with bodies of any kind.
    OddlyWell,
    /// Well, but only just within the deadline.
    Slow,
    /// Says nothing until the deadline, whether it read the SET or not.
    Stalls,
    Down(FailureClass),
    /// Up and down by turns.
    Flaps(Duration),
    /// 429 and 503, with any `Retry-After`.
    Throttles,
    /// 400 for some SETs, with any `err`.
    Refuses,
    /// Takes only what is signed with the newest key.
    WantsNewestKey,
    /// No signature of ours is good enough.
    RefusesKeys,
    RefusesCredentials,
    /// 404 and 410, and redirects to elsewhere.
    Gone,
    /// Takes the SET, and then says anything.
    Lies,
    /// Refuses what it has taken before, or the other way round.
    ChangesItsMind,
}

pub(super) const TEMPERS: [Temper; 20] = [
    Temper::Well,
    Temper::Well,
    Temper::OddlyWell,
    Temper::Slow,
    Temper::Stalls,
    Temper::Stalls,
    Temper::Down(FailureClass::Connect),
    Temper::Down(FailureClass::TlsIncompatible),
    Temper::Down(FailureClass::TlsUntrusted),
    Temper::Down(FailureClass::AddressRefused),
    Temper::Flaps(Duration::from_secs(7)),
    Temper::Flaps(Duration::from_mins(4)),
    Temper::Throttles,
    Temper::Refuses,
    Temper::WantsNewestKey,
    Temper::RefusesKeys,
    Temper::RefusesCredentials,
    Temper::Gone,
    Temper::Lies,
    Temper::ChangesItsMind,
];

const ERRS: [&str; 10] = [
    "invalid_request",
    "invalid_key",
    "jws_signature_failed",
    "invalid_issuer",
    "invalid_audience",
    "authentication_failed",
    "access_denied",
    "invalid_state",
    "jwtCrypto",
    "",
];

/// The answer to a push.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) after: Duration,
    /// Whether the Receiver read the SET, whatever it says.
    pub(super) got: bool,
    pub(super) outcome: Outcome,
}

pub(super) struct Stranger {
    pub(super) temper: Temper,
    got: BTreeSet<Seq>,
}

impl Stranger {
    pub(super) fn new() -> Self {
        Self { temper: Temper::Well, got: BTreeSet::new() }
    }

    /// A SET signed with the key that is `newest`, or not, comes so long after the run began.
    pub(super) fn answer(
        &mut self,
        seq: Seq,
        newest: bool,
        elapsed: Duration,
        chance: &mut Chance,
    ) -> Answer {
        let answer = self.react(seq, newest, elapsed, chance);
        if answer.got {
            self.got.insert(seq);
        }
        answer
    }

    fn react(&self, seq: Seq, newest: bool, elapsed: Duration, chance: &mut Chance) -> Answer {
        let soon = chance.millis(1..=400);
        let says = |status: u16, retry_after, body: &str| {
            let got = matches!(status, 200..=299 | 400);
            let outcome = classify(status, retry_after, body.as_bytes());
            Answer { after: soon, got, outcome }
        };
        let well = says(202, None, "");
        match self.temper {
            Temper::OddlyWell => says(
                chance.pick(&[200, 201, 204, 299]),
                None,
                chance.pick(&["", "<html>", r#"{"err":"invalid_request"}"#, "\u{0}", "null"]),
            ),
            Temper::Slow => Answer { after: chance.millis(3_000..=9_900), ..well },
            Temper::Stalls => timeout(chance.happens(300)),
            Temper::Down(class) => down(class, soon),
            Temper::Flaps(period) => match elapsed.as_millis() / period.as_millis() % 2 {
                0 => well,
                _ => down(FailureClass::Connect, soon),
            },
            Temper::Throttles => says(chance.pick(&[429, 503]), retry_after(chance), "later"),
            Temper::Refuses if chance.happens(500) => well,
            Temper::Refuses => says(400, None, &refusal(chance.pick(&ERRS))),
            Temper::WantsNewestKey if newest => well,
            Temper::WantsNewestKey | Temper::RefusesKeys => {
                says(400, None, &refusal(chance.pick(&["invalid_key", "jws_signature_failed"])))
            }
            Temper::RefusesCredentials => says(chance.pick(&[401, 403]), None, ""),
            Temper::Gone => says(chance.pick(&[301, 307, 404, 410, 418]), None, "<html>"),
            Temper::Lies => {
                let any = chance.pick(&[200, 202, 302, 400, 401, 404, 408, 425, 429, 500, 503]);
                let lie = says(any, retry_after(chance), &refusal(chance.pick(&ERRS)));
                let lie = if chance.happens(200) { timeout(true) } else { lie };
                Answer { got: true, ..lie }
            }
            Temper::ChangesItsMind if self.got.contains(&seq) == chance.happens(900) => {
                says(400, None, &refusal("invalid_request"))
            }
            // And what it takes, it may forget to say so.
            Temper::ChangesItsMind if chance.happens(400) => timeout(true),
            Temper::ChangesItsMind | Temper::Well => well,
        }
    }
}

fn timeout(got: bool) -> Answer {
    let outcome = Outcome::failed(FailureClass::Timeout, "no response in time");
    Answer { after: DEADLINE, got, outcome }
}

fn down(class: FailureClass, after: Duration) -> Answer {
    Answer { after, got: false, outcome: Outcome::failed(class, "") }
}

fn refusal(err: &str) -> String {
    format!(r#"{{"err":"{err}","description":"no"}}"#)
}

/// Absurd ones too.
fn retry_after(chance: &mut Chance) -> Option<Duration> {
    let secs = [None, Some(0), Some(1), Some(30), Some(600), Some(86_400), Some(u64::MAX)];
    chance.pick(&secs).map(Duration::from_secs)
}
