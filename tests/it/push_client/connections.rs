//! How many connections there are, how long each is used, and over which version of HTTP.

use futures_util::future::join_all;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::*;
use crate::{
    harness::{eventually, within},
    raw_server::{Answer, RawServer, Then, Version, frame},
    scripted_server::Gate,
};

const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";

/// Records the metrics of this thread alone, for as long as the guard is held.
pub(super) fn metrics_of_this_thread() -> (PrometheusHandle, metrics::LocalRecorderGuard<'static>) {
    let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
    (recorder.handle(), metrics::set_default_local_recorder(recorder))
}

/// Returns how many connections the metric counts.
pub(super) fn open_connections(metrics: &PrometheusHandle) -> usize {
    let rendered = metrics.render();
    let line = rendered.lines().find_map(|line| line.strip_prefix("ssfd_push_connections "));
    line.expect("the metric exists from the start").parse().unwrap()
}

async fn accept(client: &PushClient, target: &PushEndpoint) {
    let outcome = within("an answer", client.push(target, SET)).await;
    assert_eq!(outcome, Outcome::Accepted { status: 202 });
}

fn http2_accepted(stream: u32) -> Vec<u8> {
    let flags = frame::END_HEADERS | frame::END_STREAM;
    frame::make(frame::HEADERS, flags, stream, &frame::headers(202, &[]))
}

/// RFC 9113 §7: the SET goes once more by HTTP/1.1, and the next ones go there at once.
#[tokio::test]
async fn a_host_that_requires_http1_gets_it_and_is_remembered() {
    const HTTP_1_1_REQUIRED: [u8; 4] = [0, 0, 0, 13];
    for whole_connection in [false, true] {
        let server = RawServer::start_both(move |_, stream| match stream {
            0 => Answer::new(ACCEPTED, Then::GoOn),
            _ if whole_connection => {
                let payload = [[0; 4], HTTP_1_1_REQUIRED].concat();
                Answer::new(frame::make(frame::GOAWAY, 0, 0, &payload), Then::Close)
            }
            _ => {
                let reset = frame::make(frame::RST_STREAM, 0, stream, &HTTP_1_1_REQUIRED);
                Answer::new(reset, Then::GoOn)
            }
        })
        .await;
        let (client, target) = (client_with(&settings(server.roots())), to(&server.url()));
        accept(&client, &target).await;
        assert_eq!((server.seen(), server.accepted()), (2, 2));
        for _ in 0..3 {
            accept(&client, &target).await;
        }
        assert_eq!(server.seen(), 5, "each of them once");
        let loopback = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap());
        let forced = PushIdentity {
            policy: EndpointPolicy::new(loopback.to_vec(), Vec::new(), Vec::new()),
            trusted_roots: TrustedRoots::read(&server.roots().unwrap()).unwrap(),
            http_version: HttpVersion::Http2,
            ..PushIdentity::default()
        };
        let clients = PushClients::new(&settings(server.roots())).unwrap();
        let outcome = clients.get(&forced).push(&target, SET).await;
        assert_failed(&outcome, FailureClass::Connect);
    }
}

/// Otherwise a changed address of a host would never count under steady traffic.
#[tokio::test]
async fn a_connection_is_used_for_a_limited_time() {
    for protocols in [H1, H2] {
        let endpoint = Endpoint::start(protocols, |_| Reply::status(202)).await;
        let settings = PushSettings {
            connection_age_max: Duration::from_millis(200),
            ..settings(Some(endpoint.roots()))
        };
        let (client, target) = (client_with(&settings), to(&endpoint.url("/in")));
        eventually("a third connection is opened", async || {
            accept(&client, &target).await;
            3 <= endpoint.accepted()
        })
        .await;
        assert!(3 < endpoint.seen().len(), "and each of them was used several times");
    }
}

#[tokio::test]
async fn a_cold_host_by_http2_is_dialled_once() {
    let endpoint = Endpoint::start(H2, |_| Reply::status(202)).await;
    let (client, target) = (client_for(&endpoint), to(&endpoint.url("/in")));
    join_all((0..20).map(|_| accept(&client, &target))).await;
    assert_eq!((endpoint.accepted(), endpoint.seen().len()), (1, 20));
}

#[tokio::test]
async fn connections_to_a_host_are_bounded() {
    let gate = Gate::default();
    let behind = gate.clone();
    let endpoint = Endpoint::start(H1, move |_| Reply::status(202).behind(&behind)).await;
    let settings = PushSettings { host_connections_max: 2, ..settings(Some(endpoint.roots())) };
    let (client, target) = (client_with(&settings), to(&endpoint.url("/in")));
    let pushes = join_all((0..8).map(|_| accept(&client, &target)));
    let opened = async {
        eventually("two requests are under way", async || endpoint.seen().len() == 2).await;
        gate.open();
    };
    tokio::join!(pushes, opened);
    assert_eq!(endpoint.seen().len(), 8);
    assert!(endpoint.accepted() <= 2, "{} connections", endpoint.accepted());
}

#[tokio::test]
async fn an_idle_connection_gives_way_to_another_host() {
    let (metrics, _guard) = metrics_of_this_thread();
    for protocols in [H1, H2] {
        let one = Endpoint::start(protocols, |_| Reply::status(202)).await;
        let clients =
            PushClients::new(&PushSettings { connections_max: 1, ..settings(Some(one.roots())) })
                .unwrap();
        let plain = RawServer::start_plain(|_, _| Answer::new(ACCEPTED, Then::GoOn)).await;
        let client = clients.default_client();
        for _ in 0..3 {
            accept(client, &to(&one.url("/in"))).await;
            accept(client, &to(&plain.url())).await;
            assert!(open_connections(&metrics) <= 1);
        }
    }
}

/// A lack of ours is no fault of the endpoint.
#[tokio::test]
async fn an_attempt_without_a_place_for_its_connection_blames_nobody() {
    // The rest of its response is waited for in the background, which keeps the place for a while.
    let head = "HTTP/1.1 202 Accepted\r\ncontent-length: 9\r\n\r\n";
    let slow = RawServer::start_plain(move |_, _| Answer::new(head, Then::Silence)).await;
    let well = RawServer::start_plain(|_, _| Answer::new(ACCEPTED, Then::GoOn)).await;
    let client = client_with(&PushSettings {
        connections_max: 1,
        attempt_timeout: Duration::from_millis(700),
        ..settings(None)
    });
    let targets = [to(&slow.url()), to(&well.url())];
    eventually("an attempt finds no place", async || {
        let mut without = false;
        for target in &targets {
            let outcome = client.push(target, SET).await;
            assert_ne!(outcome.class(), "connect", "{outcome:?}");
            without |= outcome.class() == "no_capacity";
        }
        without
    })
    .await;
}

/// Idle connections are kept until their time is over, and then none is left open.
#[tokio::test]
async fn idle_connections_are_closed_and_counted() {
    let (metrics, _guard) = metrics_of_this_thread();
    for protocols in [H1, H2] {
        let endpoint = Endpoint::start(protocols, |_| Reply::status(202)).await;
        let settings = PushSettings {
            pool_idle_timeout: Duration::from_millis(100),
            ..settings(Some(endpoint.roots()))
        };
        let client = client_with(&settings);
        accept(&client, &to(&endpoint.url("/in"))).await;
        eventually("no connection is open", async || open_connections(&metrics) == 0).await;
    }
}

#[tokio::test]
async fn an_idle_connection_by_http2_that_has_died_is_noticed() {
    let (metrics, _guard) = metrics_of_this_thread();
    let server = RawServer::start(Version::Http2, |_, stream| {
        Answer::new(http2_accepted(stream), Then::Deaf)
    })
    .await;
    let client = client_with(&PushSettings {
        http2_keep_alive_interval: Duration::from_millis(50),
        http2_keep_alive_timeout: Duration::from_millis(50),
        ..settings(server.roots())
    });
    accept(&client, &to(&server.url())).await;
    eventually("no connection is open", async || open_connections(&metrics) == 0).await;
}

/// The unread part of a response does not hold up the next SET.
#[tokio::test]
async fn an_accepted_set_does_not_wait_for_the_rest_of_its_response() {
    let head = "HTTP/1.1 202 Accepted\r\ncontent-length: 9\r\n\r\n";
    let servers = [
        RawServer::start(Version::Http1, move |_, _| Answer::new(head, Then::Silence)).await,
        RawServer::start(Version::Http2, |_, stream| {
            let block = frame::headers(202, &[]);
            let head = frame::make(frame::HEADERS, frame::END_HEADERS, stream, &block);
            Answer::new(head, Then::Deaf)
        })
        .await,
    ];
    for server in servers {
        // The deadline of the attempt is longer than the test may take.
        let attempt_timeout = 2 * crate::harness::DEADLINE;
        let client = client_with(&PushSettings { attempt_timeout, ..settings(server.roots()) });
        accept(&client, &to(&server.url())).await;
    }
}
