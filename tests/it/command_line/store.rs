//! `ssfd store`.

use serde_json::Value;

use super::Workplace;

const OPERATOR: [&str; 4] = ["tokens", "create", "operator", "--json"];

/// Returns the arguments of a command from the configured store to a SQLite file.
fn command<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["store", name, "--from", "config", "--to", "sqlite:copy.db"], more].concat()
}

fn tokens(report: &Value) -> (u64, u64) {
    let count = |side: &str| report["kinds"]["tokens"][side].as_u64().expect("a number");
    (count("source"), count("target"))
}

#[test]
fn a_copy_can_be_repeated_and_verified() {
    let place = Workplace::with_store();
    let dry_run = || place.prints_json(&command("copy", &["--dry-run", "--json"]));
    // The daemon that created the store has recorded the time, among others.
    let records = dry_run()["records"].as_u64().expect("a number");
    let first = place.prints_json(&OPERATOR);
    let dry_run = dry_run();
    assert_eq!((&dry_run["dry_run"], &dry_run["same"]), (&true.into(), &false.into()));
    assert_eq!((tokens(&dry_run), &dry_run["records"]), ((1, 0), &(records + 1).into()));
    assert!(!place.path("copy.db").exists(), "a dry run creates nothing");

    let copied = place.prints_json(&command("copy", &["--json"]));
    assert_eq!((&copied["dry_run"], &copied["same"]), (&false.into(), &true.into()));
    let target = format!("sqlite:{}", place.path("copy.db").display());
    assert_eq!(copied["target"], target.as_str());
    assert_eq!(tokens(&copied), (1, 0));
    let verified = place.succeeds(&command("verify", &[]));
    assert!(verified.ends_with("same content\n"), "{verified}");

    // One token replaces another, so the counts are equal and the contents differ.
    place.succeeds(&["tokens", "revoke", first["id"].as_str().expect("an id")]);
    place.prints_json(&OPERATOR);
    let ended = place.run(&command("verify", &[]));
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stdout.contains("tokens") && ended.stdout.contains('*'), "{}", ended.stdout);
    let said = "tokens differ: 1 in the source, 1 in the target, and not the same ones";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);

    place.succeeds(&command("copy", &[]));
    let again = place.succeeds(&command("copy", &[]));
    assert!(again.ends_with("same content\n"), "{again}");
    place.configure("store.sqlite.path = \"copy.db\"\n");
    let listed = place.prints_json(&["tokens", "list", "--json"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
}

#[test]
fn the_store_of_another_configuration_can_be_named() {
    let place = Workplace::with_store();
    place.succeeds(&OPERATOR);
    std::fs::write(place.path("other.toml"), "store.sqlite.path = \"other.db\"\n")
        .expect("written");
    place.succeeds(&["store", "copy", "--from", "config", "--to", "config:other.toml"]);
    assert!(place.path("other.db").exists());
}

#[test]
fn a_store_that_a_daemon_uses_is_refused() {
    let place = Workplace::new();
    let mut daemon = place.serve();
    daemon.addresses();
    place.fails(&command("copy", &[]), &["config: another ssfd serves from ssfd.db"]);
    std::fs::copy(place.path("ssfd.db"), place.path("copy.db")).expect("a copy");
    let back = ["store", "copy", "--from", "sqlite:copy.db", "--to", "config"];
    place.fails(&back, &["config: another ssfd serves from ssfd.db"]);
}

#[test]
fn a_missing_source_the_same_store_and_an_unknown_kind_are_refused() {
    let place = Workplace::new();
    place.fails(&command("copy", &[]), &["config: there is no store in sqlite:", "ssfd.db"]);
    assert!(!place.path("ssfd.db").exists(), "a source is not created");
    place.create_store();
    let same = ["store", "copy", "--from", "config", "--to", "sqlite:./ssfd.db"];
    place.succeeds(&OPERATOR);
    place.fails(&same, &["the source and the target are the same store"]);
    let usage = place.run(&["store", "copy", "--from", "postgres://x", "--to", "config"]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(usage.stderr.contains("`sqlite:PATH`"), "{}", usage.stderr);
}

/// The default configuration names a store in the working directory, which may be the wrong one.
#[test]
fn only_serve_creates_the_store_of_the_working_directory() {
    let place = Workplace::with_store();
    let empty = place.path("elsewhere");
    std::fs::create_dir(&empty).expect("a folder");
    let from = format!("sqlite:{}", place.path("ssfd.db").display());
    for args in [
        &["tokens", "create", "operator"][..],
        &["tokens", "create", "publisher"],
        &["tokens", "create", "receiver", "--receiver", "rx", "--audience", "rx"],
        &["tokens", "list"],
        &["tokens", "revoke", "0"],
        &["clients", "add", "--receiver", "rx", "--audience", "rx"],
        &["clients", "list"],
        &["clients", "remove", "rx"],
        &["explain", "/dev/null"],
        &["store", "copy", "--from", from.as_str(), "--to", "config"],
        &["store", "copy", "--from", from.as_str(), "--to", "config", "--dry-run"],
        &["store", "copy", "--from", "config", "--to", "sqlite:copy.db"],
        &["store", "verify", "--from", from.as_str(), "--to", "config"],
        &["store", "backup", "backup.db"],
    ] {
        for existing in [false, true] {
            // An empty file is no store either.
            if existing {
                std::fs::write(empty.join("ssfd.db"), "").expect("written");
            }
            let mut command = place.ssfd(args);
            command.current_dir(&empty).env_remove("SSFD_CONFIG");
            let ended = super::run(command);
            assert_eq!(ended.status.code(), Some(1), "{args:?}: {}", ended.stdout);
            let store = format!("sqlite:{}", empty.join("ssfd.db").display());
            let words = ["there is no store in", store.as_str()];
            assert!(
                words.iter().all(|word| ended.stderr.contains(word)),
                "{args:?}: {}",
                ended.stderr
            );
            if existing {
                std::fs::remove_file(empty.join("ssfd.db")).expect("still there");
            }
            let left: Vec<_> = std::fs::read_dir(&empty).expect("a folder").collect();
            assert!(left.is_empty(), "{args:?} left {left:?}");
        }
    }
}
