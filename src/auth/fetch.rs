//! Requests to an authorization server. The operator configures its URLs, so the guard for
//! Receivers' endpoints does not apply to them. TLS is required, and redirects are not followed.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode, Uri,
    header::{self, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

use crate::{
    domain::json::JsonError,
    push::tls::{self, TrustedRootsError},
};

/// The largest response that is read, in bytes. A larger one counts as no response.
pub(super) const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The longest time for a whole exchange.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The name of this daemon in its requests, so that the operator of a server can tell whose they are.
const USER_AGENT: &str = concat!("ssfd/", env!("CARGO_PKG_VERSION"));

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
    #[error("the answer cannot be read")]
    NotJson(#[source] JsonError),
    #[error("the answer is not a JSON object")]
    NotAnObject,
    #[error("the answer has no boolean `active` (RFC 7662 §2.2)")]
    NotAnAnswer,
}

impl FetchError {
    /// Returns the kind of the error, for metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(error) if tls::is_distrust(error.as_ref()) => "untrusted",
            Self::Unreachable(_) => "unreachable",
            Self::Timeout => "timeout",
            Self::Status(StatusCode::UNAUTHORIZED) => "status_401",
            Self::Status(StatusCode::FORBIDDEN) => "status_403",
            Self::Status(StatusCode::NOT_FOUND) => "status_404",
            Self::Status(_) => "status_other",
            Self::NotJson(_) | Self::NotAnObject | Self::NotAnAnswer => "malformed",
        }
    }

    /// Returns the remedy, where the cause is likely to be our own configuration.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        match self.label() {
            "untrusted" => Some(
                "name the certificate authority of the server in `oauth.trusted_roots`, and use the \
                 host name of its certificate",
            ),
            "unreachable" | "timeout" => Some("check the URL, and that the server is up"),
            "status_401" | "status_403" => Some(
                "check `introspection.client_id` and `introspection.client_secret`, and that this \
                 client may introspect tokens",
            ),
            "status_404" => Some("check the URL: the server has nothing there"),
            "malformed" => Some("check the URL: something else answers there"),
            _ => None,
        }
    }
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
        let mut request = request.map_err(|error| FetchError::Unreachable(error.into()))?;
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
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
