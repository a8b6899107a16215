//! Publishers and a polling Receiver that run without pause, whatever happens to the daemons.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};

use super::ledger::Arrivals;
use crate::harness::{
    events::about_with,
    http_client::{Answer, Call, post},
};

/// The number of subjects of each publisher.
const SUBJECTS: u64 = 20;
/// The shortest time between two events of a publisher, and between two attempts to publish or to
/// poll.
const PACE: Duration = Duration::from_millis(2);

/// The time to wait for an answer before trying the next daemon.
const PATIENCE: Duration = Duration::from_secs(3);

/// The addresses of a daemon. They change with each start, and are empty until the first.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses {
    pub(super) public: String,
    pub(super) internal: String,
}

/// The addresses of all daemons. Each attempt goes to the next one.
#[derive(Clone)]
pub(super) struct Directory {
    known: watch::Receiver<Vec<Addresses>>,
    tries: usize,
}

impl Directory {
    pub(super) fn new(known: watch::Receiver<Vec<Addresses>>) -> Self {
        Self { known, tries: 0 }
    }

    fn next(&mut self) -> Addresses {
        let known = self.known.borrow();
        self.tries += 1;
        known[self.tries % known.len()].clone()
    }
}

/// Sends a request. Returns its answer, or `None` if none arrives in time.
async fn answer(call: Call) -> Option<Answer> {
    timeout(PATIENCE, call.try_send()).await.ok()?.ok()
}

/// Returns the n-th event of a publisher. A publisher repeats an event under the same id until it
/// is accepted.
fn event(by: &str, n: u64) -> Value {
    let subject = format!("{by}-{}", n % SUBJECTS);
    about_with(&subject, json!({"id": format!("{by}-{n}"), "event": {"by": by, "n": n}}))
}

/// Publishes by `try_one` until told to stop. Returns the number of accepted events.
async fn publish(
    by: &str,
    stop: watch::Receiver<bool>,
    mut try_one: impl AsyncFnMut(Value) -> bool,
) -> u64 {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut accepted = 0;
    while !*stop.borrow() {
        pace.tick().await;
        while !try_one(event(by, accepted)).await {
            pace.tick().await;
        }
        accepted += 1;
    }
    accepted
}

pub(super) async fn publish_to_redis(
    url: String,
    key: &'static str,
    stop: watch::Receiver<bool>,
) -> u64 {
    let client = redis::Client::open(url).expect("the URL of a socket");
    let mut connection = None;
    publish("redis", stop, async |event| {
        if connection.is_none() {
            connection = client.get_multiplexed_async_connection().await.ok();
        }
        let Some(open) = &mut connection else { return false };
        let mut add = redis::cmd("XADD");
        add.arg(key).arg("*").arg("event").arg(event.to_string());
        let added = add.query_async::<String>(open).await.is_ok();
        if !added {
            connection = None;
        }
        added
    })
    .await
}

/// Publishes by `POST /events`. Counts in `refused` the answers other than 202.
pub(super) async fn publish_over_http(
    mut daemons: Directory,
    token: String,
    refused: Arc<AtomicUsize>,
    stop: watch::Receiver<bool>,
) -> u64 {
    publish("http", stop, async |event| {
        let url = format!("http://{}/events", daemons.next().internal);
        match answer(post(&url).bearer(&token).json(&event)).await {
            Some(answer) if answer.status == 202 => true,
            Some(answer) => {
                assert!(answer.status.is_server_error(), "{}", answer.text());
                refused.fetch_add(1, Ordering::SeqCst);
                false
            }
            None => false,
        }
    })
    .await
}

/// Polls and acknowledges for ever.
pub(super) async fn poll(
    mut daemons: Directory,
    token: String,
    stream: String,
    arrivals: Arc<Arrivals>,
) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut received: Vec<String> = Vec::new();
    loop {
        pace.tick().await;
        let url = format!("http://{}/ssf/poll/{stream}", daemons.next().public);
        let body = json!({"maxEvents": 50, "ack": received});
        let answer = answer(post(&url).bearer(&token).json(&body)).await;
        let Some(answer) = answer.filter(|answer| answer.status == 200) else { continue };
        let (json, text) = (answer.json(), answer.text());
        let sets = json["sets"].as_object().expect("every answer has `sets`");
        let mut sets: Vec<_> = sets.iter().collect();
        // The order in the text is the order in which the SETs were sent. The parsed object loses
        // it.
        sets.sort_by_key(|(jti, _)| text.find(jti.as_str()));
        let set = |(_, set): (_, &Value)| arrivals.add(set.as_str().expect("a compact JWS"));
        received = sets.into_iter().map(set).collect();
    }
}
