//! Keeps a database to one daemon.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// The store belongs to another daemon, or cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another ssfd serves from {}; each daemon needs a store of its own", .0.display())]
    Taken(PathBuf),
    #[error("cannot lock {}: {source}", .path.display())]
    Failed { path: PathBuf, source: io::Error },
}

/// The lock of a database, held while a daemon serves from it, because two daemons on one database would
/// send every SET twice. The system releases the lock when the process ends, even if it is killed.
#[derive(Debug)]
pub(super) struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Locks a file beside the database. The database itself stays unlocked, because other commands may
    /// open it meanwhile.
    pub(super) fn take(database: &Path) -> Result<Self, LockError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|source| LockError::Failed { path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken(database.to_owned())),
            Err(TryLockError::Error(source)) => Err(LockError::Failed { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = folder.path().join("ssfd.db");
        let first = StoreLock::take(&database).expect("nobody else");
        let refused = StoreLock::take(&database).expect_err("the first is there");
        assert!(refused.to_string().contains("another ssfd serves from"), "{refused}");
        drop(first);
        StoreLock::take(&database).expect("the first is gone");
    }
}
