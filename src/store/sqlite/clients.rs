//! Clients of the built-in authorization server as rows, and the tokens they are given.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{SqliteStore, grants, row};
use crate::{
    domain::{
        client::Client,
        grant::{Grant, TokenHash},
        id::ClientId,
        time::Timestamp,
    },
    store::{Credentials, StoreError},
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

#[async_trait]
impl Credentials for SqliteStore {
    async fn put_grant(&self, grant: Grant) -> Result<(), StoreError> {
        self.writer.run(move |db| grants::put(db, &grant)).await
    }

    async fn grant(&self, hash: &TokenHash) -> Result<Option<Grant>, StoreError> {
        let hash = hash.clone();
        self.readers.run(move |db| grants::find(db, &hash)).await
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        self.readers.run(grants::all).await
    }

    async fn revoke_grant(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        let hash = hash.clone();
        self.writer.run(move |db| grants::revoke(db, &hash)).await
    }

    async fn expire_grants(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.writer.run(move |db| grants::expire(db, now)).await
    }

    async fn create_client(&self, client: Client) -> Result<(), StoreError> {
        self.writer.run(move |db| create(db, &client)).await
    }

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let id = id.clone();
        self.readers.run(move |db| find(db, &id)).await
    }

    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        self.readers.run(all).await
    }

    async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.writer.run(move |db| delete(db, &id)).await
    }

    async fn issue_grant(
        &self,
        client: &ClientId,
        grant: Grant,
        live_max: usize,
    ) -> Result<(), StoreError> {
        let client = client.clone();
        self.writer.run(move |db| issue(db, &client, &grant, live_max)).await
    }
}

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
