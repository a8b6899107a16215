//! Standard output that takes nothing: its reader is gone, or the disk is full.

use std::{
    fs::{self, File},
    io::pipe,
    process::Stdio,
};

use super::{Ended, Workplace, run_with_output};

/// Commands that print a result, and how each of them ends.
const COMMANDS: [(&[&str], i32); 16] = [
    (&["check"], 0),
    (&["check", "--json"], 0),
    (&["openapi"], 0),
    (&["keys", "show", "keys/default.pem"], 0),
    (&["tokens", "list", "--json"], 0),
    (&["tokens", "create", "operator"], 0),
    (&["clients", "list"], 0),
    (&["explain", "event.json"], 0),
    (&["explain", "wrong.json", "--json"], 1),
    (&["store", "backup", "backup.db", "--force"], 0),
    (&["store", "verify", "--from", "sqlite:one.db", "--to", "sqlite:two.db"], 0),
    (&["streams", "list", "--json"], 0),
    (&["jobs"], 0),
    (&["dead", "list", "--json"], 0),
    (&["publish", "event.json"], 0),
    (&["publish", "wrong.json", "--json"], 1),
];

/// Runs a command whose standard output is `stdout`.
fn runs(place: &Workplace, args: &[&str], url: &str, stdout: Stdio) -> Ended {
    let mut command = place.ssfd(args);
    if ["streams", "jobs", "dead", "publish"].contains(&args[0]) {
        command.args(["--url", url]);
        let holder = if args[0] == "publish" { "publisher" } else { "operator" };
        let token = place.succeeds(&["tokens", "create", holder]);
        command.env("SSFD_TOKEN", token.trim());
    }
    run_with_output(command, stdout)
}

#[test]
fn a_command_ends_as_it_would_when_its_reader_is_gone_and_fails_when_its_result_is_lost() {
    let place = Workplace::new();
    let mut daemon = place.serve();
    let (_, internal) = daemon.addresses();
    let url = format!("http://{internal}");
    let event = r#"{"type":"caep:session-revoked","sub_id":{"format":"opaque","id":"s-1"}}"#;
    fs::write(place.path("event.json"), event).expect("written");
    fs::write(place.path("wrong.json"), r#"{"type":"caep:session-revoked"}"#).expect("written");
    place.succeeds(&["store", "backup", "one.db"]);
    fs::copy(place.path("one.db"), place.path("two.db")).expect("copied");
    for (args, code) in COMMANDS {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let ended = runs(&place, args, &url, writer.into());
        assert_eq!(ended.status.code(), Some(code), "{args:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{args:?}: {}", ended.stderr);

        let full = File::options().write(true).open("/dev/full").expect("it opens");
        let ended = runs(&place, args, &url, full.into());
        assert_eq!(ended.status.code(), Some(1), "{args:?}: {}", ended.stderr);
        let told = ended.stderr.contains("standard output: ");
        assert!(told && !ended.stderr.contains("panicked"), "{args:?}: {}", ended.stderr);
    }
}
