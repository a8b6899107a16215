//! The daemon, built as `main` builds it, on ports of its own.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use ssfd::{
    app::{self, MaterialSwitch, StartError},
    auth, clock,
    config::{Config, ProviderSettings},
    domain::{
        audience::Audience,
        grant::{Grant, Holder, NamedHolder, Scope},
        id::ProviderName,
    },
    signing::{algorithm::Algorithm, generate::generate, verify::Verifier},
    store::{Store, TokenStore as _},
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{
    http_client::{Answer, get},
    within,
};

/// The provider of a daemon that a test does not configure otherwise, and its issuer.
pub(crate) const PROVIDER: &str = "acme";
pub(crate) const ISSUER: &str = "https://tx.example/t/acme";

/// One key for the whole test process, because generating a key takes time.
static SIGNING_KEY: LazyLock<String> =
    LazyLock::new(|| generate(Algorithm::Es256).expect("a key for ES256"));

/// A daemon in its own thread with its own actix system, like a process. Dropping it asks the
/// daemon to stop.
pub(crate) struct Daemon {
    config: Config,
    folder: Arc<TempDir>,
    running: Option<Running>,
}

/// The handles of a running daemon.
struct Running {
    public: SocketAddr,
    internal: SocketAddr,
    /// The listener of sources, if they have one.
    sources: Option<SocketAddr>,
    store: Arc<dyn Store>,
    material: MaterialSwitch,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<(), StartError>>,
}

/// Returns settings of a provider that suit most tests.
pub(crate) fn provider(issuer: &str) -> ProviderSettings {
    ProviderSettings {
        issuer: issuer.to_owned(),
        insecure_endpoints: true,
        min_verification_interval: Duration::ZERO,
        ..ProviderSettings::default()
    }
}

/// Renames the only provider, so that its metrics count this test alone.
pub(crate) fn rename_provider(config: &mut Config, to: &str) {
    let (_, provider) = config.providers.pop_first().expect("there is one");
    config.providers.insert(name(to), provider);
}

/// Returns a change to the configuration that applies `change` to its only provider.
pub(crate) fn with_provider(
    change: impl FnOnce(&mut ProviderSettings),
) -> impl FnOnce(&mut Config) {
    |config| change(config.providers.values_mut().next().expect("a provider"))
}

/// Returns a Receiver of [`PROVIDER`] whose new streams get this `aud`.
pub(crate) fn holder(receiver: &str, aud: &[&str], scopes: &[Scope]) -> Holder {
    holder_at(PROVIDER, receiver, aud, scopes)
}

pub(crate) fn holder_at(provider: &str, receiver: &str, aud: &[&str], scopes: &[Scope]) -> Holder {
    let aud = aud.iter().map(|&value| value.to_owned()).collect();
    Holder::Receiver {
        provider: name(provider),
        receiver: receiver.parse().expect("a Receiver's id"),
        audience: Audience::from_values(aud).expect("not empty"),
        scopes: scopes.to_vec(),
    }
}

/// Returns a configuration that keeps all data in `folder`, starts few threads, waits briefly
/// between retries, and allows Receivers on loopback.
fn configuration(folder: &Path) -> Config {
    let mut config = Config::default();
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    (config.public.listen, config.internal.listen) = (anywhere, anywhere);
    config.public.workers = 1;
    config.signer.threads = 1;
    config.process.actor_threads = 1;
    config.store.sqlite.path = folder.join("ssfd.db");
    config.delivery.retry.schedule = vec![Duration::from_millis(10)];
    config.ingest.redis.reconnect_max = Duration::from_millis(100);
    config.push.allow_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    config.providers.insert(name(PROVIDER), provider(ISSUER));
    config
}

impl Daemon {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts a daemon with a changed configuration. A provider without a key gets one.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        match Self::try_with(change).await {
            Ok(daemon) => daemon,
            Err(error) => panic!("the daemon does not start: {error}"),
        }
    }

    /// Starts a daemon like [`Self::with`], but returns the error if it does not start.
    pub(crate) async fn try_with(change: impl FnOnce(&mut Config)) -> Result<Self, StartError> {
        let folder = Arc::new(tempfile::tempdir().expect("a folder for the daemon"));
        let mut config = configuration(folder.path());
        change(&mut config);
        let key_file = folder.path().join("key.pem");
        std::fs::write(&key_file, SIGNING_KEY.as_bytes()).expect("the folder takes a key");
        for provider in config.providers.values_mut() {
            if provider.signing_keys.is_empty() {
                provider.signing_keys.push(key_file.clone());
            }
        }
        let mut daemon = Self { config, folder, running: None };
        daemon.try_start_again().await?;
        Ok(daemon)
    }

    /// Asks the daemon to stop and returns once it has drained.
    pub(crate) async fn stop(&mut self) {
        let Running { store, stop, ended, .. } = self.running.take().expect("the daemon runs");
        // The database stays open until the last reference to the store is dropped.
        drop((store, stop));
        let ended = within("the daemon drains", ended).await.expect("the daemon reports its end");
        ended.expect("the daemon ends without an error");
    }

    /// Starts the daemon again on the same data, with new ports.
    pub(crate) async fn start_again(&mut self) {
        self.try_start_again().await.expect("a daemon that ran once starts again");
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Returns the configuration for a change. The change takes effect at the next start.
    pub(crate) fn config(&mut self) -> &mut Config {
        &mut self.config
    }

    async fn try_start_again(&mut self) -> Result<(), StartError> {
        let (config, folder) = (self.config.clone(), Arc::clone(&self.folder));
        let (started, starting) = oneshot::channel();
        let (stop, stopping) = oneshot::channel::<()>();
        let (end, mut ended) = oneshot::channel();
        thread::spawn(move || {
            let result = actix_web::rt::System::new().block_on(async move {
                let app = app::build(config).await?;
                let (store, material) = (Arc::clone(app.store()), app.material().clone());
                let sources = app.sources_addr()?;
                let facts = (app.public_addr()?, app.internal_addr()?, sources, store, material);
                let ready = || drop(started.send(facts));
                app.serve(async { stopping.await.unwrap_or_default() }, ready).await
            });
            drop(folder);
            end.send(result).ok();
        });
        match within("the daemon starts", starting).await {
            Ok((public, internal, sources, store, material)) => {
                let running = Running { public, internal, sources, store, material, stop, ended };
                self.running = Some(running);
                Ok(())
            }
            Err(_) => Err((&mut ended)
                .await
                .expect("the daemon reports its end")
                .expect_err("a daemon that did not start reports an error")),
        }
    }

    /// Returns the name of the only provider, or of the first one.
    pub(crate) fn provider(&self) -> &str {
        self.config.providers.keys().next().expect("a daemon has a provider").as_str()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the daemon runs")
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.running().store
    }

    /// Returns the file of a store with SQLite.
    pub(crate) fn database(&self) -> &Path {
        &self.config.store.sqlite.path
    }

    /// Returns what replaces the signing keys and the certificate while the daemon runs.
    pub(crate) fn material(&self) -> &MaterialSwitch {
        &self.running().material
    }

    /// Returns a URL of the listener for Receivers.
    pub(crate) fn public_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running().public)
    }

    /// Returns a URL of the listener for publishers and operators.
    pub(crate) fn internal_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running().internal)
    }

    /// Returns the address of the listener of sources.
    pub(crate) fn sources_address(&self) -> SocketAddr {
        self.running().sources.expect("the sources have a listener")
    }

    /// Returns a URL below the issuer of a provider, with the port of this daemon.
    pub(crate) fn provider_url(&self, provider: &str, path: &str) -> String {
        let issuer = &self.config.providers[&name(provider)].issuer;
        let issuer = url::Url::parse(issuer).expect("an issuer is a URL");
        self.public_url(&format!("{}{path}", issuer.path().trim_end_matches('/')))
    }

    /// Creates a token of a Receiver. The `aud` of its streams is `https://<receiver>.example`.
    pub(crate) async fn receiver_token(&self, receiver: &str, scopes: &[Scope]) -> String {
        self.receiver_token_at(self.provider(), receiver, scopes).await
    }

    pub(crate) async fn receiver_token_at(
        &self,
        provider: &str,
        receiver: &str,
        scopes: &[Scope],
    ) -> String {
        self.token(Holder::Receiver {
            provider: name(provider),
            receiver: receiver.parse().expect("a Receiver's id"),
            audience: Audience::one(format!("https://{receiver}.example")).expect("not empty"),
            scopes: scopes.to_vec(),
        })
        .await
    }

    pub(crate) async fn publisher_token(&self) -> String {
        self.token(Holder::Publisher { provider: name(self.provider()) }).await
    }

    pub(crate) async fn operator_token(&self) -> String {
        self.token(Holder::Operator).await
    }

    pub(crate) async fn token(&self, holder: impl Into<NamedHolder>) -> String {
        let token = auth::new_token();
        let (holder, created_at) = (holder.into(), clock::now());
        let grant = Grant { hash: auth::hash(&token), holder, created_at, expires_at: None };
        self.store().put_grant(grant).await.expect("the store takes a grant");
        token.expose().to_owned()
    }

    /// Returns a verifier that uses the key set which the daemon publishes for a provider.
    pub(crate) async fn verifier(&self, provider: &str) -> Verifier {
        let jwks = get(&self.provider_url(provider, "/jwks.json")).send().await.expect(200);
        Verifier::from_jwks(&jwks.body).expect("a JWK Set")
    }

    pub(crate) async fn readiness(&self) -> Answer {
        get(&self.internal_url("/readyz")).send().await
    }

    /// Returns the number of unsettled SETs of all providers.
    pub(crate) async fn backlog(&self) -> u64 {
        let backlog = self.store().backlog().await.expect("the store answers");
        backlog.iter().map(|provider| provider.sets).sum()
    }

    /// Returns the value of a metric, named with its labels, or 0 if it was never recorded. All
    /// daemons of the process share the recorder; [`rename_provider`] tells them apart.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let metrics = get(&self.internal_url("/metrics")).send().await.expect(200).text();
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }
}

fn name(provider: &str) -> ProviderName {
    provider.parse().expect("a provider's name")
}
