//! Receivers in this process, healthy or sick.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, task::spawn_local};

use super::TYPE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Accepts,
    NeverAnswers,
    Fails,
    Closes,
}

impl Health {
    pub(crate) const ALL: [Self; 4] =
        [Self::Accepts, Self::NeverAnswers, Self::Fails, Self::Closes];
}

/// A push endpoint on its own port. Its health can be changed.
pub(crate) struct Receiver {
    pub(crate) endpoint: String,
    health: Arc<AtomicU8>,
}

impl Receiver {
    /// Starts a Receiver. `accepted` is called with the payload of the event of each accepted SET.
    pub(crate) async fn start(health: Health, accepted: impl Fn(Value) + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}/", listener.local_addr().expect("it is bound"));
        let receiver = Self { endpoint, health: Arc::new(AtomicU8::new(health as u8)) };
        let (health, accepted) = (Arc::clone(&receiver.health), Arc::new(accepted));
        spawn_local(async move {
            while let Ok((connection, _)) = listener.accept().await {
                connection.set_nodelay(true).ok();
                let (health, accepted) = (Arc::clone(&health), Arc::clone(&accepted));
                let service = service_fn(move |request| {
                    let health = Health::ALL[usize::from(health.load(Ordering::Relaxed))];
                    answer(health, request, Arc::clone(&accepted))
                });
                let serving = http1::Builder::new();
                let serving = serving.serve_connection(TokioIo::new(connection), service);
                // Sick Receivers break connections off, so an error here is expected.
                spawn_local(async { serving.await.ok() });
            }
        });
        receiver
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }
}

async fn answer(
    health: Health,
    request: Request<Incoming>,
    accepted: Arc<impl Fn(Value)>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut response = Response::new(Full::default());
    match health {
        Health::Accepts => {
            accepted(payload(&body));
            *response.status_mut() = StatusCode::ACCEPTED;
        }
        Health::Fails => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        Health::Closes => return Err(std::io::ErrorKind::ConnectionReset.into()),
        Health::NeverAnswers => std::future::pending().await,
    }
    Ok(response)
}

/// Returns the payload of the event in a SET.
fn payload(set: &[u8]) -> Value {
    let claims = set.split(|b| *b == b'.').nth(1).expect("a compact JWS has three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let mut claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["events"][TYPE].take()
}
