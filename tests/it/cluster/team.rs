//! Daemons in processes of their own, on one Redis.

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

/// Where the events of the only provider are published.
pub(super) const EVENTS_KEY: &str = "ssf:events:default";

/// Some daemons that share a store, and what it takes to talk to each of them.
pub(super) struct Team {
    place: Workplace,
    pub(super) redis: Redis,
    pub(super) nodes: Vec<Node>,
    /// The Receiver's.
    pub(super) token: String,
    /// The publisher's.
    pub(super) upstream: String,
}

pub(super) struct Node {
    pub(super) daemon: Daemon,
    public: String,
    internal: String,
}

impl Team {
    /// So many daemons, once they have shared everything. `more` is added to the configuration.
    pub(super) async fn of(count: usize, more: &str) -> Self {
        let mut redis = Redis::down(true);
        redis.start_again().await;
        let (place, url) = (Workplace::new(), redis.url());
        place.configure(&format!(
            "store.backend = \"redis\"\nstore.redis.urls = [{url:?}]\ningest.redis.url = {url:?}\n\
             push.allow_networks = [\"127.0.0.0/8\"]\n{more}\n\
             [providers.default]\ninsecure_endpoints = true\n"
        ));
        let token = |holder: &[&str]| {
            let made = place.prints_json(&[&["tokens", "create", "--json"], holder].concat());
            made["token"].as_str().expect("a token").to_owned()
        };
        let upstream = token(&["publisher"]);
        let token = token(&["receiver", "--receiver", "rx", "--audience", "rx"]);
        let mut team = Self { place, redis, nodes: Vec::new(), token, upstream };
        for _ in 0..count {
            team.add().await;
        }
        team.is_shared().await;
        team
    }

    /// One more.
    pub(super) async fn add(&mut self) {
        let command = self.place.ssfd(&["serve"]);
        let started = spawn_blocking(move || {
            let mut daemon = Daemon::start(command);
            let (public, internal) = daemon.addresses();
            Node { daemon, public, internal }
        });
        self.nodes.push(started.await.expect("it starts"));
    }

    /// Returns once each has as much as any other.
    pub(super) async fn is_shared(&self) {
        eventually("all is shared in equal parts", async || {
            let mut slots = Vec::new();
            for node in &self.nodes {
                slots.push(node.slots().await);
            }
            let even = slots.iter().max() <= slots.iter().min().map(|least| least + 1).as_ref();
            even && slots.iter().sum::<usize>() == 256
        })
        .await;
    }

    /// A stream made at one of the nodes; its id.
    pub(super) async fn create_stream(&self, at: usize, delivery: &Value) -> String {
        let body = json!({"events_requested": [SESSION_REVOKED], "delivery": delivery});
        let url = self.nodes[at].public_url("/ssf/streams");
        let stream = post(&url).bearer(&self.token).json(&body).send().await.expect(201).json();
        stream["stream_id"].as_str().expect("a stream has an id").to_owned()
    }

    /// The stream as a node shows it.
    pub(super) async fn stream(&self, at: usize, id: &str) -> Answer {
        let url = self.nodes[at].public_url(&format!("/ssf/streams?stream_id={id}"));
        get(&url).bearer(&self.token).send().await
    }

    pub(super) async fn call(&self, at: usize, method: &str, path: &str, body: &Value) -> Answer {
        let method = method.parse().expect("a method");
        let call = Call::new(method, &self.nodes[at].public_url(path));
        call.bearer(&self.token).json(body).send().await
    }

    /// Publishes over HTTP at a node.
    pub(super) async fn publish(&self, at: usize, event: &Value) {
        let url = format!("http://{}/events", self.nodes[at].internal);
        post(&url).bearer(&self.upstream).json(event).send().await.expect(202);
    }

    /// The node that delivers a stream, by what the store has of its slot.
    pub(super) async fn server_of(&self, stream: &str) -> usize {
        let owner: String = self.redis.run(&["HGET", &key_of(stream, "owner"), "node"]).await;
        let mut found = None;
        for (n, node) in self.nodes.iter().enumerate() {
            if node.daemon.seen().iter().any(|line| line["node"] == owner.as_str()) {
                found = Some(n);
            }
        }
        found.expect("one of the team")
    }

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

    /// How many slots it serves, as it says; 0 if it does not answer.
    pub(super) async fn slots(&self) -> usize {
        self.metric("ssfd_cluster_slots").await
    }

    /// How many streams of a Receiver it knows.
    pub(super) async fn streams(&self, token: &str) -> usize {
        let all = get(&self.public_url("/ssf/streams")).bearer(token).send().await.expect(200);
        all.json().as_array().expect("a list").len()
    }

    /// Returns once it has logged this, from here on.
    pub(super) async fn logs(&mut self, message: &'static str) {
        eventually(message, async || self.daemon.has_logged(message)).await;
    }

    /// A number by its metric's name and labels; 0 if it does not answer, or before it was first
    /// recorded.
    pub(super) async fn metric(&self, series: &str) -> usize {
        let url = format!("http://{}/metrics", self.internal);
        let Ok(answer) = get(&url).try_send().await else { return 0 };
        let text = answer.text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a whole number"))
    }
}

/// A key of the slot of a stream.
pub(super) fn key_of(stream: &str, name: &str) -> String {
    let slot = Slot::of_stream(&stream.parse().expect("an id"));
    format!("{{ssf:{slot}}}:{name}")
}
