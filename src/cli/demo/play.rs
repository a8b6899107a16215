//! What happens on the stage: events go in, SETs arrive.

use std::pin::pin;

use serde_json::{Value, json, value::to_raw_value};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    events::events,
    receivers::Receivers,
    show::Screen,
    stage::Stage,
    tally::{Expected, Summary, Tally},
};
use crate::{
    cli::{
        CliError,
        http::HttpClient,
        publish::{http::HttpPublisher, input::RawEvent, redis::RedisPublisher},
        receive::received::{Method, Received},
    },
    clock,
    domain::event_type::EventType,
    http::events::Answer,
};

/// How many SETs may wait to be shown.
const WAITING_MAX: usize = 1024;

/// Receivers at work on a stage.
pub(super) struct Play<'a> {
    stage: &'a Stage,
    screen: &'a Screen,
    pub(super) receivers: Receivers,
    arriving: mpsc::Receiver<Received>,
    tally: Tally,
}

/// What makes a SET, or several.
enum Cue {
    Verify(Method, String),
    Publish(RawEvent),
}

/// Whoever feeds the daemon.
enum Upstream {
    Redis(RedisPublisher),
    Http(Box<HttpPublisher>),
}

impl<'a> Play<'a> {
    pub(super) async fn start(stage: &'a Stage, screen: &'a Screen) -> Result<Self, CliError> {
        let (received, arriving) = mpsc::channel(WAITING_MAX);
        let receivers = Receivers::start(stage, received, screen).await?;
        Ok(Self { stage, screen, receivers, arriving, tally: Tally::default() })
    }

    /// Publishes, and shows what arrives until nothing is missing or it is too late.
    pub(super) async fn perform(&mut self, deadline: Instant) -> Result<Summary, CliError> {
        let (expected, cues) = self.script();
        let upstream = Upstream::of(self.stage)?;
        let events = cues.iter().filter(|cue| matches!(cue, Cue::Publish(_))).count();
        self.screen.step("both ask for a verification SET")?;
        self.screen.step(&format!("upstream publishes {events} events by {}", upstream.way()))?;
        self.screen.heading()?;
        self.tally = Tally::expect(expected);
        let Self { screen, receivers, arriving, tally, .. } = self;

        let (tell, mut told) = mpsc::channel(cues.len());
        let mut publishing = pin!(publish(cues, receivers, upstream, tell));
        let mut published = false;
        while !(published && tally.is_complete()) {
            tokio::select! {
                // What arrives was told of before it was published.
                biased;
                Some((place, at)) = told.recv() => tally.on_published(place, at),
                Some(set) = arriving.recv() => {
                    let sighting = tally.on_arrived(&set, clock::instant());
                    screen.arrival(&set, &sighting, &receivers.streams)?;
                }
                result = &mut publishing, if !published => {
                    result?;
                    published = true;
                }
                () = sleep_until(deadline) => break,
            }
        }
        Ok(tally.summary())
    }

    /// Shows what arrives for as long as it is let.
    pub(super) async fn go_on(&mut self) -> Result<(), CliError> {
        while let Some(set) = self.arriving.recv().await {
            let sighting = self.tally.on_arrived(&set, clock::instant());
            self.screen.arrival(&set, &sighting, &self.receivers.streams)?;
        }
        Ok(())
    }

    pub(super) async fn end(self) -> Result<(), CliError> {
        self.receivers.stop().await
    }

    /// What is done, and at the same place what is to come of it.
    fn script(&self) -> (Vec<Expected>, Vec<Cue>) {
        let verifications = [Method::Push, Method::Poll].map(|method| {
            let state = clock::random_uuid().simple().to_string();
            let id = &self.receivers.streams.of(method).stream_id;
            let expected = Expected {
                event_type: EventType::verification(),
                payload: json!({"state": state}),
                // SSF §8.1.4.1.
                subject: json!({"format": "opaque", "id": id}),
                txn: None,
                methods: vec![method],
            };
            (expected, Cue::Verify(method, state))
        });
        let events = events(clock::now()).into_iter().map(|event| {
            let raw = to_raw_value(&event).expect("a JSON value");
            (expected_of(event), Cue::Publish(raw))
        });
        verifications.into_iter().chain(events).unzip()
    }
}

/// One event, and each stream gets it.
fn expected_of(mut event: Value) -> Expected {
    let text = |member: &str| event[member].as_str().map(str::to_owned);
    let event_type = text("type").and_then(|raw| raw.parse().ok()).expect("an event type");
    let txn = text("txn");
    let (payload, subject) = (event["event"].take(), event["sub_id"].take());
    Expected { event_type, payload, subject, txn, methods: vec![Method::Push, Method::Poll] }
}

/// Follows the cues, in order, and tells of each just before.
async fn publish(
    cues: Vec<Cue>,
    receivers: &Receivers,
    mut upstream: Upstream,
    tell: mpsc::Sender<(usize, std::time::Instant)>,
) -> Result<(), CliError> {
    for (place, cue) in cues.into_iter().enumerate() {
        // There is room for all of them.
        tell.try_send((place, clock::instant())).map_err(CliError::new)?;
        match cue {
            Cue::Verify(method, state) => receivers.ask_to_verify(method, &state).await?,
            Cue::Publish(event) => upstream.publish(event).await?,
        }
    }
    Ok(())
}

impl Upstream {
    fn of(stage: &Stage) -> Result<Self, CliError> {
        if let Some(redis) = &stage.redis {
            return Ok(Self::Redis(redis.publisher()));
        }
        let http = HttpClient::new(None).map_err(|error| CliError::of(&error))?;
        let token = stage.tokens.publisher.clone();
        Ok(Self::Http(Box::new(HttpPublisher::new(http, &stage.daemon.internal, token))))
    }

    fn way(&self) -> String {
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
                    return Err(CliError::new(format!("an event was rejected: {detail}")));
                }
            }
        }
        Ok(())
    }
}
