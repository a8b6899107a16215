//! Matches the SETs that arrive with those that are expected. Pure, so that it is tested without a
//! daemon.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::{
    cli::receive::received::{ReceiveMethod, Received},
    domain::event_type::EventType,
};

/// A SET that has to arrive, with the claims that are known beforehand.
#[derive(Debug)]
pub(super) struct ExpectedSet {
    pub(super) event_type: EventType,
    pub(super) payload: Value,
    pub(super) subject: Value,
    pub(super) txn: ExpectedTxn,
    /// The methods by which the SET has to arrive, once each.
    pub(super) methods: Vec<ReceiveMethod>,
}

/// The `txn` that a SET has to have.
#[derive(Debug)]
pub(super) enum ExpectedTxn {
    None,
    /// The one of the publisher.
    Published(String),
    /// One that the daemon makes, because the publisher gives none.
    Made,
}

/// How one arrival is classified.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Arrival {
    /// Verified, and equal to a published event. `latency` counts from its publication.
    Expected {
        latency: Duration,
    },
    /// A repeated delivery under the same `jti`, which the protocols allow.
    Duplicate,
    /// Verified, but not equal to any expected SET.
    Unexpected,
    Unverified,
}

/// The expected SETs and their arrivals so far.
#[derive(Debug, Default)]
pub(super) struct DeliveryResults {
    sets: Vec<SetProgress>,
    unverified: usize,
}

#[derive(Debug)]
struct SetProgress {
    expected: ExpectedSet,
    published_at: Option<Instant>,
    arrivals: Vec<(ReceiveMethod, Duration)>,
}

/// The result of the demo.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct DemoSummary {
    pub(super) expected: usize,
    pub(super) arrived: usize,
    pub(super) missing: Vec<(EventType, ReceiveMethod)>,
    pub(super) unverified: usize,
    /// The latency from publication to arrival; `None` if nothing arrived.
    pub(super) median: Option<Duration>,
    pub(super) max: Option<Duration>,
}

impl ExpectedSet {
    /// Returns whether the claims are those of this SET. A different or an additional member is a
    /// mismatch.
    fn matches(&self, claims: &Map<String, Value>) -> bool {
        let events = claims.get("events").and_then(Value::as_object);
        let event = events.filter(|e| e.len() == 1).and_then(|e| e.get(self.event_type.as_str()));
        event == Some(&self.payload)
            && claims.get("sub_id") == Some(&self.subject)
            && self.txn.matches(claims.get("txn").and_then(Value::as_str))
    }
}

impl ExpectedTxn {
    fn matches(&self, found: Option<&str>) -> bool {
        match self {
            Self::None => found.is_none(),
            Self::Published(txn) => found == Some(txn),
            Self::Made => found.is_some_and(|txn| !txn.is_empty()),
        }
    }
}

impl DeliveryResults {
    pub(super) fn expect(expected: impl IntoIterator<Item = ExpectedSet>) -> Self {
        let progress = |expected| SetProgress {
            expected,
            published_at: None,
            arrivals: Vec::with_capacity(2),
        };
        Self { sets: expected.into_iter().map(progress).collect(), unverified: 0 }
    }

    /// The expected SET with this index is about to be published.
    pub(super) fn on_published(&mut self, index: usize, at: Instant) {
        self.sets[index].published_at = Some(at);
    }

    pub(super) fn on_arrived(&mut self, set: &Received, at: Instant) -> Arrival {
        if set.verified.is_err() {
            self.unverified += 1;
            return Arrival::Unverified;
        }
        if set.duplicate {
            return Arrival::Duplicate;
        }
        for set_progress in &mut self.sets {
            let waited_for = set_progress.expected.methods.contains(&set.method)
                && set_progress.arrivals.iter().all(|(method, _)| *method != set.method);
            if let Some(published_at) = set_progress.published_at
                && waited_for
                && set_progress.expected.matches(&set.claims)
            {
                let latency = at.saturating_duration_since(published_at);
                set_progress.arrivals.push((set.method, latency));
                return Arrival::Expected { latency };
            }
        }
        Arrival::Unexpected
    }

    pub(super) fn is_complete(&self) -> bool {
        self.sets.iter().all(|set| set.arrivals.len() == set.expected.methods.len())
    }

    pub(super) fn summary(&self) -> DemoSummary {
        let arrivals = self.sets.iter().flat_map(|set| &set.arrivals);
        let mut latencies: Vec<Duration> = arrivals.map(|(_, latency)| *latency).collect();
        latencies.sort_unstable();
        DemoSummary {
            expected: self.sets.iter().map(|set| set.expected.methods.len()).sum(),
            arrived: latencies.len(),
            missing: self.sets.iter().flat_map(SetProgress::missing).collect(),
            unverified: self.unverified,
            median: latencies.get(latencies.len().saturating_sub(1) / 2).copied(),
            max: latencies.last().copied(),
        }
    }
}

impl SetProgress {
    fn missing(&self) -> impl Iterator<Item = (EventType, ReceiveMethod)> {
        let arrived =
            |method: &ReceiveMethod| self.arrivals.iter().any(|(other, _)| other == method);
        let missing = self.expected.methods.iter().filter(move |method| !arrived(method));
        missing.map(|method| (self.expected.event_type.clone(), *method))
    }
}

impl DemoSummary {
    /// Returns whether every expected SET arrived and every SET was verified.
    pub(super) fn is_success(&self) -> bool {
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

    fn expected(name: &str) -> ExpectedSet {
        ExpectedSet {
            event_type: event_type(name),
            payload: json!({"a": 1}),
            subject: json!({"format": "opaque", "id": "s"}),
            txn: ExpectedTxn::Published("t-1".to_owned()),
            methods: vec![ReceiveMethod::Push, ReceiveMethod::Poll],
        }
    }

    fn received(name: &str, method: ReceiveMethod) -> Received {
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
    fn results_are_complete_once_each_set_has_arrived_by_each_method() {
        let start = clock::instant();
        let mut results = DeliveryResults::expect([expected("one"), expected("two")]);
        results.on_published(0, start);
        results.on_published(1, start + millis(10));
        for (name, method, at, latency) in [
            ("one", ReceiveMethod::Push, 5, 5),
            ("two", ReceiveMethod::Poll, 12, 2),
            ("one", ReceiveMethod::Poll, 9, 9),
            ("two", ReceiveMethod::Push, 50, 40),
        ] {
            assert!(!results.is_complete());
            let arrival = results.on_arrived(&received(name, method), start + millis(at));
            assert_eq!(arrival, Arrival::Expected { latency: millis(latency) });
        }
        assert!(results.is_complete());
        let summary = results.summary();
        assert!(summary.is_success());
        assert_eq!((summary.expected, summary.arrived), (4, 4));
        assert_eq!((summary.median, summary.max), (Some(millis(5)), Some(millis(40))));
    }

    #[test]
    fn the_summary_names_missing_sets() {
        let now = clock::instant();
        let mut results = DeliveryResults::expect([expected("one")]);
        results.on_published(0, now);
        results.on_arrived(&received("one", ReceiveMethod::Push), now);
        let summary = results.summary();
        assert!(!summary.is_success());
        assert_eq!(summary.missing, [(event_type("one"), ReceiveMethod::Poll)]);
        assert_eq!(DeliveryResults::expect([expected("one")]).summary().median, None);
    }

    #[test]
    fn a_set_with_a_different_claim_is_unexpected() {
        let now = clock::instant();
        let mut results = DeliveryResults::expect([expected("one")]);
        results.on_published(0, now);
        for (claim, value) in [
            ("txn", json!("t-2")),
            ("sub_id", json!({"format": "opaque", "id": "s2"})),
            ("events", json!({"urn:x:one": {"a": 2}})),
            ("events", json!({"urn:x:one": {"a": 1}, "urn:x:two": {}})),
        ] {
            let mut other = received("one", ReceiveMethod::Push);
            other.claims[claim] = value;
            assert_eq!(results.on_arrived(&other, now), Arrival::Unexpected, "{claim}");
        }
    }

    #[test]
    fn a_txn_is_none_or_known_or_made() {
        for (expected, found, matches) in [
            (ExpectedTxn::None, None, true),
            (ExpectedTxn::None, Some("t-1"), false),
            (ExpectedTxn::Published("t-1".to_owned()), None, false),
            (ExpectedTxn::Made, Some("01a2"), true),
            (ExpectedTxn::Made, Some(""), false),
            (ExpectedTxn::Made, None, false),
        ] {
            assert_eq!(expected.matches(found), matches, "{expected:?}, {found:?}");
        }
    }

    #[test]
    fn duplicates_are_harmless_and_forged_sets_are_not() {
        let now = clock::instant();
        let mut results = DeliveryResults::expect([ExpectedSet {
            methods: vec![ReceiveMethod::Push],
            ..expected("one")
        }]);
        results.on_published(0, now);
        results.on_arrived(&received("one", ReceiveMethod::Push), now);
        let duplicate = Received { duplicate: true, ..received("one", ReceiveMethod::Push) };
        assert_eq!(results.on_arrived(&duplicate, now), Arrival::Duplicate);
        assert!(results.summary().is_success());
        let verified = Err(Rejection::NoKeys("none".into()));
        let forged = Received { verified, ..received("one", ReceiveMethod::Push) };
        assert_eq!(results.on_arrived(&forged, now), Arrival::Unverified);
        assert!(results.is_complete() && !results.summary().is_success());
    }
}
