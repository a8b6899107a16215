//! How the daemon shows itself to a provider: by a header with a secret, or by an access token that it gets
//! with client credentials (RFC 6749 §4.4).

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::{
    client::{Client, Credential},
    fault::Fault,
    open::PollError,
};
use crate::{
    clock,
    source::{
        settings::{ClientAuth, PollAuth},
        verify::secrets::{self, SharedSecret},
    },
};

/// How long a token is used whose lifetime the server does not tell.
const LIFETIME_UNTOLD: Duration = Duration::from_mins(5);
/// A token is renewed at this part of its lifetime, so that none expires on its way.
const RENEWED_AT: f64 = 0.8;

/// How the daemon shows itself.
#[derive(Debug)]
pub(super) enum Credentials {
    None,
    Header(Credential),
    Client(Box<TokenClient>),
}

/// A client of a token endpoint, with the token that it has.
#[derive(Debug)]
pub(super) struct TokenClient {
    url: Url,
    credential: Option<Credential>,
    form: String,
    /// Locked while a token is fetched, so that others wait for it instead of fetching one too.
    token: tokio::sync::Mutex<Option<Token>>,
}

#[derive(Debug, Clone)]
struct Token {
    credential: Credential,
    renew_at: Instant,
}

/// The answer of a token endpoint (RFC 6749 §5.1).
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: String,
    #[serde(default)]
    expires_in: Option<serde_json::Number>,
}

impl Credentials {
    /// Reads the file with the secret.
    pub(super) fn open(auth: &PollAuth) -> Result<Self, PollError> {
        match auth {
            PollAuth::None => Ok(Self::None),
            PollAuth::Header { name, prefix, secret_file } => {
                let secret = read("secret_file", secret_file)?;
                let name = HeaderName::from_bytes(name.as_bytes());
                let name = name.map_err(PollError::of("auth.header"))?;
                let value = sensitive(&format!("{prefix}{}", secret.expose()));
                Ok(Self::Header(Credential {
                    name,
                    value: value.map_err(PollError::of("auth.secret_file"))?,
                }))
            }
            PollAuth::Client {
                token_url,
                client_id,
                secret_file,
                scope,
                audience,
                client_auth,
            } => {
                let secret = read("client_secret_file", secret_file)?;
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair("grant_type", "client_credentials");
                for (name, value) in [("scope", scope), ("audience", audience)] {
                    if let Some(value) = value {
                        form.append_pair(name, value);
                    }
                }
                let credential = match client_auth {
                    ClientAuth::Basic => Some(basic(client_id, &secret)),
                    ClientAuth::Post => {
                        form.append_pair("client_id", client_id);
                        form.append_pair("client_secret", secret.expose());
                        None
                    }
                };
                let (url, token) = (token_url.clone(), tokio::sync::Mutex::default());
                let form = form.finish();
                Ok(Self::Client(Box::new(TokenClient { url, credential, form, token })))
            }
        }
    }

    /// Returns the header to show. Fetches a token if there is none.
    pub(super) async fn show(&self, client: &Client) -> Result<Option<Credential>, Fault> {
        match self {
            Self::None => Ok(None),
            Self::Header(credential) => Ok(Some(credential.clone())),
            Self::Client(tokens) => tokens.current(client, None).await.map(Some),
        }
    }

    /// Returns a header in place of one that was refused, or `None` if there is no other one.
    pub(super) async fn renew(
        &self,
        refused: Option<&Credential>,
        client: &Client,
    ) -> Result<Option<Credential>, Fault> {
        match self {
            Self::Client(tokens) => tokens.current(client, refused).await.map(Some),
            Self::None | Self::Header(_) => Ok(None),
        }
    }
}

impl TokenClient {
    /// Returns a token that is not to be renewed yet, and is not the refused one.
    async fn current(
        &self,
        client: &Client,
        refused: Option<&Credential>,
    ) -> Result<Credential, Fault> {
        let mut token = self.token.lock().await;
        let now = clock::instant();
        if let Some(Token { credential, renew_at }) = &*token
            && now < *renew_at
            && refused != Some(credential)
        {
            return Ok(credential.clone());
        }
        *token = None;
        let fetched = self.fetch(client, now).await;
        let fetched = fetched.map_err(|fault| Fault::Token(Box::new(fault)))?;
        Ok(token.insert(fetched).credential.clone())
    }

    async fn fetch(&self, client: &Client, now: Instant) -> Result<Token, Fault> {
        let answer = client.post_form(&self.url, self.credential.as_ref(), self.form.clone());
        let answer = answer.await.map_err(|fault| match fault {
            // A refused client is answered 400 or 401 (RFC 6749 §5.2).
            Fault::Status { status: StatusCode::BAD_REQUEST, retry_after } => {
                Fault::Status { status: StatusCode::UNAUTHORIZED, retry_after }
            }
            fault => fault,
        })?;
        let malformed = |why: &str| Fault::Malformed(why.to_owned());
        let answer: TokenAnswer = serde_json::from_slice(&answer.body)
            .map_err(|_| malformed("has no token (RFC 6749 §5.1)"))?;
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(malformed("has a token that is no bearer token"));
        }
        let value = sensitive(&format!("Bearer {}", answer.access_token));
        let value = value.map_err(|_| malformed("has a token that no header can carry"))?;
        let lifetime = answer.expires_in.and_then(|secs| secs.as_f64());
        let lifetime = lifetime.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        let lifetime = lifetime.unwrap_or(LIFETIME_UNTOLD).min(LIFETIME_MAX).mul_f64(RENEWED_AT);
        let credential = Credential { name: header::AUTHORIZATION, value };
        Ok(Token { credential, renew_at: now + lifetime })
    }
}

/// The longest time for which a token is used.
const LIFETIME_MAX: Duration = Duration::from_hours(24);

/// Returns the header of HTTP Basic, with both parts encoded as forms are (RFC 6749 §2.3.1).
fn basic(id: &str, secret: &SharedSecret) -> Credential {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(id), encode(secret.expose()));
    let value = sensitive(&format!("Basic {}", STANDARD.encode(pair)));
    Credential { name: header::AUTHORIZATION, value: value.expect("base64 goes into a header") }
}

fn sensitive(text: &str) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(key: &'static str, file: &std::path::PathBuf) -> Result<SharedSecret, PollError> {
    let secrets = secrets::read(std::slice::from_ref(file));
    let mut secrets = secrets.map_err(PollError::of(match key {
        "secret_file" => "auth.secret_file",
        _ => "auth.client_secret_file",
    }))?;
    Ok(secrets.remove(0))
}
