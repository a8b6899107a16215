//! The two Receivers.

use std::sync::Arc;

use rustls::ServerConfig;
use serde_json::json;
use tokio::sync::mpsc;
use url::Url;

use super::{
    party::{Party, Stream},
    show::Screen,
    stage::{POLL_AUDIENCE, PUSH_AUDIENCE, Stage},
};
use crate::{
    cli::{
        CliError,
        receive::{
            certificate::server_config,
            poll::{PollOptions, PollReceiver},
            push::{PushOptions, PushReceiver},
            received::{Method, Received},
        },
    },
    clock,
    domain::{
        secret::Secret,
        stream::{METHOD_POLL, METHOD_PUSH},
    },
};

/// Both at work, each with a stream.
pub(super) struct Receivers {
    pub(super) streams: Streams,
    push: Party,
    poll: Party,
    endpoint: PushReceiver,
    /// None once it has ended.
    poller: Option<PollReceiver>,
}

/// The stream of each.
pub(super) struct Streams {
    pub(super) push: Stream,
    pub(super) poll: Stream,
}

impl Streams {
    pub(super) fn of(&self, method: Method) -> &Stream {
        match method {
            Method::Push => &self.push,
            Method::Poll => &self.poll,
        }
    }
}

impl Receivers {
    /// Gives all that arrives to `received`.
    pub(super) async fn start(
        stage: &Stage,
        received: mpsc::Sender<Received>,
        screen: &Screen,
    ) -> Result<Self, CliError> {
        let push = Party::meet(stage, PUSH_AUDIENCE, &stage.tokens.push_receiver).await?;
        let poll = Party::meet(stage, POLL_AUDIENCE, &stage.tokens.poll_receiver).await?;
        screen.step("two Receivers read its metadata and its JWK Set, over TLS")?;

        let made = &stage.certificate;
        let tls = server_config(made.certificate_pem.as_bytes(), made.key_pem.as_bytes());
        let tls = tls.map_err(|error| CliError::of(&error))?;
        let (endpoint, push_stream) = listen(&push, tls, received.clone()).await?;
        let id = &push_stream.stream_id;
        screen.step(&format!("one registered the stream {id}, push to {}", endpoint.url()))?;

        let (poller, poll_stream) = start_polling(&poll, received).await?;
        let id = &poll_stream.stream_id;
        screen.step(&format!("the other registered the stream {id}, and polls it"))?;
        let streams = Streams { push: push_stream, poll: poll_stream };
        Ok(Self { streams, push, poll, endpoint, poller: Some(poller) })
    }

    /// Asks for a verification SET, which is to carry `state`.
    pub(super) async fn ask_to_verify(&self, method: Method, state: &str) -> Result<(), CliError> {
        let party = match method {
            Method::Push => &self.push,
            Method::Poll => &self.poll,
        };
        party.ask_to_verify(self.streams.of(method), state).await
    }

    /// Ends polling, once all that arrived is acknowledged.
    pub(super) async fn stop_polling(&mut self) -> Result<(), CliError> {
        match self.poller.take() {
            Some(poller) => poller.stop().await.map_err(|error| CliError::of(&error)),
            None => Ok(()),
        }
    }

    pub(super) async fn stop(mut self) -> Result<(), CliError> {
        let polled = self.stop_polling().await;
        self.endpoint.stop().await;
        polled
    }
}

/// The endpoint stands before the stream that names it.
async fn listen(
    party: &Party,
    tls: ServerConfig,
    received: mpsc::Sender<Received>,
) -> Result<(PushReceiver, Stream), CliError> {
    let authorization = format!("Bearer {}", clock::random_uuid().simple());
    let options = PushOptions {
        listen: "127.0.0.1:0".to_owned(),
        tls: Some(tls),
        authorization_header: Some(Secret::new(&*authorization)),
        misbehaviour: None,
        inspector: Arc::clone(&party.inspector),
        received,
    };
    let endpoint = PushReceiver::start(options).await.map_err(CliError::new)?;
    let delivery = json!({
        "method": METHOD_PUSH, "endpoint_url": endpoint.url(),
        "authorization_header": authorization,
    });
    let stream = party.register(delivery).await?;
    Ok((endpoint, stream))
}

/// The stream stands before its poller, which learns from it where to poll.
async fn start_polling(
    party: &Party,
    received: mpsc::Sender<Received>,
) -> Result<(PollReceiver, Stream), CliError> {
    let stream = party.register(json!({"method": METHOD_POLL})).await?;
    let poller = PollReceiver::start(PollOptions {
        url: Url::parse(&stream.delivery.endpoint_url).map_err(CliError::new)?,
        token: Some(party.token.clone()),
        events_max: None,
        http: party.http.clone(),
        inspector: Arc::clone(&party.inspector),
        received,
    });
    Ok((poller, stream))
}
