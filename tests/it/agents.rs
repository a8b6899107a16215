//! Devices that report their posture, through the real listener with the code of the reference client.
//!
//! `fleet` has a thousand devices on both stores and three nodes, `refusals` every answer that does not
//! count, `once` what crashes and repetitions may do, `losses` the devices that fall silent, `enrolment`
//! those that register themselves, `operating` the commands, and `killed` kills the real process.

mod enrolment;
mod fleet;
mod killed;
mod losses;
mod once;
mod operating;
mod refusals;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use hyper::Method;
use serde_json::{Value, json};
use ssfd::{
    agents::settings::AgentsSettings,
    cli::{
        agent::{AgentClient, AgentError, AgentResult},
        http::HttpClient,
    },
    clock,
    config::{Config, StoreBackend},
    domain::{
        grant::Scope,
        posture::{Device, DeviceKey},
        secret::Secret,
    },
    store::{
        records::device::DeviceStore as _,
        redis::{Checks, RedisSettings},
    },
};
use url::Url;

use crate::harness::{
    daemon::{Daemon, rename_provider},
    events::SESSION_REVOKED,
    redis::Redis,
    streams::by_poll,
};

const COMPLIANCE_CHANGE: &str =
    "https://schemas.openid.net/secevent/caep/event-type/device-compliance-change";

/// The name of the table of agents, and the audience of its answers.
const AGENTS: &str = "laptops";
const AUDIENCE: &str = "https://tx.example/t/acme/agents/laptops";

/// Facts that meet the rules, and facts that fail one of them.
const GOOD: &str =
    r#"{"os": {"platform": "macos", "version": "15.4"}, "disk": {"encrypted": true}}"#;
const BAD: &str = r#"{"os":{"platform":"macos","version":"15.4"},"disk":{"encrypted":false}}"#;

/// How many devices are worked on at a time.
const AT_ONCE: usize = 16;

/// Returns a table of agents, with these members besides.
pub(crate) fn table(members: Value) -> AgentsSettings {
    let mut table = json!({
        "rules": [
            {"name": "disk", "fact": "/disk/encrypted", "equals": true},
            {"name": "os", "fact": "/os/version", "at_least": "15.2", "platforms": ["macos"]},
        ],
    });
    for (key, value) in members.as_object().expect("members") {
        table[key] = value.clone();
    }
    serde_json::from_value(table).expect("a table")
}

/// Daemons with one table of agents, and a poll stream that gets its events.
struct Fleet {
    nodes: Vec<Daemon>,
    http: HttpClient,
    operator: String,
    /// The Receiver's token and its stream.
    receiver: String,
    stream: String,
    _redis: Option<Redis>,
}

/// A device, with a client for each node.
#[derive(Clone)]
struct TestDevice {
    id: String,
    token: String,
    clients: Vec<AgentClient>,
}

impl Fleet {
    /// Starts one daemon with SQLite. The provider has a name of its own, so that its metrics count this
    /// test alone.
    async fn new(provider: &str, members: Value) -> Self {
        Self::with(provider, members, |_| {}).await
    }

    async fn with(provider: &str, members: Value, change: impl FnOnce(&mut Config)) -> Self {
        let node = Daemon::with(|config| {
            configure(config, provider, members);
            change(config);
        });
        Self::of(vec![node.await], None).await
    }

    /// Starts daemons that share a Redis server.
    async fn on_redis(provider: &str, nodes: usize, members: Value) -> Self {
        let redis = Redis::start().await;
        let mut daemons = Vec::new();
        for _ in 0..nodes {
            let node = Daemon::with(|config| {
                configure(config, provider, members.clone());
                config.store.backend = StoreBackend::Redis;
                let (urls, checks) = (vec![redis.url()], Checks::Warn);
                config.store.redis = RedisSettings { urls, checks, ..RedisSettings::default() };
            });
            daemons.push(node.await);
        }
        Self::of(daemons, Some(redis)).await
    }

    async fn of(nodes: Vec<Daemon>, redis: Option<Redis>) -> Self {
        let first = &nodes[0];
        let operator = first.operator_token().await;
        let receiver = first.receiver_token("rx", &[Scope::Manage]).await;
        let stream = first.create_stream(&receiver, by_poll()).await;
        let wanted = json!({"events_requested": [COMPLIANCE_CHANGE, SESSION_REVOKED]});
        first.update_stream(&receiver, &stream, wanted).await.expect(200);
        let http = HttpClient::new(None).expect("a client");
        Self { nodes, http, operator, receiver, stream, _redis: redis }
    }

    fn node(&self) -> &Daemon {
        &self.nodes[0]
    }

    /// Returns the URL of the agents at a node.
    fn url(&self, node: usize) -> Url {
        let daemon = &self.nodes[node];
        let url = format!("http://{}/in/{}/{AGENTS}", daemon.sources_address(), daemon.provider());
        url.parse().expect("a URL")
    }

    /// Registers a device, with these members besides.
    async fn add(&self, id: &str, members: Value) -> TestDevice {
        let mut body = json!({"provider": self.node().provider(), "agents": AGENTS, "device": id});
        for (key, value) in members.as_object().expect("members") {
            body[key] = value.clone();
        }
        let added = self.node().admin(&self.operator, Method::POST, "/devices").json(&body);
        let added = added.send().await.expect(201).json();
        assert_eq!(added["audience"], AUDIENCE);
        self.device(id, added["token"].as_str().expect("a token"))
    }

    /// Returns a device that has this token.
    fn device(&self, id: &str, token: &str) -> TestDevice {
        let client = |node| {
            let id = id.parse().expect("an id");
            let (http, token) = (self.http.clone(), Secret::new(token));
            AgentClient::new(http, self.url(node), id, AUDIENCE.to_owned(), token)
        };
        let clients = (0..self.nodes.len()).map(client).collect();
        TestDevice { id: id.to_owned(), token: token.to_owned(), clients }
    }

    fn key(&self, id: &str) -> DeviceKey {
        DeviceKey {
            provider: self.node().provider().parse().expect("a name"),
            agents: AGENTS.parse().expect("a name"),
            device: id.parse().expect("an id"),
        }
    }

    /// Returns a device as the store has it.
    async fn stored(&self, id: &str) -> Device {
        let found = self.node().store().device(&self.key(id)).await.expect("readable");
        found.expect("it is registered").record
    }

    /// Sends a request to the admin API about a device.
    async fn operate(&self, method: Method, id: &str, below: &str) -> Value {
        let path = format!("/devices/{}/{AGENTS}/{id}{below}", self.node().provider());
        let answer = self.node().admin(&self.operator, method, &path).send().await;
        assert!(answer.status.is_success(), "{}", answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    async fn shown(&self, id: &str) -> Value {
        self.operate(Method::GET, id, "").await
    }

    /// Returns the claims of all SETs that wait, and acknowledges them.
    async fn sets(&self) -> Vec<Value> {
        let client = self.node().client_with(self.node().provider(), &self.receiver);
        client.polled(&self.stream).await
    }

    /// Returns the changes that wait, each as the device and its new status.
    async fn changes(&self) -> Vec<(String, String)> {
        let sets = self.sets().await;
        let mut changes: Vec<_> = sets.iter().map(change).collect();
        changes.sort();
        changes
    }

    /// Returns the value of a metric of this fleet, with these labels besides.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count is a whole number"
    )]
    async fn counted(&self, metric: &str, labels: &str) -> u64 {
        let provider = self.node().provider();
        let series = format!(r#"{metric}{{provider="{provider}",agents="{AGENTS}"{labels}}}"#);
        self.node().metric(&series).await as u64
    }

    async fn refused(&self, reason: &str) -> u64 {
        self.counted("ssfd_agent_refusals_total", &format!(r#",reason="{reason}""#)).await
    }
}

fn configure(config: &mut Config, provider: &str, members: Value) {
    rename_provider(config, provider);
    config.sources.listen = Some(([127, 0, 0, 1], 0).into());
    // The sweep of another table must not come in between.
    let table = table(members);
    let provider = config.providers.values_mut().next().expect("a provider");
    provider.agents.insert(AGENTS.parse().expect("a name"), table);
}

/// Returns the device and the new status that a SET tells.
#[track_caller]
fn change(claims: &Value) -> (String, String) {
    let device = claims["sub_id"]["device"]["id"].as_str().expect("a device").to_owned();
    let event = &claims["events"][COMPLIANCE_CHANGE];
    let status = event["current_status"].as_str().expect("a change").to_owned();
    assert_ne!(event["previous_status"], event["current_status"]);
    assert!(event["reason_admin"]["en"].is_string(), "{claims}");
    (device, status)
}

impl TestDevice {
    async fn check_in(&self, facts: &str) -> Result<AgentResult, AgentError> {
        self.clients[0].check_in(facts, clock::now()).await
    }

    /// Checks in at a node, and asserts the status that follows.
    async fn is(&self, node: usize, facts: &str, status: &str) {
        let result = self.clients[node].check_in(facts, clock::now()).await;
        let result = result.unwrap_or_else(|error| panic!("{}: {error}", self.id));
        assert_eq!(result.status, status, "{}", self.id);
    }
}

/// Does something with each device, several at a time.
async fn all<F: Future<Output = ()>>(devices: &[TestDevice], one: impl Fn(usize, TestDevice) -> F) {
    let devices = devices.iter().cloned().enumerate().map(|(at, device)| one(at, device));
    stream::iter(devices).buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[track_caller]
fn assert_refused(result: Result<AgentResult, AgentError>) -> String {
    match result {
        Err(AgentError::Refused { detail }) => detail,
        other => panic!("it was not refused: {other:?}"),
    }
}

/// Returns whether a number of seconds has passed since then, by the clock of the daemon.
fn later(since: ssfd::domain::time::Timestamp, span: Duration) -> bool {
    since + span <= clock::now()
}
