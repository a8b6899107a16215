//! Backs a database up into one file, and puts such a file in the place of the database.
//!
//! Either way the new file is made and checked in a folder of its own beside its place, and moved there
//! at the end. So a file that is there is whole.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
    wal::CheckpointMode,
};
use tempfile::{Builder, TempDir, TempPath};

use super::{SqliteSettings, connection, log_check::beside, log_mark};
use crate::{domain::time::Timestamp, store::StoreError};

/// The files that SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Why there is no backup, or why nothing was restored. The store is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{} exists already; --force overwrites it", .0.display())]
    Exists(PathBuf),
    #[error("{} is the store itself", .0.display())]
    SameFile(PathBuf),
    #[error("{}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} cannot be copied into the folder {}", from.display(), to.display())]
    Copy { from: PathBuf, to: PathBuf, source: rusqlite::Error },
    #[error("another process kept {} locked", .0.display())]
    Busy(PathBuf),
    #[error("{} is damaged: {finding}", path.display())]
    Damaged { path: PathBuf, finding: String },
    #[error(
        "{} belongs to the user with the id {owner}: run this as that user or as root",
        path.display()
    )]
    Owner { path: PathBuf, owner: u32 },
}

/// A copy of a database that passed all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedCopy {
    pub bytes: u64,
    pub streams: u64,
}

/// A database that has taken the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub copy: CheckedCopy,
    /// The database that was there before.
    pub replaced: Option<PathBuf>,
}

/// Copies the latest commit of a database into a file. A daemon may serve from the database meanwhile.
pub fn back_up(
    settings: &SqliteSettings,
    to: &Path,
    overwrite: bool,
) -> Result<CheckedCopy, BackupError> {
    if is_same_file(&settings.path, to) {
        return Err(BackupError::SameFile(to.to_owned()));
    }
    if !overwrite && to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let (work, made, copy) = copy_beside(settings, to)?;
    let moved = if overwrite {
        fs::rename(&made, to)
    } else {
        TempPath::try_from_path(&made)
            .and_then(|made| made.persist_noclobber(to).map_err(|error| error.error))
    };
    moved.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
        _ => BackupError::File { path: to.to_owned(), source },
    })?;
    drop(work);
    sync_folder(to)?;
    Ok(copy)
}

/// Puts a copy of the file `from` in the place of the database. What was there is kept under a name with
/// the time. The caller has made sure that no daemon serves from the database.
pub fn restore(
    settings: &SqliteSettings,
    from: &Path,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    let target = &settings.path;
    if is_same_file(target, from) {
        return Err(BackupError::SameFile(from.to_owned()));
    }
    let source = SqliteSettings { path: from.to_owned(), ..settings.clone() };
    let (work, made, copy) = copy_beside(&source, target)?;
    let in_place = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::File { path, source }
    };
    let replaced = free_name(target, now);
    let there = fs::metadata(target).ok();
    if let Some(there) = &there {
        // The daemon has to be able to open the file, also if root restores it.
        let (owner, group) = (there.uid(), there.gid());
        chown(&made, Some(owner), Some(group))
            .map_err(|_| BackupError::Owner { path: target.clone(), owner })?;
        fold(settings);
        // A second name keeps the old database, so that there is a database at every moment.
        fs::hard_link(target, &replaced).map_err(in_place(&replaced))?;
    }
    fs::rename(&made, target).map_err(in_place(target))?;
    sync_folder(target)?;
    // From here on the restore is done. If it ends before the log is away, the next start refuses the log.
    let mut is_kept = there.is_some();
    for suffix in BESIDE {
        let (old, kept) = (beside(target, suffix), beside(&replaced, suffix));
        match fs::rename(&old, &kept) {
            Ok(()) => is_kept = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(in_place(&old)(error)),
        }
    }
    drop(work);
    sync_folder(target)?;
    Ok(Restored { copy, replaced: is_kept.then_some(replaced) })
}

/// Returns a name with the time for the database that is replaced. Several restores in one second get
/// different names, because none may overwrite what an earlier one kept.
fn free_name(target: &Path, now: Timestamp) -> PathBuf {
    let name = |number: u32| match number {
        1 => beside(target, &format!(".replaced-{}", now.as_secs())),
        _ => beside(target, &format!(".replaced-{}-{number}", now.as_secs())),
    };
    let is_free = |path: &PathBuf| {
        !path.exists() && !BESIDE.iter().any(|suffix| beside(path, suffix).exists())
    };
    (1..=u32::MAX).map(name).find(is_free).expect("the names of a second do not run out")
}

/// Copies a database into a new folder beside `place`, and checks the copy.
fn copy_beside(
    source: &SqliteSettings,
    place: &Path,
) -> Result<(TempDir, PathBuf, CheckedCopy), BackupError> {
    let folder = folder_of(place);
    let in_folder = |source| BackupError::File { path: folder.to_owned(), source };
    let db = connection::open_to_back_up(source)?;
    let work = Builder::new().prefix(".ssfd-copy-").tempdir_in(folder).map_err(in_folder)?;
    let made = work.path().join("ssfd.db");
    // Only the owner may read the copy, because it has the same secrets as the database.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made);
    drop(file.map_err(in_folder)?);
    let failed = |error| BackupError::Copy {
        from: source.path.clone(),
        to: folder.to_owned(),
        source: error,
    };
    let mut copy =
        Connection::open_with_flags(&made, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    // The whole file is written to disk at the end, and is of no use before.
    copy.pragma_update(None, "synchronous", "off").map_err(failed)?;
    copy_all(&db, &mut copy)
        .map_err(failed)?
        .then_some(())
        .ok_or_else(|| BackupError::Busy(source.path.clone()))?;
    let checked = settle(&copy)
        .map_err(failed)?
        .map_err(|finding| BackupError::Damaged { path: source.path.clone(), finding })?;
    copy.close().map_err(|(_, error)| failed(error))?;
    let file = File::open(&made).map_err(in_folder)?;
    file.sync_all().map_err(in_folder)?;
    let bytes = file.metadata().map_err(in_folder)?.len();
    Ok((work, made, CheckedCopy { bytes, ..checked }))
}

/// Copies every page in one step, that is in one transaction that reads. Such a transaction does not hold
/// up a writer and does not notice one. A backup in several steps would begin anew after each commit.
/// Returns whether the database could be read.
fn copy_all(from: &Connection, to: &mut Connection) -> rusqlite::Result<bool> {
    const ALL: i32 = -1;
    Ok(Backup::new(from, to)?.step(ALL)? == StepResult::Done)
}

/// Makes one file of the copy, gives it a lineage of its own, and checks it. Returns what is damaged.
fn settle(copy: &Connection) -> rusqlite::Result<Result<CheckedCopy, String>> {
    // The copy is in the mode of its source, which keeps a log.
    copy.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    log_mark::begin_lineage(copy)?;
    let finding: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if finding != "ok" {
        return Ok(Err(finding));
    }
    let streams: i64 = copy.query_row("SELECT count(*) FROM streams", [], |row| row.get(0))?;
    Ok(Ok(CheckedCopy { bytes: 0, streams: streams.cast_unsigned() }))
}

/// Folds the log into the database, so that its one file has everything. A database that cannot be opened
/// is kept as it is, together with its log.
fn fold(settings: &SqliteSettings) {
    let folded = connection::open_existing(settings)
        .and_then(|_| connection::open_to_fold(settings))
        .and_then(|db| Ok(db.wal_checkpoint_v2(None::<&str>, CheckpointMode::TRUNCATE)?));
    if let Err(error) = folded {
        tracing::debug!(%error, "the log of the replaced database is kept beside it");
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a renamed file survive a loss of power.
fn sync_folder(of: &Path) -> Result<(), BackupError> {
    let folder = folder_of(of);
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| BackupError::File { path: folder.to_owned(), source })
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests;
