//! The events that were accepted, the SETs that arrived, and the comparison of both.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Mutex,
};

use crate::harness::receiver::claims;

/// The identity of an event: its publisher, and its number at that publisher, counted from 0.
pub(super) type EventName = (String, u64);

/// The SETs that the Receiver of one stream got, in the order of arrival, including copies.
#[derive(Default)]
pub(super) struct Arrivals(Mutex<Vec<Arrival>>);

#[derive(Clone)]
struct Arrival {
    jti: String,
    event: EventName,
    subject: String,
    /// The claims as they were signed, in base64url.
    claims: String,
}

impl Arrivals {
    /// Records a SET of an event that `traffic` published. Returns its `jti`.
    pub(super) fn add(&self, jws: &str) -> String {
        let said = claims(jws);
        let text = |at: &str| said.pointer(at).and_then(|v| v.as_str()).expect(at).to_owned();
        let events = said["events"].as_object().expect("every SET has events");
        let event = events.values().next().expect("a SET has one event");
        let by = event["by"].as_str().expect("the publisher").to_owned();
        let arrival = Arrival {
            jti: text("/jti"),
            event: (by, event["n"].as_u64().expect("a number")),
            subject: text("/sub_id/id"),
            claims: jws.split('.').nth(1).expect("a compact JWS has three parts").to_owned(),
        };
        let jti = arrival.jti.clone();
        self.0.lock().expect("no holder panics").push(arrival);
        jti
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().expect("no holder panics").len()
    }

    /// Takes out the SETs that have arrived so far.
    pub(super) fn taken(&self) -> Self {
        Self(Mutex::new(std::mem::take(&mut *self.0.lock().expect("no holder panics"))))
    }

    /// Returns how many events have arrived, whatever the number of their copies is.
    pub(super) fn events(&self) -> u64 {
        let arrivals = self.0.lock().expect("no holder panics");
        let seen: HashSet<_> = arrivals.iter().map(|arrival| &arrival.event).collect();
        seen.len() as u64
    }
}

/// The number of accepted events of each publisher. Every event with a lower number was accepted.
#[derive(Debug, Default)]
pub(super) struct Accepted(pub(super) BTreeMap<String, u64>);

impl Accepted {
    pub(super) fn events(&self) -> u64 {
        self.0.values().sum()
    }
}

/// The result of a test.
pub(super) struct Report {
    pub(super) accepted: Accepted,
    /// The SETs of each stream, under a name for the stream.
    pub(super) arrivals: Vec<(String, Arrivals)>,
}

impl Report {
    /// Asserts that every stream got every event as one SET, that copies of a SET are equal, and
    /// that no later SET about the same subject overtook it.
    pub(super) fn assert_complete(&self) {
        for (stream, arrivals) in &self.arrivals {
            let arrivals = arrivals.0.lock().expect("no holder panics");
            assert_all_arrived(stream, &self.accepted, &arrivals);
            assert_one_set_each(stream, &arrivals);
            assert_in_order(stream, &arrivals);
        }
    }

    pub(super) fn assert_no_copies(&self) {
        for (stream, arrivals) in &self.arrivals {
            let arrivals = arrivals.0.lock().expect("no holder panics");
            let mut seen = HashSet::new();
            let copies: Vec<_> = arrivals.iter().filter(|one| !seen.insert(&one.jti)).collect();
            assert!(copies.is_empty(), "{stream}: {} copies", copies.len());
        }
    }
}

fn assert_all_arrived(stream: &str, accepted: &Accepted, arrivals: &[Arrival]) {
    let arrived: HashSet<_> = arrivals.iter().map(|arrival| arrival.event.clone()).collect();
    let published: HashSet<_> = accepted
        .0
        .iter()
        .flat_map(|(by, count)| (0..*count).map(move |n| (by.clone(), n)))
        .collect();
    let lost: Vec<_> = published.difference(&arrived).collect();
    assert!(lost.is_empty(), "{stream}: lost {lost:?}");
    let invented: Vec<_> = arrived.difference(&published).collect();
    assert!(invented.is_empty(), "{stream}: never published: {invented:?}");
}

fn assert_one_set_each(stream: &str, arrivals: &[Arrival]) {
    let (mut by_event, mut by_jti) = (HashMap::new(), HashMap::new());
    for Arrival { jti, event, claims, .. } in arrivals {
        let first = by_event.entry(event).or_insert(jti);
        assert_eq!(*first, jti, "{stream}: two SETs of {event:?}");
        let first = by_jti.entry(jti).or_insert(claims);
        assert_eq!(*first, claims, "{stream}: two kinds of claims under {jti}");
    }
}

fn assert_in_order(stream: &str, arrivals: &[Arrival]) {
    let mut seen = HashSet::new();
    let mut last: HashMap<&str, u64> = HashMap::new();
    for Arrival { event, subject, .. } in arrivals {
        if !seen.insert(event) {
            continue;
        }
        if let Some(before) = last.insert(subject, event.1) {
            assert!(before < event.1, "{stream}: {event:?} came after {before}, {subject}");
        }
    }
}
