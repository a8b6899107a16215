//! Polls of the one stream of a setup, and the SETs that they return.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use ssfd::config::Config;

use super::{
    http_client::Answer,
    receiver::{claims, subject},
    setup::Setup,
};

/// Makes each poll return all unsettled SETs, by a redelivery interval of zero.
pub(crate) fn at_once(config: &mut Config) {
    config.poll.redelivery_interval = Duration::ZERO;
}

/// Returns the SETs of an answer by subject, because the members of a JSON object have no order.
pub(crate) fn sets(answer: &Answer) -> BTreeMap<String, String> {
    let answer = answer.clone().expect(200).json();
    let sets = answer["sets"].as_object().expect("an object of SETs");
    let by_subject = sets.iter().map(|(jti, set)| {
        let claims = claims(set.as_str().expect("a compact JWS"));
        (subject(&claims), jti.clone())
    });
    by_subject.collect()
}

/// Returns the `jti`s of an answer, in the order of their subjects.
pub(crate) fn jtis(answer: &Answer) -> Vec<String> {
    sets(answer).into_values().collect()
}

pub(crate) fn subjects(answer: &Answer) -> Vec<String> {
    sets(answer).into_keys().collect()
}

/// Polls with these members and `returnImmediately`.
pub(crate) async fn poll_now(setup: &Setup, mut members: Value) -> Answer {
    members["returnImmediately"] = true.into();
    setup.poll(members).await.expect(200)
}

/// Publishes one event about each subject and polls the SETs without acknowledging them. Returns
/// their `jti`s in the order of the subjects.
pub(crate) async fn handed_out(setup: &Setup, about: &[&str]) -> Vec<String> {
    setup.publish(about).await;
    let jtis = jtis(&poll_now(setup, json!({})).await);
    assert_eq!(jtis.len(), about.len());
    jtis
}

/// Starts a long poll and awaits `happens` while the poll waits. Returns the answer to the poll.
pub(crate) async fn meanwhile(
    setup: &Setup,
    mut members: Value,
    happens: impl Future<Output = ()>,
) -> Answer {
    // A poll applies its acknowledgements first. Once this one takes effect, the poll is in
    // progress.
    members["ack"] = json!(handed_out(setup, &["acknowledged"]).await);
    let happens = async {
        setup.settled().await;
        happens.await;
    };
    tokio::join!(setup.poll(members), happens).0
}

/// Makes long polls wait longer than any test runs.
pub(crate) fn waits_long(config: &mut Config) {
    config.poll.wait = Duration::from_mins(5);
}
