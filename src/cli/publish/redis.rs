//! Publishes events with `XADD`, as any publisher can.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, RedisError, aio::MultiplexedConnection};

use super::input::RawEvent;

/// The longest times that connecting and an answer may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Publishes into a Redis stream.
pub struct RedisPublisher {
    connection: MultiplexedConnection,
    key: String,
}

/// Why an event was not added to Redis. No text contains the URL, because it may contain a
/// password.
#[derive(Debug, thiserror::Error)]
pub enum RedisPublishError {
    #[error("not a Redis URL; use redis://host:port or redis+unix:///path")]
    Url(#[source] RedisError),
    #[error("cannot reach the Redis server at {address}")]
    Unreachable { address: String, source: RedisError },
    #[error("cannot add an entry to {key}")]
    Failed { key: String, source: RedisError },
}

/// Connects to the server of a URL.
pub async fn connect(url: &str) -> Result<MultiplexedConnection, RedisPublishError> {
    let client = Client::open(url).map_err(RedisPublishError::Url)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    client.get_multiplexed_async_connection_with_config(&config).await.map_err(|source| {
        let address = client.get_connection_info().addr().to_string();
        RedisPublishError::Unreachable { address, source }
    })
}

impl RedisPublisher {
    pub fn new(connection: MultiplexedConnection, key: String) -> Self {
        Self { connection, key }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// Adds the events in this order with one round trip. Returns the ids of their entries.
    pub async fn publish(&mut self, events: &[RawEvent]) -> Result<Vec<String>, RedisPublishError> {
        let mut pipeline = redis::pipe();
        for event in events {
            pipeline.xadd(&self.key, "*", &[("event", event.get())]);
        }
        let added = pipeline.query_async(&mut self.connection).await;
        added.map_err(|source| RedisPublishError::Failed { key: self.key.clone(), source })
    }
}
