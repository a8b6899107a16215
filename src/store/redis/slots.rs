//! Runs scripts on slots, on whichever server a slot is.

use std::{sync::Arc, time::Instant};

use futures_util::{StreamExt as _, future::join_all, stream};
use redis::{ErrorKind, FromRedisValue, ServerErrorKind};

use super::{
    connection::{Connections, ServerAnswer},
    epochs::Epochs,
    keys::Keys,
    replicas::{ReplicaWatch, TooFewReplicas},
    script::{Call, Script},
    settings::RedisSettings,
    slot::Slot,
};
use crate::{
    clock,
    domain::id::StreamId,
    store::{Condition, STALLED_AFTER, StoreError, condition::Outcomes, slot::SlotSet},
    telemetry::causes::with_causes,
};

const NO_SCRIPT: ErrorKind = ErrorKind::Server(ServerErrorKind::NoScript);

/// How many calls are under way at the same time when a call goes to many slots. If all were sent at once,
/// other calls would wait for 20 ms behind them.
const AT_ONCE: usize = 16;

/// The slot whose connection is used for things that are kept together in one place.
const SHARED: &str = "all";

/// The slot whose connection is used for the state that nodes share.
const CLUSTER: &str = "cluster";

pub(super) struct Slots {
    connections: Arc<Connections>,
    keys: Keys,
    epochs: Arc<Epochs>,
    replicas: ReplicaWatch,
    outcomes: Outcomes,
}

impl Slots {
    pub(super) fn new(settings: &RedisSettings, epochs: Arc<Epochs>) -> Result<Self, StoreError> {
        let connections = Arc::new(Connections::new(settings)?);
        let replicas = ReplicaWatch::new(
            settings.wait_replicas,
            settings.wait_timeout,
            settings.replicas_missing,
        );
        Ok(Self {
            connections,
            keys: Keys::new(&settings.key_prefix),
            epochs,
            replicas,
            outcomes: Outcomes::counting_after(STALLED_AFTER + settings.held_up_max()),
        })
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(super) fn call(&self, script: &'static Script, slot: Slot) -> Call {
        Call::new(script, slot, self.keys.tag(slot))
    }

    /// Makes a call about one stream, which is the first argument.
    pub(super) fn call_for(&self, script: &'static Script, stream: &StreamId) -> Call {
        self.call(script, Slot::of(&[stream.as_str()])).arg(stream.as_str())
    }

    /// Makes a call about things that are kept together in one place.
    pub(super) fn call_shared(&self, script: &'static Script) -> Call {
        Call::new(script, Slot::of(&[SHARED]), self.keys.shared())
    }

    /// Makes a call about the state that nodes share.
    pub(super) fn call_cluster(&self, script: &'static Script) -> Call {
        Call::new(script, Slot::of(&[CLUSTER]), self.keys.cluster())
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Returns the epoch under which this node writes results of a stream, as an argument.
    pub(super) fn epoch(&self, stream: &StreamId) -> String {
        let epoch = self.epochs.epoch(Slot::of(&[stream.as_str()]));
        epoch.map_or(String::new(), |epoch| epoch.to_string())
    }

    /// Runs one script. After `Ok`, its changes are as durable as the servers make them, and the configured
    /// number of replicas have them, unless the script can do without.
    pub(super) async fn run<T: FromRedisValue>(&self, call: Call) -> Result<T, StoreError> {
        let need = call.need();
        if self.replicas.looks_before(need) {
            self.await_replicas(&call, None).await?;
        }
        let ServerAnswer { value, connection } = self.send(&call).await?;
        if self.replicas.waits(need, clock::instant()) {
            let reached = self.await_replicas(&call, connection).await;
            if self.replicas.must_have(need) {
                reached?;
            }
        }
        Ok(T::from_redis_value(value)?)
    }

    /// Sends a script, and notes how that ends.
    async fn send(&self, call: &Call) -> Result<ServerAnswer, StoreError> {
        let under_way = self.outcomes.begin(clock::instant());
        let is_failing = self.outcomes.is_failing(clock::instant());
        let answer = match self.connections.send(call.slot(), call.command(), is_failing).await {
            Err(error) if error.kind() == NO_SCRIPT => {
                self.connections.send(call.slot(), &call.with_source(), is_failing).await
            }
            answer => answer,
        };
        drop(under_way);
        let now = clock::instant();
        match &answer {
            Err(error) if error.code() == Some("OOM") => {
                self.outcomes.refused_events(error.to_string(), now);
            }
            // The server answered, and a script judged.
            Err(error) if error.code() == Some("FENCED") => {
                self.outcomes.succeeded(call.kind(), now);
            }
            Err(error) => self.outcomes.failed(call.kind(), with_causes(error), now),
            Ok(_) => {
                self.outcomes.succeeded(call.kind(), now);
                if call.grows() {
                    self.outcomes.took_events();
                }
            }
        }
        Ok(answer?)
    }

    /// Waits until enough replicas have the writes before, and notes whether they do. While replicas are
    /// known to be missing, they are looked for now and then, and other calls are told at once.
    async fn await_replicas(&self, call: &Call, written_on: Option<u64>) -> Result<(), StoreError> {
        let wanted = self.replicas.wanted();
        let too_few = || StoreError::Unavailable(Arc::new(TooFewReplicas(wanted)));
        let within = self.replicas.patience(clock::instant()).ok_or_else(too_few)?;
        let (slot, key) = (call.slot(), call.tag());
        let reached = self.connections.count_replicas(slot, key, written_on, within).await?;
        let are_there = i64::from(wanted) <= reached;
        self.replicas.note(are_there, clock::instant());
        if are_there { Ok(()) } else { Err(too_few()) }
    }

    pub(super) fn condition(&self, now: Instant) -> Condition {
        let mut condition = self.outcomes.condition(now);
        if self.replicas.is_short() {
            let missing = TooFewReplicas(self.replicas.wanted()).to_string();
            if self.replicas.refuses() {
                condition.refuses_events = Some(missing.clone());
            }
            condition.degraded.push(missing);
        }
        condition
    }

    /// Runs one script on every slot. Returns the answers in the order of the slots.
    pub(super) async fn run_on_all<T: FromRedisValue>(
        &self,
        script: &'static Script,
        arguments: impl Fn(Call) -> Call,
    ) -> Result<Vec<T>, StoreError> {
        self.run_on(SlotSet::ALL, script, arguments).await
    }

    /// Runs one script on each of these slots. Returns the answers in the order of the slots. As with
    /// [`together`], all calls are awaited even if one fails.
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
