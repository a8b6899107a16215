//! Access tokens: those of an authorization server that is not ours, and those of our own.

mod access_tokens;
mod discovery;
mod introspection;
mod keys;
mod token_endpoint;

use hyper::header::WWW_AUTHENTICATE;
use serde_json::json;

use crate::harness::{
    daemon::{Daemon, PROVIDER},
    http_client::{Answer, get, post},
};

impl Daemon {
    /// Lists the streams of whoever bears this token.
    async fn list_with(&self, token: &str) -> Answer {
        get(&self.provider_url(PROVIDER, "/ssf/streams")).bearer(token).send().await
    }

    /// Creates a stream.
    async fn create_with(&self, token: &str) -> Answer {
        let url = self.provider_url(PROVIDER, "/ssf/streams");
        post(&url).bearer(token).json(&json!({})).send().await
    }
}

#[track_caller]
fn assert_invalid_token(answer: &Answer, why: &str) {
    let said = answer.text();
    assert_eq!(answer.status.as_u16(), 401, "{why}: {said}");
    let challenge = answer.header(WWW_AUTHENTICATE);
    assert!(challenge.contains(r#"error="invalid_token""#), "{why}: {challenge}");
    assert!(said.contains(why), "no `{why}` in {said}");
}
