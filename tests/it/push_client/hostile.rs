//! Receivers that do not answer, but keep us busy.

use super::{
    connections::{metrics_of_this_thread, open_connections},
    *,
};
use crate::{
    harness::{eventually, within},
    raw_server::{Answer, RawServer, Then, Version, frame},
};

/// The bytes that are sent first, and those that are sent for ever.
type Flood = (&'static str, Version, fn(u32) -> (Vec<u8>, Vec<u8>));

fn head(status: u16, stream: u32) -> Vec<u8> {
    frame::make(frame::HEADERS, frame::END_HEADERS, stream, &frame::headers(status, &[]))
}

fn many(frame: Vec<u8>) -> Vec<u8> {
    frame.repeat(50)
}

/// Floods before a head that is an answer.
const FLOODS: [Flood; 8] = [
    ("SETTINGS", Version::Http2, |_| (Vec::new(), many(frame::make(frame::SETTINGS, 0, 0, &[])))),
    ("PING", Version::Http2, |_| (Vec::new(), many(frame::make(frame::PING, 0, 0, &[7; 8])))),
    ("PRIORITY", Version::Http2, |stream| {
        (Vec::new(), many(frame::make(frame::PRIORITY, 0, stream, &[0, 0, 0, 0, 9])))
    }),
    ("unknown frames", Version::Http2, |_| (Vec::new(), many(frame::make(0xee, 0, 0, &[])))),
    ("103 by HTTP/2", Version::Http2, |stream| (Vec::new(), many(head(103, stream)))),
    ("a head without end", Version::Http2, |stream| {
        let begin = frame::make(frame::HEADERS, 0, stream, &frame::headers(202, &[]));
        // CONTINUATION
        (begin, frame::make(9, 0, stream, &[]).repeat(50))
    }),
    ("103 by HTTP/1.1", Version::Http1, |_| {
        (Vec::new(), b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(20))
    }),
    ("a head without end by HTTP/1.1", Version::Http1, |_| {
        (b"HTTP/1.1 202 Accepted\r\n".to_vec(), b"x: y\r\n".repeat(50))
    }),
];

fn bounded(server: &RawServer) -> PushSettings {
    PushSettings {
        attempt_bytes_max: PushSettings::ATTEMPT_BYTES_MIN,
        attempt_timeout: Duration::from_secs(5),
        ..settings(server.roots())
    }
}

/// An attempt is over once its budget or its time is spent. Then its connection is closed, although its
/// peer goes on, and another Receiver was not held up meanwhile.
#[tokio::test]
async fn a_flood_ends_with_its_attempt_and_harms_nobody_else() {
    for (name, version, flood) in FLOODS {
        let (metrics, _guard) = metrics_of_this_thread();
        let server = RawServer::start(version, move |_, stream| {
            let (first, then) = flood(stream);
            Answer::new(first, Then::Flood(then))
        })
        .await;
        let other = RawServer::start_plain(|_, _| {
            Answer::new("HTTP/1.1 202 Accepted\r\nconnection: close\r\n\r\n", Then::Close)
        })
        .await;
        let client = client_with(&bounded(&server));
        let (target, other) = (to(&server.url()), to(&other.url()));
        let flooded = within("an outcome", client.push(&target, SET));
        let (outcome, well) = tokio::join!(flooded, client.push(&other, SET));
        assert!(matches!(outcome, Outcome::Failed { .. }), "{name}: {outcome:?}");
        assert_eq!(well, Outcome::Accepted { status: 202 }, "{name}");
        let closed = format!("no connection is open after {name}");
        eventually(&closed, async || open_connections(&metrics) == 0 && server.open() == 0).await;
    }
}

/// Neither the time nor the bytes end this attempt.
#[tokio::test]
async fn informational_responses_are_bounded_in_number() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
    let server = RawServer::start(Version::Http1, move |n, _| match n {
        0 => {
            let some = early.repeat(20) + "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
            Answer::new(some, Then::GoOn)
        }
        _ => Answer::new("", Then::Flood(early.repeat(20).into_bytes())),
    })
    .await;
    let client = client_with(&PushSettings {
        attempt_bytes_max: 1 << 40,
        attempt_timeout: 2 * crate::harness::DEADLINE,
        ..settings(server.roots())
    });
    let target = to(&server.url());
    let outcome = within("an outcome", client.push(&target, SET)).await;
    assert_eq!(outcome, Outcome::Accepted { status: 202 });
    let outcome = within("an outcome", client.push(&target, SET)).await;
    let Outcome::Failed { detail, .. } = &outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("informational"), "{detail}");
}

/// The same after the head, which has decided.
#[tokio::test]
async fn a_flood_after_the_head_changes_no_outcome_and_ends_too() {
    let empty_data: fn(u32) -> Vec<u8> = |stream| many(frame::make(frame::DATA, 0, stream, &[]));
    for status in [202, 503] {
        let (metrics, _guard) = metrics_of_this_thread();
        let server = RawServer::start(Version::Http2, move |_, stream| {
            Answer::new(head(status, stream), Then::Flood(empty_data(stream)))
        })
        .await;
        let client = client_with(&bounded(&server));
        let outcome = within("an outcome", client.push(&to(&server.url()), SET)).await;
        let expected = if status == 202 { "accepted" } else { "unavailable" };
        assert_eq!(outcome.class(), expected, "{outcome:?}");
        eventually("no connection is open", async || {
            open_connections(&metrics) == 0 && server.open() == 0
        })
        .await;
    }
}

/// A peer that neither reads nor closes cannot keep the socket open after the attempt.
#[tokio::test]
async fn a_deaf_peer_does_not_keep_its_connection() {
    for version in [Version::Http1, Version::Http2] {
        let (metrics, _guard) = metrics_of_this_thread();
        let server = RawServer::start(version, |_, _| Answer::new("", Then::Deaf)).await;
        let client = client_with(&PushSettings {
            attempt_timeout: Duration::from_millis(300),
            ..settings(server.roots())
        });
        let outcome = within("an outcome", client.push(&to(&server.url()), SET)).await;
        assert_failed(&outcome, FailureClass::Timeout);
        eventually("no connection is open", async || open_connections(&metrics) == 0).await;
    }
}
