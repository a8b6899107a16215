//! The two Receivers of the demo, one by push and one by poll.

use std::sync::Arc;

use rustls::ServerConfig;
use serde_json::json;
use tokio::sync::mpsc;
use url::Url;

use super::{
    output::DemoOutput,
    receiver_client::{DemoStream, ReceiverClient},
    setup::{POLL_AUDIENCE, PUSH_AUDIENCE, Setup},
};
use crate::{
    cli::{
        CliError,
        receive::{
            certificate::server_config,
            poll::{PollOptions, PollReceiver},
            push::{PushOptions, PushReceiver},
            received::{ReceiveMethod, Received},
        },
    },
    clock,
    domain::{
        secret::Secret,
        stream::{METHOD_POLL, METHOD_PUSH},
    },
};

/// Both Receivers, running, each with a stream.
pub(super) struct DemoReceivers {
    pub(super) streams: ReceiverStreams,
    push: ReceiverClient,
    poll: ReceiverClient,
    endpoint: PushReceiver,
    /// `None` once polling was stopped.
    poller: Option<PollReceiver>,
}

/// The stream of each Receiver.
pub(super) struct ReceiverStreams {
    pub(super) push: DemoStream,
    pub(super) poll: DemoStream,
}

impl ReceiverStreams {
    pub(super) fn of(&self, method: ReceiveMethod) -> &DemoStream {
        match method {
            ReceiveMethod::Push => &self.push,
            ReceiveMethod::Poll => &self.poll,
        }
    }
}

impl DemoReceivers {
    /// Creates the streams and starts to receive. Sends each SET that arrives to `received`.
    pub(super) async fn start(
        setup: &Setup,
        received: mpsc::Sender<Received>,
        output: &DemoOutput,
    ) -> Result<Self, CliError> {
        let push =
            ReceiverClient::connect(setup, PUSH_AUDIENCE, &setup.tokens.push_receiver).await?;
        let poll =
            ReceiverClient::connect(setup, POLL_AUDIENCE, &setup.tokens.poll_receiver).await?;
        output.step("both Receivers read the metadata and the JWK Set over TLS")?;

        let certificate = &setup.certificate;
        let tls =
            server_config(certificate.certificate_pem.as_bytes(), certificate.key_pem.as_bytes());
        let tls = tls.map_err(|error| CliError::of(&error))?;
        let (endpoint, push_stream) = listen(&push, tls, received.clone()).await?;
        let id = &push_stream.stream_id;
        output.step(&format!(
            "the push Receiver created the stream {id} with the endpoint {}",
            endpoint.url()
        ))?;

        let (poller, poll_stream) = start_polling(&poll, received).await?;
        let id = &poll_stream.stream_id;
        output.step(&format!("the poll Receiver created the stream {id} and polls it"))?;
        let streams = ReceiverStreams { push: push_stream, poll: poll_stream };
        Ok(Self { streams, push, poll, endpoint, poller: Some(poller) })
    }

    /// Requests a verification SET that carries `state`.
    pub(super) async fn request_verification(
        &self,
        method: ReceiveMethod,
        state: &str,
    ) -> Result<(), CliError> {
        let client = match method {
            ReceiveMethod::Push => &self.push,
            ReceiveMethod::Poll => &self.poll,
        };
        client.request_verification(self.streams.of(method), state).await
    }

    /// Stops polling once all SETs that arrived are acknowledged.
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

/// Starts the push endpoint, then creates the stream that names it.
async fn listen(
    client: &ReceiverClient,
    tls: ServerConfig,
    received: mpsc::Sender<Received>,
) -> Result<(PushReceiver, DemoStream), CliError> {
    let authorization = format!("Bearer {}", clock::random_uuid().simple());
    let options = PushOptions {
        listen: "127.0.0.1:0".to_owned(),
        tls: Some(tls),
        authorization_header: Some(Secret::new(&*authorization)),
        misbehaviour: None,
        inspector: Arc::clone(&client.inspector),
        received,
    };
    let endpoint = PushReceiver::start(options).await.map_err(CliError::new)?;
    let delivery = json!({
        "method": METHOD_PUSH, "endpoint_url": endpoint.url(),
        "authorization_header": authorization,
    });
    let stream = client.create_stream(delivery).await?;
    Ok((endpoint, stream))
}

/// Creates the poll stream, then polls at the URL that its configuration gives.
async fn start_polling(
    client: &ReceiverClient,
    received: mpsc::Sender<Received>,
) -> Result<(PollReceiver, DemoStream), CliError> {
    let stream = client.create_stream(json!({"method": METHOD_POLL})).await?;
    let poller = PollReceiver::start(PollOptions {
        url: Url::parse(&stream.delivery.endpoint_url).map_err(CliError::new)?,
        token: Some(client.token.clone()),
        events_max: None,
        http: client.http.clone(),
        inspector: Arc::clone(&client.inspector),
        received,
    });
    Ok((poller, stream))
}
