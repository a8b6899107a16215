//! A Receiver's side of the SSF API.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::stage::Stage;
use crate::{
    cli::{
        CliError,
        http::{HttpClient, HttpError},
        receive::{inspect::Inspector, jwks::KeySource, metadata::Metadata},
    },
    domain::{event_type::EventType, secret::Secret},
};

/// A Receiver that has read the Transmitter's metadata and keys, over TLS that it has checked.
pub(super) struct Party {
    pub(super) http: HttpClient,
    pub(super) token: Secret,
    pub(super) inspector: Arc<Inspector>,
    configuration_endpoint: Url,
    verification_endpoint: Url,
}

/// A stream as its Receiver needs to know it (SSF §8.1.1).
#[derive(Debug, Deserialize)]
pub(super) struct Stream {
    pub(super) stream_id: String,
    pub(super) delivery: Delivery,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delivery {
    pub(super) endpoint_url: String,
}

impl Party {
    pub(super) async fn meet(
        stage: &Stage,
        audience: &str,
        token: &Secret,
    ) -> Result<Self, CliError> {
        let http = HttpClient::new(Some(&stage.roots)).map_err(|error| CliError::of(&error))?;
        let metadata = Metadata::fetch(&http, &stage.issuer).await;
        let metadata = metadata.map_err(|error| CliError::of(&error))?;
        let keys = KeySource::metadata(http.clone(), stage.issuer.clone());
        keys.check().await.map_err(|error| CliError::of(&error))?;
        let inspector =
            Inspector::new(keys).of_issuer(stage.issuer.as_str()).for_audience(audience);
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
    pub(super) async fn register(&self, delivery: Value) -> Result<Stream, CliError> {
        let url = &self.configuration_endpoint;
        let wanted = EventType::offered_by_default();
        let body = json!({"delivery": delivery, "events_requested": wanted});
        let body = self.post(url, &body, StatusCode::CREATED).await?;
        serde_json::from_slice(&body)
            .map_err(|error| CliError::of(&HttpError::unreadable(url, error)))
    }

    /// Asks for a verification SET, which is to carry `state`.
    pub(super) async fn ask_to_verify(&self, stream: &Stream, state: &str) -> Result<(), CliError> {
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
