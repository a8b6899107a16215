//! How the daemon shows itself to a provider that it polls.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::super::{SourceMistake, auth::is_header_name, mistake};
use crate::source::poll::template::https_or_loopback;

/// Where a client shows its secret to a token endpoint (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    #[default]
    Basic,
    Post,
}

/// The table `poll.auth` as it is written: a header with a secret, or client credentials.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PollAuthSettings {
    pub header: Option<String>,
    /// The text before the secret, such as `Bearer `.
    pub prefix: Option<String>,
    pub secret_file: Option<PathBuf>,
    pub token_url: Option<String>,
    pub client_id: Option<String>,
    pub client_secret_file: Option<PathBuf>,
    pub scope: Option<String>,
    pub audience: Option<String>,
    pub client_auth: Option<ClientAuth>,
}

/// The keys of the two ways.
const STATIC_KEYS: [&str; 3] = ["header", "prefix", "secret_file"];
const CLIENT_KEYS: [&str; 6] =
    ["token_url", "client_id", "client_secret_file", "scope", "audience", "client_auth"];

/// How the daemon shows itself, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollAuth {
    /// The provider asks for nothing.
    None,
    Header {
        name: String,
        prefix: String,
        secret_file: PathBuf,
    },
    /// Client credentials (RFC 6749 §4.4).
    Client {
        token_url: Url,
        client_id: String,
        secret_file: PathBuf,
        scope: Option<String>,
        audience: Option<String>,
        client_auth: ClientAuth,
    },
}

/// Lays the table of a source over that of its preset, key by key. Keys of the preset for the way that the
/// source does not choose are left out.
pub(super) fn overlaid(preset: Option<&Value>, own: Option<&Value>) -> Option<Value> {
    let (Some(Value::Object(preset)), Some(Value::Object(own))) = (preset, own) else {
        return own.or(preset).cloned();
    };
    let has = |keys: &[&str]| own.keys().any(|key| keys.contains(&key.as_str()));
    let (is_static, is_client) = (has(&STATIC_KEYS), has(&CLIENT_KEYS));
    let stays = |key: &&String| {
        let key = key.as_str();
        !(is_static && !is_client && CLIENT_KEYS.contains(&key)
            || is_client && !is_static && STATIC_KEYS.contains(&key))
    };
    let kept = preset.iter().filter(|(key, _)| stays(key));
    let joined: Map<_, _> =
        kept.chain(own).map(|(key, value)| (key.clone(), value.clone())).collect();
    Some(Value::Object(joined))
}

impl PollAuthSettings {
    /// Checks the table. `filled` puts in the values of variables.
    pub(super) fn read(
        &self,
        filled: impl Fn(&str, &str) -> Result<String, SourceMistake>,
    ) -> Result<PollAuth, SourceMistake> {
        let is_static =
            self.header.is_some() || self.prefix.is_some() || self.secret_file.is_some();
        let client = [&self.token_url, &self.client_id, &self.scope, &self.audience];
        let is_client = client.iter().any(|key| key.is_some())
            || self.client_secret_file.is_some()
            || self.client_auth.is_some();
        match (is_static, is_client) {
            (false, false) => Ok(PollAuth::None),
            (true, true) => mistake(
                "poll.auth",
                "has the keys of two ways: give `secret_file` for a header, or `token_url`, `client_id` and \
                 `client_secret_file` for client credentials",
            ),
            (true, false) => self.header(),
            (false, true) => self.client(filled),
        }
    }

    fn header(&self) -> Result<PollAuth, SourceMistake> {
        let name = self.header.clone().unwrap_or_else(|| "Authorization".to_owned());
        if !is_header_name(&name) {
            return mistake("poll.auth.header", format!("`{name}` is no name of a header"));
        }
        let prefix = self.prefix.clone().unwrap_or_default();
        if !prefix.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return mistake("poll.auth.prefix", "must have printable ASCII characters alone");
        }
        match &self.secret_file {
            Some(file) => Ok(PollAuth::Header { name, prefix, secret_file: file.clone() }),
            None => mistake("poll.auth.secret_file", "must name a file with the credential"),
        }
    }

    fn client(
        &self,
        filled: impl Fn(&str, &str) -> Result<String, SourceMistake>,
    ) -> Result<PollAuth, SourceMistake> {
        let required = |key: &str, value: Option<&String>, rule: &str| match value {
            Some(value) if !value.is_empty() => filled(&format!("auth.{key}"), value),
            _ => mistake(format!("poll.auth.{key}"), rule),
        };
        let optional = |key: &str, value: &Option<String>| {
            value.as_ref().map(|value| filled(&format!("auth.{key}"), value)).transpose()
        };
        let url = "must be the URL of the token endpoint";
        let token_url = required("token_url", self.token_url.as_ref(), url)?;
        let token_url = https_or_loopback(&token_url)
            .map_err(|rule| SourceMistake { key: "poll.auth.token_url".to_owned(), rule })?;
        let id = "must be the id of the client at the token endpoint";
        let client_id = required("client_id", self.client_id.as_ref(), id)?;
        let Some(secret_file) = self.client_secret_file.clone() else {
            let rule = "must name a file with the secret of the client";
            return mistake("poll.auth.client_secret_file", rule);
        };
        Ok(PollAuth::Client {
            token_url,
            client_id,
            secret_file,
            scope: optional("scope", &self.scope)?,
            audience: optional("audience", &self.audience)?,
            client_auth: self.client_auth.unwrap_or_default(),
        })
    }
}
