//! A small HTTP client for commands that call a daemon or a Transmitter.

use std::{error::Error, path::Path, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::Deserialize;
use url::Url;

use crate::{
    domain::secret::Secret,
    push::tls::{self, TrustedRootsError},
};

/// The largest body that is read. The answer to a poll may contain a thousand SETs.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest time that a request may take, except a long poll.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An HTTP client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why a request has no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{url} cannot be reached")]
    Unreachable { url: Url, source: Box<dyn Error + Send + Sync> },
    #[error("{url} did not answer within {timeout:?}")]
    Timeout { url: Url, timeout: Duration },
    #[error("{url} answered with status {status}")]
    Status { url: Url, status: StatusCode },
    /// The answer contains a reason (RFC 9457).
    #[error("{url} answered with status {status}: {detail}")]
    Refused { url: Url, status: StatusCode, detail: String },
    /// The status is a success, but the body is not what was expected.
    #[error("the answer of {url} has an unexpected format")]
    Unreadable { url: Url, source: serde_json::Error },
}

#[derive(Deserialize)]
struct ProblemDetail {
    detail: String,
}

impl HttpError {
    /// Makes an error of an answer whose status is no success.
    pub fn refused(url: &Url, status: StatusCode, body: &[u8]) -> Self {
        let url = url.clone();
        match serde_json::from_slice(body) {
            Ok(ProblemDetail { detail }) => Self::Refused { url, status, detail },
            Err(_) => Self::Status { url, status },
        }
    }

    pub fn unreadable(url: &Url, source: serde_json::Error) -> Self {
        Self::Unreadable { url: url.clone(), source }
    }
}

impl HttpClient {
    /// Trusts the system's certificate authorities and those in the PEM file.
    pub fn new(trusted_roots: Option<&Path>) -> Result<Self, TrustedRootsError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Without this, the end of a request may wait until its beginning is acknowledged.
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(trusted_roots)?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let mut builder = Client::builder(TokioExecutor::new());
        Ok(Self { client: builder.pool_timer(TokioTimer::new()).build(connector) })
    }

    /// Reads the body of a URL. The status must be 200.
    pub async fn get(&self, url: &Url) -> Result<Bytes, HttpError> {
        let request = Request::get(url.as_str()).body(Full::default());
        let request = request.map_err(|error| unreachable(url, error))?;
        match self.send(url, request, TIMEOUT).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(HttpError::Status { url: url.clone(), status }),
        }
    }

    /// Posts JSON with a bearer token (RFC 6750 §2.1).
    pub async fn post(
        &self,
        url: &Url,
        token: &Secret,
        json: impl Into<Bytes>,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        self.call(Method::POST, url, token, json).await
    }

    /// Sends a request with a bearer token and a JSON body, which may be empty.
    pub async fn call(
        &self,
        method: Method,
        url: &Url,
        token: &Secret,
        json: impl Into<Bytes>,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(json.into()));
        self.send(url, request.map_err(|error| unreachable(url, error))?, TIMEOUT).await
    }

    /// Sends a request to `url` and reads the whole answer.
    pub async fn send(
        &self,
        url: &Url,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let exchange = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await?;
            Ok((status, body.to_bytes()))
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(answer) => {
                answer.map_err(|source| HttpError::Unreachable { url: url.clone(), source })
            }
            Err(_elapsed) => Err(HttpError::Timeout { url: url.clone(), timeout }),
        }
    }
}

fn unreachable(url: &Url, error: impl Error + Send + Sync + 'static) -> HttpError {
    HttpError::Unreachable { url: url.clone(), source: Box::new(error) }
}
