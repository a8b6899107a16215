//! Publishing by `XADD`, as any upstream can.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, RedisError, aio::MultiplexedConnection};

use super::input::RawEvent;

/// How long the server may take to be reached, and to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// An upstream that publishes into a Redis stream.
pub struct RedisPublisher {
    connection: MultiplexedConnection,
    key: String,
}

/// Why an event did not get into Redis. No text has the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum RedisPublishError {
    #[error("this is not the URL of a Redis server")]
    Url(#[source] RedisError),
    #[error("cannot reach the Redis server at {address}")]
    Unreachable { address: String, source: RedisError },
    #[error("cannot add to {key}")]
    Failed { key: String, source: RedisError },
}

/// A connection to the server that `url` names.
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

    /// Adds the events in this order, in one round trip; returns the ids of their entries.
    pub async fn publish(&mut self, events: &[RawEvent]) -> Result<Vec<String>, RedisPublishError> {
        let mut pipeline = redis::pipe();
        for event in events {
            pipeline.xadd(&self.key, "*", &[("event", event.get())]);
        }
        let added = pipeline.query_async(&mut self.connection).await;
        added.map_err(|source| RedisPublishError::Failed { key: self.key.clone(), source })
    }
}
