//! The environment of the demo: keys, certificates and a store in a temporary folder, Redis, and
//! the daemon on ports that the system chooses.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    PROVIDER,
    daemon::DemoDaemon,
    identity_provider::{self, IdentityProvider, SOURCE},
    output::DemoOutput,
    redis_server::RedisServer,
};
use crate::{
    app::{self, Listeners},
    cli::{
        CliError,
        receive::certificate::{TrialCertificate, make_certificate},
        tokens,
    },
    clock,
    config::{Config, ProviderSettings},
    domain::{
        audience::Audience,
        grant::{Holder, Scope},
        id::ProviderName,
        issuer::Issuer,
        secret::Secret,
    },
    signing::{algorithm::Algorithm, generate::generate},
    store::Records,
};

/// The `aud` of each Receiver's SETs.
pub(super) const PUSH_AUDIENCE: &str = "https://push.receiver.example";
pub(super) const POLL_AUDIENCE: &str = "https://poll.receiver.example";

/// File names in the temporary folder.
const SIGNING_KEY: &str = "signing-key.pem";
const TLS_CERTIFICATE: &str = "certificate.pem";
const TLS_KEY: &str = "certificate-key.pem";
const ROOTS: &str = "trusted-roots.pem";
const STORE: &str = "ssfd.db";
const WEBHOOK_SECRET: &str = "keycloak-secret";

/// The running daemon and everything that it needs.
pub(super) struct Setup {
    pub(super) issuer: Issuer,
    /// The PEM file with the demo's certificate authority, which all sides trust.
    pub(super) roots: PathBuf,
    pub(super) certificate: TrialCertificate,
    pub(super) tokens: DemoTokens,
    pub(super) redis: Option<RedisServer>,
    pub(super) identity_provider: IdentityProvider,
    pub(super) daemon: DemoDaemon,
    folder: TempDir,
}

/// The credentials, which are valid as long as the store exists.
pub(super) struct DemoTokens {
    pub(super) push_receiver: Secret,
    pub(super) poll_receiver: Secret,
    pub(super) publisher: Secret,
}

impl Setup {
    /// Creates everything and starts the daemon.
    pub(super) async fn start(
        folder: TempDir,
        redis: Option<RedisServer>,
        output: &DemoOutput,
    ) -> Result<Self, CliError> {
        let path = folder.path();
        let certificate = make_certificate(&["localhost", "127.0.0.1", "::1"]);
        let certificate = certificate.map_err(|error| CliError::of(&error))?;
        let signing_key = generate(Algorithm::Rs256).map_err(|error| CliError::of(&error))?;
        let webhook_secret = clock::random_uuid().simple().to_string();
        for (name, text) in [
            (WEBHOOK_SECRET, &webhook_secret),
            (ROOTS, &certificate.authority_pem),
            (TLS_CERTIFICATE, &certificate.certificate_pem),
            (TLS_KEY, &certificate.key_pem),
            (SIGNING_KEY, &signing_key),
        ] {
            let path = path.join(name);
            fs::write(&path, text)
                .map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
        }
        output.step("generated a signing key (RS256) and a certificate for localhost")?;

        let mut config = configuration(path, redis.as_ref());
        // The listeners are bound first, because the issuer contains the port that the system
        // chooses.
        let listeners = Listeners::bind(&config).map_err(CliError::new)?;
        let port = listeners.public_addr().map_err(CliError::new)?.port();
        let issuer = Issuer::try_from(format!("https://localhost:{port}")).expect("a plain URL");
        let source = identity_provider::source(&path.join(WEBHOOK_SECRET));
        let sources = listeners.sources_addr().map_err(CliError::new)?.expect("it is configured");
        let identity_provider = IdentityProvider::new(sources.port(), &source, &path.join(ROOTS))?;
        let mut settings = provider_settings(&issuer, path);
        settings.sources.insert(SOURCE.parse().expect("a valid name"), source);
        config.providers.insert(provider(), settings);
        let app = app::build_on(listeners, config).await.map_err(CliError::new)?;
        let tokens = DemoTokens::issue(&**app.store()).await?;
        let daemon = match DemoDaemon::start(app).await {
            Ok(daemon) => daemon,
            Err(error) => {
                remove_keys(redis).await?;
                return Err(error);
            }
        };
        let roots = path.join(ROOTS);
        Ok(Self { issuer, roots, certificate, tokens, redis, identity_provider, daemon, folder })
    }

    /// Stops everything and removes the folder and the keys in Redis.
    pub(super) async fn tear_down(self) -> Result<(), CliError> {
        let stopped = self.daemon.stop().await;
        remove_keys(self.redis).await?;
        let folder = self.folder.path().display().to_string();
        let removed = self.folder.close();
        removed.map_err(|error| CliError::new(format!("cannot remove {folder}: {error}")))?;
        stopped
    }
}

async fn remove_keys(redis: Option<RedisServer>) -> Result<(), CliError> {
    match redis {
        Some(redis) => redis.remove_keys().await,
        None => Ok(()),
    }
}

fn configuration(folder: &Path, redis: Option<&RedisServer>) -> Config {
    let mut config = Config::default();
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    (config.public.listen, config.internal.listen) = (anywhere, anywhere);
    config.sources.listen = Some(anywhere);
    // A handful of Receivers, whatever the limit of open files.
    (config.public.connections.max, config.internal.connections.max) = (100, 100);
    config.sources.connections.max = 100;
    config.public.tls_certificate = Some(folder.join(TLS_CERTIFICATE));
    config.public.tls_key = Some(folder.join(TLS_KEY));
    config.sources.tls_certificate = Some(folder.join(TLS_CERTIFICATE));
    config.sources.tls_key = Some(folder.join(TLS_KEY));
    config.store.sqlite.path = folder.join(STORE);
    // The push Receiver is on this machine and has a certificate of the demo's own authority.
    config.push.trusted_roots = Some(folder.join(ROOTS));
    config.push.allow_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    config.process.drain_timeout = Duration::from_secs(5);
    if let Some(redis) = redis {
        config.ingest.redis = redis.settings();
    }
    config
}

fn provider_settings(issuer: &Issuer, folder: &Path) -> ProviderSettings {
    ProviderSettings {
        issuer: issuer.to_string(),
        signing_keys: vec![folder.join(SIGNING_KEY)],
        // Trying verification by hand needs no protection against too many requests.
        min_verification_interval: Duration::ZERO,
        ..ProviderSettings::default()
    }
}

fn provider() -> ProviderName {
    PROVIDER.parse().expect("a valid name")
}

impl DemoTokens {
    async fn issue(store: &dyn Records) -> Result<Self, CliError> {
        let receiver = |id: &str, audience| Holder::Receiver {
            provider: provider(),
            receiver: id.parse().expect("a valid id"),
            audience: Audience::one(audience).expect("not empty"),
            scopes: vec![Scope::Manage],
        };
        let issue = async |holder| {
            let issued = tokens::issue(store, holder, None).await;
            issued.map(|(token, _)| token).map_err(|error| CliError::of(&error))
        };
        Ok(Self {
            push_receiver: issue(receiver("push-receiver", PUSH_AUDIENCE)).await?,
            poll_receiver: issue(receiver("poll-receiver", POLL_AUDIENCE)).await?,
            publisher: issue(Holder::Publisher { provider: provider() }).await?,
        })
    }
}
