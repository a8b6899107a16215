//! The backlog, written into the publishers' Redis for them to read.

use std::time::Duration;

use redis::RedisResult;

use super::settings::RedisIngestSettings;
use crate::{
    domain::{id::ProviderName, time::Timestamp},
    store::{
        Waiting,
        redis::servers::{Connection, Servers},
    },
    transmitter::pressure::Taken,
};

/// Writes the backlog into `<key_prefix><provider>:backlog` of the publishers' Redis. The key is a
/// hash that expires when nobody writes it any more.
pub struct Gauge {
    servers: Servers,
    key_prefix: String,
    /// For as long as it works.
    connection: Option<Connection>,
}

impl Gauge {
    pub fn new(servers: Servers, settings: &RedisIngestSettings) -> Self {
        Self { servers, key_prefix: settings.key_prefix.clone(), connection: None }
    }

    /// `max` is the most that may wait, 0 if there is no such bound.
    pub async fn write(
        &mut self,
        provider: &ProviderName,
        waiting: Waiting,
        taken: Taken,
        max: u64,
        now: Timestamp,
        lasts: Duration,
    ) -> RedisResult<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.servers.connect().await?,
        };
        let key = format!("{}{provider}:backlog", self.key_prefix);
        let age = waiting.oldest.map(|oldest| now.since(oldest)).unwrap_or_default();
        let mut write = redis::pipe();
        write
            .hset_multiple(
                &key,
                &[
                    ("sets", waiting.sets.to_string()),
                    ("oldest_seconds", age.as_secs().to_string()),
                    ("max", max.to_string()),
                    ("taken", taken.as_str().to_owned()),
                    ("at", now.as_millis().to_string()),
                ],
            )
            .ignore()
            .pexpire(&key, i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX))
            .ignore();
        write.query_async::<()>(&mut connection).await?;
        self.connection = Some(connection);
        Ok(())
    }
}
