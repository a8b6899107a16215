//! Events from `POST /events`.

mod addressees;
mod requests;

use serde_json::Value;

use crate::harness::{receiver::subject, setup::Setup};

/// The claims of the SETs that wait, in the order of their events.
async fn waiting_claims(setup: &Setup) -> Vec<Value> {
    let parse = |claims: &str| serde_json::from_str(claims).expect("claims are JSON");
    setup.waiting().await.iter().map(|set| parse(&set.claims)).collect()
}

/// The subjects of the SETs that wait, in the order of their events.
async fn waiting_subjects(setup: &Setup) -> Vec<String> {
    waiting_claims(setup).await.iter().map(subject).collect()
}
