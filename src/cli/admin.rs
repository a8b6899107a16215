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

    /// Reads a resource that need not be there.
    pub async fn find<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, CliError> {
        let url = self.url(path, &[]);
        match self.ask(Method::GET, &url, Bytes::new()).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, body) => read(&url, &granted(&url, status, body)?).map(Some),
        }
    }

    /// Posts a body that the daemon may refuse. Returns its reason then.
    pub async fn offer<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<Result<T, String>, CliError> {
        let url = self.url(path, &[]);
        let (status, answer) = self.ask(Method::POST, &url, body.to_string().into()).await?;
        if let StatusCode::BAD_REQUEST | StatusCode::CONFLICT = status
            && let HttpError::Refused { detail, .. } = HttpError::refused(&url, status, &answer)
        {
            return Ok(Err(detail));
        }
        read(&url, &granted(&url, status, answer)?).map(Ok)
    }

    async fn call(&self, method: Method, url: &Url, body: Bytes) -> Result<Bytes, CliError> {
        let (status, body) = self.ask(method, url, body).await?;
        granted(url, status, body)
    }

    async fn ask(
        &self,
        method: Method,
        url: &Url,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), CliError> {
        let answer = self.http.call(method, url, &self.token, body).await;
        answer.map_err(|error| CliError::of(&error))
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

/// Returns the body of an answer that grants the request.
fn granted(url: &Url, status: StatusCode, body: Bytes) -> Result<Bytes, CliError> {
    match status {
        StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(body),
        refused => Err(CliError::of(&HttpError::refused(url, refused, &body))),
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
