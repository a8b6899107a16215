//! Publishing by `POST /events`: `requests` checks requests and answers, `addressees` the streams
//! that get an event.

mod addressees;
mod requests;

use serde_json::Value;

use crate::harness::{receiver::subject, setup::Setup};

/// Returns the claims of the unsettled SETs, in the order of their events.
async fn waiting_claims(setup: &Setup) -> Vec<Value> {
    let parse = |claims: &str| serde_json::from_str(claims).expect("claims are JSON");
    setup.waiting().await.iter().map(|set| parse(&set.claims)).collect()
}

/// Returns the subjects of the unsettled SETs, in the order of their events.
async fn waiting_subjects(setup: &Setup) -> Vec<String> {
    waiting_claims(setup).await.iter().map(subject).collect()
}
