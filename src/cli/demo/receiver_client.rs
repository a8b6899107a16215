//! A client for the SSF API as a Receiver uses it.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::setup::Setup;
use crate::{
    cli::{
        CliError,
        http::{HttpClient, HttpError},
        receive::{inspect::Inspector, jwks::KeySource, metadata::Metadata},
    },
    domain::{event_type::EventType, secret::Secret},
};

/// The client of one Receiver, which has read the Transmitter's metadata and keys over verified
/// TLS.
pub(super) struct ReceiverClient {
    pub(super) http: HttpClient,
    pub(super) token: Secret,
    pub(super) inspector: Arc<Inspector>,
    configuration_endpoint: Url,
    verification_endpoint: Url,
}

/// The members of a stream's configuration (SSF §8.1.1) that the demo needs.
#[derive(Debug, Deserialize)]
pub(super) struct DemoStream {
    pub(super) stream_id: String,
    pub(super) delivery: DemoDelivery,
}

#[derive(Debug, Deserialize)]
pub(super) struct DemoDelivery {
    pub(super) endpoint_url: String,
}

impl ReceiverClient {
    /// Reads the metadata and the keys.
    pub(super) async fn connect(
        setup: &Setup,
        audience: &str,
        token: &Secret,
    ) -> Result<Self, CliError> {
        let http = HttpClient::new(Some(&setup.roots)).map_err(|error| CliError::of(&error))?;
        let metadata = Metadata::fetch(&http, &setup.issuer).await;
        let metadata = metadata.map_err(|error| CliError::of(&error))?;
        let keys = KeySource::metadata(http.clone(), setup.issuer.clone());
        keys.check().await.map_err(|error| CliError::of(&error))?;
        let inspector =
            Inspector::new(keys).of_issuer(setup.issuer.as_str()).for_audience(audience);
        let named = |endpoint: Option<Url>, name| {
            endpoint.ok_or_else(|| CliError::new(format!("the metadata has no `{name}`")))
        };
        Ok(Self {
            http,
            token: token.clone(),
            inspector: Arc::new(inspector),
            configuration_endpoint: named(
                metadata.configuration_endpoint,
                "configuration_endpoint",
            )?,
            verification_endpoint: named(metadata.verification_endpoint, "verification_endpoint")?,
        })
    }

    /// Creates a stream that asks for every event type.
    pub(super) async fn create_stream(&self, delivery: Value) -> Result<DemoStream, CliError> {
        let url = &self.configuration_endpoint;
        let wanted = EventType::offered_by_default();
        let body = json!({"delivery": delivery, "events_requested": wanted});
        let body = self.post(url, &body, StatusCode::CREATED).await?;
        serde_json::from_slice(&body)
            .map_err(|error| CliError::of(&HttpError::unreadable(url, error)))
    }

    /// Requests a verification SET that carries `state`.
    pub(super) async fn request_verification(
        &self,
        stream: &DemoStream,
        state: &str,
    ) -> Result<(), CliError> {
        let body = json!({"stream_id": stream.stream_id, "state": state});
        self.post(&self.verification_endpoint, &body, StatusCode::NO_CONTENT).await.map(drop)
    }

    async fn post(
        &self,
        url: &Url,
        body: &Value,
        expected: StatusCode,
    ) -> Result<bytes::Bytes, CliError> {
        let answer = self.http.post(url, &self.token, body.to_string()).await;
        match answer.map_err(|error| CliError::of(&error))? {
            (status, body) if status == expected => Ok(body),
            (status, body) => Err(CliError::of(&HttpError::refused(url, status, &body))),
        }
    }
}
