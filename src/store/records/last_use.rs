//! The last use of each token and client, which lists of credentials show.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    BelongsTo, Condition, Record, RecordFilter, RecordName, RecordWrite, Records,
    client::ClientRecord, list, raw, token::TokenRecord,
};
use crate::{
    domain::{grant::Credential, time::Timestamp},
    store::StoreError,
};

/// The last use of one credential. The record belongs to the token or the client, so it goes with
/// it, and its key is the name of that record.
#[derive(Serialize, Deserialize)]
struct LastUse {
    credential: String,
    at: i64,
}

impl Record for LastUse {
    const KIND: &'static str = "last_uses";

    fn key(&self) -> String {
        self.credential.clone()
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }
}

/// Returns the record that holds a credential, or `None` for a client of an external authorization
/// server, which the store does not hold.
fn owner(credential: &Credential) -> Option<RecordName> {
    match credential {
        Credential::Token { hash, .. } => Some(RecordName::new(TokenRecord::KIND, hash.as_str())),
        Credential::Client(id) => Some(RecordName::new(ClientRecord::KIND, id.as_str())),
        Credential::ExternalClient(_) => None,
    }
}

/// The last use of every credential that was ever used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastUseList(HashMap<String, Timestamp>);

impl LastUseList {
    pub fn of(&self, credential: &Credential) -> Option<Timestamp> {
        self.0.get(&owner(credential)?.to_string()).copied()
    }
}

/// The last uses in a store.
#[async_trait]
pub trait LastUseStore: Records {
    /// Records when credentials were used. A credential that was revoked in the meantime is skipped.
    /// Of the times that several nodes record, the latest stays.
    async fn record_last_uses(&self, uses: Vec<(Credential, Timestamp)>) -> Result<(), StoreError> {
        let write = |(credential, at): (Credential, Timestamp)| {
            let owner = owner(&credential)?;
            let record = LastUse { credential: owner.to_string(), at: at.as_millis() };
            let record = raw(&record, BelongsTo::Record(owner));
            Some(RecordWrite { record, condition: Condition::Newer, keep_youngest: None })
        };
        self.write_records(uses.into_iter().filter_map(write).collect()).await.map(|_| ())
    }

    async fn last_uses(&self) -> Result<LastUseList, StoreError> {
        let all = list::<LastUse>(self, RecordFilter::All { prefix: String::new() }).await?;
        let all = all.into_iter().map(|found| {
            let at = found.record.made_at();
            (found.record.credential, at)
        });
        Ok(LastUseList(all.collect()))
    }
}

impl<T: Records + ?Sized> LastUseStore for T {}
