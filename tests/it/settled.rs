//! The operator's commands for settled SETs, run with the real binary.
//!
//! - `dead_letters` lists, shows, redrives and purges SETs that were given up.
//! - `replay` sends SETs of a stream again.
//! - `trace` explains an event on each stream.
//! - `access` checks who may call the admin API for this, and the refusal of invalid requests.

mod access;
mod dead_letters;
mod replay;
mod trace;

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    harness::{http_client::Answer, receiver::Receiver, setup::Setup},
    scripted_server::Reply,
};

/// Starts a Receiver that refuses the first `count` SETs for good and accepts the others.
async fn refusing(count: usize) -> Receiver {
    Receiver::start(move |n, _| {
        if n < count {
            Reply::full(400, &[], r#"{"err":"invalid_audience","description":"who?"}"#)
        } else {
            Reply::status(202)
        }
    })
    .await
}

impl Setup {
    /// Posts to the admin API.
    async fn post_as_operator(&self, path: &str, body: &Value) -> Answer {
        let token = self.daemon.operator_token().await;
        self.daemon.admin(&token, Method::POST, path).json(body).send().await
    }

    /// Polls and acknowledges all SETs. Returns them by `jti`.
    async fn take_by_poll(&self) -> serde_json::Map<String, Value> {
        let answer = self.poll(json!({"returnImmediately": true})).await.expect(200).json();
        let sets = answer["sets"].as_object().expect("SETs").clone();
        let ack: Vec<_> = sets.keys().collect();
        self.poll(json!({"returnImmediately": true, "maxEvents": 0, "ack": ack})).await.expect(200);
        sets
    }

    async fn dead_letters(&self) -> Vec<Value> {
        let letters = self.daemon.ssfd_json(&["dead", "list"]).await;
        letters.as_array().expect("a list").clone()
    }
}
