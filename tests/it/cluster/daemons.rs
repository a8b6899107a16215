//! Several daemons, each in its own process, on one Redis.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use ssfd::store::slot::Slot;
use tokio::task::spawn_blocking;

use crate::{
    command_line::{Daemon, Workplace},
    harness::{
        events::SESSION_REVOKED,
        eventually,
        http_client::{Answer, Call, get, post},
        redis::Redis,
    },
};

/// The Redis stream that the events of the only provider are published to.
pub(super) const EVENTS_KEY: &str = "ssf:events:default";

/// The daemons of one cluster, with the credentials to talk to them.
pub(super) struct Daemons {
    place: Workplace,
    pub(super) redis: Redis,
    pub(super) nodes: Vec<Node>,
    pub(super) receiver_token: String,
    pub(super) publisher_token: String,
}

pub(super) struct Node {
    pub(super) daemon: Daemon,
    public: String,
    internal: String,
}

impl Daemons {
    /// Starts `count` daemons and returns once they serve everything in equal parts. `more` is
    /// added to the configuration.
    pub(super) async fn start(count: usize, more: &str) -> Self {
        let mut redis = Redis::down(true);
        redis.start_again().await;
        let (place, url) = (Workplace::new(), redis.url());
        place.configure(&format!(
            "store.backend = \"redis\"\nstore.redis.urls = [{url:?}]\ningest.redis.url = {url:?}\n\
             push.allow_networks = [\"127.0.0.0/8\"]\n{more}\n\
             [providers.default]\ninsecure_endpoints = true\n"
        ));
        place.create_store();
        let token = |holder: &[&str]| {
            let made = place.prints_json(&[&["tokens", "create", "--json"], holder].concat());
            made["token"].as_str().expect("a token").to_owned()
        };
        let publisher_token = token(&["publisher"]);
        let receiver_token = token(&["receiver", "--receiver", "rx", "--audience", "rx"]);
        let mut daemons = Self { place, redis, nodes: Vec::new(), receiver_token, publisher_token };
        for _ in 0..count {
            daemons.add().await;
        }
        daemons.are_balanced().await;
        daemons
    }

    /// Starts one more daemon.
    pub(super) async fn add(&mut self) {
        let command = self.place.ssfd(&["serve"]);
        let started = spawn_blocking(move || {
            let mut daemon = Daemon::start(command);
            let (public, internal) = daemon.addresses();
            Node { daemon, public, internal }
        });
        self.nodes.push(started.await.expect("it starts"));
    }

    /// Returns once the daemons serve everything in equal parts.
    pub(super) async fn are_balanced(&self) {
        eventually("everything is served in equal parts", async || {
            let mut slots = Vec::new();
            for node in &self.nodes {
                slots.push(node.slots().await);
            }
            let even = slots.iter().max() <= slots.iter().min().map(|least| least + 1).as_ref();
            even && slots.iter().sum::<usize>() == 256
        })
        .await;
    }

    /// Creates a stream at one of the nodes and returns its id.
    pub(super) async fn create_stream(&self, at: usize, delivery: &Value) -> String {
        let body = json!({"events_requested": [SESSION_REVOKED], "delivery": delivery});
        let url = self.nodes[at].public_url("/ssf/streams");
        let stream =
            post(&url).bearer(&self.receiver_token).json(&body).send().await.expect(201).json();
        stream["stream_id"].as_str().expect("a stream has an id").to_owned()
    }

    /// Polls a stream at one of the nodes until nothing waits, and acknowledges all. Returns the claims.
    pub(super) async fn take(&self, at: usize, stream: &str) -> Vec<Value> {
        let (mut claims, mut acks) = (Vec::new(), Vec::new());
        loop {
            let body = json!({"maxEvents": 100, "returnImmediately": true, "ack": acks});
            let path = format!("/ssf/poll/{stream}");
            let answer = self.call(at, "POST", &path, &body).await.expect(200).json();
            let sets = answer["sets"].as_object().expect("SETs").clone();
            if sets.is_empty() && acks.is_empty() {
                return claims;
            }
            acks = sets.keys().cloned().collect();
            claims.extend(sets.values().map(|set| claims_of(set.as_str().expect("a JWS"))));
        }
    }

    /// Asks a node for a stream.
    pub(super) async fn stream(&self, at: usize, id: &str) -> Answer {
        let url = self.nodes[at].public_url(&format!("/ssf/streams?stream_id={id}"));
        get(&url).bearer(&self.receiver_token).send().await
    }

    pub(super) async fn call(&self, at: usize, method: &str, path: &str, body: &Value) -> Answer {
        let method = method.parse().expect("a method");
        let call = Call::new(method, &self.nodes[at].public_url(path));
        call.bearer(&self.receiver_token).json(body).send().await
    }

    /// Revokes the token of the Receiver by the command line.
    pub(super) fn revoke_receiver(&self) {
        let tokens = self.place.prints_json(&["tokens", "list", "--json"]);
        let tokens = tokens.as_array().expect("a list");
        let token = tokens.iter().find(|token| token["receiver"] == "rx").expect("it is there");
        self.place.succeeds(&["tokens", "revoke", token["id"].as_str().expect("a text")]);
    }

    /// Publishes an event over HTTP at a node.
    pub(super) async fn publish(&self, at: usize, event: &Value) {
        let url = format!("http://{}/events", self.nodes[at].internal);
        post(&url).bearer(&self.publisher_token).json(event).send().await.expect(202);
    }

    /// Returns the node that delivers a stream, according to the owner of its slot in Redis.
    pub(super) async fn owner_of(&self, stream: &str) -> usize {
        let owner: String = self.redis.run(&["HGET", &key_of(stream, "owner"), "node"]).await;
        let mut found = None;
        for (n, node) in self.nodes.iter().enumerate() {
            if node.daemon.seen().iter().any(|line| line["node"] == owner.as_str()) {
                found = Some(n);
            }
        }
        found.expect("one of the nodes")
    }

    /// Stops a node with SIGTERM and returns once it has ended.
    pub(super) async fn stop(&mut self, at: usize) {
        let node = self.nodes.remove(at);
        node.daemon.signal("TERM");
        let (code, lines) = spawn_blocking(|| node.daemon.ends()).await.expect("it ends");
        assert_eq!(code, Some(0), "{lines:#?}");
    }
}

impl Node {
    pub(super) fn public_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    /// Returns how many slots the node serves by its metrics; 0 if it does not answer.
    pub(super) async fn slots(&self) -> usize {
        self.metric("ssfd_cluster_slots").await
    }

    /// Returns how many streams of a Receiver the node knows.
    pub(super) async fn streams(&self, token: &str) -> usize {
        let all = get(&self.public_url("/ssf/streams")).bearer(token).send().await.expect(200);
        all.json().as_array().expect("a list").len()
    }

    /// Returns once the node logs this message.
    pub(super) async fn logs(&mut self, message: &'static str) {
        eventually(message, async || self.daemon.has_logged(message)).await;
    }

    /// Returns a metric by its name and labels; 0 if the node does not answer or has not recorded
    /// it yet.
    pub(super) async fn metric(&self, series: &str) -> usize {
        let url = format!("http://{}/metrics", self.internal);
        let Ok(answer) = get(&url).try_send().await else { return 0 };
        let text = answer.text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a whole number"))
    }
}

/// Reads the claims of a SET, whose signature is not verified.
fn claims_of(set: &str) -> Value {
    let payload = set.split('.').nth(1).expect("a JWS has three parts");
    let json = URL_SAFE_NO_PAD.decode(payload).expect("base64");
    serde_json::from_slice(&json).expect("claims are JSON")
}

/// Returns a Redis key of the slot of a stream.
pub(super) fn key_of(stream: &str, name: &str) -> String {
    let slot = Slot::of_stream(&stream.parse().expect("an id"));
    format!("{{ssf:{slot}}}:{name}")
}
