//! A sink for push delivery.

use std::{convert::Infallible, fs, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ssfd::cli::receive::certificate::server_config;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{
    CERTIFICATE, KEY,
    journal::{Journal, tell},
};
use crate::{https::Http, support::block_on};

pub(super) fn serve(http: Http, journal: &Journal) {
    block_on(accept(http, journal));
}

async fn accept(http: Http, journal: &Journal) {
    let [certificate, key] = [CERTIFICATE, KEY].map(|file| fs::read(file).expect("a file"));
    let mut tls = server_config(&certificate, &key).expect("usable");
    tls.alpn_protocols = vec![http.alpn().into()];
    let tls = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    tell(&listener.local_addr().expect("it is bound").port());
    while let Ok((connection, _)) = listener.accept().await {
        connection.set_nodelay(true).ok();
        let (tls, journal) = (tls.clone(), journal.clone());
        tokio::spawn(async move {
            let Ok(session) = tls.accept(connection).await else { return };
            let service = service_fn(move |request| answer(request, journal.clone()));
            let io = TokioIo::new(session);
            // A failed connection is ignored here, because the daemon handles and counts it.
            match http {
                Http::One => drop(http1::Builder::new().serve_connection(io, service).await),
                Http::Two => {
                    let server = http2::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(io, service).await);
                }
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    journal: Journal,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    match request.into_body().collect().await {
        Ok(body) => {
            *response.status_mut() = StatusCode::ACCEPTED;
            // The bytes are copied, because they would otherwise keep the buffer of their
            // connection in memory.
            journal.note(Bytes::copy_from_slice(&body.to_bytes()));
        }
        Err(_broken_off) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(response)
}
