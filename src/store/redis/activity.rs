//! When streams were last active.

use std::collections::BTreeMap;

use super::{
    RedisStore, codec, script,
    slot::Slot,
    slots::{Slots, together},
};
use crate::{
    domain::{id::StreamId, time::Timestamp},
    store::{Activity, ActivityRecord, StoreError},
};
use async_trait::async_trait;

/// The end of time, as far as records know of it.
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

#[async_trait]
impl Activity for RedisStore {
    async fn record_activity(
        &self,
        last: Vec<(StreamId, Timestamp)>,
        recorded_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        record(&self.slots, &last, recorded_at).await
    }

    async fn activity(&self) -> Result<ActivityRecord, StoreError> {
        all(&self.slots).await
    }
}

pub(super) async fn record(
    slots: &Slots,
    last: &[(StreamId, Timestamp)],
    recorded_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    let mut by_slot: BTreeMap<Slot, Vec<_>> = BTreeMap::new();
    for (stream, at) in last {
        by_slot.entry(Slot::of(&[stream.as_str()])).or_default().push((stream, *at));
    }
    let calls = by_slot.into_iter().map(|(slot, streams)| {
        let mut call = slots.call(&script::ACTIVE, slot).arg(codec::time(NEVER));
        call.push_all(streams.iter().map(|(stream, at)| (stream.as_str(), codec::time(*at))));
        slots.run::<()>(call)
    });
    together(calls.collect()).await?;
    // Once all of it is there.
    if let Some(at) = recorded_at {
        let call = slots.call_shared(&script::SET_RECORDED).arg(codec::time(at));
        slots.run::<()>(call).await?;
    }
    Ok(())
}

pub(super) async fn all(slots: &Slots) -> Result<ActivityRecord, StoreError> {
    // Until then at least: what is read afterwards may be newer.
    let recorded_at = recorded_at(slots).await?;
    let all: Vec<Vec<(String, Vec<u8>)>> = slots.run_on_all(&script::ACTIVITY, |call| call).await?;
    let read = |(stream, at): (String, Vec<u8>)| {
        Ok::<_, StoreError>((codec::parsed(stream)?, codec::read_time(&at)?))
    };
    let last = all.into_iter().flatten().map(read).collect::<Result<_, _>>()?;
    Ok(ActivityRecord { last, recorded_at })
}

pub(super) async fn recorded_at(slots: &Slots) -> Result<Option<Timestamp>, StoreError> {
    let recorded: Option<Vec<u8>> = slots.run(slots.call_shared(&script::RECORDED)).await?;
    recorded.as_deref().map(codec::read_time).transpose()
}
