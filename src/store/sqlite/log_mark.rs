//! The mark that binds a database to its write-ahead log.
//!
//! SQLite applies whatever log lies beside a database, and nothing in the two files says that they belong
//! together. So the writer raises a counter in the same transaction as each change. The first mark in a
//! log is then exactly one ahead of the database that the log began with, and [`log_check`](super::log_check)
//! compares the two before SQLite opens them.

use rusqlite::{Connection, OptionalExtension as _};

use crate::clock;

/// Marks the bytes of a mark in a page, without any knowledge of SQLite's tables.
const MAGIC: [u8; 16] = *b"\xf1ssfd log mark\x1a\x0a";
pub(super) const MARK_BYTES: usize = MAGIC.len() + 16 + 4 + 8;

/// The only row of the table has the only cell of its page, so that the mark is the end of that page. A
/// mark is replaced by another of the same length, which SQLite writes in its place.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS log_mark (mark BLOB NOT NULL) STRICT";

/// The state of a database in so far as its log depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogMark {
    /// Drawn when the database is created, backed up or restored. A backup is therefore never taken for the
    /// database that it was made of.
    pub(super) lineage: [u8; 16],
    /// SQLite's counter of changes of the schema. `VACUUM INTO` and SQLite's backup give a copy another
    /// value, although the copy has the same lineage and counter.
    pub(super) schema: u32,
    /// The number of commits since the lineage began.
    pub(super) commits: u64,
}

impl LogMark {
    fn new(schema: u32) -> Self {
        Self { lineage: clock::random_uuid().into_bytes(), schema, commits: 0 }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (schema, commits) = (self.schema.to_be_bytes(), self.commits.to_be_bytes());
        [&MAGIC[..], &self.lineage, &schema, &commits].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (lineage, rest) = rest.split_first_chunk()?;
        let (schema, rest) = rest.split_first_chunk()?;
        let (lineage, schema) = (*lineage, u32::from_be_bytes(*schema));
        let commits = u64::from_be_bytes(rest.try_into().ok()?);
        Some(Self { lineage, schema, commits })
    }

    /// Reads the mark of a page, if the page has one.
    pub(super) fn of_page(page: &[u8]) -> Option<Self> {
        Self::from_bytes(page.last_chunk::<MARK_BYTES>()?)
    }
}

/// Gives a database its mark, unless it has one.
pub(super) fn ensure(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(SCHEMA)?;
    if stored(db)?.is_none() {
        let mark = LogMark::new(schema(db)?);
        db.execute("INSERT INTO log_mark (mark) VALUES (?1)", [mark.to_bytes()])?;
    }
    Ok(())
}

/// Begins a new lineage, so that no log that exists belongs to this database.
pub(super) fn begin_lineage(db: &Connection) -> rusqlite::Result<()> {
    ensure(db)?;
    replace(db, LogMark::new(schema(db)?))
}

/// Raises the mark. The caller does this in every transaction that changes something.
pub(super) fn raise(db: &Connection) -> rusqlite::Result<()> {
    match stored(db)? {
        Some(mark) => {
            let commits = mark.commits.wrapping_add(1);
            replace(db, LogMark { commits, schema: schema(db)?, ..mark })
        }
        // Somebody removed the mark. Its absence must not stop the daemon.
        None => Ok(()),
    }
}

fn replace(db: &Connection, mark: LogMark) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE log_mark SET mark = ?1")?.execute([mark.to_bytes()]).map(drop)
}

fn stored(db: &Connection) -> rusqlite::Result<Option<LogMark>> {
    let mut select = db.prepare_cached("SELECT mark FROM log_mark")?;
    let bytes: Option<Vec<u8>> = select.query_row([], |row| row.get(0)).optional()?;
    Ok(bytes.and_then(|bytes| LogMark::from_bytes(&bytes)))
}

fn schema(db: &Connection) -> rusqlite::Result<u32> {
    // SQLite shows the 32 bits as a signed number.
    let number: i32 =
        db.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))?;
    Ok(number.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_raised_in_place_and_a_new_lineage_starts_at_zero() {
        let db = Connection::open_in_memory().expect("opens");
        ensure(&db).expect("marked");
        let first = stored(&db).expect("readable").expect("a mark");
        assert_eq!(first.commits, 0);
        ensure(&db).expect("marked");
        raise(&db).expect("raised");
        raise(&db).expect("raised");
        let raised = stored(&db).expect("readable").expect("a mark");
        assert_eq!(raised, LogMark { commits: 2, ..first });
        begin_lineage(&db).expect("marked");
        let other = stored(&db).expect("readable").expect("a mark");
        assert!(other.lineage != first.lineage && other.commits == 0);
        db.execute("DELETE FROM log_mark", []).expect("deleted");
        raise(&db).expect("nothing to raise");
    }

    #[test]
    fn a_mark_is_found_at_the_end_of_its_page_only() {
        let mark = LogMark { lineage: [7; 16], schema: 40, commits: u64::MAX };
        let mut page = vec![0; 4096 - MARK_BYTES];
        page.extend(mark.to_bytes());
        assert_eq!(LogMark::of_page(&page), Some(mark));
        page.rotate_left(1);
        assert_eq!(LogMark::of_page(&page), None);
        assert_eq!(LogMark::of_page(&[]), None);
    }
}
