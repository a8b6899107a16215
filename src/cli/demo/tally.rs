//! What is expected, and what of it has arrived. Decides only.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::{
    cli::receive::received::{Method, Received},
    domain::event_type::EventType,
};

/// A SET that is to arrive, as far as its claims are known before.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) event_type: EventType,
    pub(super) payload: Value,
    pub(super) subject: Value,
    /// None is expected where none was given.
    pub(super) txn: Option<String>,
    /// The ways it is to arrive.
    pub(super) methods: Vec<Method>,
}

/// What one arrival is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sighting {
    /// Verified, and just as it was published; so long after it was.
    Expected {
        after: Duration,
    },
    /// Taken before under the same `jti`: a repeat, which SETs allow for.
    Again,
    /// Verified, and none of those that are expected.
    Other,
    Unverified,
}

/// What is expected, and what of it has arrived.
#[derive(Debug, Default)]
pub(super) struct Tally {
    lines: Vec<Line>,
    unverified: usize,
}

#[derive(Debug)]
struct Line {
    expected: Expected,
    published_at: Option<Instant>,
    arrivals: Vec<(Method, Duration)>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Summary {
    pub(super) expected: usize,
    pub(super) arrived: usize,
    pub(super) missing: Vec<(EventType, Method)>,
    pub(super) unverified: usize,
    /// From publication to arrival; none if nothing arrived.
    pub(super) median: Option<Duration>,
    pub(super) max: Option<Duration>,
}

impl Expected {
    /// An extra member, or one that differs, makes it another SET.
    fn fits(&self, claims: &Map<String, Value>) -> bool {
        let events = claims.get("events").and_then(Value::as_object);
        let event = events.filter(|e| e.len() == 1).and_then(|e| e.get(self.event_type.as_str()));
        event == Some(&self.payload)
            && claims.get("sub_id") == Some(&self.subject)
            && claims.get("txn").and_then(Value::as_str) == self.txn.as_deref()
    }
}

impl Tally {
    pub(super) fn expect(expected: impl IntoIterator<Item = Expected>) -> Self {
        let line =
            |expected| Line { expected, published_at: None, arrivals: Vec::with_capacity(2) };
        Self { lines: expected.into_iter().map(line).collect(), unverified: 0 }
    }

    /// The SET at this place of what is expected is being published.
    pub(super) fn on_published(&mut self, place: usize, at: Instant) {
        self.lines[place].published_at = Some(at);
    }

    pub(super) fn on_arrived(&mut self, set: &Received, at: Instant) -> Sighting {
        if set.verified.is_err() {
            self.unverified += 1;
            return Sighting::Unverified;
        }
        if set.duplicate {
            return Sighting::Again;
        }
        for line in &mut self.lines {
            let waited_for = line.expected.methods.contains(&set.method)
                && line.arrivals.iter().all(|(method, _)| *method != set.method);
            if let Some(published_at) = line.published_at
                && waited_for
                && line.expected.fits(&set.claims)
            {
                let after = at.saturating_duration_since(published_at);
                line.arrivals.push((set.method, after));
                return Sighting::Expected { after };
            }
        }
        Sighting::Other
    }

    pub(super) fn is_complete(&self) -> bool {
        self.lines.iter().all(|line| line.arrivals.len() == line.expected.methods.len())
    }

    pub(super) fn summary(&self) -> Summary {
        let arrivals = self.lines.iter().flat_map(|line| &line.arrivals);
        let mut spans: Vec<Duration> = arrivals.map(|(_, after)| *after).collect();
        spans.sort_unstable();
        Summary {
            expected: self.lines.iter().map(|line| line.expected.methods.len()).sum(),
            arrived: spans.len(),
            missing: self.lines.iter().flat_map(Line::missing).collect(),
            unverified: self.unverified,
            median: spans.get(spans.len().saturating_sub(1) / 2).copied(),
            max: spans.last().copied(),
        }
    }
}

impl Line {
    fn missing(&self) -> impl Iterator<Item = (EventType, Method)> {
        let came = |method: &Method| self.arrivals.iter().any(|(other, _)| other == method);
        let missing = self.expected.methods.iter().filter(move |method| !came(method));
        missing.map(|method| (self.expected.event_type.clone(), *method))
    }
}

impl Summary {
    /// Every expected SET arrived, and none that could not be verified.
    pub(super) fn is_good(&self) -> bool {
        self.missing.is_empty() && self.unverified == 0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        cli::receive::received::{Rejection, SignedBy},
        clock,
        domain::time::Timestamp,
        signing::algorithm::Algorithm,
    };

    fn event_type(name: &str) -> EventType {
        format!("urn:x:{name}").parse().expect("a URI")
    }

    fn expected(name: &str) -> Expected {
        Expected {
            event_type: event_type(name),
            payload: json!({"a": 1}),
            subject: json!({"format": "opaque", "id": "s"}),
            txn: Some("t-1".to_owned()),
            methods: vec![Method::Push, Method::Poll],
        }
    }

    fn received(name: &str, method: Method) -> Received {
        let claims = json!({
            "iss": "https://tx.example", "txn": "t-1", "sub_id": {"format": "opaque", "id": "s"},
            "events": {format!("urn:x:{name}"): {"a": 1}},
        });
        Received {
            method,
            at: Timestamp::EPOCH,
            endpoint: "/".into(),
            jti: Some("b1".into()),
            event_type: Some(format!("urn:x:{name}")),
            claims: claims.as_object().expect("an object").clone(),
            verified: Ok(SignedBy { algorithm: Algorithm::Rs256, kid: "k".into() }),
            duplicate: false,
            misbehaved: None,
        }
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn it_is_complete_once_each_has_come_every_way() {
        let start = clock::instant();
        let mut tally = Tally::expect([expected("one"), expected("two")]);
        tally.on_published(0, start);
        tally.on_published(1, start + millis(10));
        for (name, method, at, after) in [
            ("one", Method::Push, 5, 5),
            ("two", Method::Poll, 12, 2),
            ("one", Method::Poll, 9, 9),
            ("two", Method::Push, 50, 40),
        ] {
            assert!(!tally.is_complete());
            let sighting = tally.on_arrived(&received(name, method), start + millis(at));
            assert_eq!(sighting, Sighting::Expected { after: millis(after) });
        }
        assert!(tally.is_complete());
        let summary = tally.summary();
        assert!(summary.is_good());
        assert_eq!((summary.expected, summary.arrived), (4, 4));
        assert_eq!((summary.median, summary.max), (Some(millis(5)), Some(millis(40))));
    }

    #[test]
    fn what_did_not_come_is_named() {
        let now = clock::instant();
        let mut tally = Tally::expect([expected("one")]);
        tally.on_published(0, now);
        tally.on_arrived(&received("one", Method::Push), now);
        let summary = tally.summary();
        assert!(!summary.is_good());
        assert_eq!(summary.missing, [(event_type("one"), Method::Poll)]);
        assert_eq!(Tally::expect([expected("one")]).summary().median, None);
    }

    #[test]
    fn a_set_that_differs_is_another() {
        let now = clock::instant();
        let mut tally = Tally::expect([expected("one")]);
        tally.on_published(0, now);
        for (claim, value) in [
            ("txn", json!("t-2")),
            ("sub_id", json!({"format": "opaque", "id": "s2"})),
            ("events", json!({"urn:x:one": {"a": 2}})),
            ("events", json!({"urn:x:one": {"a": 1}, "urn:x:two": {}})),
        ] {
            let mut other = received("one", Method::Push);
            other.claims[claim] = value;
            assert_eq!(tally.on_arrived(&other, now), Sighting::Other, "{claim}");
        }
    }

    #[test]
    fn repeats_do_no_harm_and_forgeries_do() {
        let now = clock::instant();
        let mut tally =
            Tally::expect([Expected { methods: vec![Method::Push], ..expected("one") }]);
        tally.on_published(0, now);
        tally.on_arrived(&received("one", Method::Push), now);
        let again = Received { duplicate: true, ..received("one", Method::Push) };
        assert_eq!(tally.on_arrived(&again, now), Sighting::Again);
        assert!(tally.summary().is_good());
        let verified = Err(Rejection::NoKeys("none".into()));
        let forged = Received { verified, ..received("one", Method::Push) };
        assert_eq!(tally.on_arrived(&forged, now), Sighting::Unverified);
        assert!(tally.is_complete() && !tally.summary().is_good());
    }
}
