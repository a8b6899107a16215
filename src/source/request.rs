//! A request to a source and the reply, free of any HTTP library.

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use bytes::Bytes;
use url::form_urlencoded;

use super::client_certificate::ClientCertificate;

/// The method of a request. Others are refused before a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
}

/// The headers of a request, in their order. The names are in lower case. The values are not printed,
/// because a secret may be among them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

/// A header that counts once is there more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeveralValues;

impl Headers {
    pub fn new(headers: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let lower = |(name, value): (String, Vec<u8>)| (name.to_ascii_lowercase(), value);
        Self(headers.into_iter().map(lower).collect())
    }

    /// Returns the value of a header that may come once. The name is given in any case.
    pub fn one(&self, name: &str) -> Result<Option<&[u8]>, SeveralValues> {
        let mut values = self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(SeveralValues),
            (value, None) => Ok(value.map(|(_, value)| value.as_slice())),
        }
    }

    /// Returns the value of a header, if it is there once and is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.one(name).ok()??).ok()
    }

    /// Returns all headers that are text, in their order.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.0.iter().map(|(name, value)| (name, std::str::from_utf8(value)));
        texts.filter_map(|(name, value)| Some((name.as_str(), value.ok()?)))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A request as it was received.
#[derive(Clone)]
pub struct SourceRequest {
    pub method: Method,
    pub headers: Headers,
    /// The query as it was written, without its question mark.
    pub query: String,
    /// The body, byte for byte. Signatures are about these bytes.
    pub body: Bytes,
    /// The peer of the connection, which may be a proxy. `None` if it is not known.
    pub peer: Option<IpAddr>,
    /// The certificate of the connection, if the listener asks for one and has verified it.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl SourceRequest {
    /// Returns the first value of a parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut all = form_urlencoded::parse(self.query.as_bytes());
        all.find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// The media type of `body`. `None` goes with an empty body.
    pub content_type: Option<&'static str>,
    pub body: String,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The request showed no credential that counts. The caller's address is counted.
    pub is_refusal: bool,
}

impl Reply {
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            body: String::new(),
            headers: Vec::new(),
            is_refusal: false,
        }
    }

    pub fn with_body(status: u16, content_type: &'static str, body: String) -> Self {
        Self { content_type: Some(content_type), body, ..Self::empty(status) }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
