//! Removes what has expired, bounds what is held, and completes calls that were interrupted.

use std::time::Instant;

use async_trait::async_trait;

use super::{
    RedisStore, codec, lists, outbox, script,
    slot::Slot,
    slots::{Slots, together},
    streams,
};
use crate::{
    domain::{
        id::{ProviderName, ReceiverId, StreamId},
        reason::Reason,
        time::Timestamp,
    },
    store::{Backlog, Condition, Expiry, Maintenance, StoreError, slot::SlotSet},
};

/// The most things of a kind that one script removes: few enough that an append behind it hardly waits,
/// because 256 slots do this at the same time.
const CHUNK: usize = 32;

/// The most SETs of a stream that one script drops.
const HELD_CHUNK: usize = 200;

#[async_trait]
impl Maintenance for RedisStore {
    fn condition(&self, now: Instant) -> Condition {
        let mut condition = self.slots.condition(now);
        condition.degraded.extend(self.losses.iter().cloned());
        condition
    }

    async fn expire(&self, expiry: Expiry) -> Result<bool, StoreError> {
        let Self { slots, .. } = self;
        let general = [
            expiry.ids_before,
            expiry.ids_lead_nowhere_before,
            expiry.settled_before,
            expiry.settled_before - expiry.records_stay,
        ];
        let own: Vec<_> = expiry
            .settled_before_of
            .iter()
            .map(|(name, settled_before)| {
                let recorded_before = *settled_before - expiry.records_stay;
                (name.as_str(), codec::time(*settled_before), codec::time(recorded_before))
            })
            .collect();
        let removing = slots.run_on_all(&script::EXPIRE, |mut call| {
            call.push(CHUNK);
            call.push_all(general.map(codec::time));
            call.push_all(&own);
            call
        });
        let answers: Vec<(bool, Vec<(String, String)>)> = removing.await?;
        let mut more = false;
        for (more_here, leaving) in answers {
            more |= more_here;
            for (stream, owner) in leaving {
                let (provider, receiver) =
                    owner.split_once('|').ok_or(codec::unreadable("a name"))?;
                let provider: ProviderName = codec::parsed(provider.to_owned())?;
                let receiver: ReceiverId = codec::parsed(receiver.to_owned())?;
                streams::clear_up(slots, &provider, &receiver, &codec::parsed(stream)?).await?;
            }
        }
        Ok(more)
    }

    async fn expire_lists(&self, now: Timestamp) -> Result<bool, StoreError> {
        lists::expire(&self.slots, now).await
    }

    async fn limit_held(
        &self,
        held_max: usize,
        appended_before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(ProviderName, usize)>, StoreError> {
        let Self { slots, .. } = self;
        let limit = |slot| limit_slot(slots, slot, held_max, appended_before, now);
        let dropped = together(Slot::all().map(limit).collect()).await?;
        Ok(dropped.into_iter().flatten().collect())
    }

    async fn give_up_polled(
        &self,
        appended_before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(ProviderName, usize)>, StoreError> {
        let Self { slots, .. } = self;
        let in_slot = |slot| give_up_polled_in(slots, slot, appended_before, now);
        let given_up = together(Slot::all().map(in_slot).collect()).await?;
        Ok(given_up.into_iter().flatten().collect())
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        outbox::backlog(&self.slots).await
    }

    async fn forget_waits(
        &self,
        now: Timestamp,
        beyond: Timestamp,
        slots: SlotSet,
    ) -> Result<usize, StoreError> {
        let times = [now, beyond].map(codec::time);
        let forget = self.slots.run_on(slots, &script::FORGET_WAITS, |call| call.arg(&times[..]));
        let counts: Vec<usize> = forget.await?;
        Ok(counts.into_iter().sum())
    }
}

async fn give_up_polled_in(
    slots: &Slots,
    slot: Slot,
    appended_before: Timestamp,
    now: Timestamp,
) -> Result<Vec<(ProviderName, usize)>, StoreError> {
    let mut all = Vec::new();
    loop {
        let mut call = slots.call(&script::GIVE_UP_POLLED, slot);
        call.push((codec::time(appended_before), codec::time(now)));
        call.push((Reason::Expired.label(), "not polled and acknowledged in time", HELD_CHUNK));
        let (more, given_up): (bool, Vec<(String, usize)>) = slots.run(call).await?;
        for (provider, count) in given_up {
            all.push((codec::parsed(provider)?, count));
        }
        if !more {
            return Ok(all);
        }
    }
}

async fn limit_slot(
    slots: &Slots,
    slot: Slot,
    held_max: usize,
    appended_before: Timestamp,
    now: Timestamp,
) -> Result<Vec<(ProviderName, usize)>, StoreError> {
    let mut all = Vec::new();
    loop {
        let mut call = slots.call(&script::LIMIT_HELD, slot).arg(held_max);
        call.push((codec::time(appended_before), codec::time(now)));
        call.push((Reason::HoldLimit.label(), "the stream was paused", HELD_CHUNK));
        let (more, dropped, disabled): (bool, Vec<(String, usize)>, Vec<String>) =
            slots.run(call).await?;
        for (provider, count) in dropped {
            all.push((codec::parsed(provider)?, count));
        }
        for stream in disabled {
            let stream: StreamId = codec::parsed(stream)?;
            streams::discard_all(slots, &stream, now).await?;
        }
        if !more {
            return Ok(all);
        }
    }
}
