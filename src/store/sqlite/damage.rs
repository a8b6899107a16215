//! Looks for damage in a database: pages that are missing, or that are not as SQLite wrote them.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::clock;

/// How many operations of SQLite go by between two looks at the clock.
const OPERATIONS: i32 = 1000;

/// The remedy for a damaged database, after the text of what was found.
pub(super) const REMEDY: &str = "the database is damaged; restore a backup with `ssfd store restore FILE`, which keeps \
     the damaged file under another name";

/// The result of a look for damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Damage {
    None,
    /// None was found, and the time was up before all of the database was looked at.
    NoneSoFar,
    Found(String),
}

/// Looks for damage for as long as `within`. Reads every page once, and writes nothing.
pub(super) fn look_for(db: &mut Connection, within: Duration) -> rusqlite::Result<Damage> {
    let began = clock::instant();
    db.progress_handler(OPERATIONS, Some(move || within <= began.elapsed()))?;
    let found = db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    db.progress_handler(0, None::<fn() -> bool>)?;
    match found {
        Ok(found) if found == "ok" => Ok(Damage::None),
        // The first line only names the part of the database.
        Ok(found) => Ok(Damage::Found(found.replace('\n', " "))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Ok(Damage::NoneSoFar)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_ends_when_its_time_is_up() {
        let mut db = Connection::open_in_memory().expect("opens");
        db.execute_batch(
            "CREATE TABLE t (x INTEGER PRIMARY KEY, y TEXT);
             WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000)
             INSERT INTO t SELECT x, x FROM n;",
        )
        .expect("runs");
        assert_eq!(look_for(&mut db, Duration::from_hours(1)), Ok(Damage::None));
        assert_eq!(look_for(&mut db, Duration::ZERO), Ok(Damage::NoneSoFar));
        // Nothing of it is left.
        let count: i64 =
            db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("read");
        assert_eq!(count, 20_000);
    }
}
