//! Requests to an authorization server. Its URLs are the operator's word, so no address is refused
//! that a Receiver's endpoint may not have; but TLS is a must, and a redirect is no answer.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

use crate::push::tls::{self, TrustedRootsError};

/// The largest answer that is read, in bytes; a larger one is none.
pub(super) const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How long an exchange may take in all.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher(Arc<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>);

/// No answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("no answer")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
    #[error("an answer with status {0}")]
    Status(StatusCode),
    #[error("an answer that is no JSON object")]
    NotAnObject(#[source] serde_json::Error),
}

impl Fetcher {
    /// Trusts the system's roots and those in the PEM file.
    pub fn new(trusted_roots: Option<&Path>) -> Result<Self, TrustedRootsError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(trusted_roots)?)
            .https_only()
            .enable_all_versions()
            .build();
        // A server that is asked seldom has closed a connection before it is used again.
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self(Arc::new(client)))
    }

    pub(super) async fn get(&self, uri: &Uri) -> Result<Bytes, FetchError> {
        let request = Request::get(uri).header("accept", "application/json").body(Full::default());
        self.send(request).await
    }

    /// The body of an answer with status 200.
    pub(super) async fn send(
        &self,
        request: Result<Request<Full<Bytes>>, hyper::http::Error>,
    ) -> Result<Bytes, FetchError> {
        let request = request.map_err(|error| FetchError::Unreachable(error.into()))?;
        let exchange = async {
            let unreachable = |error| FetchError::Unreachable(Box::new(error));
            let response = self.0.request(request).await.map_err(unreachable)?;
            match response.status() {
                StatusCode::OK => {
                    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
                    let body = body.collect().await.map_err(FetchError::Unreachable)?;
                    Ok(body.to_bytes())
                }
                other => Err(FetchError::Status(other)),
            }
        };
        timeout(TIMEOUT, exchange).await.unwrap_or(Err(FetchError::Timeout))
    }
}
