//! Events from `POST /events`.

mod addressees;
mod requests;

use serde_json::Value;

use crate::harness::{receiver::subject, scene::Scene};

/// The claims of the SETs that wait, in the order of their events.
async fn waiting_claims(scene: &Scene) -> Vec<Value> {
    let parse = |claims: &str| serde_json::from_str(claims).expect("claims are JSON");
    scene.waiting().await.iter().map(|set| parse(&set.claims)).collect()
}

/// The subjects of the SETs that wait, in the order of their events.
async fn waiting_subjects(scene: &Scene) -> Vec<String> {
    waiting_claims(scene).await.iter().map(subject).collect()
}
