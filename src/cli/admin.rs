//! A client for the admin API of a running daemon, and its arguments.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::{
    cli::{
        CliError,
        http::{HttpClient, HttpError},
        secrets::TokenArgs,
        source::ConfigSource,
    },
    domain::secret::Secret,
    http::admin::PATH,
};

/// The arguments that choose a daemon and authenticate to it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The daemon")]
pub struct AdminArgs {
    /// The URL of the daemon's internal listener [default: `internal.listen` of the configuration]
    #[arg(long)]
    url: Option<Url>,
    #[command(flatten)]
    token: TokenArgs,
    /// A PEM file of certificate authorities to trust in addition to those of the system
    #[arg(long, value_name = "FILE")]
    trusted_roots: Option<PathBuf>,
}

/// Calls the admin API with an operator's token.
pub struct AdminClient {
    http: HttpClient,
    internal: Url,
    token: Secret,
}

impl AdminArgs {
    pub fn client(self, config: &ConfigSource) -> Result<AdminClient, CliError> {
        let token = self.token.read()?.ok_or_else(|| {
            CliError::new(
                "this command needs an operator's token: give --token-file or set SSFD_TOKEN; `ssfd \
                 tokens create operator` makes one",
            )
        })?;
        let http = HttpClient::new(self.trusted_roots.as_deref());
        let http = http.map_err(|error| CliError::of(&error))?;
        let internal = self.url.map_or_else(|| config.internal_url(), Ok)?;
        Ok(AdminClient { http, internal, token })
    }
}

impl AdminClient {
    /// Reads a resource. `query` lists names and values.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, CliError> {
        let url = self.url(path, query);
        read(&url, &self.call(Method::GET, &url, Bytes::new()).await?)
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<T, CliError> {
        self.send(Method::POST, path, body).await
    }

    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<T, CliError> {
        self.send(Method::PATCH, path, body).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<T, CliError> {
        let url = self.url(path, &[]);
        read(&url, &self.call(method, &url, body.to_string().into()).await?)
    }

    /// Sends a request without a body, whose answer has none either.
    pub async fn send_empty(&self, method: Method, path: &[&str]) -> Result<(), CliError> {
        self.call(method, &self.url(path, &[]), Bytes::new()).await.map(drop)
    }

    async fn call(&self, method: Method, url: &Url, body: Bytes) -> Result<Bytes, CliError> {
        let answer = self.http.call(method, url, &self.token, body).await;
        match answer.map_err(|error| CliError::of(&error))? {
            (StatusCode::OK | StatusCode::NO_CONTENT, body) => Ok(body),
            (status, body) => Err(CliError::of(&HttpError::refused(url, status, &body))),
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.internal.clone();
        url.set_path(&format!("{}{PATH}", url.path().trim_end_matches('/')));
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

fn read<T: DeserializeOwned>(url: &Url, body: &[u8]) -> Result<T, CliError> {
    serde_json::from_slice(body).map_err(|error| CliError::of(&HttpError::unreadable(url, error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_resource_is_appended_to_the_url_of_the_listener() {
        for (internal, expected) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090/admin/v1/streams/st_1?after=a%26b"),
            (
                "https://idp.example/ssf/",
                "https://idp.example/ssf/admin/v1/streams/st_1?after=a%26b",
            ),
        ] {
            let http = HttpClient::new(None).expect("a client");
            let internal = internal.parse().expect("a URL");
            let client = AdminClient { http, internal, token: Secret::new("t") };
            let url = client.url(&["streams", "st_1"], &[("after", "a&b".to_owned())]);
            assert_eq!(url.as_str(), expected);
        }
    }
}
