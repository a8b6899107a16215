//! The scenario: requests verification SETs, publishes the sample events, has a webhook sent, and follows
//! the SETs that arrive.

use std::pin::pin;

use serde_json::{Value, json, value::to_raw_value};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    events::sample_events,
    identity_provider::{IdentityProvider, sign_out},
    output::DemoOutput,
    receivers::DemoReceivers,
    results::{DeliveryResults, DemoSummary, ExpectedSet, ExpectedTxn},
    setup::Setup,
};
use crate::{
    cli::{
        CliError,
        http::HttpClient,
        publish::{http::HttpPublisher, input::RawEvent, redis::RedisPublisher},
        receive::received::{ReceiveMethod, Received},
    },
    clock,
    domain::event_type::EventType,
    http::events::Answer,
};

/// The most SETs that wait to be printed.
const ARRIVED_MAX: usize = 1024;

/// The running scenario.
pub(super) struct Scenario<'a> {
    setup: &'a Setup,
    output: &'a DemoOutput,
    pub(super) receivers: DemoReceivers,
    arriving: mpsc::Receiver<Received>,
    results: DeliveryResults,
}

/// One step of the scenario, which leads to one or more SETs.
enum ScenarioStep {
    RequestVerification(ReceiveMethod, String),
    Publish(RawEvent),
    /// The identity provider sends this record.
    SendWebhook(Value),
}

/// The publisher, by either way into the daemon.
enum DemoPublisher {
    Redis(RedisPublisher),
    Http(Box<HttpPublisher>),
}

impl<'a> Scenario<'a> {
    pub(super) async fn start(setup: &'a Setup, output: &'a DemoOutput) -> Result<Self, CliError> {
        let (received, arriving) = mpsc::channel(ARRIVED_MAX);
        let receivers = DemoReceivers::start(setup, received, output).await?;
        Ok(Self { setup, output, receivers, arriving, results: DeliveryResults::default() })
    }

    /// Publishes the events and prints the SETs that arrive, until all have arrived or the deadline
    /// passes.
    pub(super) async fn run(&mut self, deadline: Instant) -> Result<DemoSummary, CliError> {
        let (expected, steps) = self.steps_and_expectations();
        let publisher = DemoPublisher::of(self.setup)?;
        let events = steps.iter().filter(|step| matches!(step, ScenarioStep::Publish(_))).count();
        self.output.step("both Receivers request a verification SET")?;
        self.output
            .step(&format!("the publisher publishes {events} events by {}", publisher.method()))?;
        let identity_provider = &self.setup.identity_provider;
        self.output.step(&format!(
            "an identity provider signs a webhook as Keycloak does, and posts it to {}",
            identity_provider.url
        ))?;
        self.output.heading()?;
        self.results = DeliveryResults::expect(expected);
        let Self { output, receivers, arriving, results, .. } = self;

        let (started, mut starting) = mpsc::channel(steps.len());
        let mut publishing = pin!(publish(steps, receivers, publisher, identity_provider, started));
        let mut all_published = false;
        while !(all_published && results.is_complete()) {
            tokio::select! {
                // In this order, so that a step's start is recorded before its SETs arrive.
                biased;
                Some((index, at)) = starting.recv() => results.on_published(index, at),
                Some(set) = arriving.recv() => {
                    let arrival = results.on_arrived(&set, clock::instant());
                    output.arrival(&set, &arrival, &receivers.streams)?;
                }
                result = &mut publishing, if !all_published => {
                    result?;
                    all_published = true;
                }
                () = sleep_until(deadline) => break,
            }
        }
        Ok(results.summary())
    }

    /// Prints the SETs that arrive until it is dropped.
    pub(super) async fn show_arrivals(&mut self) -> Result<(), CliError> {
        while let Some(set) = self.arriving.recv().await {
            let arrival = self.results.on_arrived(&set, clock::instant());
            self.output.arrival(&set, &arrival, &self.receivers.streams)?;
        }
        Ok(())
    }

    pub(super) async fn stop(self) -> Result<(), CliError> {
        self.receivers.stop().await
    }

    /// Returns the expected SETs and the steps; entries with the same index belong together.
    fn steps_and_expectations(&self) -> (Vec<ExpectedSet>, Vec<ScenarioStep>) {
        let verifications = [ReceiveMethod::Push, ReceiveMethod::Poll].map(|method| {
            let state = clock::random_uuid().simple().to_string();
            let id = &self.receivers.streams.of(method).stream_id;
            let expected = ExpectedSet {
                event_type: EventType::verification(),
                payload: json!({"state": state}),
                // SSF §8.1.4.1.
                subject: json!({"format": "opaque", "id": id}),
                txn: ExpectedTxn::None,
                methods: vec![method],
            };
            (expected, ScenarioStep::RequestVerification(method, state))
        });
        let events = sample_events(clock::now()).into_iter().map(|event| {
            let raw = to_raw_value(&event).expect("a JSON value");
            (expected_of(event), ScenarioStep::Publish(raw))
        });
        let (record, expected) = sign_out(clock::now());
        let webhook = (expected, ScenarioStep::SendWebhook(record));
        verifications.into_iter().chain(events).chain([webhook]).unzip()
    }
}

/// Returns the SET that each stream has to get for an event.
fn expected_of(mut event: Value) -> ExpectedSet {
    let text = |member: &str| event[member].as_str().map(str::to_owned);
    let event_type = text("type").and_then(|raw| raw.parse().ok()).expect("an event type");
    let txn = text("txn").map_or(ExpectedTxn::Made, ExpectedTxn::Published);
    let (payload, subject) = (event["event"].take(), event["sub_id"].take());
    ExpectedSet {
        event_type,
        payload,
        subject,
        txn,
        methods: vec![ReceiveMethod::Push, ReceiveMethod::Poll],
    }
}

/// Performs the steps in their order. Sends the index of each step and the time to `started` just
/// before.
async fn publish(
    steps: Vec<ScenarioStep>,
    receivers: &DemoReceivers,
    mut publisher: DemoPublisher,
    identity_provider: &IdentityProvider,
    started: mpsc::Sender<(usize, std::time::Instant)>,
) -> Result<(), CliError> {
    for (index, step) in steps.into_iter().enumerate() {
        // The channel has room for all steps.
        started.try_send((index, clock::instant())).map_err(CliError::new)?;
        match step {
            ScenarioStep::RequestVerification(method, state) => {
                receivers.request_verification(method, &state).await?;
            }
            ScenarioStep::Publish(event) => publisher.publish(event).await?,
            ScenarioStep::SendWebhook(record) => identity_provider.send(&record).await?,
        }
    }
    Ok(())
}

impl DemoPublisher {
    fn of(setup: &Setup) -> Result<Self, CliError> {
        if let Some(redis) = &setup.redis {
            return Ok(Self::Redis(redis.publisher()));
        }
        let http = HttpClient::new(None).map_err(|error| CliError::of(&error))?;
        let token = setup.tokens.publisher.clone();
        Ok(Self::Http(Box::new(HttpPublisher::new(http, &setup.daemon.internal, token))))
    }

    fn method(&self) -> String {
        match self {
            Self::Redis(publisher) => format!("XADD {}", publisher.key()),
            Self::Http(publisher) => format!("POST {}", publisher.url()),
        }
    }

    async fn publish(&mut self, event: RawEvent) -> Result<(), CliError> {
        match self {
            Self::Redis(publisher) => {
                publisher.publish(&[event]).await.map_err(|error| CliError::of(&error))?;
            }
            Self::Http(publisher) => {
                let answers = publisher.publish(&[event]).await;
                let answers = answers.map_err(|error| CliError::of(&error))?;
                if let Some(Answer::Rejected { detail, .. }) = answers.first() {
                    return Err(CliError::new(format!("the daemon rejected an event: {detail}")));
                }
            }
        }
        Ok(())
    }
}
