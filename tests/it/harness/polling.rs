//! Polls of the one stream of a scene, and what they bring.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use ssfd::config::Config;

use super::{
    http_client::Answer,
    receiver::{claims, subject},
    scene::Scene,
};

/// Each poll hands out everything that is not settled.
pub(crate) fn at_once(config: &mut Config) {
    config.poll.redelivery_interval = Duration::ZERO;
}

/// The SETs of an answer, by subject: the members of an object have no order.
pub(crate) fn sets(answer: &Answer) -> BTreeMap<String, String> {
    let answer = answer.clone().expect(200).json();
    let sets = answer["sets"].as_object().expect("an object of SETs");
    let by_subject = sets.iter().map(|(jti, set)| {
        let claims = claims(set.as_str().expect("a compact JWS"));
        (subject(&claims), jti.clone())
    });
    by_subject.collect()
}

/// The `jti`s of an answer, in the order of their subjects.
pub(crate) fn jtis(answer: &Answer) -> Vec<String> {
    sets(answer).into_values().collect()
}

pub(crate) fn subjects(answer: &Answer) -> Vec<String> {
    sets(answer).into_keys().collect()
}

/// A poll that does not wait, with other members besides.
pub(crate) async fn poll_now(scene: &Scene, mut members: Value) -> Answer {
    members["returnImmediately"] = true.into();
    scene.poll(members).await.expect(200)
}

/// Publishes one event about each subject, and has the SETs handed out; returns their `jti`s, in the
/// order of the subjects.
pub(crate) async fn handed_out(scene: &Scene, about: &[&str]) -> Vec<String> {
    scene.publish(about).await;
    let jtis = jtis(&poll_now(scene, json!({})).await);
    assert_eq!(jtis.len(), about.len());
    jtis
}

/// A long poll, and something that happens while it waits.
pub(crate) async fn meanwhile(
    scene: &Scene,
    mut members: Value,
    happens: impl Future<Output = ()>,
) -> Answer {
    // Acknowledgements come first in a poll, so once this one shows, the poll is under way.
    members["ack"] = json!(handed_out(scene, &["acknowledged"]).await);
    let happens = async {
        scene.settled().await;
        happens.await;
    };
    tokio::join!(scene.poll(members), happens).0
}

/// Longer than any test.
pub(crate) fn waits_long(config: &mut Config) {
    config.poll.wait = Duration::from_mins(5);
}
