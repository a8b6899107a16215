//! `ssfd streams`.

use serde_json::{Value, json};

use super::{Daemon, Ended, Workplace, ask, run};

const HEADERS: [&str; 6] = ["STREAM", "STATUS", "DELIVERY", "RECEIVER", "PROVIDER", "NOTE"];

/// The cells of a list that was printed, by lines. Two blanks or more part the cells.
fn cells<'a>(text: &'a str) -> Vec<Vec<&'a str>> {
    let of_line = |line: &'a str| {
        let cells = line.split("  ").map(str::trim);
        cells.filter(|cell| !cell.is_empty()).collect()
    };
    text.lines().map(of_line).collect()
}

/// A daemon with a poll stream, and an operator's access to it.
struct Operator {
    place: Workplace,
    daemon: Daemon,
    public: String,
    url: String,
    token: String,
    receiver: String,
    stream: String,
}

impl Operator {
    fn new() -> Self {
        let place = Workplace::new();
        let mut daemon = place.serve();
        let (public, internal) = daemon.addresses();
        let token = place.succeeds(&["tokens", "create", "operator"]).trim().to_owned();
        let create =
            ["tokens", "create", "receiver", "--receiver", "acme", "--audience", "https://rx"];
        let receiver = place.succeeds(&create).trim().to_owned();
        let body = r#"{"description":"prod \u001b[31m"}"#;
        let (status, stream) = ask(&public, "POST /ssf/streams", Some(&receiver), body);
        assert_eq!(status, 201, "{stream}");
        let stream: Value = serde_json::from_str(&stream).expect("JSON");
        let stream = stream["stream_id"].as_str().expect("an id").to_owned();
        let url = format!("http://{internal}");
        Self { place, daemon, public, url, token, receiver, stream }
    }

    fn runs(&self, args: &[&str]) -> Ended {
        let mut command = self.place.ssfd(&[&["streams"], args, &["--url", &self.url]].concat());
        command.env("SSFD_TOKEN", &self.token);
        run(command)
    }

    #[track_caller]
    fn prints(&self, args: &[&str]) -> String {
        let ended = self.runs(args);
        assert!(ended.status.success(), "{args:?}: {}", ended.stderr);
        ended.stdout
    }

    #[track_caller]
    fn prints_json(&self, args: &[&str]) -> Value {
        let stdout = self.prints(&[args, &["--json"]].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error} in {stdout}"))
    }

    /// Polls once and returns the number of SETs.
    fn polled(&self) -> usize {
        let request = format!("POST /ssf/poll/{}", self.stream);
        let body = r#"{"returnImmediately":true}"#;
        let (status, answer) = ask(&self.public, &request, Some(&self.receiver), body);
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["sets"].as_object().expect("SETs").len()
    }
}

#[test]
fn a_stream_is_listed_paused_enabled_verified_and_deleted() {
    let operator = Operator::new();
    let id = &operator.stream[..];
    let listed = operator.prints(&["list"]);
    assert_eq!(cells(&listed), [&HEADERS[..], &[id, "enabled", "poll", "acme", "default"]]);

    let paused = operator.prints(&["pause", id, "--reason", "moving house"]);
    let row = [id, "paused", "poll", "acme", "default", "moving house"];
    assert_eq!(cells(&paused), [HEADERS, row]);
    assert_eq!(operator.polled(), 1);
    assert_eq!(operator.prints(&["list", "--status", "paused"]), paused);
    assert_eq!(cells(&operator.prints(&["list", "--status", "enabled"])), [HEADERS]);
    let shown = operator.prints_json(&["show", id]);
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("paused"), &json!("moving house")));
    let text = operator.prints(&["show", id]);
    assert!(text.contains("status       paused\n"), "{text}");
    assert!(text.contains("description  prod [31m\n"), "{text}");

    assert_eq!(operator.prints_json(&["enable", id])["status"], "enabled");
    assert_eq!(operator.prints_json(&["disable", id])["status"], "disabled");
    assert_eq!(operator.prints_json(&["enable", id])["status"], "enabled");
    assert_eq!(operator.prints_json(&["format", id, "email"])["subject_format"], "email");
    assert!(operator.prints(&["show", id]).contains("format       email\n"));
    assert_eq!(operator.prints_json(&["verify", id]), json!({"verified": id}));
    assert_eq!(operator.polled(), 2, "the last change, and the verification");

    assert_eq!(operator.prints(&["delete", id]), format!("deleted {id}\n"));
    assert_eq!(operator.prints_json(&["list"]), json!([]));
    let ended = operator.runs(&["delete", id]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("404") && ended.stderr.contains("no such stream"));
}

#[test]
fn a_stream_that_asks_for_no_supported_type_is_marked() {
    let mut operator = Operator::new();
    let id = &operator.stream.clone()[..];
    for requested in [json!(["*"]), json!(["urn:x:y", "caep:session-revoked"])] {
        let body = json!({"stream_id": id, "events_requested": requested}).to_string();
        let receiver = Some(&operator.receiver[..]);
        let (status, answer) = ask(&operator.public, "PATCH /ssf/streams", receiver, &body);
        assert_eq!(status, 200, "{answer}");
        let mark = "asks for no supported event type";
        let row = [id, "enabled", "poll", "acme", "default", mark];
        assert_eq!(cells(&operator.prints(&["list"])), [HEADERS, row]);
        let shown = operator.prints_json(&["show", id]);
        let explanation = shown["explanation"].as_str().expect("a text");
        assert!(explanation.contains("no type that the provider supports"), "{explanation}");
    }
    // A change from one such request to another is not told again.
    let message =
        "the stream asks for no event type that its provider supports, so it gets no events";
    let told = operator.daemon.logs(message);
    assert_eq!((&told["level"], &told["stream_id"]), (&json!("INFO"), &json!(id)), "{told}");
    assert_eq!((&told["receiver"], &told["provider"]), (&json!("acme"), &json!("default")));
    assert!(!operator.daemon.has_logged(message));
}

#[test]
fn the_error_tells_why_a_request_was_refused() {
    let operator = Operator::new();
    let (place, url) = (&operator.place, &operator.url[..]);
    place.fails(&["streams", "list", "--url", url], &["needs an operator's token", "SSFD_TOKEN"]);
    for token in [&operator.receiver[..], "ssfd_wrong"] {
        std::fs::write(place.path("token"), token).expect("written");
        place.fails(
            &["streams", "list", "--url", url, "--token-file", "token"],
            &[&format!("{url}/admin/v1/streams"), "401", "of another kind"],
        );
    }
    let ended = operator.runs(&["list", "--status", "gone"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("must be `enabled`"), "{}", ended.stderr);
    place.fails(
        &["streams", "list", "--url", "http://127.0.0.1:1", "--token", "t"],
        &["http://127.0.0.1:1/admin/v1/streams", "cannot be reached"],
    );
}
