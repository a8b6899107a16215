//! Streams. Changes are made one at a time and may be slow.
//!
//! A stream is created, changed and deleted in its slot, in one step. What is long about it is done
//! after that, a bounded number of SETs in each further step, so that nobody else waits: to discard
//! what a disabled stream had waiting, and to make due what was put off. Nothing goes out of a
//! disabled stream, nor is it changed again before all is discarded; a call that breaks off is
//! completed by the next change or by [`maintenance`](super::maintenance).
//!
//! Two things of a stream are kept in other slots: the mark that its Receiver owns it, and its list of
//! subjects. They are written before the stream is created, and removed after it is gone. `leaving` of the
//! stream's slot names the streams whose things in other slots are not removed yet.

use async_trait::async_trait;

use super::{
    RedisStore,
    codec::{self, set::SetEntry, stream},
    lists, script,
    slot::Slot,
    slots::Slots,
};
use crate::{
    delivery::outbox::NewSet,
    domain::{
        id::{ProviderName, ReceiverId, StreamId},
        reason::Reason,
        stream::StreamConfig,
        time::Timestamp,
    },
    store::{Announcement, StoreError, Streams},
};

/// The most SETs that one script discards or makes due.
const CHUNK: usize = 500;

#[async_trait]
impl Streams for RedisStore {
    async fn create_stream(&self, stream: StreamConfig, limit: usize) -> Result<(), StoreError> {
        create(&self.slots, &stream, limit).await
    }

    async fn update_stream(&self, stream: StreamConfig) -> Result<(), StoreError> {
        let Self { slots, .. } = self;
        change(slots, &stream, None).await.map(|_| ())
    }

    async fn change_status(
        &self,
        stream: StreamConfig,
        announcement: Announcement,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let Self { slots, .. } = self;
        let announced = match &announcement {
            Announcement::None => ("none", None),
            Announcement::Instead(set) => ("instead", Some(set)),
            Announcement::New(set) => ("new", Some(set)),
        };
        change(slots, &stream, Some((announced, now))).await
    }

    async fn delete_stream(&self, id: &StreamId) -> Result<bool, StoreError> {
        let Self { slots, .. } = self;
        let Some(stream) = find(slots, id).await? else { return Ok(false) };
        let (provider, receiver) = (&stream.provider, &stream.receiver);
        let call =
            slots.call_for(&script::DELETE, id).arg(provider.as_str()).arg(receiver.as_str());
        let deleted: bool = slots.run(call).await?;
        clear_up(slots, provider, receiver, id).await?;
        Ok(deleted)
    }

    async fn streams(&self) -> Result<Vec<StreamConfig>, StoreError> {
        let Self { slots, .. } = self;
        let all: Vec<Vec<(String, Vec<u8>)>> =
            slots.run_on_all(&script::STREAMS, |call| call).await?;
        let decode = |(id, record): (String, Vec<u8>)| stream::decode(codec::parsed(id)?, &record);
        all.into_iter().flatten().map(decode).collect()
    }

    async fn stream(&self, id: &StreamId) -> Result<Option<StreamConfig>, StoreError> {
        find(&self.slots, id).await
    }
}

pub(super) async fn create(
    slots: &Slots,
    stream: &StreamConfig,
    limit: usize,
) -> Result<(), StoreError> {
    let (provider, receiver) = (&stream.provider, &stream.receiver);
    if !own(slots, provider, receiver, &stream.id, limit).await? {
        // Some of the streams that count may be gone, or were never created.
        disown_missing(slots, provider, receiver).await?;
        if !own(slots, provider, receiver, &stream.id, limit).await? {
            return Err(StoreError::StreamLimit(limit));
        }
    }
    let call = slots.call_for(&script::CREATE, &stream.id).arg(stream::encode(stream));
    if slots.run(call).await? {
        return Ok(());
    }
    // The id stays with the owner if the existing stream of this id is the owner's.
    if find(slots, &stream.id)
        .await?
        .is_none_or(|other| (&other.provider, &other.receiver) != (provider, receiver))
    {
        disown(slots, provider, receiver, &stream.id).await?;
    }
    Err(StoreError::Conflict)
}

fn slot_of_owner(provider: &ProviderName, receiver: &ReceiverId) -> Slot {
    Slot::of(&["owner", provider.as_str(), receiver.as_str()])
}

/// Counts a stream as a Receiver's, unless the Receiver has `limit` others.
async fn own(
    slots: &Slots,
    provider: &ProviderName,
    receiver: &ReceiverId,
    stream: &StreamId,
    limit: usize,
) -> Result<bool, StoreError> {
    let call = slots.call(&script::OWN, slot_of_owner(provider, receiver));
    let call = call.arg(provider.as_str()).arg(receiver.as_str());
    slots.run(call.arg(stream.as_str()).arg(limit)).await
}

async fn disown(
    slots: &Slots,
    provider: &ProviderName,
    receiver: &ReceiverId,
    stream: &StreamId,
) -> Result<(), StoreError> {
    let call = slots.call(&script::DISOWN, slot_of_owner(provider, receiver));
    slots.run(call.arg(provider.as_str()).arg(receiver.as_str()).arg(stream.as_str())).await
}

/// Two creations at the very limit may both pass here, each before the other's stream is there.
async fn disown_missing(
    slots: &Slots,
    provider: &ProviderName,
    receiver: &ReceiverId,
) -> Result<(), StoreError> {
    let call = slots.call(&script::OWNED, slot_of_owner(provider, receiver));
    let owned: Vec<String> = slots.run(call.arg(provider.as_str()).arg(receiver.as_str())).await?;
    for stream in owned {
        let stream = codec::parsed(stream)?;
        if find(slots, &stream).await?.is_none() {
            disown(slots, provider, receiver, &stream).await?;
        }
    }
    Ok(())
}

type Announced<'a> = (&'static str, Option<&'a NewSet>);

async fn change(
    slots: &Slots,
    stream: &StreamConfig,
    status: Option<(Announced<'_>, Timestamp)>,
) -> Result<u64, StoreError> {
    loop {
        let mut call = slots.call_for(&script::CHANGE, &stream.id).arg(stream::encode(stream));
        if let Some(((how, set), now)) = status {
            call.push(how);
            if let Some(set) = set {
                let record = SetEntry::new(set, now).encode();
                call.push((set.jti.as_str(), codec::set::lane(set.lane), record));
            }
        }
        let then: String = slots.run(call).await?;
        let now = status.map_or(stream.created_at, |(_, now)| now);
        match then.as_str() {
            "" => return Ok(0),
            "due" => return make_due(slots, &stream.id).await.map(|()| 0),
            "discard" => return discard_all(slots, &stream.id, now).await,
            "unfinished" => discard_all(slots, &stream.id, now).await?,
            _ => return Err(StoreError::Conflict),
        };
    }
}

async fn make_due(slots: &Slots, stream: &StreamId) -> Result<(), StoreError> {
    let mut behind = String::new();
    loop {
        let call = slots.call_for(&script::MAKE_DUE, stream).arg(&behind).arg(CHUNK);
        behind = slots.run(call).await?;
        if behind.is_empty() {
            return Ok(());
        }
    }
}

/// Discards the unsettled SETs of a disabled stream, except its announcement.
pub(super) async fn discard_all(
    slots: &Slots,
    stream: &StreamId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut discarded = 0;
    loop {
        let call = slots.call_for(&script::DISCARD_ALL, stream).arg(codec::time(now));
        let count: usize = slots.run(call.arg(Reason::Disabled.label()).arg(CHUNK)).await?;
        discarded += count as u64;
        if count < CHUNK {
            return Ok(discarded);
        }
    }
}

/// Removes the things in other slots of a stream that is gone.
pub(super) async fn clear_up(
    slots: &Slots,
    provider: &ProviderName,
    receiver: &ReceiverId,
    stream: &StreamId,
) -> Result<(), StoreError> {
    lists::delete(slots, provider, stream).await?;
    disown(slots, provider, receiver, stream).await?;
    slots.run(slots.call_for(&script::LEFT, stream)).await
}

pub(super) async fn find(slots: &Slots, id: &StreamId) -> Result<Option<StreamConfig>, StoreError> {
    let record: Option<Vec<u8>> = slots.run(slots.call_for(&script::STREAM, id)).await?;
    record.map(|record| stream::decode(id.clone(), &record)).transpose()
}
