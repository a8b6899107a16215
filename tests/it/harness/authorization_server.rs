//! An authorization server of a third party, over TLS: it publishes keys, signs access tokens and
//! answers introspection requests as a test scripts it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use ssfd::{
    auth::{
        Requirements,
        settings::{ClientSettings, OauthSettings},
    },
    clock,
    config::Config,
    domain::{audience::Audience, grant::Scope},
    signing::{algorithm::Algorithm as OurAlgorithm, generate::generate, keys::SigningKey},
};
use tempfile::TempDir;

use super::{
    daemon::{Daemon, ISSUER, PROVIDER},
    http_client::{Answer, get, post},
    receiver_client::assert_invalid_token,
    test_key,
};
use crate::scripted_server::{Endpoint, Reply, Seen};

/// The issuer of the tokens that the server signs.
pub(crate) const SERVER: &str = "https://as.example";
/// An OAuth client of the server. The daemon knows it as the Receiver `rx`.
pub(crate) const CLIENT: &str = "0oaRx";

/// A signing key of the server.
pub(crate) struct Key {
    algorithm: Algorithm,
    private: EncodingKey,
    pub(crate) jwk: Value,
}

impl Key {
    pub(crate) fn new() -> Self {
        let pem = generate(OurAlgorithm::Es256).expect("a key for ES256");
        let key = EncodingKey::from_ec_pem(pem.as_bytes()).expect("the same key");
        Self { algorithm: Algorithm::ES256, private: key, jwk: jwk(pem.as_bytes()) }
    }

    pub(crate) fn rsa() -> Self {
        let pem = std::fs::read(test_key("test-rsa-2048-pkcs8.pem")).expect("a test key");
        let key = EncodingKey::from_rsa_pem(&pem).expect("the same key");
        Self { algorithm: Algorithm::RS256, private: key, jwk: jwk(&pem) }
    }

    pub(crate) fn edwards() -> Self {
        let pem = generate(OurAlgorithm::EdDsa).expect("a key for EdDSA");
        let key = EncodingKey::from_ed_pem(pem.as_bytes()).expect("the same key");
        Self { algorithm: Algorithm::EdDSA, private: key, jwk: jwk(pem.as_bytes()) }
    }

    pub(crate) fn header(&self) -> Value {
        self.header_of("at+jwt")
    }

    /// Returns the header of another kind of token.
    pub(crate) fn header_of(&self, typ: &str) -> Value {
        json!({"typ": typ, "alg": format!("{:?}", self.algorithm), "kid": self.jwk["kid"]})
    }

    /// Signs a valid token of [`CLIENT`].
    pub(crate) fn token(&self) -> String {
        self.sign(&self.header(), &claims())
    }

    /// Signs a token that is valid except for one claim. With `None` the claim is left out.
    pub(crate) fn token_with(&self, claim: &str, value: Option<Value>) -> String {
        let mut claims = claims();
        match value {
            Some(value) => claims[claim] = value,
            None => drop(claims.as_object_mut().expect("an object").remove(claim)),
        }
        self.sign(&self.header(), &claims)
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = crypto::sign(signed.as_bytes(), &self.private, self.algorithm);
        format!("{signed}.{}", signature.expect("signed"))
    }
}

fn jwk(pem: &[u8]) -> Value {
    let key = SigningKey::from_pem(pem).expect("a key");
    serde_json::to_value(key.public_jwk()).expect("JSON")
}

/// Encodes header and claims as the bytes that a JWS signs.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// Returns the claims of a valid token of [`CLIENT`].
pub(crate) fn claims() -> Value {
    let now = clock::now().as_secs();
    json!({
        "iss": SERVER, "aud": ["https://other.example", ISSUER], "sub": CLIENT,
        "client_id": CLIENT, "jti": "t-1", "iat": now, "exp": now + 600,
        "scope": "openid ssf.manage",
    })
}

/// A running authorization server. A test can change its answers while it runs.
pub(crate) struct AuthorizationServer {
    endpoint: Endpoint,
    reply: Arc<Mutex<Reply>>,
}

impl AuthorizationServer {
    /// Starts a server that gives this reply to every request.
    pub(crate) async fn answering(reply: Reply) -> Self {
        let reply = Arc::new(Mutex::new(reply));
        let current = Arc::clone(&reply);
        let script = move |_, _: &Seen| current.lock().expect("no panic").clone();
        Self { endpoint: Endpoint::start_tls(&["h2", "http/1.1"], script).await, reply }
    }

    /// Starts a server whose script sees each request.
    pub(crate) async fn scripted(
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let endpoint = Endpoint::start_tls(&["h2", "http/1.1"], script).await;
        Self { endpoint, reply: Arc::new(Mutex::new(Reply::Nothing)) }
    }

    /// Starts a server that publishes these keys.
    pub(crate) async fn publishing(keys: &[&Key]) -> Self {
        Self::answering(jwks(keys)).await
    }

    pub(crate) fn answer(&self, reply: Reply) {
        *self.reply.lock().expect("no panic") = reply;
    }

    /// Returns a PEM file with the authority that issued the certificate of this server.
    pub(crate) fn roots(&self) -> PathBuf {
        self.endpoint.roots()
    }

    pub(crate) fn jwks_url(&self) -> String {
        self.endpoint.url("/jwks")
    }

    pub(crate) fn introspection_url(&self) -> String {
        self.endpoint.url("/introspect")
    }

    pub(crate) fn publish(&self, keys: &[&Key]) {
        self.answer(jwks(keys));
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.endpoint.seen()
    }

    /// Returns the settings by which a provider trusts this server: its issuer, its keys and
    /// [`CLIENT`].
    pub(crate) fn settings(&self) -> OauthSettings {
        OauthSettings {
            jwks: Some(self.jwks_url()),
            trusted_roots: Some(self.roots()),
            ..settings()
        }
    }

    /// Returns the settings by which a provider asks this server about each token (RFC 7662).
    pub(crate) fn introspecting(&self, secret_file: &Path) -> OauthSettings {
        let mut settings = self.settings();
        settings.jwks = None;
        settings.introspection.endpoint = Some(self.introspection_url());
        settings.introspection.client_id = Some("ssfd at home".into());
        settings.introspection.client_secret = Some(secret_file.to_owned());
        settings
    }
}

/// Returns the settings of a provider that trusts [`SERVER`] and knows [`CLIENT`] alone.
pub(crate) fn settings() -> OauthSettings {
    let mut settings = OauthSettings { issuer: Some(SERVER.into()), ..OauthSettings::default() };
    let client = ClientSettings {
        receiver: "rx".parse().expect("an id"),
        audience: Audience::one("https://rx.example").expect("not empty"),
        scopes: vec![Scope::Manage],
        require: Requirements::new(),
    };
    settings.clients.insert(CLIENT.into(), client);
    settings
}

fn jwks(keys: &[&Key]) -> Reply {
    let keys: Vec<_> = keys.iter().map(|key| &key.jwk).collect();
    Reply::full(200, &[("content-type", "application/json")], &json!({"keys": keys}).to_string())
}

/// Makes [`PROVIDER`] accept the tokens of a server with these settings.
pub(crate) fn trust(config: &mut Config, settings: OauthSettings) {
    let provider = PROVIDER.parse().expect("a name");
    config.providers.get_mut(&provider).expect("it is there").oauth = settings;
}

/// Starts a daemon that trusts a server with one key.
pub(crate) async fn trusting(key: &Key) -> (Daemon, AuthorizationServer) {
    trusting_with(key, |_| {}).await
}

pub(crate) async fn trusting_with(
    key: &Key,
    change: impl FnOnce(&mut OauthSettings),
) -> (Daemon, AuthorizationServer) {
    let server = AuthorizationServer::publishing(&[key]).await;
    let mut settings = server.settings();
    change(&mut settings);
    (Daemon::with(|config| trust(config, settings)).await, server)
}

/// Returns the introspection response for an active token of [`CLIENT`] (RFC 7662 §2.2).
pub(crate) fn active() -> Value {
    json!({"active": true, "client_id": CLIENT, "aud": ISSUER, "iss": SERVER,
        "scope": "ssf.manage", "token_type": "Bearer"})
}

pub(crate) fn active_with(member: &str, value: Value) -> Value {
    let mut answer = active();
    answer[member] = value;
    answer
}

pub(crate) fn json_reply(answer: &Value) -> Reply {
    Reply::full(200, &[("content-type", "application/json")], &answer.to_string())
}

/// Starts a daemon that introspects each token at a server which gives this reply.
pub(crate) async fn asking(
    reply: Reply,
    change: impl FnOnce(&mut OauthSettings),
) -> (Daemon, AuthorizationServer, TempDir) {
    let server = AuthorizationServer::answering(reply).await;
    let (daemon, folder) = introspecting(&server, |_, settings| change(settings)).await;
    (daemon, server, folder)
}

/// Starts a daemon that introspects each token at this server.
pub(crate) async fn introspecting(
    server: &AuthorizationServer,
    change: impl FnOnce(&mut Config, &mut OauthSettings),
) -> (Daemon, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s:3 cret\n").expect("written");
    let mut settings = server.introspecting(&secret);
    let with = |config: &mut Config| {
        change(config, &mut settings);
        trust(config, settings);
    };
    (Daemon::with(with).await, folder)
}

impl Daemon {
    /// Lists the streams of the Receiver that holds this token.
    pub(crate) async fn list_with(&self, token: &str) -> Answer {
        get(&self.provider_url(self.provider(), "/ssf/streams")).bearer(token).send().await
    }

    /// Creates a stream with this token.
    pub(crate) async fn create_with(&self, token: &str) -> Answer {
        let url = self.provider_url(self.provider(), "/ssf/streams");
        post(&url).bearer(token).json(&json!({})).send().await
    }
}

/// Asserts that a token was refused for this reason.
#[track_caller]
pub(crate) fn assert_token_refused(answer: &Answer, why: &str) {
    assert_invalid_token(answer);
    assert!(answer.text().contains(why), "no `{why}` in {}", answer.text());
}
