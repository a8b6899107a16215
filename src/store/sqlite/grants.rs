//! Tokens as rows.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::row;
use crate::domain::{
    grant::{Grant, TokenHash},
    time::Timestamp,
};

const PUT: &str = "INSERT INTO grants (hash, holder, created_at, expires_at)
    VALUES (?1, ?2, ?3, ?4) ON CONFLICT (hash) DO UPDATE SET
    holder = excluded.holder, created_at = excluded.created_at, expires_at = excluded.expires_at";

const FIND: &str = "SELECT hash, holder, created_at, expires_at FROM grants WHERE hash = ?1";

const ALL: &str = "SELECT hash, holder, created_at, expires_at FROM grants WHERE client IS NULL
    ORDER BY created_at, hash";

/// The most tokens that go in one call: few enough that an append behind it hardly waits.
const CHUNK: usize = 1000;

const EXPIRE: &str = "DELETE FROM grants WHERE hash IN (
        SELECT hash FROM grants INDEXED BY grants_expiry WHERE expires_at <= ?1
        ORDER BY expires_at LIMIT ?2
    )";

pub(super) fn put(db: &Connection, grant: &Grant) -> rusqlite::Result<()> {
    let holder = serde_json::to_string(&grant.holder).expect("names and lists of them are JSON");
    let expires_at = grant.expires_at.map(Timestamp::as_millis);
    let columns = params![grant.hash.as_str(), holder, grant.created_at.as_millis(), expires_at];
    db.prepare_cached(PUT)?.execute(columns)?;
    Ok(())
}

pub(super) fn find(db: &Connection, hash: &TokenHash) -> rusqlite::Result<Option<Grant>> {
    db.prepare_cached(FIND)?.query_row([hash.as_str()], read).optional()
}

pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<Grant>> {
    db.prepare_cached(ALL)?.query_map([], read)?.collect()
}

pub(super) fn revoke(db: &Connection, hash: &TokenHash) -> rusqlite::Result<bool> {
    let mut delete = db.prepare_cached("DELETE FROM grants WHERE hash = ?1")?;
    Ok(delete.execute([hash.as_str()])? != 0)
}

pub(super) fn expire(db: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    let bounds = params![now.as_millis(), row::limit(CHUNK)];
    Ok(db.prepare_cached(EXPIRE)?.execute(bounds)? == CHUNK)
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Grant> {
    Ok(Grant {
        hash: TokenHash::from_hex(row.get(0)?),
        holder: row::json(row, 1)?,
        created_at: row::time(row, 2)?,
        expires_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
    })
}
