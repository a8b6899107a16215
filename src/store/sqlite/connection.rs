//! Opening the database.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use super::{
    SqliteSettings,
    damage::{self, Damage, REMEDY},
    error::is_corruption,
    log_check::{self, ForeignLog, log_path},
    log_mark,
};
use crate::store::StoreError;

/// `ssfd` in ASCII. The id marks the file as ours.
const APPLICATION_ID: i32 = 0x7373_6664;
const SCHEMA_VERSION: i32 = 4;

/// The earliest version that is brought up to date when it is opened for writing.
const SCHEMA_BEFORE: i32 = 2;

const SCHEMA: &str = concat!(include_str!("schema.sql"), "\n", include_str!("records.sql"));

/// From each version on, beginning with [`SCHEMA_BEFORE`], the step to the next one.
const MIGRATE: [&str; 2] = [
    concat!(include_str!("records.sql"), "\n", include_str!("migrate_2.sql")),
    include_str!("migrate_3.sql"),
];

/// The id with another last letter: the file is ours, and another store is being copied into it.
const INCOMPLETE_ID: i32 = 0x7373_6669;

/// How long the start looks for damage. A database of some 100 MB is read as a whole in this time. Damage in
/// the rest of a larger one shows when it is read.
const CHECKED_AT_START_MAX: Duration = Duration::from_millis(200);

/// How long `ssfd check` looks for damage.
const CHECKED_BY_COMMAND_MAX: Duration = Duration::from_secs(10);

/// More than the number of statements, so that each statement is prepared once.
const STATEMENTS_MAX: usize = 64;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("another program's database; name another file in `store.sqlite.path`")]
    Foreign,
    #[error("{0}; {REMEDY}")]
    Damaged(String),
    #[error("a folder, and not a file; name a file in `store.sqlite.path`")]
    Folder,
    #[error("written by a newer ssfd: schema version {0}, and this one knows {SCHEMA_VERSION}")]
    Newer(i32),
    #[error(
        "written by an ssfd before its first release: schema version {0}, not {SCHEMA_VERSION}"
    )]
    Older(i32),
    #[error(
        "written by an earlier ssfd: schema version {0}, not {SCHEMA_VERSION}; `ssfd serve` brings it up \
         to date"
    )]
    Before(i32),
    #[error("a copy into it is not complete; `ssfd store copy` completes it")]
    Incomplete,
    #[error(
        "the log beside it, {}, {why}. Nothing was changed. If the database was copied from a backup, \
         `ssfd store restore FILE` does so and puts the log aside; otherwise bring back the database that \
         was beside the log",
        log.display()
    )]
    ForeignLog { log: PathBuf, why: ForeignLog },
    #[error("no write-ahead log on this file system")]
    NoLog,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot open {}", path.display())]
struct CannotOpen {
    path: PathBuf,
    source: OpenError,
}

impl OpenError {
    fn at(self, settings: &SqliteSettings) -> StoreError {
        let unreadable = match &self {
            Self::Foreign
            | Self::Damaged(_)
            | Self::Folder
            | Self::Newer(_)
            | Self::Older(_)
            | Self::Before(_)
            | Self::Incomplete
            | Self::ForeignLog { .. } => true,
            Self::Sqlite(error) if is_corruption(error) => {
                return Self::Damaged(error.to_string()).at(settings);
            }
            Self::Sqlite(_) | Self::File(_) | Self::NoLog => false,
        };
        if unreadable {
            StoreError::Corrupt(format!("{}: {self}", settings.path.display()))
        } else {
            let path = settings.path.clone();
            StoreError::Unavailable(Arc::new(CannotOpen { path, source: self }))
        }
    }
}

/// Opens the database for writing. Creates a missing database.
pub(super) fn open(settings: &SqliteSettings) -> Result<Connection, StoreError> {
    try_open(settings, false).map_err(|error| error.at(settings))
}

/// Opens a database into which another store may have been copied in part.
pub(super) fn open_to_fill(settings: &SqliteSettings) -> Result<Connection, StoreError> {
    try_open(settings, true).map_err(|error| error.at(settings))
}

/// Marks the database as incomplete or complete.
pub(super) fn mark(db: &Connection, incomplete: bool) -> rusqlite::Result<()> {
    let id = if incomplete { INCOMPLETE_ID } else { APPLICATION_ID };
    db.pragma_update(None, "application_id", id)
}

/// Opens a further connection, which cannot write.
pub(super) fn open_read_only(settings: &SqliteSettings) -> Result<Connection, StoreError> {
    connect(settings, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|error| OpenError::from(error).at(settings))
}

/// Opens a further connection, which folds the log into the database.
pub(super) fn open_to_fold(settings: &SqliteSettings) -> Result<Connection, StoreError> {
    let open = || {
        let db = connect(settings, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // A connection knows the log only once it has read something.
        written_by(&db)?;
        Ok::<_, rusqlite::Error>(db)
    };
    open().map_err(|error| OpenError::from(error).at(settings))
}

/// Looks for damage in an existing database of ours, whether a daemon serves from it or not. Returns
/// whether all of the database was looked at.
pub(super) fn check_existing(settings: &SqliteSettings) -> Result<bool, StoreError> {
    let mut db = open_existing(settings)?;
    let looked = find_damage(&mut db, CHECKED_BY_COMMAND_MAX);
    looked.map_err(|error| error.at(settings))
}

/// Opens an existing database for reading, whether a daemon serves from it or not.
pub(super) fn open_existing(settings: &SqliteSettings) -> Result<Connection, StoreError> {
    open_as_it_is(settings, false)
}

/// Opens an existing database to copy it as a whole, also if `ssfd serve` has yet to bring it up to date.
pub(super) fn open_to_back_up(settings: &SqliteSettings) -> Result<Connection, StoreError> {
    open_as_it_is(settings, true)
}

fn open_as_it_is(settings: &SqliteSettings, before_too: bool) -> Result<Connection, StoreError> {
    let open = || {
        check_kind(settings)?;
        check_log(settings)?;
        let db = connect(settings, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        match written_by(&db)? {
            (APPLICATION_ID, SCHEMA_VERSION) => Ok(db),
            (APPLICATION_ID, SCHEMA_BEFORE..SCHEMA_VERSION) if before_too => Ok(db),
            (APPLICATION_ID, version @ SCHEMA_BEFORE..SCHEMA_VERSION) => {
                Err(OpenError::Before(version))
            }
            (APPLICATION_ID, version) if SCHEMA_VERSION < version => Err(OpenError::Newer(version)),
            (APPLICATION_ID, version) => Err(OpenError::Older(version)),
            (INCOMPLETE_ID, _) => Err(OpenError::Incomplete),
            _ => Err(OpenError::Foreign),
        }
    };
    open().map_err(|error| error.at(settings))
}

/// Refuses a log that is not the database's own, before SQLite applies it.
fn check_log(settings: &SqliteSettings) -> Result<(), OpenError> {
    let foreign = |why| OpenError::ForeignLog { log: log_path(&settings.path), why };
    log_check::check(&settings.path)?.map_err(foreign)
}

/// Returns the id of the program that made the database, and the version of its schema.
fn written_by(db: &Connection) -> rusqlite::Result<(i32, i32)> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get(0));
    Ok((number("application_id")?, number("user_version")?))
}

fn connect(settings: &SqliteSettings, mode: OpenFlags) -> rusqlite::Result<Connection> {
    // Without a mutex, because each connection stays with one thread.
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(&settings.path, flags)?;
    db.busy_timeout(settings.busy_timeout)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // The query planner's stability guarantee. Without it, SQLite plans a statement that names a partial
    // index anew for each set of values.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(db)
}

/// Refuses a folder, and a file that cannot be read: the error of SQLite would not say why.
fn check_kind(settings: &SqliteSettings) -> Result<(), OpenError> {
    match File::open(&settings.path) {
        Ok(file) if file.metadata()?.is_dir() => Err(OpenError::Folder),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Refuses a database of ours that is damaged, as far as that shows within a short time. Reads over a
/// connection that cannot write: when the last other one is closed, it folds the log into the database.
fn check_damage(settings: &SqliteSettings) -> Result<(), OpenError> {
    // An empty file is as good as none.
    if fs::metadata(&settings.path).is_ok_and(|file| 0 < file.len()) {
        let mut db = connect(settings, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let (application, _) = written_by(&db)?;
        if [APPLICATION_ID, INCOMPLETE_ID].contains(&application) {
            find_damage(&mut db, CHECKED_AT_START_MAX)?;
        }
    }
    Ok(())
}

/// Returns whether all of the database was looked at.
fn find_damage(db: &mut Connection, within: Duration) -> Result<bool, OpenError> {
    match damage::look_for(db, within)? {
        Damage::None => Ok(true),
        Damage::NoneSoFar => Ok(false),
        Damage::Found(what) => Err(OpenError::Damaged(what)),
    }
}

fn try_open(settings: &SqliteSettings, to_fill: bool) -> Result<Connection, OpenError> {
    check_kind(settings)?;
    check_log(settings)?;
    check_damage(settings)?;
    // Only the owner may read the file, because it holds the Receivers' authorization headers. SQLite
    // gives the files beside it the same mode.
    let mut file = OpenOptions::new();
    file.read(true).write(true).create(true).truncate(false).mode(0o600).open(&settings.path)?;

    let mut db = connect(settings, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // The schema is checked before anything is written, because the file may not be ours.
    set_up_schema(&mut db, to_fill)?;
    let log: String = db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if log != "wal" {
        return Err(OpenError::NoLog);
    }
    // A commit survives a loss of power, not only the end of the process.
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", true)?;
    // Without a limit, the log keeps the size that it had once.
    db.pragma_update_and_check(
        None,
        "journal_size_limit",
        settings.journal_size_limit,
        |_| Ok(()),
    )?;
    // The cache stays at SQLite's 2 MiB: a commit that moves pages of an index looks at all that are in memory
    // (`pcache1TruncateUnsafe`), which costs more than to read what is not.
    // The pages that a savepoint may have to restore stay in memory.
    db.pragma_update(None, "temp_store", "memory")?;
    Ok(db)
}

fn set_up_schema(db: &mut Connection, to_fill: bool) -> Result<(), OpenError> {
    // The transaction is immediate, so that of two processes that find no schema the second waits.
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (application, version) = written_by(&transaction)?;
    let tables: u32 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (APPLICATION_ID, SCHEMA_VERSION) => {}
        (INCOMPLETE_ID, SCHEMA_VERSION) if to_fill => {}
        (INCOMPLETE_ID, _) => return Err(OpenError::Incomplete),
        (APPLICATION_ID, version @ SCHEMA_BEFORE..SCHEMA_VERSION) => {
            for step in MIGRATE.iter().zip(SCHEMA_BEFORE..).filter(|(_, from)| version <= *from) {
                transaction.execute_batch(step.0)?;
            }
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        (APPLICATION_ID, version) if SCHEMA_VERSION < version => {
            return Err(OpenError::Newer(version));
        }
        (APPLICATION_ID, version) => return Err(OpenError::Older(version)),
        (0, 0) if tables == 0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        _ => return Err(OpenError::Foreign),
    }
    log_mark::ensure(&transaction)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use std::{error::Error, os::unix::fs::PermissionsExt as _, path::Path};

    use tempfile::TempDir;

    use super::*;

    fn at(path: &Path) -> SqliteSettings {
        SqliteSettings { path: path.to_owned(), ..SqliteSettings::default() }
    }

    /// Formats an error with its causes for the log.
    fn chain(error: &dyn Error) -> String {
        let source = error.source().map(|source| format!(": {}", chain(source)));
        format!("{error}{}", source.unwrap_or_default())
    }

    #[track_caller]
    fn refuses(path: &Path, why: &str) {
        let text = chain(&open(&at(path)).expect_err("refused"));
        assert!(text.contains(why) && text.contains(&path.display().to_string()), "{text}");
    }

    #[test]
    fn only_the_owner_may_read_the_database_and_its_log() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ssfd.db");
        let _db = open(&at(&path)).expect("opens");
        for entry in fs::read_dir(folder.path()).expect("a folder") {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
        }
    }

    #[test]
    fn a_database_that_is_not_ours_is_refused_untouched() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("theirs.db");
        let theirs = Connection::open(&path).expect("opens");
        theirs.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1;").expect("runs");
        drop(theirs);
        let before = fs::read(&path).expect("readable");
        refuses(&path, "another program's database");
        assert_eq!(fs::read(&path).expect("readable"), before);
    }

    #[test]
    fn another_schema_is_refused() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ssfd.db");
        let db = open(&at(&path)).expect("opens");
        db.pragma_update(None, "user_version", 7).expect("runs");
        refuses(&path, "newer ssfd: schema version 7");
        db.pragma_update(None, "user_version", 1).expect("runs");
        refuses(&path, "first release: schema version 1");
    }

    #[test]
    fn a_database_is_read_as_it_is_or_not_at_all() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ssfd.db");
        let refuses = |why: &str| {
            let text = chain(&open_existing(&at(&path)).expect_err("refused"));
            assert!(text.contains(why), "{text}");
        };
        refuses("unable to open");
        assert!(!path.exists());
        let db = open(&at(&path)).expect("opens");
        let beside = open_existing(&at(&path)).expect("opens beside another");
        assert!(beside.execute("DELETE FROM streams", []).is_err());
        db.pragma_update(None, "user_version", 0).expect("runs");
        refuses("first release: schema version 0");
        db.pragma_update(None, "user_version", SCHEMA_VERSION + 1).expect("runs");
        refuses("newer ssfd");
        db.pragma_update(None, "application_id", 1).expect("runs");
        refuses("another program's database");
    }

    #[test]
    fn what_is_no_database_is_refused() {
        let folder = TempDir::new().expect("a folder");
        let text = folder.path().join("notes.txt");
        fs::write(&text, "nothing of SQLite here. ".repeat(100)).expect("writable");
        refuses(&text, "not a database");
        refuses(&text, "ssfd store restore");
        refuses(folder.path(), "a folder, and not a file");
        refuses(&folder.path().join("missing/ssfd.db"), "No such file");
    }
}
