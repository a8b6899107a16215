//! Requests to the provider. The operator configures their URLs, so the guard for Receivers' endpoints does
//! not apply to them. TLS is required except on this machine, and redirects are not followed.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    header::{self, HeaderName, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;
use url::Url;

use super::fault::Fault;
use crate::{
    clock,
    domain::time::Timestamp,
    push::{
        retry_after,
        tls::{self, TrustedRootsError},
    },
};

/// The name of this daemon in its requests, so that the operator of a provider can tell whose they are.
const USER_AGENT: &str = concat!("ssfd/", env!("CARGO_PKG_VERSION"));
/// How long a connection is kept for the next request. Between two rounds, most servers close it.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// Sends requests to one provider.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    bytes_max: usize,
}

/// A header with a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credential {
    pub(super) name: HeaderName,
    /// Marked as sensitive, so that it is not printed.
    pub(super) value: HeaderValue,
}

/// An answer with the status 200.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Bytes,
    pub(super) headers: HeaderMap,
}

impl Client {
    pub(super) fn new(
        trusted_roots: Option<&Path>,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Self, TrustedRootsError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(trusted_roots)?)
            .https_or_http()
            .enable_all_versions()
            .build();
        let http =
            HyperClient::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_MAX).build(connector);
        Ok(Self { http, timeout, bytes_max })
    }

    /// Asks for a page.
    pub(super) async fn get(
        &self,
        url: &Url,
        credential: Option<&Credential>,
    ) -> Result<Answer, Fault> {
        self.send(Method::GET, url, credential, Bytes::new()).await
    }

    /// Sends a form.
    pub(super) async fn post_form(
        &self,
        url: &Url,
        credential: Option<&Credential>,
        form: String,
    ) -> Result<Answer, Fault> {
        self.send(Method::POST, url, credential, form.into()).await
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        credential: Option<&Credential>,
        body: Bytes,
    ) -> Result<Answer, Fault> {
        let uri: Uri = url.as_str().parse().map_err(|error| Fault::Unreachable(Box::new(error)))?;
        let is_form = method == Method::POST;
        let mut request = Request::new(Full::new(body));
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if is_form {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, form);
        }
        if let Some(Credential { name, value }) = credential {
            headers.insert(name, value.clone());
        }
        let exchange = async {
            let unreachable = |error| Fault::Unreachable(Box::new(error));
            let response = self.http.request(request).await.map_err(unreachable)?;
            let (head, body) = response.into_parts();
            if head.status != 200 {
                let retry_after = retry_after_of(head.status, &head.headers, clock::now());
                return Err(Fault::Status { status: head.status, retry_after });
            }
            let body = Limited::new(body, self.bytes_max).collect().await;
            let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
                Ok(_) => Fault::TooLarge(self.bytes_max),
                Err(error) => Fault::Unreachable(error),
            })?;
            Ok(Answer { body: body.to_bytes(), headers: head.headers })
        };
        timeout(self.timeout, exchange).await.unwrap_or(Err(Fault::Timeout(self.timeout)))
    }
}

impl Answer {
    /// Returns the values of the `Link` headers that are text.
    pub(super) fn links(&self) -> impl Iterator<Item = &str> {
        self.headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok())
    }
}

/// Returns how long a provider asks us to wait: by `Retry-After`, or after too many requests until its rate
/// begins anew. The latter is a time in seconds since 1970 by the provider's clock, which `Date` tells.
fn retry_after_of(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    const RESETS: [&str; 2] = ["x-rate-limit-reset", "x-ratelimit-reset"];
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if let Some(wait) = text("retry-after").and_then(|value| retry_after::parse(value, now)) {
        return Some(wait);
    }
    if status != StatusCode::TOO_MANY_REQUESTS {
        // Some providers tell their rate in every answer.
        return None;
    }
    let reset = RESETS.into_iter().find_map(|name| text(name)?.trim().parse::<i64>().ok())?;
    let date = text("date").and_then(|date| httpdate::parse_http_date(date).ok());
    let date = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
    let theirs = date.map_or(now, |since| Timestamp::EPOCH + since);
    Some(Timestamp::from_millis(reset.saturating_mul(1000)).since(theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_that_a_provider_asks_for_is_read() {
        let now = Timestamp::from_millis(1_775_000_000_500);
        for (headers, expected) in [
            (&[][..], None),
            (&[("retry-after", "7")], Some(7_000)),
            (&[("retry-after", "7"), ("x-rate-limit-reset", "1775000100")], Some(7_000)),
            (&[("retry-after", "soon"), ("x-rate-limit-reset", "1775000100")], Some(99_500)),
            (&[("x-ratelimit-reset", "1775000100")], Some(99_500)),
            // The provider's clock is an hour behind.
            (
                &[("x-rate-limit-reset", "1774996430"), ("date", "Tue, 31 Mar 2026 22:33:20 GMT")],
                Some(30_000),
            ),
            (&[("x-rate-limit-reset", "1")], Some(0)),
            (&[("x-rate-limit-reset", "-1")], Some(0)),
            (&[("x-rate-limit-reset", "never")], None),
        ] {
            let headers = headers.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let headers: HeaderMap = headers.collect();
            let found = retry_after_of(StatusCode::TOO_MANY_REQUESTS, &headers, now);
            assert_eq!(found, expected.map(Duration::from_millis), "{headers:?}");
            let found = retry_after_of(StatusCode::INTERNAL_SERVER_ERROR, &headers, now);
            assert_eq!(found.is_some(), expected == Some(7_000), "{headers:?}");
        }
    }
}
