//! One HTTP request and its answer.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, header};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

use super::within;

/// A request that is not sent yet. Each request opens a new connection, because a pooled one may
/// belong to a daemon that was stopped.
pub(crate) struct Call {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) fn get(url: &str) -> Call {
    Call::new(Method::GET, url)
}

pub(crate) fn post(url: &str) -> Call {
    Call::new(Method::POST, url)
}

impl Call {
    pub(crate) fn new(method: Method, url: &str) -> Self {
        Self { method, url: url.to_owned(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().expect("a header's value"));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(crate) async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.url);
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    /// Sends the request to a daemon that may be down or go down meanwhile.
    pub(crate) async fn try_send(self) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let what = format!("{} {}", self.method, self.url);
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.url.parse().expect("an URL");
        *request.headers_mut() = self.headers;
        let client = Client::builder(TokioExecutor::new()).build_http();
        within(&what, async {
            let (head, body) = client.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        })
        .await
    }
}

impl Answer {
    /// Returns the answer, or panics if its status is another one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns status, headers and body without `Date` and `Connection`, so that two answers can be
    /// compared.
    pub(crate) fn comparable(&self) -> (StatusCode, HeaderMap, Bytes) {
        let mut headers = self.headers.clone();
        headers.remove(header::DATE);
        headers.remove(header::CONNECTION);
        (self.status, headers, self.body.clone())
    }

    /// Returns a header of the answer, or an empty text if there is none.
    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header of text"))
    }
}
