use std::fs;

use rusqlite::{Connection, TransactionBehavior, backup, wal::CheckpointMode};
use tempfile::TempDir;

use super::*;
use crate::store::sqlite::{SqliteSettings, connection, log_mark};

/// A database with a connection that stays open, as if a daemon served from it.
struct Place {
    folder: TempDir,
    db: Connection,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ssfd.db");
        let db = connection::open(&SqliteSettings { path, ..SqliteSettings::default() });
        let db = db.expect("opens");
        db.execute_batch("CREATE TABLE t (x BLOB)").expect("runs");
        Self { folder, db }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ssfd.db")
    }

    fn commit(&mut self) {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = transaction.expect("begins");
        transaction.execute("INSERT INTO t VALUES (zeroblob(3000))", []).expect("inserted");
        log_mark::raise(&transaction).expect("raised");
        transaction.commit().expect("commits");
    }

    fn fold(&self, mode: CheckpointMode) {
        self.db.wal_checkpoint_v2(None::<&str>, mode).expect("folded");
    }

    /// Folds everything, so that the next commit begins the log anew.
    fn next_log(&mut self) {
        self.fold(CheckpointMode::TRUNCATE);
        self.commit();
    }

    /// Copies what a `kill -9` would leave into another folder.
    fn killed(&self) -> TempDir {
        let left = TempDir::new().expect("a folder");
        for suffix in ["", "-wal"] {
            let name = format!("ssfd.db{suffix}");
            fs::copy(self.folder.path().join(&name), left.path().join(&name)).expect("a copy");
        }
        left
    }
}

#[track_caller]
fn is(left: &TempDir, expected: Result<(), ForeignLog>) {
    assert_eq!(check(&left.path().join("ssfd.db")).expect("readable"), expected);
}

/// How a copy is told depends on where it has the mark: `VACUUM INTO` may move it to another page.
#[track_caller]
fn is_refused(left: &TempDir, way: &str) {
    check(&left.path().join("ssfd.db")).expect("readable").expect_err(way);
}

fn rows(left: &TempDir) -> i64 {
    let db = Connection::open(left.path().join("ssfd.db")).expect("opens");
    let integrity: String =
        db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
    assert_eq!(integrity, "ok");
    db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("a number")
}

#[test]
fn its_own_log_is_taken_whenever_the_process_is_killed() {
    let mut place = Place::new();
    is(&place.killed(), Ok(()));
    for n in 1..60 {
        place.commit();
        is(&place.killed(), Ok(()));
        match n % 10 {
            3 | 6 => place.fold(CheckpointMode::PASSIVE),
            8 => {
                place.fold(CheckpointMode::TRUNCATE);
                if n % 20 == 8 {
                    // The first commit of a log may be another program's.
                    place.db.execute_batch(&format!("CREATE INDEX t{n} ON t (x)")).expect("runs");
                }
            }
            // Another program changes the schema, and nobody raises the mark.
            9 => place.db.execute_batch(&format!("CREATE INDEX t{n} ON t (x)")).expect("runs"),
            _ => {}
        }
        let left = place.killed();
        is(&left, Ok(()));
        // The process is killed in the middle of writing its log.
        let log = left.path().join("ssfd.db-wal");
        let whole = fs::read(&log).expect("readable");
        for length in [0, 31, 33, whole.len() / 2, whole.len().saturating_sub(1)] {
            fs::write(&log, &whole[..length.min(whole.len())]).expect("written");
            // A log outlives its folding, so it is cut only where nothing was folded.
            if n % 10 < 3 {
                is(&left, Ok(()));
            }
        }
        fs::write(&log, &whole).expect("written");
        assert_eq!(rows(&left), n);
    }
}

/// The ways in which people back up a database that is in use.
const WAYS: [&str; 3] = ["VACUUM INTO", "SQLite's backup", "a copy of the folded file"];

fn back_up(place: &Place, way: &str) -> Vec<u8> {
    let copy = place.folder.path().join("copy.db");
    match way {
        "VACUUM INTO" => {
            place.db.execute("VACUUM INTO ?1", [copy.to_str().expect("UTF-8")]).expect("runs");
        }
        "SQLite's backup" => {
            place.db.backup("main", &copy, backup::NO_PROGRESS).expect("copied");
        }
        _ => {
            place.fold(CheckpointMode::PASSIVE);
            fs::copy(place.path(), &copy).expect("a copy");
        }
    }
    let bytes = fs::read(&copy).expect("readable");
    fs::remove_file(&copy).expect("removed");
    bytes
}

#[test]
fn a_backup_beside_the_log_of_later_commits_is_refused() {
    for way in WAYS {
        let mut place = Place::new();
        place.next_log();
        let backup = back_up(&place, way);
        place.next_log();
        place.next_log();
        let left = place.killed();
        fs::write(left.path().join("ssfd.db"), &backup).expect("written");
        is_refused(&left, way);
        fs::remove_file(left.path().join("ssfd.db-wal")).expect("removed");
        is(&left, Ok(()));
    }
}

#[test]
fn a_backup_beside_the_log_that_it_was_made_from_is_refused_or_brought_up_to_date() {
    for way in WAYS {
        let mut place = Place::new();
        place.next_log();
        place.commit();
        let backup = back_up(&place, way);
        place.db.execute("INSERT INTO t VALUES (1)", []).expect("inserted");
        let left = place.killed();
        fs::write(left.path().join("ssfd.db"), &backup).expect("written");
        if way == WAYS[2] {
            // The pages are the same, so the log brings them to the latest commit.
            is(&left, Ok(()));
            assert_eq!(rows(&left), 3);
        } else {
            is_refused(&left, way);
        }
    }
}

#[test]
fn a_database_that_is_another_one_later_missing_or_empty_is_refused() {
    let (mut place, mut other) = (Place::new(), Place::new());
    place.commit();
    other.commit();
    other.fold(CheckpointMode::PASSIVE);
    let (left, early) = (place.killed(), place.killed());
    let database = left.path().join("ssfd.db");
    fs::copy(other.path(), &database).expect("a copy");
    is(&left, Err(ForeignLog::OtherDatabase));
    fs::write(&database, "").expect("written");
    is(&left, Err(ForeignLog::NoDatabase));
    fs::remove_file(&database).expect("removed");
    is(&left, Err(ForeignLog::NoDatabase));

    place.next_log();
    place.fold(CheckpointMode::PASSIVE);
    fs::copy(place.path(), early.path().join("ssfd.db")).expect("a copy");
    is(&early, Err(ForeignLog::LaterDatabase));
}

#[test]
fn a_database_from_before_there_were_marks_is_refused_beside_a_marked_log() {
    let mut place = Place::new();
    // Without this, the mark would be left in a free page.
    place.db.pragma_update(None, "secure_delete", true).expect("runs");
    place.db.execute_batch("DROP TABLE log_mark").expect("runs");
    place.fold(CheckpointMode::TRUNCATE);
    let unmarked = fs::read(place.path()).expect("readable");
    // Its log gives it its first mark.
    log_mark::ensure(&place.db).expect("marked");
    is(&place.killed(), Ok(()));
    place.commit();
    is(&place.killed(), Ok(()));
    place.next_log();
    let left = place.killed();
    fs::write(left.path().join("ssfd.db"), unmarked).expect("written");
    is(&left, Err(ForeignLog::OtherDatabase));
}

/// An operator makes the database of a running daemon smaller, and the daemon is killed.
#[test]
fn its_own_log_is_taken_after_a_vacuum() {
    let mut place = Place::new();
    (0..40).for_each(|_| place.commit());
    place.next_log();
    place.db.execute_batch("DELETE FROM t; VACUUM").expect("runs");
    is(&place.killed(), Ok(()));
    place.commit();
    is(&place.killed(), Ok(()));
    place.fold(CheckpointMode::TRUNCATE);
    place.db.execute_batch("VACUUM").expect("runs");
    is(&place.killed(), Ok(()));
    place.commit();
    assert_eq!(rows(&place.killed()), 2);
}

#[test]
fn a_file_that_is_no_log_is_left_to_sqlite() {
    let place = Place::new();
    let left = place.killed();
    for text in [&b"short"[..], &[0; 5000]] {
        fs::write(left.path().join("ssfd.db-wal"), text).expect("written");
        is(&left, Ok(()));
    }
}
