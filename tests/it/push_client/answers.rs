//! Answers of Receivers: status and head decide, whatever becomes of the body.

use std::sync::Arc;

use futures_util::future::join_all;
use proptest::prelude::*;
use ssfd::delivery::push::classify;

use super::*;
use crate::{
    harness::{DEADLINE, eventually, within},
    raw_server::{Answer, RawServer, Then, Version, frame},
};

/// A response, in the terms that both versions share.
#[derive(Debug, Clone)]
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    end: End,
    /// The minor version in the status line of HTTP/1.
    minor: u8,
}

/// How a response ends, after its whole head and the given part of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// The connection is closed, though more was announced.
    Close,
    /// The connection is closed, and nothing had been announced.
    CloseUnannounced,
    /// A chunk that is none, or the reset of a stream.
    Broken,
    /// The connection is ended in order before the body.
    GoAway,
    Silence,
}

const ENDS: [End; 6] =
    [End::Whole, End::Close, End::CloseUnannounced, End::Broken, End::GoAway, End::Silence];

impl Response {
    fn new(status: u16, headers: &[(&str, &str)], body: &str, end: End) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Self { status, headers: headers.collect(), body: body.to_owned(), end, minor: 1 }
    }

    fn answer(&self, version: Version, stream: u32) -> Answer {
        let bytes = match version {
            Version::Http1 => self.http1(),
            Version::Http2 => self.http2(stream),
        };
        let then = match self.end {
            End::Whole => Then::GoOn,
            End::Silence => Then::Silence,
            End::Broken if version == Version::Http2 => Then::GoOn,
            End::Close | End::CloseUnannounced | End::Broken | End::GoAway => Then::Close,
        };
        Answer::new(bytes, then)
    }

    fn http1(&self) -> Vec<u8> {
        let line = |(name, value): &(String, String)| [name, ": ", value, "\r\n"].concat();
        let headers: String = self.headers.iter().map(line).collect();
        let (status, body, minor) = (self.status, &self.body, self.minor);
        let (length, longer) = (body.len(), body.len() + 1000);
        let rest = match self.end {
            End::Whole => format!("content-length: {length}\r\n\r\n{body}"),
            End::Close | End::Silence => format!("content-length: {longer}\r\n\r\n{body}"),
            End::CloseUnannounced => format!("\r\n{body}"),
            End::GoAway => format!("connection: close\r\n\r\n{body}"),
            End::Broken if body.is_empty() => {
                "transfer-encoding: chunked\r\n\r\nno chunk\r\n".to_owned()
            }
            End::Broken => {
                format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\nno chunk\r\n")
            }
        };
        format!("HTTP/1.{minor} {status} Any\r\n{headers}{rest}").into_bytes()
    }

    fn http2(&self, stream: u32) -> Vec<u8> {
        let block = frame::headers(self.status, &self.headers);
        let mut bytes = frame::make(frame::HEADERS, frame::END_HEADERS, stream, &block);
        let last = if self.end == End::Whole { frame::END_STREAM } else { 0 };
        bytes.extend(frame::make(frame::DATA, last, stream, self.body.as_bytes()));
        match self.end {
            // INTERNAL_ERROR
            End::Broken => bytes.extend(frame::make(frame::RST_STREAM, 0, stream, &[0, 0, 0, 2])),
            End::GoAway => {
                let payload = [stream.to_be_bytes(), [0; 4]].concat();
                bytes.extend(frame::make(frame::GOAWAY, 0, 0, &payload));
            }
            End::Whole | End::Close | End::CloseUnannounced | End::Silence => {}
        }
        bytes
    }

    /// The outcome by status, head and what arrives of the body.
    fn expected(&self) -> Outcome {
        let retry_after = self.headers.iter().find(|(name, _)| name == "retry-after");
        let retry_after = retry_after.and_then(|(_, value)| value.parse().ok());
        // HTTP/1.0 has no chunks, so nothing tells where such a body is (RFC 9112 §6.1).
        let unreadable = self.minor == 0 && self.end == End::Broken;
        let body = if unreadable { "" } else { &self.body };
        classify(self.status, retry_after.map(Duration::from_secs), body.as_bytes())
    }
}

/// Waits for a body that never ends only as long as a test should.
fn patience(end: End) -> Duration {
    if end == End::Silence { Duration::from_secs(5) } else { DEADLINE }
}

/// Gives `response` to the second request, over a new connection or over one that has served.
async fn outcome_of(version: Version, response: &Response, reused: bool) -> (Outcome, usize) {
    let (shared, warm) = (Arc::new(response.clone()), usize::from(reused));
    let server = RawServer::start(version, move |n, stream| {
        let accepted = Response::new(202, &[], "", End::Whole);
        if n < warm { accepted.answer(version, stream) } else { shared.answer(version, stream) }
    })
    .await;
    let attempt_timeout = patience(response.end);
    let settings = PushSettings { attempt_timeout, ..settings(server.roots()) };
    let (client, target) = (client_with(&settings), to(&server.url()));
    for _ in 0..warm {
        let warmed = within("an answer", client.push(&target, SET)).await;
        assert_eq!(warmed, Outcome::Accepted { status: 202 });
    }
    let outcome = within("an answer", client.push(&target, SET)).await;
    (outcome, server.seen() - warm)
}

/// The outcome must be that of the head, with a longer detail at most, of one request.
fn check(response: &Response, (outcome, requests): &(Outcome, usize)) -> Result<(), String> {
    let alike = match (outcome, response.expected()) {
        (
            Outcome::Failed { class, retry_after, detail },
            Outcome::Failed { class: expected, retry_after: wait, detail: short },
        ) => *class == expected && *retry_after == wait && detail.starts_with(&short),
        (outcome, expected) => *outcome == expected,
    };
    if alike && *requests == 1 {
        return Ok(());
    }
    Err(format!("{outcome:?} by {requests} requests for {response:?}"))
}

/// RFC 8935 §2.2, §2.3: a complete head is an answer.
#[tokio::test]
async fn a_body_changes_nothing_but_the_detail() {
    let refusal = r#"{"err":"invalid_request"}"#;
    let responses = [
        (202, [].as_slice(), ""),
        (202, &[], "accepted"),
        (200, &[], refusal),
        (400, &[], refusal),
        (400, &[("content-encoding", "gzip")], "\u{1f}\u{8b}\u{8}"),
        (400, &[], r#"{"err":"authentication_failed"}"#),
        (401, &[], "who"),
        (403, &[], ""),
        (410, &[], "gone"),
        (429, &[("retry-after", "20")], "slow"),
        (503, &[("retry-after", "60")], "<html"),
        (500, &[], ""),
    ];
    for (version, minor) in [(Version::Http1, 1), (Version::Http1, 0), (Version::Http2, 1)] {
        for end in ENDS {
            let responses = responses.map(|(status, headers, body)| Response {
                minor,
                ..Response::new(status, headers, body, end)
            });
            let outcomes = responses.iter().flat_map(|response| {
                [false, true].map(|reused| async move {
                    (response, Box::pin(outcome_of(version, response, reused)).await)
                })
            });
            for (response, got) in join_all(outcomes).await {
                check(response, &got)
                    .unwrap_or_else(|wrong| panic!("{version:?}.{minor}: {wrong}"));
            }
        }
    }
}

#[tokio::test]
async fn a_detail_tells_what_became_of_the_body() {
    for (end, remark) in [(End::Close, "cut off"), (End::Silence, "did not end in time")] {
        let response = Response::new(503, &[], "later", end);
        let (outcome, _) = Box::pin(outcome_of(Version::Http1, &response, false)).await;
        let Outcome::Failed { detail, .. } = outcome else { panic!("{outcome:?}") };
        assert!(detail.contains(remark), "{detail}");
    }
}

/// RFC 9112 §5.2, and heads that are long but within the bound. The status counts, whatever it is.
#[tokio::test]
async fn heads_are_read_liberally() {
    let lines = "x-line: v\r\n".repeat(150);
    let heads = [
        "HTTP/1.1 STATUS Any\r\nx-note: one\r\n two\r\n\tthree\r\ncontent-length: 0\r\n\r\n"
            .to_owned(),
        format!("HTTP/1.1 STATUS Any\r\n{lines}content-length: 0\r\n\r\n"),
        "HTTP/1.1 STATUS \r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 STATUS\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.0 STATUS Any\r\n\r\n".to_owned(),
        "HTTP/1.1 STATUS Any\r\nx-space : v\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 STATUS Any\r\nx(odd): v\r\nno colon\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 STATUS Any\r\nx: \u{e9}\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.0 STATUS Any\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 STATUS Any\r\ncontent-length: none\r\n\r\n".to_owned(),
        "HTTP/1.1 STATUS Any\r\ncontent-length: -1\r\n\r\n".to_owned(),
        "HTTP/1.1 STATUS Any\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(),
        format!("HTTP/1.1 STATUS Any\r\ncontent-length: {}\r\n\r\n", "9".repeat(40)),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 STATUS Any\r\ncontent-length: +\r\n\r\n".to_owned(),
        "HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 STATUS Any\r\n\
         content-length: 0\r\n\r\n"
            .to_owned(),
    ];
    for status in [202, 400, 401, 429, 503] {
        for head in &heads {
            let head = head.replace("STATUS", &status.to_string());
            let shared = head.clone();
            let server =
                RawServer::start_plain(move |_, _| Answer::new(shared.clone(), Then::Close)).await;
            let client = client_with(&settings(None));
            let outcome = within("an answer", client.push(&to(&server.url()), SET)).await;
            check(&Response::new(status, &[], "", End::Whole), &(outcome, server.seen()))
                .unwrap_or_else(|wrong| panic!("{head:?}: {wrong}"));
        }
        let many: Vec<_> = (0..150).map(|n| format!("x-line-{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "v")).collect();
        let long = Response::new(status, &many, "", End::Whole);
        let got = Box::pin(outcome_of(Version::Http2, &long, false)).await;
        check(&long, &got).unwrap_or_else(|wrong| panic!("by HTTP/2: {wrong}"));
    }
}

/// The wait that a Receiver asks for counts as well.
#[tokio::test]
async fn a_head_that_is_refused_for_its_form_keeps_its_retry_after() {
    for status in [429, 503] {
        let server = RawServer::start_plain(move |_, _| {
            let head =
                format!("HTTP/1.1 {status} Any\r\nretry-after: 20\r\ncontent-length: x\r\n\r\n");
            Answer::new(head, Then::GoOn)
        })
        .await;
        let client = client_with(&settings(None));
        let outcome = within("an answer", client.push(&to(&server.url()), SET)).await;
        let Outcome::Failed { retry_after, detail, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(20)));
        assert!(detail.contains("malformed"), "{detail}");
        assert_eq!(server.seen(), 1);
    }
}

/// Nobody can say where the body of such a response ends. Its status says what the Receiver did.
#[tokio::test]
async fn a_head_without_a_meaning_beyond_its_status_is_judged_by_that() {
    let many = "x-line: v\r\n".repeat(600);
    for lines in [
        "content-length: abc\r\n",
        "content-length: -1\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 99999999999999999999999999\r\n",
        &many,
    ] {
        for (status, reused) in [(202, false), (202, true), (200, false), (400, false), (503, true)]
        {
            let head = format!("HTTP/1.1 {status} Any\r\n{lines}\r\n");
            let accepted = Response::new(202, &[], "", End::Whole);
            let warm = usize::from(reused);
            let server = RawServer::start(Version::Http1, move |n, stream| {
                if n < warm {
                    accepted.answer(Version::Http1, stream)
                } else {
                    Answer::new(head.clone(), Then::Silence)
                }
            })
            .await;
            let (client, target) = (client_with(&settings(server.roots())), to(&server.url()));
            for _ in 0..warm {
                client.push(&target, SET).await;
            }
            let outcome = within("an answer", client.push(&target, SET)).await;
            let expected = classify(status, None, b"");
            let case = format!("{:.40} {status} {reused}: {outcome:?}", lines.trim());
            assert_eq!(outcome.class(), expected.class(), "{case}");
            assert_eq!(server.seen() - warm, 1, "{case}");
            eventually(&case, async || server.open() == 0).await;
        }
    }
}

/// RFC 9113 §8.1.1 forbids a client to accept a response with such a length, and `h2` resets the stream before
/// anybody sees its status. So the SET is sent again, like after any other failure without an answer.
#[tokio::test]
async fn a_length_that_is_none_makes_an_answer_by_http_2_no_answer() {
    let malformed = [&["abc"][..], &["-1"], &["5", "6"], &["99999999999999999999999999"]];
    for lengths in malformed {
        for (status, reused) in [(202, false), (202, true), (400, false), (503, true)] {
            let headers: Vec<_> =
                lengths.iter().map(|length| ("content-length".into(), (*length).into())).collect();
            let accepted = Response::new(202, &[], "", End::Whole);
            let warm = usize::from(reused);
            // On a connection that has served, the request is repeated once, because it may have died.
            let refused = warm + 1 + usize::from(reused);
            let server = RawServer::start(Version::Http2, move |n, stream| {
                if n < warm || refused <= n {
                    accepted.answer(Version::Http2, stream)
                } else {
                    let block = frame::headers(status, &headers);
                    let flags = frame::END_HEADERS | frame::END_STREAM;
                    let head = frame::make(frame::HEADERS, flags, stream, &block);
                    Answer::new(head, Then::GoOn)
                }
            })
            .await;
            let (client, target) = (client_with(&settings(server.roots())), to(&server.url()));
            for _ in 0..warm {
                client.push(&target, SET).await;
            }
            let outcome = within("an outcome", client.push(&target, SET)).await;
            assert_failed(&outcome, FailureClass::Connect);
            let Outcome::Failed { detail, .. } = &outcome else { unreachable!("it failed") };
            assert!(detail.contains("protocol error"), "{lengths:?}: {detail}");
            assert_eq!(server.seen(), refused, "{lengths:?} {status} {reused}");
            let next = within("an answer", client.push(&target, SET)).await;
            assert_eq!(next, Outcome::Accepted { status: 202 });
        }
    }
}

/// Without its empty line, a head is no answer.
#[tokio::test]
async fn a_head_that_is_cut_off_is_no_answer() {
    for head in ["HTTP/1.1 202 Accepted\r\ncontent-length: abc\r\n", "HTTP/1.1 202 Accepted", ""] {
        let server = RawServer::start_plain(move |_, _| Answer::new(head, Then::Close)).await;
        let client = client_with(&settings(None));
        let outcome = within("an end", client.push(&to(&server.url()), SET)).await;
        assert_failed(&outcome, FailureClass::Connect);
    }
}

fn token(max: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(b"abcdefghijklmnopqrstuvwxyz0123456789-".to_vec()),
        1..max,
    )
    .prop_map(|bytes| format!("x{}", String::from_utf8(bytes).unwrap()))
}

fn responses() -> impl Strategy<Value = Response> {
    let status = prop_oneof![
        3 => 200..300u16,
        1 => 300..400u16,
        3 => prop::sample::select(vec![400u16, 401, 403, 404, 408, 410, 425, 429]),
        1 => 400..500u16,
        3 => 500..600u16,
    ];
    let header =
        (token(40), "[ -~]{0,200}").prop_map(|(name, value)| (name, value.trim().to_owned()));
    let retry_after = prop::option::of(prop_oneof![0..100_000u64, any::<u64>()]);
    let body = prop_oneof![
        Just(String::new()),
        "[ -~]{0,300}",
        Just(r#"{"err":"invalid_request","description":"no"}"#.to_owned()),
        Just(r#"{"err":"access_denied"}"#.to_owned()),
        ".{0,40}",
        (0..16_000usize).prop_map(|length| "a".repeat(length)),
    ];
    let end = prop::sample::select(ENDS[..5].to_vec());
    (status, prop::collection::vec(header, 0..60), retry_after, body, end, 0..2u8).prop_map(
        |(status, mut headers, retry_after, body, end, minor)| {
            if let Some(seconds) = retry_after {
                headers.push(("retry-after".to_owned(), seconds.to_string()));
            }
            Response { status, headers, body, end, minor }
        },
    )
}

/// How many responses are generated. `make fuzz` asks for more.
fn cases() -> u32 {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    if asked { ProptestConfig::default().cases } else { 150 }
}

/// A complete 2xx head means that the SET was sent once, and any other complete head is judged by its
/// status.
#[test]
fn generated_answers_are_judged_by_their_heads() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config =
        ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let any = (responses(), any::<bool>(), any::<bool>());
    proptest!(config, |((response, http2, reused) in any)| {
        let version = if http2 { Version::Http2 } else { Version::Http1 };
        // HTTP/2 has no minor version, so nothing is unreadable for it.
        let minor = if http2 { 1 } else { response.minor };
        let response = Response { minor, ..response };
        // Some statuses have no body in HTTP/1.1 (RFC 9112 §6.3).
        prop_assume!(http2 || !matches!(response.status, 204 | 304));
        let got = runtime.block_on(outcome_of(version, &response, reused));
        check(&response, &got).map_err(TestCaseError::fail)?;
    });
}
