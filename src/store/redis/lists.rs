//! Lists of subjects. All lists of a provider are in its slot, so that an event is looked up in one step.
//! The slot of a stream knows whether the stream ever had a list. This is written before the first entry,
//! so that no SET is sent without being judged by the entry.

use std::collections::BTreeSet;

use async_trait::async_trait;
use uuid::Uuid;

use super::{RedisStore, codec, script, slot::Slot, slots::Slots, streams};
use crate::{
    domain::{
        id::{ProviderName, StreamId},
        subject::{
            keys::{Filing, Probe, SubjectKey, SubjectKeys, SubjectShape},
            list::{ListChange, Listed},
        },
        time::Timestamp,
    },
    store::{SHAPES_PER_STREAM_MAX, StoreError, SubjectLists},
};

/// The most rows that one script removes.
const CHUNK: usize = 200;

/// The end of a row that does not end, as in `lists.lua`.
pub(super) const NEVER: &str = "9999999999999999";

/// The most subjects that one script looks up.
const SUBJECTS_MAX: usize = 100;

#[async_trait]
impl SubjectLists for RedisStore {
    async fn change_list(
        &self,
        stream: &StreamId,
        entry: Filing,
        change: ListChange,
        limit: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Self { slots, .. } = self;
        let Some(config) = streams::find(slots, stream).await? else {
            return Err(StoreError::Conflict);
        };
        let (what, at) = match change {
            ListChange::Enter { from } => ("enter", from),
            ListChange::Leave { until } if now < until => ("leave", until),
            ListChange::Leave { until } => ("remove", until),
        };
        let enters = what == "enter";
        if enters && !slots.run::<bool>(slots.call_for(&script::SELECT, stream)).await? {
            return Err(StoreError::Conflict);
        }
        let mut call = slots.call(&script::LIST_CHANGE, slot_of(&config.provider)).arg(what);
        call.push((stream.as_str(), config.provider.as_str(), codec::time(at)));
        call.push((limit, SHAPES_PER_STREAM_MAX));
        let (shape, names) = match &entry.shape {
            Some((filed, shape)) => {
                (hex(filed), serde_json::to_string(shape).expect("names are JSON"))
            }
            None => (String::new(), String::new()),
        };
        call.push((shape, names));
        call.push_all(entry.under.iter().map(hex));
        if !slots.run(call).await? {
            return Err(StoreError::SubjectLimit);
        }
        // Deleted meanwhile, it would leave its list behind.
        if enters && streams::find(slots, stream).await?.is_none() {
            delete(slots, &config.provider, stream).await?;
            return Err(StoreError::Conflict);
        }
        Ok(())
    }

    async fn listed(
        &self,
        provider: &ProviderName,
        subjects: Vec<SubjectKeys>,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        let Self { slots, .. } = self;
        look_up(slots, provider, None, &subjects, ListMatch::Both, now).await
    }

    async fn streams_with_list(&self) -> Result<Vec<StreamId>, StoreError> {
        let Self { slots, .. } = self;
        let all: Vec<Vec<String>> = slots.run_on_all(&script::LIST_STREAMS, |call| call).await?;
        all.into_iter().flatten().map(codec::parsed).collect()
    }
}

pub(super) fn slot_of(provider: &ProviderName) -> Slot {
    Slot::of(&["lists", provider.as_str()])
}

pub(super) fn hex(key: &SubjectKey) -> String {
    Uuid::from_bytes(key.0).simple().to_string()
}

/// Returns whether each subject is on the list of one stream.
pub(super) async fn on_list_of(
    slots: &Slots,
    provider: &ProviderName,
    stream: &StreamId,
    subjects: &[SubjectKeys],
    asked: ListMatch,
    now: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    let listed = look_up(slots, provider, Some(stream), subjects, asked, now).await?;
    let is_any = |listed: Listed| !listed.added.is_empty() || !listed.removed.is_empty();
    Ok(listed.into_iter().map(is_any).collect())
}

/// The entries that are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListMatch {
    /// Entries that match the subject, as on lists of added subjects.
    Matching,
    /// Entries of the identical subject, as on lists of removed subjects.
    Identical,
    Both,
}

async fn look_up(
    slots: &Slots,
    provider: &ProviderName,
    stream: Option<&StreamId>,
    subjects: &[SubjectKeys],
    asked: ListMatch,
    now: Timestamp,
) -> Result<Vec<Listed>, StoreError> {
    let (matching, identical) = (asked != ListMatch::Identical, asked != ListMatch::Matching);
    let complex = matching && subjects.iter().any(SubjectKeys::is_complex);
    let shapes = if complex { shapes(slots, provider).await? } else { Vec::new() };
    let mut listed = Vec::with_capacity(subjects.len());
    for subjects in subjects.chunks(SUBJECTS_MAX) {
        let mut call = slots.call(&script::LIST_LOOKUP, slot_of(provider));
        call.push((codec::time(now), stream.map_or("", StreamId::as_str)));
        for subject in subjects {
            let probes = if matching { subject.probes(&shapes) } else { Vec::new() };
            call.push(probes.len());
            for probe in probes {
                match probe {
                    Probe::Whole(key) => call.push((1, format!("={}", hex(&key)))),
                    Probe::Members(keys) => {
                        call.push(keys.len());
                        call.push_all(keys.iter().map(hex));
                    }
                }
            }
            let identities = if identical { subject.identities() } else { Vec::new() };
            call.push(identities.len());
            call.push_all(identities.iter().map(hex));
        }
        for (added, removed) in slots.run::<Vec<(Vec<String>, Vec<String>)>>(call).await? {
            listed.push(Listed { added: ids(added)?, removed: ids(removed)? });
        }
    }
    Ok(listed)
}

fn ids(names: Vec<String>) -> Result<BTreeSet<StreamId>, StoreError> {
    names.into_iter().map(codec::parsed).collect()
}

async fn shapes(slots: &Slots, provider: &ProviderName) -> Result<Vec<SubjectShape>, StoreError> {
    let all: Vec<String> = slots.run(slots.call(&script::LIST_SHAPES, slot_of(provider))).await?;
    let own = all.iter().filter_map(|shape| {
        shape.split_once('|').filter(|(of, _)| *of == provider.as_str()).map(|(_, names)| names)
    });
    own.map(|names| serde_json::from_str(names).map_err(|_| codec::unreadable("a shape"))).collect()
}

pub(super) async fn expire(slots: &Slots, now: Timestamp) -> Result<bool, StoreError> {
    let now = codec::time(now);
    let expire = slots.run_on_all(&script::LIST_EXPIRE, |call| call.arg(&now).arg(CHUNK));
    let more: Vec<bool> = expire.await?;
    Ok(more.contains(&true))
}

/// Removes the list of a stream that is gone.
pub(super) async fn delete(
    slots: &Slots,
    provider: &ProviderName,
    stream: &StreamId,
) -> Result<(), StoreError> {
    loop {
        let call = slots.call(&script::LIST_DELETE, slot_of(provider));
        if !slots.run::<bool>(call.arg(stream.as_str()).arg(CHUNK)).await? {
            return Ok(());
        }
    }
}
