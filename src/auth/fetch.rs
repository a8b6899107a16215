//! Requests to an authorization server. The operator configures its URLs, so the guard for
//! Receivers' endpoints does not apply to them. TLS is required, and redirects are not followed.

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

/// The largest response that is read, in bytes. A larger one counts as no response.
pub(super) const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The longest time for a whole exchange.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends requests over TLS. A clone is cheap, because it shares the client.
#[derive(Debug, Clone)]
pub struct Fetcher(Arc<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>);

/// The reason why there is no usable response.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the server cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
    #[error("the server answered with status {0}")]
    Status(StatusCode),
    #[error("the answer is not a JSON object")]
    NotAnObject(#[source] serde_json::Error),
}

impl Fetcher {
    /// Makes a fetcher that trusts the roots of the system and the roots in the PEM file.
    pub fn new(trusted_roots: Option<&Path>) -> Result<Self, TrustedRootsError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(trusted_roots)?)
            .https_only()
            .enable_all_versions()
            .build();
        // An authorization server is asked so seldom that it closes the connection before the next
        // request.
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self(Arc::new(client)))
    }

    pub(super) async fn get(&self, uri: &Uri) -> Result<Bytes, FetchError> {
        let request = Request::get(uri).header("accept", "application/json").body(Full::default());
        self.send(request).await
    }

    /// Sends a request and returns the body of a response with status 200.
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
