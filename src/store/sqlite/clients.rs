//! Clients of the built-in authorization server as rows, and the tokens they are given.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{grants, row};
use crate::{
    domain::{
        client::Client,
        grant::{Grant, TokenHash},
        id::ClientId,
    },
    store::StoreError,
};

const CREATE: &str = "INSERT INTO clients
    (id, secret, provider, receiver, audience, scopes, created_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING";

const FIND: &str = "SELECT id, secret, provider, receiver, audience, scopes, created_at
    FROM clients WHERE id = ?1";

const ALL: &str = "SELECT id, secret, provider, receiver, audience, scopes, created_at
    FROM clients ORDER BY created_at, id";

const OWN: &str = "UPDATE grants SET client = (SELECT id FROM clients WHERE id = ?2)
    WHERE hash = ?1 RETURNING client IS NOT NULL";

/// All tokens of a client but the youngest.
const END_OLDEST: &str = "DELETE FROM grants WHERE hash IN (
        SELECT hash FROM grants INDEXED BY grants_of_client WHERE client = ?1
        ORDER BY created_at DESC, hash LIMIT -1 OFFSET ?2
    )";

pub(super) fn create(db: &Connection, client: &Client) -> Result<(), StoreError> {
    let audience = serde_json::to_string(&client.audience).expect("an audience is JSON");
    let scopes = serde_json::to_string(&client.scopes).expect("a list of names is JSON");
    let columns = params![
        client.id.as_str(),
        client.secret.as_str(),
        client.provider.as_str(),
        client.receiver.as_str(),
        audience,
        scopes,
        client.created_at.as_millis(),
    ];
    match db.prepare_cached(CREATE)?.execute(columns)? {
        0 => Err(StoreError::Conflict),
        _ => Ok(()),
    }
}

pub(super) fn find(db: &Connection, id: &ClientId) -> rusqlite::Result<Option<Client>> {
    db.prepare_cached(FIND)?.query_row([id.as_str()], read).optional()
}

pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<Client>> {
    db.prepare_cached(ALL)?.query_map([], read)?.collect()
}

pub(super) fn delete(db: &Connection, id: &ClientId) -> rusqlite::Result<bool> {
    // Its tokens go with it, by the foreign key.
    let mut delete = db.prepare_cached("DELETE FROM clients WHERE id = ?1")?;
    Ok(delete.execute([id.as_str()])? != 0)
}

pub(super) fn issue(
    db: &Connection,
    id: &ClientId,
    grant: &Grant,
    live_max: usize,
) -> Result<(), StoreError> {
    grants::put(db, grant)?;
    let pair = params![grant.hash.as_str(), id.as_str()];
    let is_client: bool = db.prepare_cached(OWN)?.query_row(pair, |row| row.get(0))?;
    if !is_client {
        return Err(StoreError::Conflict);
    }
    db.prepare_cached(END_OLDEST)?.execute(params![id.as_str(), row::limit(live_max)])?;
    Ok(())
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Client> {
    Ok(Client {
        id: row::text(row, 0)?,
        secret: TokenHash::from_hex(row.get(1)?),
        provider: row::text(row, 2)?,
        receiver: row::text(row, 3)?,
        audience: row::json(row, 4)?,
        scopes: row::json(row, 5)?,
        created_at: row::time(row, 6)?,
    })
}
