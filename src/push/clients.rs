//! One pooled client for each identity.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustls::RootCertStore;

use super::{
    client::PushClient,
    identity::PushIdentity,
    pool::Pool,
    resolve::Resolver,
    settings::PushSettings,
    tls::{self, TrustedRoots, TrustedRootsError},
};
use crate::domain::{
    endpoint_policy::EndpointPolicy, id::ProviderName, provider::Provider, stream::StreamConfig,
};

/// The number of clients that are kept besides the default one.
const CLIENTS_MAX: usize = 64;

/// The clients of all identities in use. Cheap to clone; all clones share their clients.
///
/// The client of the default identity always exists. The others are built when they are first asked
/// for, and at most `CLIENTS_MAX` of them are kept. A client that is dropped from here goes on
/// working for whoever holds it.
#[derive(Clone)]
pub struct PushClients(Arc<SharedClients>);

struct SharedClients {
    maker: Maker,
    default_identity: PushIdentity,
    default_client: PushClient,
    /// The clients of providers with a policy of their own for endpoints.
    by_provider: HashMap<ProviderName, PushClient>,
    /// No await happens under this lock, and a push with the default identity does not take it.
    others: Mutex<Others>,
}

/// Makes clients, and has what they share.
struct Maker {
    settings: PushSettings,
    /// Read once, because reading the system's roots takes milliseconds.
    system_roots: Arc<RootCertStore>,
    pool: Arc<Pool>,
    resolver: Resolver,
    /// The clients that were made, each of which has its number.
    made: AtomicU64,
}

#[derive(Default)]
struct Others {
    clients: HashMap<PushIdentity, Kept>,
    /// Counts the requests, so that the client that was asked for longest ago can be told.
    asked: u64,
}

struct Kept {
    client: PushClient,
    asked: u64,
}

impl PushClients {
    /// Reads the trusted roots and builds the client of the default identity, which trusts the
    /// system's roots and those of the settings, presents no certificate, and speaks HTTP/2 or
    /// HTTP/1.1.
    pub fn new(settings: &PushSettings) -> Result<Self, TrustedRootsError> {
        Self::for_providers(settings, &[])
    }

    /// Does the same, and builds a client for each provider that has another policy for endpoints than
    /// the settings alone.
    pub fn for_providers(
        settings: &PushSettings,
        providers: &[Provider],
    ) -> Result<Self, TrustedRootsError> {
        let trusted_roots = match &settings.trusted_roots {
            Some(path) => TrustedRoots::read(path)?,
            None => TrustedRoots::default(),
        };
        let maker = Maker {
            settings: settings.clone(),
            system_roots: Arc::new(tls::system_roots()),
            pool: Pool::new(settings),
            resolver: Resolver::new(&settings.dns),
            made: AtomicU64::new(0),
        };
        let networks = settings.allow_networks.clone();
        let policy = EndpointPolicy::new(networks, Vec::new(), Vec::new());
        let default_identity = PushIdentity { trusted_roots, policy, ..PushIdentity::default() };
        let default_client = maker.make(&default_identity);
        let own = providers.iter().filter(|one| one.endpoint_policy != default_identity.policy);
        let client = |provider: &Provider| {
            let policy = provider.endpoint_policy.clone();
            let identity = PushIdentity { policy, ..default_identity.clone() };
            (provider.name.clone(), maker.make(&identity))
        };
        let by_provider = own.map(client).collect();
        Ok(Self(Arc::new(SharedClients {
            maker,
            default_identity,
            default_client,
            by_provider,
            others: Mutex::default(),
        })))
    }

    /// Returns the client for the SETs of a stream. Only the policy for endpoints differs, by provider.
    pub fn for_stream(&self, stream: &StreamConfig) -> PushClient {
        let own = self.0.by_provider.get(&stream.provider);
        own.unwrap_or(self.default_client()).clone()
    }

    /// Returns the client of the default identity, which needs no look-up.
    pub fn default_client(&self) -> &PushClient {
        &self.0.default_client
    }

    /// Returns the client of an identity, and builds it if there is none.
    ///
    /// This takes a lock and compares certificates. A caller keeps the client for as long as the
    /// identity stays the same, and does not ask again for each push.
    pub fn get(&self, identity: &PushIdentity) -> PushClient {
        let SharedClients { maker, default_identity, default_client, others, .. } = &*self.0;
        if identity == default_identity {
            return default_client.clone();
        }
        let mut others = others.lock().unwrap_or_else(PoisonError::into_inner);
        others.asked += 1;
        let asked = others.asked;
        if let Some(kept) = others.clients.get_mut(identity) {
            kept.asked = asked;
            return kept.client.clone();
        }
        if CLIENTS_MAX <= others.clients.len() {
            others.drop_one();
        }
        let client = maker.make(identity);
        others.clients.insert(identity.clone(), Kept { client: client.clone(), asked });
        client
    }
}

impl Maker {
    fn make(&self, identity: &PushIdentity) -> PushClient {
        let id = self.made.fetch_add(1, Ordering::Relaxed);
        let Self { settings, system_roots, pool, resolver, .. } = self;
        PushClient::new(id, settings, system_roots, identity, pool, resolver)
    }
}

impl Others {
    /// Drops the client that was asked for longest ago, of those that nobody uses if there are any.
    fn drop_one(&mut self) {
        let order = |kept: &Kept| (kept.client.is_shared(), kept.asked);
        let oldest = self.clients.iter().min_by_key(|(_, kept)| order(kept));
        if let Some(identity) = oldest.map(|(identity, _)| identity.clone()) {
            self.clients.remove(&identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::push::identity::{ClientCertificate, HttpVersion};

    fn clients() -> PushClients {
        PushClients::new(&PushSettings::default()).expect("the settings name no file")
    }

    fn identity(http_version: HttpVersion) -> PushIdentity {
        PushIdentity { http_version, ..PushIdentity::default() }
    }

    #[test]
    fn equal_identities_share_a_client_and_others_do_not() {
        let clients = clients();
        let [one, again, other] = [HttpVersion::Http1, HttpVersion::Http1, HttpVersion::Http2]
            .map(|version| clients.get(&identity(version)));
        assert!(one.is_same(&again) && !one.is_same(&other));
        assert!(clients.get(&PushIdentity::default()).is_same(clients.default_client()));
        assert!(!one.is_same(clients.default_client()));
    }

    #[test]
    fn a_provider_with_a_policy_of_its_own_has_its_own_connections() {
        let networks = vec!["10.0.0.0/8".parse().expect("a network")];
        let own = Provider {
            name: "own".parse().expect("valid"),
            endpoint_policy: EndpointPolicy::new(networks, Vec::new(), Vec::new()),
            ..Provider::example()
        };
        let settings = PushSettings::default();
        let clients = PushClients::for_providers(&settings, &[Provider::example(), own]);
        let clients = clients.expect("the settings name no file");
        let client = |provider: &str| {
            let provider = provider.parse().expect("valid");
            clients.for_stream(&StreamConfig { provider, ..StreamConfig::example("st_1") })
        };
        assert!(client("acme").is_same(clients.default_client()));
        assert!(!client("own").is_same(clients.default_client()));
        assert!(client("own").is_same(&client("own")));
    }

    /// An identity for each `n`: a client certificate of its own.
    fn numbered(key: &KeyPair, n: usize) -> PushIdentity {
        let name = format!("tx-{n}.example");
        let params = CertificateParams::new(vec![name]).expect("a valid name");
        let certificate = params.self_signed(key).expect("a certificate").pem();
        let key = key.serialize_pem();
        let certificate = ClientCertificate::from_pem(certificate.as_bytes(), key.as_bytes());
        PushIdentity {
            client_certificate: Some(certificate.expect("usable")),
            ..PushIdentity::default()
        }
    }

    #[test]
    fn clients_that_nobody_uses_make_room_and_those_in_use_stay() {
        let (clients, key) = (clients(), KeyPair::generate().expect("a key"));
        let identities: Vec<_> = (0..CLIENTS_MAX).map(|n| numbered(&key, n)).collect();
        let in_use = clients.get(&identities[0]);
        for identity in &identities[1..] {
            clients.get(identity);
        }
        for n in CLIENTS_MAX..CLIENTS_MAX + 3 {
            clients.get(&numbered(&key, n));
        }
        let others = clients.0.others.lock().expect("not poisoned");
        assert_eq!(others.clients.len(), CLIENTS_MAX);
        let kept = |n: usize| others.clients.contains_key(&identities[n]);
        assert_eq!([0, 1, 2, 3, 4].map(kept), [true, false, false, false, true]);
        assert!(others.clients[&identities[0]].client.is_same(&in_use));
    }
}
