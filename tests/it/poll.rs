//! Poll delivery (RFC 8936).

mod acknowledging;
mod answers;
mod requests;
mod waiting;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{
    http_client::Answer,
    receiver::{claims, subject},
    scene::Scene,
};

/// The SETs of an answer, by subject: the members of an object have no order.
fn sets(answer: &Answer) -> BTreeMap<String, String> {
    let answer = answer.clone().expect(200).json();
    let sets = answer["sets"].as_object().expect("an object of SETs");
    let by_subject = sets.iter().map(|(jti, set)| {
        let claims = claims(set.as_str().expect("a compact JWS"));
        (subject(&claims), jti.clone())
    });
    by_subject.collect()
}

/// The `jti`s of an answer, in the order of their subjects.
fn jtis(answer: &Answer) -> Vec<String> {
    sets(answer).into_values().collect()
}

fn subjects(answer: &Answer) -> Vec<String> {
    sets(answer).into_keys().collect()
}

/// A poll that does not wait, with other members besides.
async fn poll_now(scene: &Scene, mut members: Value) -> Answer {
    members["returnImmediately"] = true.into();
    scene.poll(members).await.expect(200)
}

/// Publishes one event about each subject, and has the SETs handed out; returns their `jti`s, in the
/// order of the subjects.
async fn handed_out(scene: &Scene, about: &[&str]) -> Vec<String> {
    scene.publish(about).await;
    let jtis = jtis(&poll_now(scene, json!({})).await);
    assert_eq!(jtis.len(), about.len());
    jtis
}
