//! Tokens, and clients of the built-in authorization server. There are few, and a client goes with
//! its tokens in one step: so all are in one place.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{RedisStore, codec, script, slots::Slots};
use crate::{
    domain::{
        audience::Audience,
        client::Client,
        grant::{Grant, NamedHolder, Scope, TokenHash},
        id::{ClientId, ProviderName, ReceiverId},
        time::Timestamp,
    },
    store::{Credentials, StoreError},
};

/// The most tokens that go in one call.
const CHUNK: usize = 500;

#[derive(Serialize, Deserialize)]
struct GrantRecord {
    holder: NamedHolder,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct ClientRecord {
    secret: String,
    provider: ProviderName,
    receiver: ReceiverId,
    audience: Audience,
    scopes: Vec<Scope>,
    created_at: i64,
}

#[async_trait]
impl Credentials for RedisStore {
    async fn put_grant(&self, grant: Grant) -> Result<(), StoreError> {
        put_grant(&self.slots, &grant).await
    }

    async fn grant(&self, hash: &TokenHash) -> Result<Option<Grant>, StoreError> {
        grant(&self.slots, hash).await
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        grants(&self.slots).await
    }

    async fn revoke_grant(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        revoke(&self.slots, hash).await
    }

    async fn expire_grants(&self, now: Timestamp) -> Result<bool, StoreError> {
        expire(&self.slots, now).await
    }

    async fn create_client(&self, client: Client) -> Result<(), StoreError> {
        create_client(&self.slots, &client).await
    }

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        client(&self.slots, id).await
    }

    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        clients(&self.slots).await
    }

    async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        delete_client(&self.slots, id).await
    }

    async fn issue_grant(
        &self,
        client: &ClientId,
        grant: Grant,
        live_max: usize,
    ) -> Result<(), StoreError> {
        issue(&self.slots, client, &grant, live_max).await
    }
}

pub(super) async fn put_grant(slots: &Slots, grant: &Grant) -> Result<(), StoreError> {
    keep(slots, grant, None).await.map(|_| ())
}

pub(super) async fn issue(
    slots: &Slots,
    client: &ClientId,
    grant: &Grant,
    live_max: usize,
) -> Result<(), StoreError> {
    let is_client = keep(slots, grant, Some((client, live_max))).await?;
    if is_client { Ok(()) } else { Err(StoreError::Conflict) }
}

async fn keep(
    slots: &Slots,
    grant: &Grant,
    issued: Option<(&ClientId, usize)>,
) -> Result<bool, StoreError> {
    let (client, live_max) = issued.map_or(("", 0), |(client, max)| (client.as_str(), max));
    let record = GrantRecord {
        holder: grant.holder.clone(),
        created_at: grant.created_at.as_millis(),
        expires_at: grant.expires_at.map(Timestamp::as_millis),
    };
    let record = serde_json::to_string(&record).expect("names and lists of them are JSON");
    let record = format!("{:03}{client}{record}", client.len());
    let expires_at = grant.expires_at.map_or(String::new(), codec::time);
    let call = slots.call_shared(&script::GRANT_PUT).arg(grant.hash.as_str()).arg(record);
    let call = call.arg(codec::time(grant.created_at)).arg(expires_at);
    slots.run(call.arg(client).arg(live_max)).await
}

pub(super) async fn grant(slots: &Slots, hash: &TokenHash) -> Result<Option<Grant>, StoreError> {
    let call = slots.call_shared(&script::GRANT).arg(hash.as_str());
    let record: Option<Vec<u8>> = slots.run(call).await?;
    record.map(|record| read_grant(hash.clone(), &record)).transpose()
}

pub(super) async fn grants(slots: &Slots) -> Result<Vec<Grant>, StoreError> {
    let found: Vec<(String, Vec<u8>)> = slots.run(slots.call_shared(&script::GRANTS_MADE)).await?;
    let read = |(hash, record): (String, Vec<u8>)| read_grant(TokenHash::from_hex(hash), &record);
    let mut grants = found.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    grants.sort_by(|a, b| (a.created_at, &a.hash).cmp(&(b.created_at, &b.hash)));
    Ok(grants)
}

pub(super) async fn revoke(slots: &Slots, hash: &TokenHash) -> Result<bool, StoreError> {
    slots.run(slots.call_shared(&script::GRANT_REVOKE).arg(hash.as_str())).await
}

pub(super) async fn expire(slots: &Slots, now: Timestamp) -> Result<bool, StoreError> {
    let call = slots.call_shared(&script::GRANTS_EXPIRE).arg(codec::time(now)).arg(CHUNK);
    slots.run(call).await
}

fn read_grant(hash: TokenHash, record: &[u8]) -> Result<Grant, StoreError> {
    read_token(hash.as_str().to_owned(), record).map(|(grant, _)| grant)
}

/// With the client that it was issued to, if it was.
pub(super) fn read_token(
    hash: String,
    record: &[u8],
) -> Result<(Grant, Option<ClientId>), StoreError> {
    const WHAT: &str = "a token";
    let mut parts = codec::Parts::of(record, WHAT)?;
    let length = parts.number(3)?;
    let client = if length == 0 { None } else { Some(parts.parsed(length)?) };
    let record: GrantRecord =
        serde_json::from_str(parts.rest()).map_err(|_| codec::unreadable(WHAT))?;
    let grant = Grant {
        hash: TokenHash::from_hex(hash),
        holder: record.holder,
        created_at: Timestamp::from_millis(record.created_at),
        expires_at: record.expires_at.map(Timestamp::from_millis),
    };
    Ok((grant, client))
}

pub(super) async fn create_client(slots: &Slots, client: &Client) -> Result<(), StoreError> {
    let record = ClientRecord {
        secret: client.secret.as_str().to_owned(),
        provider: client.provider.clone(),
        receiver: client.receiver.clone(),
        audience: client.audience.clone(),
        scopes: client.scopes.clone(),
        created_at: client.created_at.as_millis(),
    };
    let record = serde_json::to_string(&record).expect("names and lists of them are JSON");
    let call = slots.call_shared(&script::CLIENT_CREATE).arg(client.id.as_str()).arg(record);
    if slots.run(call).await? { Ok(()) } else { Err(StoreError::Conflict) }
}

pub(super) async fn client(slots: &Slots, id: &ClientId) -> Result<Option<Client>, StoreError> {
    let call = slots.call_shared(&script::CLIENT).arg(id.as_str());
    let record: Option<Vec<u8>> = slots.run(call).await?;
    record.map(|record| read_client(id.clone(), &record)).transpose()
}

pub(super) async fn clients(slots: &Slots) -> Result<Vec<Client>, StoreError> {
    let found: Vec<(String, Vec<u8>)> = slots.run(slots.call_shared(&script::CLIENTS)).await?;
    let read = |(id, record): (String, Vec<u8>)| read_client(codec::parsed(id)?, &record);
    let mut clients = found.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    clients.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    Ok(clients)
}

pub(super) async fn delete_client(slots: &Slots, id: &ClientId) -> Result<bool, StoreError> {
    slots.run(slots.call_shared(&script::CLIENT_DELETE).arg(id.as_str())).await
}

pub(super) fn read_client(id: ClientId, record: &[u8]) -> Result<Client, StoreError> {
    let record: ClientRecord =
        serde_json::from_slice(record).map_err(|_| codec::unreadable("a client"))?;
    Ok(Client {
        id,
        secret: TokenHash::from_hex(record.secret),
        provider: record.provider,
        receiver: record.receiver,
        audience: record.audience,
        scopes: record.scopes,
        created_at: Timestamp::from_millis(record.created_at),
    })
}
