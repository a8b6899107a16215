//! A sink that polls.

use std::{collections::HashMap, path::Path};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{json, to_string};

use super::{AUTHORITY, journal::Journal};
use crate::{
    https::{Connector, Http},
    support::block_on,
};

/// The most SETs of one answer by the daemon's default configuration.
const EVENTS_MAX: usize = 1000;

#[derive(Deserialize)]
struct Answer {
    sets: HashMap<String, String>,
}

pub(super) fn poll(address: &str, token: &str, stream: &str, journal: &Journal) {
    block_on(poll_on(address, token, stream, journal));
}

/// Sends one poll after the other over one connection, until the daemon is gone.
async fn poll_on(address: &str, token: &str, stream: &str, journal: &Journal) {
    let (_, port) = address.rsplit_once(':').expect("an address and a port");
    let connector = Connector::new(Path::new(AUTHORITY), Http::One);
    let io = TokioIo::new(connector.connect(port.parse().expect("a port")).await);
    let (mut sender, connection) = http1::handshake(io).await.expect("HTTP");
    tokio::spawn(connection);
    let mut acks: Vec<String> = Vec::new();
    loop {
        let body = to_string(&json!({"maxEvents": EVENTS_MAX, "ack": acks})).expect("plain data");
        let request = Request::post(format!("/ssf/poll/{stream}"))
            .header("host", address)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        // The request fails when the benchmark ends the daemon.
        let Ok(answer) = sender.send_request(request).await else { return };
        assert_eq!(answer.status(), StatusCode::OK);
        let body = answer.into_body().collect().await.expect("a whole body").to_bytes();
        let answer: Answer = serde_json::from_slice(&body).expect("SETs");
        acks.clear();
        for (jti, set) in answer.sets {
            journal.note(Bytes::from(set));
            acks.push(jti);
        }
    }
}
