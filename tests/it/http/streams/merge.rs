//! A stream after a PATCH is the stream before it with the given members (SSF §8.1.1.3).

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use ssfd::domain::stream::METHOD_POLL;
use tokio::runtime;

use crate::harness::{
    daemon::Daemon,
    events::{CREDENTIAL_CHANGE, SESSION_REVOKED},
    streams::{by_poll, id_of, push_to},
};

/// Each case is a sequence of requests to one daemon.
const CASES: u32 = 48;

/// Generates the members of a PATCH: any of the Receiver members.
fn members() -> impl Strategy<Value = Value> {
    let event_type = select(vec![SESSION_REVOKED, CREDENTIAL_CHANGE, "urn:x", "no URI", ""]);
    let requested = vec(event_type, 0..5).prop_map(Value::from);
    let delivery = prop_oneof![
        Just(by_poll()),
        "[a-z]{0,4}".prop_map(|path| push_to(&format!("https://rx.example/{path}"))),
    ];
    let description = any::<String>().prop_map(Value::from);
    let members = (option::of(requested), option::of(delivery), option::of(description));
    members.prop_map(|(requested, delivery, description)| {
        let members =
            [("events_requested", requested), ("delivery", delivery), ("description", description)];
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    })
}

/// Merges the given members into a stream.
fn merged(stream: &Value, given: &Value, assigned: &Value) -> Value {
    let mut merged = stream.clone();
    for (name, value) in given.as_object().expect("members") {
        merged[name] = value.clone();
    }
    if merged["delivery"]["method"] == METHOD_POLL {
        merged["delivery"] = assigned.clone();
    }
    let requested = merged["events_requested"].as_array().expect("it began with one").clone();
    let supported = merged["events_supported"].as_array().expect("an array").iter();
    merged["events_delivered"] = supported.filter(|uri| requested.contains(uri)).cloned().collect();
    merged
}

#[test]
fn patch_then_get_is_the_merge() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let daemon = runtime.block_on(Daemon::start());
    let client = runtime.block_on(daemon.client("rx"));
    let stream = runtime.block_on(client.create(&json!({"events_requested": []})));
    let (id, assigned) = (id_of(&stream), &stream["delivery"]);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let held = TestRunner::new(config).run(&vec(members(), 1..5), |patches| {
        let mut stream = runtime.block_on(client.read(id));
        for given in patches {
            let expected = merged(&stream, &given, assigned);
            stream = runtime.block_on(client.change("PATCH", id, &given));
            prop_assert_eq!(&stream, &expected, "{}", given);
        }
        Ok(())
    });
    held.unwrap_or_else(|failure| panic!("{failure}"));
}
