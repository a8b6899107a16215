//! `ssfd store backup` and `ssfd store restore`, and a start beside a log that is not the database's own.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use super::{Daemon, Workplace, ask};

const RECEIVER: [&str; 7] =
    ["tokens", "create", "receiver", "--receiver", "rx", "--audience", "https://rx.example"];

/// A daemon that serves, with a Receiver's token.
struct Running {
    place: Workplace,
    daemon: Daemon,
    public: String,
    receiver: String,
}

impl Running {
    fn new() -> Self {
        let place = Workplace::new();
        let mut daemon = place.serve();
        let (public, _) = daemon.addresses();
        let receiver = place.succeeds(&RECEIVER).trim().to_owned();
        Self { place, daemon, public, receiver }
    }

    fn create_stream(&self) {
        let (status, answer) = ask(&self.public, "POST /ssf/streams", Some(&self.receiver), "{}");
        assert_eq!(status, 201, "{answer}");
    }

    fn streams(&self) -> usize {
        let (status, answer) = ask(&self.public, "GET /ssf/streams", Some(&self.receiver), "");
        assert_eq!(status, 200, "{answer}");
        let streams: Value = serde_json::from_str(&answer).expect("JSON");
        streams.as_array().expect("an array").len()
    }

    fn ends(self, signal: &str) -> (Workplace, String) {
        self.daemon.signal(signal);
        self.daemon.ends();
        (self.place, self.receiver)
    }

    fn again((place, receiver): (Workplace, String)) -> Self {
        let mut daemon = place.serve();
        let (public, _) = daemon.addresses();
        Self { place, daemon, public, receiver }
    }
}

#[test]
fn a_backup_of_a_running_daemon_is_restored_after_a_kill() {
    let running = Running::new();
    running.create_stream();
    let copy = running.place.prints_json(&["store", "backup", "backup.db", "--json"]);
    let store = format!("sqlite:{}", running.place.path("ssfd.db").display());
    let file = fs::metadata(running.place.path("backup.db")).expect("there");
    let expected = json!({"store": store, "file": "backup.db", "bytes": file.len(), "streams": 1});
    assert_eq!(copy, expected);
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    running.create_stream();

    // A daemon that serves is not restored under.
    let words = ["another ssfd serves from ssfd.db", "stop it first"];
    running.place.fails(&["store", "restore", "backup.db"], &words);
    let killed = running.ends("KILL");
    let restored = killed.0.succeeds(&["store", "restore", "backup.db"]);
    assert!(restored.contains(&store) && restored.contains("is kept as"), "{restored}");
    let running = Running::again(killed);
    assert_eq!(running.streams(), 1);
    let (place, _) = running.ends("TERM");

    // The store from before the restore is whole.
    let kept = fs::read_dir(place.path("")).expect("a folder").find_map(|entry| {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        name.contains(".replaced-").then_some(name)
    });
    let kept = place.prints_json(&["store", "restore", &kept.expect("kept"), "--json"]);
    assert_eq!(kept["streams"], 2);
}

#[test]
fn a_backup_of_a_stopped_daemon_is_the_same() {
    let running = Running::new();
    running.create_stream();
    let stopped = running.ends("TERM");
    let said = stopped.0.succeeds(&["store", "backup", "backup.db"]);
    assert!(said.contains("1 streams, checked"), "{said}");
    stopped.0.fails(&["store", "backup", "backup.db"], &["backup.db exists already", "--force"]);
    stopped.0.succeeds(&["store", "backup", "backup.db", "--force"]);
    fs::remove_file(stopped.0.path("ssfd.db")).expect("removed");
    stopped.0.succeeds(&["store", "restore", "backup.db"]);
    let running = Running::again(stopped);
    assert_eq!(running.streams(), 1);
}

/// The daemon is killed, and somebody copies a backup over the database, beside the log of the killed
/// daemon. However the backup was made, no start mixes the two.
#[test]
fn a_start_beside_a_foreign_log_is_refused_and_a_restore_mends_it() {
    let running = Running::new();
    running.create_stream();
    running.place.succeeds(&["store", "backup", "backup.db"]);
    running.create_stream();
    let killed = running.ends("KILL");
    let place = &killed.0;
    let log = fs::read(place.path("ssfd.db-wal")).expect("a log is left");
    assert!(!log.is_empty());
    fs::copy(place.path("backup.db"), place.path("ssfd.db")).expect("copied");
    let words = ["ssfd.db-wal", "belongs to another database", "ssfd store restore FILE"];
    place.fails(&["serve"], &words);
    // Nor does another command touch the two.
    place.fails(&["tokens", "list"], &words);
    place.fails(&["store", "backup", "other.db"], &words);
    let checked = place.run(&["check"]);
    assert!(words.iter().all(|word| checked.stdout.contains(word)), "{}", checked.stdout);
    assert_eq!(fs::read(place.path("ssfd.db-wal")).expect("still there"), log);
    place.succeeds(&["store", "restore", "backup.db"]);
    assert_eq!(Running::again(killed).streams(), 1);
}

#[test]
fn the_own_log_of_a_killed_daemon_is_taken() {
    let running = Running::new();
    running.create_stream();
    let running = Running::again(running.ends("KILL"));
    running.create_stream();
    assert_eq!(running.streams(), 2);
}

#[test]
fn a_redis_store_and_a_bad_file_are_refused() {
    let place = Workplace::with_store();
    let before = fs::read(place.path("ssfd.db")).expect("readable");
    fs::write(place.path("notes"), "no database. ".repeat(1000)).expect("written");
    place.fails(&["store", "restore", "notes"], &["notes", "not a database"]);
    place.fails(&["store", "restore", "missing.db"], &["missing.db"]);
    place.fails(&["store", "restore", "ssfd.db"], &["ssfd.db is the store itself"]);
    place.fails(&["store", "backup", "missing/backup.db"], &["missing"]);
    assert_eq!(fs::read(place.path("ssfd.db")).expect("readable"), before);
    place.configure("store.backend = \"redis\"\n");
    for command in ["backup", "restore"] {
        place.fails(&["store", command, "copy.db"], &["the store is Redis", "ssfd store copy"]);
    }
}
