//! A database that is damaged, or that is none: the start and `ssfd check` say so, and change nothing.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use rusqlite::Connection;

use super::Workplace;

const PAGE: usize = 4096;

/// The remedy for a database that was ours.
const RESTORE: &str = "ssfd store restore FILE";

/// A harm to the database, the words of the error, and whether a backup can be restored over it.
type Kind = (&'static str, fn(&Path), [&'static str; 2], bool);

fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("readable");
    change(&mut bytes);
    fs::write(path, bytes).expect("writable");
}

fn replace_by(path: &Path, make: impl FnOnce(&Path)) {
    fs::remove_file(path).expect("removed");
    make(path);
}

const KINDS: [Kind; 11] = [
    (
        "another header",
        |path| rewrite(path, |bytes| bytes[..100].fill(0xaa)),
        ["not a database", RESTORE],
        true,
    ),
    ("zeroes", |path| rewrite(path, |bytes| bytes.fill(0)), ["not a database", RESTORE], true),
    (
        "a text",
        |path| rewrite(path, |bytes| *bytes = b"nothing of SQLite here. ".repeat(500)),
        ["not a database", RESTORE],
        true,
    ),
    (
        "cut within a page",
        |path| rewrite(path, |bytes| bytes.truncate(bytes.len() / PAGE / 2 * PAGE + 100)),
        ["malformed", RESTORE],
        true,
    ),
    (
        "without the last page",
        |path| rewrite(path, |bytes| bytes.truncate(bytes.len() - PAGE)),
        ["malformed", RESTORE],
        true,
    ),
    (
        "a page that is another",
        |path| rewrite(path, |bytes| bytes[5 * PAGE..6 * PAGE].fill(0x55)),
        ["ssfd.db", RESTORE],
        true,
    ),
    (
        "flipped bytes in each page but the first",
        |path| {
            rewrite(path, |bytes| {
                for page in bytes.chunks_mut(PAGE).skip(1) {
                    page[..12].iter_mut().for_each(|byte| *byte ^= 0xff);
                }
            });
        },
        ["ssfd.db", RESTORE],
        true,
    ),
    (
        "another program's database",
        |path| {
            replace_by(path, |path| {
                let theirs = Connection::open(path).expect("opens");
                theirs.execute_batch("PRAGMA user_version = 3; VACUUM").expect("runs");
            });
        },
        ["another program's database", "store.sqlite.path"],
        true,
    ),
    (
        "a folder",
        |path| replace_by(path, |path| fs::create_dir(path).expect("made")),
        ["a folder, and not a file", "store.sqlite.path"],
        false,
    ),
    (
        "a link to itself",
        |path| replace_by(path, |path| symlink(path, path).expect("made")),
        ["cannot open", "symbolic links"],
        false,
    ),
    (
        "not readable",
        |path| {
            let mode = fs::Permissions::from_mode(0o000);
            fs::set_permissions(path, mode).expect("a file of ours");
        },
        ["cannot open", "ermission denied"],
        false,
    ),
];

#[test]
fn a_damaged_database_is_named_with_the_remedy_and_is_left_as_it_is() {
    for (kind, harm, words, is_restored) in KINDS {
        let place = Workplace::with_store();
        place.succeeds(&["tokens", "create", "operator"]);
        place.succeeds(&["store", "backup", "backup.db"]);
        let path = place.path("ssfd.db");
        harm(&path);
        // Only its owner may look into it.
        if path.is_dir() || kind == "another program's database" {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("ours");
        }
        let before = fs::read(&path);
        if kind == "not readable" && before.is_ok() {
            // Root reads everything.
            continue;
        }

        for command in [&["tokens", "list"][..], &["tokens", "create", "operator"]] {
            place.fails(command, &words);
        }
        let served = place.run(&["serve"]);
        assert_eq!(served.status.code(), Some(1), "{kind}: {}", served.stderr);
        let error = served.stderr.lines().last().expect("an error");
        assert!(words.iter().all(|word| error.contains(word)), "{kind}: {error}");
        let checked = place.run(&["check"]);
        assert_eq!(checked.status.code(), Some(1), "{kind}: {}", checked.stdout);
        let error = checked.stdout.lines().find(|line| line.starts_with("error"));
        let error = error.expect("a finding");
        assert!(words.iter().all(|word| error.contains(word)), "{kind}: {error}");

        let after = fs::read(&path);
        assert_eq!(before.ok(), after.ok(), "{kind}: the file was changed");
        for beside in ["ssfd.db-wal", "ssfd.db-journal"] {
            let written = fs::metadata(place.path(beside)).map_or(0, |found| found.len());
            assert_eq!(written, 0, "{kind}: {beside}");
        }
        if is_restored {
            place.succeeds(&["store", "restore", "backup.db"]);
            place.succeeds(&["check"]);
            place.succeeds(&["tokens", "list"]);
        }
    }
}
