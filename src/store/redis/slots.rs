//! Runs scripts on slots, wherever those are.

use std::sync::Arc;

use futures_util::{StreamExt as _, future::join_all, stream};
use redis::{ErrorKind, FromRedisValue, ServerErrorKind};

use super::{
    connection::Connections,
    epochs::Epochs,
    keys::Keys,
    script::{Call, Script},
    settings::RedisSettings,
    slot::Slot,
};
use crate::{
    domain::id::StreamId,
    store::{StoreError, slot::SlotSet},
};

const NO_SCRIPT: ErrorKind = ErrorKind::Server(ServerErrorKind::NoScript);

/// Calls that are under way together where one goes to many slots: behind all of them in one go, what
/// others send meanwhile would wait for 20 ms.
const AT_ONCE: usize = 16;

/// Where what has no slot of its own is, as far as connections go.
const SHARED: &str = "all";

/// The same for what nodes share.
const CLUSTER: &str = "cluster";

pub(super) struct Slots {
    connections: Connections,
    keys: Keys,
    epochs: Arc<Epochs>,
}

impl Slots {
    pub(super) fn new(settings: &RedisSettings, epochs: Arc<Epochs>) -> Result<Self, StoreError> {
        let connections = Connections::new(settings)?;
        Ok(Self { connections, keys: Keys::new(&settings.key_prefix), epochs })
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(super) fn call(&self, script: &'static Script, slot: Slot) -> Call {
        Call::new(script, slot, self.keys.tag(slot))
    }

    /// About one stream, which is the first argument.
    pub(super) fn call_for(&self, script: &'static Script, stream: &StreamId) -> Call {
        self.call(script, Slot::of(&[stream.as_str()])).arg(stream.as_str())
    }

    /// About what is in no slot of its own.
    pub(super) fn call_shared(&self, script: &'static Script) -> Call {
        Call::new(script, Slot::of(&[SHARED]), self.keys.shared())
    }

    /// About what nodes share.
    pub(super) fn call_cluster(&self, script: &'static Script) -> Call {
        Call::new(script, Slot::of(&[CLUSTER]), self.keys.cluster())
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// By which right this node writes results of a stream, as an argument.
    pub(super) fn epoch(&self, stream: &StreamId) -> String {
        let epoch = self.epochs.epoch(Slot::of(&[stream.as_str()]));
        epoch.map_or(String::new(), |epoch| epoch.to_string())
    }

    /// Carries out one script. Once it returns `Ok`, what it did is as durable as the servers make
    /// it, and as many replicas have it as are asked for.
    pub(super) async fn run<T: FromRedisValue>(&self, call: Call) -> Result<T, StoreError> {
        let answer = match self.connections.send(call.slot(), call.command()).await {
            Err(error) if error.kind() == NO_SCRIPT => {
                self.connections.send(call.slot(), &call.with_source()).await
            }
            answer => answer,
        }?;
        if call.writes() {
            self.connections.await_replicas(call.slot(), call.tag()).await?;
        }
        Ok(T::from_redis_value(answer)?)
    }

    /// The same on every slot, in their order.
    pub(super) async fn run_on_all<T: FromRedisValue>(
        &self,
        script: &'static Script,
        arguments: impl Fn(Call) -> Call,
    ) -> Result<Vec<T>, StoreError> {
        self.run_on(SlotSet::ALL, script, arguments).await
    }

    /// The same on each of these slots, in their order. As with [`together`] it is awaited of all.
    pub(super) async fn run_on<T: FromRedisValue>(
        &self,
        slots: SlotSet,
        script: &'static Script,
        arguments: impl Fn(Call) -> Call,
    ) -> Result<Vec<T>, StoreError> {
        let calls = slots.iter().map(|slot| self.run(arguments(self.call(script, slot))));
        let answers: Vec<_> = stream::iter(calls).buffered(AT_ONCE).collect().await;
        answers.into_iter().collect()
    }
}

/// Awaits calls that are sent together. All of them are awaited even if one fails, so that none is
/// still in progress when the operation is tried again.
pub(super) async fn together<T>(
    calls: Vec<impl Future<Output = Result<T, StoreError>>>,
) -> Result<Vec<T>, StoreError> {
    join_all(calls).await.into_iter().collect()
}
