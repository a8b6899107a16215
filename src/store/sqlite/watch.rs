//! Watches the files of the database: whether they are still those that were opened, and whether their
//! disk has room.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::SqliteSettings;

/// The database was removed or replaced while it was open. What is written then is in a file without a
/// name, and gone with the process.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} was removed or replaced while ssfd serves from it; restart ssfd once the right file is there",
    .0.display()
)]
pub(super) struct FileGone(PathBuf);

/// The disk has too little room for new events.
#[derive(Debug, thiserror::Error)]
#[error(
    "{free} bytes are free on the disk of the store, and new events are taken from \
     `store.sqlite.free_bytes_min` = {min} on"
)]
pub(super) struct DiskShort {
    free: u64,
    min: u64,
}

/// The database and its log, as they were when they were opened.
#[derive(Debug)]
pub(super) struct FileWatch {
    database: Watched,
    /// SQLite makes the log when the first connection needs it.
    log: Watched,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// The device and the number of the file.
    identity: Option<(u64, u64)>,
}

impl FileWatch {
    /// Notes the files of an open database.
    pub(super) fn over(settings: &SqliteSettings) -> Self {
        let mut log = settings.path.clone().into_os_string();
        log.push("-wal");
        let mut watch =
            Self { database: Watched::new(&settings.path), log: Watched::new(log.as_ref()) };
        watch.check().ok();
        watch
    }

    /// Returns an error if a file is not the one that was opened.
    pub(super) fn check(&mut self) -> Result<(), FileGone> {
        self.database.check()?;
        self.log.check()
    }
}

impl Watched {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: None }
    }

    fn check(&mut self) -> Result<(), FileGone> {
        let gone = || FileGone(self.path.clone());
        let found = match fs::metadata(&self.path) {
            Ok(file) => Some((file.dev(), file.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // The file cannot be judged, for example because the folder may not be read any more. The
            // database itself still answers.
            Err(_) => return Ok(()),
        };
        match (self.identity, found) {
            (None, found) => self.identity = found,
            (Some(before), Some(now)) if before == now => {}
            (Some(_), _) => return Err(gone()),
        }
        Ok(())
    }
}

/// The free room on the disk of the database, as it was seen last.
#[derive(Debug)]
pub(super) struct DiskWatch {
    folder: PathBuf,
    min: u64,
    free: AtomicU64,
}

impl DiskWatch {
    pub(super) fn over(settings: &SqliteSettings) -> Self {
        let folder = settings.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        let watch = Self { folder, min: settings.free_bytes_min, free: AtomicU64::new(u64::MAX) };
        watch.look();
        watch
    }

    /// Asks the system. A file system that does not tell has room.
    pub(super) fn look(&self) {
        if self.min == 0 {
            return;
        }
        let free = rustix::fs::statvfs(&self.folder);
        let free = free.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        self.free.store(free, Ordering::Relaxed);
    }

    /// Returns an error while there is too little room for new events.
    pub(super) fn check(&self) -> Result<(), DiskShort> {
        let free = self.free.load(Ordering::Relaxed);
        if free < self.min { Err(DiskShort { free, min: self.min }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn settings(folder: &TempDir) -> SqliteSettings {
        SqliteSettings { path: folder.path().join("ssfd.db"), ..SqliteSettings::default() }
    }

    #[test]
    fn a_file_that_is_removed_or_replaced_is_noticed() {
        for name in ["ssfd.db", "ssfd.db-wal"] {
            let folder = TempDir::new().expect("a folder");
            let file = folder.path().join(name);
            fs::write(folder.path().join("ssfd.db"), "").expect("written");
            let mut watch = FileWatch::over(&settings(&folder));
            assert!(watch.check().is_ok(), "the log is not there yet");
            fs::write(folder.path().join("ssfd.db-wal"), "").expect("written");
            assert!(watch.check().is_ok());
            let other = folder.path().join("other");
            fs::write(&other, "").expect("written");
            fs::rename(&other, &file).expect("replaced");
            assert!(watch.check().expect_err("replaced").to_string().contains(name));
            fs::remove_file(&file).expect("removed");
            assert!(watch.check().expect_err("removed").to_string().contains("restart ssfd"));
        }
    }

    #[test]
    fn a_disk_is_short_below_the_bound() {
        let folder = TempDir::new().expect("a folder");
        for (free_bytes_min, short) in [(0, false), (1, false), (u64::MAX, true)] {
            let watch = DiskWatch::over(&SqliteSettings { free_bytes_min, ..settings(&folder) });
            assert_eq!(watch.check().is_err(), short, "{free_bytes_min}");
        }
    }
}
