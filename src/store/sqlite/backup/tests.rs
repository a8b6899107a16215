use std::{
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    thread,
};

use rusqlite::TransactionBehavior;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn at(folder: &TempDir) -> SqliteSettings {
    SqliteSettings { path: folder.path().join("ssfd.db"), ..SqliteSettings::default() }
}

fn commit(db: &mut Connection, x: i64) {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).expect("begins");
    transaction.execute("INSERT INTO t VALUES (?1, zeroblob(2000))", [x]).expect("inserted");
    log_mark::raise(&transaction).expect("raised");
    transaction.commit().expect("commits");
}

/// A database with a table of numbers, which stays open.
fn filled(settings: &SqliteSettings, numbers: std::ops::Range<i64>) -> Connection {
    let mut db = connection::open(settings).expect("opens");
    db.execute_batch("CREATE TABLE t (x INTEGER, y BLOB)").expect("runs");
    numbers.for_each(|x| commit(&mut db, x));
    db
}

fn numbers(path: &Path) -> Vec<i64> {
    let settings = SqliteSettings { path: path.to_owned(), ..SqliteSettings::default() };
    let db = connection::open(&settings).expect("opens");
    let mut select = db.prepare("SELECT x FROM t ORDER BY x").expect("valid");
    let numbers = select.query_map([], |row| row.get(0)).expect("runs");
    numbers.collect::<Result<_, _>>().expect("numbers")
}

/// Returns the names of the files in a folder, in order.
fn files(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("a folder");
    let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> =
        entries.map(|entry| name(entry).into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn a_backup_of_a_database_in_use_has_its_latest_commit_and_only_its_owner_may_read_it() {
    let (folder, copies) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let settings = at(&folder);
    let db = filled(&settings, 0..50);
    let copy = copies.path().join("copy.db");
    let made = back_up(&settings, &copy, false).expect("a backup");
    assert_eq!(made, CheckedCopy { bytes: fs::metadata(&copy).expect("there").len(), streams: 0 });
    assert_eq!(fs::metadata(&copy).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(files(&copies), ["copy.db"], "nothing is left beside it");
    drop(db);
    assert_eq!(numbers(&copy), (0..50).collect::<Vec<_>>());
}

/// The writer commits without a pause. A backup that began anew after each commit would never end.
#[test]
fn a_busy_writer_neither_delays_a_backup_for_ever_nor_waits_for_it() {
    let folder = TempDir::new().expect("a folder");
    let settings = at(&folder);
    let mut db = filled(&settings, 0..200);
    let (stop, last) = (AtomicBool::new(false), AtomicI64::new(199));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let next = last.load(Ordering::Relaxed) + 1;
                commit(&mut db, next);
                last.store(next, Ordering::Relaxed);
            }
        });
        for round in 0..5 {
            let copy = folder.path().join(format!("copy-{round}.db"));
            let before = last.load(Ordering::Relaxed);
            back_up(&settings, &copy, false).expect("a backup");
            let found = numbers(&copy);
            assert_eq!(found, (0..i64::try_from(found.len()).expect("small")).collect::<Vec<_>>());
            assert!(before < i64::try_from(found.len()).expect("small"));
            // The writer goes on.
            while last.load(Ordering::Relaxed) == before {
                thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_file_is_overwritten_on_request_only_and_never_the_store_itself() {
    let folder = TempDir::new().expect("a folder");
    let settings = at(&folder);
    let _db = filled(&settings, 0..1);
    let copy = folder.path().join("copy.db");
    fs::write(&copy, "precious").expect("written");
    let refused = back_up(&settings, &copy, false).expect_err("it is there");
    assert!(refused.to_string().contains("--force"), "{refused}");
    assert_eq!(fs::read(&copy).expect("readable"), b"precious");
    back_up(&settings, &copy, true).expect("a backup");
    assert_eq!(numbers(&copy), [0]);
    for store in ["ssfd.db", "./ssfd.db"] {
        let store = folder.path().join(store);
        assert!(matches!(back_up(&settings, &store, true), Err(BackupError::SameFile(_))));
        assert!(matches!(restore(&settings, &store, NOW), Err(BackupError::SameFile(_))));
    }
}

#[test]
fn a_restored_database_is_the_backup_and_the_replaced_one_is_kept() {
    let folder = TempDir::new().expect("a folder");
    let settings = at(&folder);
    let mut db = filled(&settings, 0..3);
    let copy = folder.path().join("copy.db");
    back_up(&settings, &copy, false).expect("a backup");
    (3..9).for_each(|x| commit(&mut db, x));
    // The log has commits, as after a `kill -9`.
    let killed = TempDir::new().expect("a folder");
    for name in ["ssfd.db", "ssfd.db-wal"] {
        fs::copy(folder.path().join(name), killed.path().join(name)).expect("a copy");
    }
    let restored = restore(&at(&killed), &copy, NOW).expect("restored");
    let kept = killed.path().join("ssfd.db.replaced-1700000000");
    assert_eq!(restored.replaced.as_ref(), Some(&kept));
    assert_eq!(files(&killed), ["ssfd.db", "ssfd.db.replaced-1700000000"]);
    let mode = fs::metadata(killed.path().join("ssfd.db")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(numbers(&killed.path().join("ssfd.db")), [0, 1, 2]);
    assert_eq!(numbers(&kept), (0..9).collect::<Vec<_>>());
    // The backup can be restored again.
    assert_eq!(numbers(&copy), [0, 1, 2]);
}

#[test]
fn a_restore_mends_a_database_that_was_copied_beside_a_foreign_log() {
    let folder = TempDir::new().expect("a folder");
    let settings = at(&folder);
    let mut db = filled(&settings, 0..3);
    let copy = folder.path().join("copy.db");
    back_up(&settings, &copy, false).expect("a backup");
    commit(&mut db, 3);
    let killed = TempDir::new().expect("a folder");
    fs::copy(folder.path().join("ssfd.db-wal"), killed.path().join("ssfd.db-wal")).expect("a copy");
    fs::copy(&copy, killed.path().join("ssfd.db")).expect("a copy");
    for open in [connection::open, connection::open_to_fill, connection::open_existing] {
        let refused = open(&at(&killed)).expect_err("a foreign log").to_string();
        let words = ["ssfd.db-wal", "belongs to another database", "ssfd store restore FILE"];
        assert!(words.iter().all(|word| refused.contains(word)), "{refused}");
    }
    let before = fs::read(killed.path().join("ssfd.db-wal")).expect("readable");
    let restored = restore(&at(&killed), &copy, NOW).expect("restored");
    let kept = restored.replaced.expect("the log at least");
    assert_eq!(fs::read(beside(&kept, "-wal")).expect("kept"), before);
    assert_eq!(numbers(&killed.path().join("ssfd.db")), [0, 1, 2]);
}

#[test]
fn a_store_is_restored_into_an_empty_folder() {
    let (folder, other) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let settings = at(&folder);
    let _db = filled(&settings, 0..3);
    let copy = folder.path().join("copy.db");
    back_up(&settings, &copy, false).expect("a backup");
    let restored = restore(&at(&other), &copy, NOW).expect("restored");
    assert_eq!(restored.replaced, None);
    assert_eq!(numbers(&other.path().join("ssfd.db")), [0, 1, 2]);
}

#[test]
fn a_file_that_is_no_whole_store_is_refused_and_the_store_is_as_before() {
    let folder = TempDir::new().expect("a folder");
    let settings = at(&folder);
    let db = filled(&settings, 0..300);
    let copy = folder.path().join("copy.db");
    back_up(&settings, &copy, false).expect("a backup");
    let whole = fs::read(&copy).expect("readable");
    drop(db);
    let mut holed = whole.clone();
    let middle = holed.len() / 2 / 4096 * 4096;
    holed[middle..middle + 8192].fill(0xee);
    let cut = whole[..whole.len() / 2].to_vec();
    let theirs = folder.path().join("theirs.db");
    let other = Connection::open(&theirs).expect("opens");
    other.execute_batch("CREATE TABLE t (x)").expect("runs");
    drop(other);
    let theirs = fs::read(&theirs).expect("readable");
    let before = fs::read(&settings.path).expect("readable");
    for bad in [holed, cut, theirs, b"no database. ".repeat(1000), Vec::new()] {
        fs::write(&copy, &bad).expect("written");
        let refused = restore(&settings, &copy, NOW).expect_err("not whole");
        assert!(refused.to_string().contains("copy.db"), "{refused}");
        assert_eq!(fs::read(&settings.path).expect("readable"), before);
    }
    fs::remove_file(&copy).expect("removed");
    restore(&settings, &copy, NOW).expect_err("missing");
    assert!(!copy.exists());
    assert_eq!(files(&folder), ["ssfd.db", "theirs.db"]);
}
