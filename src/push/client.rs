//! The client of one identity: makes an attempt and returns its [`Outcome`].

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use rustls::RootCertStore;
use tokio::time::Instant;

use super::{
    connection::{Connection, Exchange},
    dial::Dialer,
    failure,
    identity::{HttpVersion, PushIdentity},
    pool::{Key, Pool, Wanted},
    request::Target,
    resolve::{Asker, Resolver},
    response::{self, Rest},
    settings::PushSettings,
    tls,
};
use crate::{
    delivery::{
        outcome::{FailureClass, Outcome},
        parcel::{Outcomes, Parcel},
    },
    domain::stream::{PushEndpoint, StreamConfig},
};

/// Carries SETs to push endpoints (RFC 8935). A clone costs one reference count, and all clones share
/// their connections.
///
/// Redirects are not followed, because a redirect would take the SET and the credential to a place
/// that the owner of the stream did not name.
#[derive(Clone)]
pub struct PushClient(Arc<Client>);

struct Client {
    /// Distinguishes the connections of this client in the pool.
    id: u64,
    pool: Arc<Pool>,
    dialer: Dialer,
    http_version: HttpVersion,
    settings: PushSettings,
}

/// The consequence of an exchange without a response.
enum After {
    Again { newer_than: Option<u64> },
    Over(Outcome),
}

/// The remedies that an attempt has tried. Each is used once.
#[derive(Default)]
struct Tried {
    another_connection: bool,
    http1: bool,
}

impl PushClient {
    pub(super) fn new(
        id: u64,
        settings: &PushSettings,
        system_roots: &Arc<RootCertStore>,
        identity: &PushIdentity,
        pool: &Arc<Pool>,
        resolver: &Resolver,
    ) -> Self {
        let http_version = identity.http_version;
        let tls = tls::config_of(identity, system_roots);
        Self(Arc::new(Client {
            id,
            pool: Arc::clone(pool),
            dialer: Dialer::new(settings, tls, identity, resolver),
            http_version,
            settings: settings.clone(),
        }))
    }

    /// Makes one attempt to deliver a parcel to the endpoint of its stream. A request of RFC 8935
    /// carries one SET, so several go one after the other.
    pub async fn deliver(
        &self,
        stream: &StreamConfig,
        endpoint: &PushEndpoint,
        parcel: &Parcel,
    ) -> Outcomes {
        let asker = Asker::of(stream);
        if let [one] = parcel.sets() {
            return Outcomes::All(self.0.push(endpoint, one.jws.clone(), asker).await);
        }
        let mut outcomes = Vec::new();
        for one in parcel.sets() {
            outcomes.push(self.0.push(endpoint, one.jws.clone(), asker).await);
        }
        Outcomes::Each(outcomes)
    }

    /// Makes one attempt to deliver `set`, a compact JWS, for no stream in particular.
    pub async fn push(&self, endpoint: &PushEndpoint, set: Bytes) -> Outcome {
        self.0.push(endpoint, set, Asker::NOBODY).await
    }

    /// Whether both share their connections.
    #[cfg(test)]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether there is another clone.
    pub(super) fn is_shared(&self) -> bool {
        1 < Arc::strong_count(&self.0)
    }
}

impl Client {
    async fn push(&self, endpoint: &PushEndpoint, set: Bytes, asker: Asker<'_>) -> Outcome {
        let deadline = Instant::now() + self.settings.attempt_timeout;
        let target = match Target::of(endpoint) {
            Ok(target) => target,
            Err(error) => {
                let detail = format!("no request can be built for this endpoint: {error}");
                return Outcome::failed(FailureClass::Misconfigured, detail);
            }
        };
        let key = Key::new(self.id, &target);
        let (mut newer_than, mut tried) = (None, Tried::default());
        loop {
            let wanted = Wanted {
                key: &key,
                uri: &target.uri,
                dialer: &self.dialer,
                asker,
                newer_than,
                deadline,
            };
            let mut connection = match self.pool.connection(wanted).await {
                Ok(connection) => connection,
                Err(error) => return failure::outcome_of(&error),
            };
            let response = match connection.exchange(&target, set.clone(), deadline).await {
                Exchange::Answered(response) => response,
                Exchange::StatusAlone(head) => {
                    self.pool.retire(connection);
                    return response::judge_status(&head);
                }
                Exchange::TimedOut => {
                    // The connection may be dead. With HTTP/2, further requests would share it until
                    // the kernel gives up after a quarter of an hour.
                    self.pool.retire(connection);
                    return self.timed_out();
                }
                Exchange::Failed { error, begun } => {
                    match self.after(&key, connection, &error, begun, &mut tried) {
                        After::Again { newer_than: than } => newer_than = than,
                        After::Over(outcome) => return outcome,
                    }
                    continue;
                }
            };
            let (head, body) = response.into_parts();
            let bytes_max = self.settings.response_bytes_max;
            let (outcome, rest) = response::judge(&head, body, bytes_max, deadline).await;
            match rest {
                Rest::Read => self.pool.finish(connection, None),
                Rest::Unread(body) => self.pool.finish(connection, Some(body)),
                Rest::Lost => drop(connection),
            }
            return outcome;
        }
    }

    /// Decides what follows when a connection ended without a response. `begun` if the request was
    /// written in full or in part.
    ///
    /// A Receiver may close an idle connection without our noticing. Sending the SET again is safe in
    /// any case, because a Receiver recognizes a SET by its `jti` (RFC 8935 §2).
    /// - A request that was not begun goes over the next idle connection.
    /// - A request that was begun goes once more over a newer connection, because other idle ones may
    ///   have died together with this one. A connection that never carried a response does not count:
    ///   its endpoint waits for the regular retry.
    /// - A host that asks for HTTP/1.1 gets it (RFC 9113 §7).
    fn after(
        &self,
        key: &Key,
        connection: Connection,
        error: &hyper::Error,
        begun: bool,
        tried: &mut Tried,
    ) -> After {
        let (number, worked) = (connection.number(), connection.has_served());
        self.pool.retire(connection);
        let negotiable = self.http_version == HttpVersion::Negotiated && !tried.http1;
        if negotiable && wants_http1(error) {
            tried.http1 = true;
            self.pool.require_http1(key);
            return After::Again { newer_than: None };
        }
        if worked && !begun {
            return After::Again { newer_than: None };
        }
        if worked && !tried.another_connection {
            tried.another_connection = true;
            return After::Again { newer_than: Some(number) };
        }
        After::Over(failure::outcome_of(error))
    }

    fn timed_out(&self) -> Outcome {
        let detail = format!("no response within {:?}", self.settings.attempt_timeout);
        Outcome::failed(FailureClass::Timeout, detail)
    }
}

/// Whether the peer refused to answer by HTTP/2.
fn wants_http1(error: &hyper::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(http2) = error.downcast_ref::<h2::Error>() {
            return http2.reason() == Some(h2::Reason::HTTP_1_1_REQUIRED);
        }
        cause = error.source();
    }
    false
}
