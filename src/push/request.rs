//! The request of a push (RFC 8935 §2.1).

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Uri,
    header::{self, HeaderValue},
    http::{self, request::Builder, uri::Scheme},
};

use super::USER_AGENT;
use crate::{
    delivery::push::{ACCEPT, CONTENT_TYPE},
    domain::stream::PushEndpoint,
};

/// An endpoint in the terms of HTTP, made once for an attempt.
pub(super) struct Target {
    /// With scheme and authority.
    pub(super) uri: Uri,
    /// Path and query alone (RFC 9112 §3.2.1).
    origin_form: Uri,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

/// How the target of a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Http1,
    Http2,
}

impl Target {
    pub(super) fn of(endpoint: &PushEndpoint) -> Result<Self, http::Error> {
        let uri = Uri::try_from(endpoint.url().as_str())?;
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = uri.path_and_query().cloned();
        let origin_form = Uri::from_parts(parts)?;
        let host =
            HeaderValue::from_str(uri.authority().map_or("", |authority| authority.as_str()))?;
        let authorization = match endpoint.authorization_header() {
            Some(secret) => {
                let mut value = HeaderValue::from_str(secret.expose())?;
                // A sensitive value is never printed, and never enters the header table of HTTP/2.
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self { uri, origin_form, host, authorization })
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// Builds the request, whose whole body is the compact JWS.
    pub(super) fn request(&self, form: Form, set: Bytes) -> Request<Full<Bytes>> {
        let request = match form {
            Form::Http1 => {
                Builder::new().uri(self.origin_form.clone()).header(header::HOST, self.host.clone())
            }
            // `:authority` stands for `Host` (RFC 9113 §8.3.1).
            Form::Http2 => Builder::new().uri(self.uri.clone()),
        };
        let request = request
            .method(http::Method::POST)
            .header(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))
            .header(header::ACCEPT, HeaderValue::from_static(ACCEPT))
            .header(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))
            .body(Full::new(set));
        let mut request = request.expect("every part was checked when the target was made");
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use hyper::http::uri::{Authority, PathAndQuery};

    use super::*;
    use crate::domain::secret::Secret;

    fn target(url: &str, secret: Option<Secret>) -> Target {
        let endpoint = PushEndpoint::new(url, secret, false).expect("a valid endpoint");
        Target::of(&endpoint).expect("a target")
    }

    #[track_caller]
    fn check_target(url: &str, expected: &str) {
        for form in [Form::Http1, Form::Http2] {
            let request = target(url, None).request(form, Bytes::new());
            let target = request.uri().path_and_query().map(PathAndQuery::as_str);
            assert_eq!(target, Some(expected));
        }
    }

    #[test]
    fn the_target_is_the_endpoints_path_and_query_exactly() {
        check_target("https://rx.example", "/");
        check_target("https://rx.example/in/7", "/in/7");
        check_target("https://rx.example/in/?", "/in/?");
        check_target("https://rx.example//a//b/;x=1", "//a//b/;x=1");
        check_target(
            "https://rx.example/a%2Fb?t=1&u=%C3%BC&&v=[{|}]^`~",
            "/a%2Fb?t=1&u=%C3%BC&&v=[{|}]^`~",
        );
        check_target("https://rx.example/a|b[c]'(d)*!$@:\"", "/a|b[c]'(d)*!$@:%22");
    }

    #[test]
    fn the_host_is_named_with_its_port_unless_that_is_the_usual_one() {
        for (url, host) in [
            ("https://rx.example/in", "rx.example"),
            ("https://rx.example:443/in", "rx.example"),
            ("https://rx.example:8443/in", "rx.example:8443"),
            ("https://[2606:4700::1111]:8443/in", "[2606:4700::1111]:8443"),
        ] {
            let target = target(url, None);
            let (http1, http2) = (
                target.request(Form::Http1, Bytes::new()),
                target.request(Form::Http2, Bytes::new()),
            );
            assert_eq!(http1.headers()[header::HOST], host);
            assert_eq!(http1.uri().authority(), None);
            assert!(!http2.headers().contains_key(header::HOST));
            assert_eq!(http2.uri().authority().map(Authority::as_str), Some(host));
        }
    }

    #[test]
    fn the_credential_does_not_show_in_the_request() {
        let target = target("https://rx.example/", Some(Secret::new("Bearer rx-secret-7")));
        let request = target.request(Form::Http1, Bytes::from_static(b"a.b.c"));
        assert!(request.headers().contains_key(header::AUTHORIZATION));
        assert!(!format!("{request:?}").contains("rx-secret-7"));
    }
}
