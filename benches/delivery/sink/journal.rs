//! The record of a sink: the SETs that arrived, and the time of each arrival.

use std::{
    collections::HashSet,
    io::BufRead as _,
    mem,
    sync::{Arc, Mutex, MutexGuard},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::{Arrivals, Question};
use crate::support::now_micros;

/// The raw SETs with their times of arrival. They are parsed when the benchmark asks for them and
/// not on arrival, so that the sink leaves most of the machine to the daemon.
#[derive(Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<(u64, Bytes)>>>);

impl Journal {
    pub(super) fn note(&self, set: Bytes) {
        self.entries().push((now_micros(), set));
    }

    fn entries(&self) -> MutexGuard<'_, Vec<(u64, Bytes)>> {
        self.0.lock().expect("no holder panics")
    }

    /// Answers requests on a thread of its own. The process ends with the last one.
    pub(super) fn answer_questions(&self) {
        let journal = self.clone();
        std::thread::spawn(move || {
            for question in std::io::stdin().lock().lines().map_while(Result::ok) {
                match serde_json::from_str(&question).expect("a question") {
                    Question::Count => tell(&journal.entries().len()),
                    Question::Forget => tell(&mem::take(&mut *journal.entries()).len()),
                    Question::Take => {
                        let entries = mem::take(&mut *journal.entries());
                        tell(&arrivals(&entries));
                    }
                }
            }
            std::process::exit(0);
        });
    }
}

/// Prints a line for the process that started this one.
pub(super) fn tell(answer: &impl Serialize) {
    println!("{}", serde_json::to_string(answer).expect("plain data"));
}

fn arrivals(entries: &[(u64, Bytes)]) -> Arrivals {
    let mut known = HashSet::new();
    let mut arrivals = Arrivals { ages: Vec::new(), repeated: 0, first: u64::MAX, last: 0 };
    for (at, set) in entries {
        let mut claims = claims(set);
        if let Value::String(jti) = claims["jti"].take()
            && known.insert(jti)
        {
            arrivals.ages.push(at.saturating_sub(published(&claims)));
            arrivals.first = arrivals.first.min(*at);
            arrivals.last = arrivals.last.max(*at);
        } else {
            arrivals.repeated += 1;
        }
    }
    arrivals.ages.sort_unstable();
    arrivals
}

fn claims(set: &[u8]) -> Value {
    let claims = set.split(|b| *b == b'.').nth(1).expect("a compact JWS has three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    serde_json::from_slice(&claims).expect("JSON")
}

/// Returns the time that the publisher put into the event.
fn published(claims: &Value) -> u64 {
    let events = claims["events"].as_object().expect("an object");
    let event = events.values().next().expect("an event");
    event["published"].as_u64().expect("a time")
}
