//! The push floor: a request with a SET over an open connection, and its answer.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ssfd::{clock, signing::algorithm::Algorithm};
use tokio::task::{JoinSet, spawn_local};

use super::{Count, Floor, LENGTH, sign::sample_set};
use crate::{
    https::{Connector, Http},
    sink::{self, Sink},
    support::block_on,
};

/// The number of attempts that the daemon has in flight for one stream.
const IN_FLIGHT: usize = 32;

pub(super) fn push(http: Http) -> Floor {
    let folder = tempfile::tempdir().expect("a folder");
    sink::prepare(folder.path());
    let (mut sink, port) = Sink::push(folder.path(), http);
    let connector = Connector::new(&folder.path().join(sink::AUTHORITY), http);
    let mut measure = |in_flight| {
        let count = block_on(async {
            match http {
                Http::One => over_http1(&connector, port, in_flight).await,
                Http::Two => over_http2(&connector, port, in_flight).await,
            }
        });
        assert_eq!(sink.forget(), u64::from(count.done), "the sink has what it answered");
        count.end()
    };
    let (cpu, each) = measure(IN_FLIGHT);
    let (_, alone) = measure(1);
    Floor { cpu, per_second: each.as_secs_f64().recip(), alone }
}

/// Sends each attempt over its own connection.
async fn over_http1(connector: &Connector, port: u16, in_flight: usize) -> Count {
    let request = request(&format!("127.0.0.1:{port}"), "/");
    let mut senders = Vec::new();
    for _ in 0..in_flight {
        let io = TokioIo::new(connector.connect(port).await);
        let (sender, connection) = http1::handshake(io).await.expect("HTTP");
        spawn_local(connection);
        senders.push(sender);
    }
    let senders = senders.into_iter().map(|mut sender| {
        let request = request.clone();
        repeat(async move || {
            sender.ready().await?;
            sender.send_request(request.clone()).await
        })
    });
    count(senders).await
}

/// Sends all attempts over one connection.
async fn over_http2(connector: &Connector, port: u16, in_flight: usize) -> Count {
    let address = format!("127.0.0.1:{port}");
    let request = request(&address, &format!("https://{address}/"));
    let io = TokioIo::new(connector.connect(port).await);
    let client = http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = client.handshake(io).await.expect("HTTP");
    spawn_local(connection);
    let senders = (0..in_flight).map(|_| {
        let (mut sender, request) = (sender.clone(), request.clone());
        repeat(async move || sender.send_request(request.clone()).await)
    });
    count(senders).await
}

/// Sends one request after the other. Returns the number of answers.
async fn repeat(mut send: impl AsyncFnMut() -> hyper::Result<Response<Incoming>>) -> u32 {
    let (began, mut done) = (clock::instant(), 0);
    while began.elapsed() < LENGTH {
        let answer = send().await.expect("answered");
        answer.into_body().collect().await.expect("a whole body");
        done += 1;
    }
    done
}

async fn count(senders: impl Iterator<Item = impl Future<Output = u32> + 'static>) -> Count {
    let mut count = Count::begin();
    let mut under_way = JoinSet::new();
    for sender in senders {
        under_way.spawn_local(sender);
    }
    while let Some(done) = under_way.join_next().await {
        count.done += done.expect("no panic");
    }
    count
}

/// Builds a request with the body and the headers that RFC 8935 §2.1 requires.
fn request(host: &str, target: &str) -> Request<Full<Bytes>> {
    Request::post(target)
        .header("host", host)
        .header("content-type", "application/secevent+jwt")
        .header("accept", "application/json")
        .body(Full::new(sample_set(Algorithm::Es256)))
        .expect("a request")
}
