//! The outbox: SETs by push, and the counts of what waits.

use async_trait::async_trait;

use super::{
    RedisStore,
    codec::{self, set::SetEntry, state::StateRecord},
    judge::SlotJudge,
    poll, script,
    slots::Slots,
};
use crate::{
    delivery::{
        outbox::{Disposition, OutboxQuery, PendingSet, Seq, Settlement},
        poll::PollLimit,
    },
    domain::{id::StreamId, reason::Reason, time::Timestamp},
    store::{
        Acknowledged, Acknowledgement, Backlog, Due, Outbox, Polled, StoreError, Waiting,
        archive::SetState, slot::SlotSet,
    },
};

/// A SET as scripts return it, with its number, its value and its state.
pub(super) struct Found {
    pub(super) seq: Seq,
    pub(super) set: SetEntry,
    pub(super) state: StateRecord,
}

impl Found {
    pub(super) fn all(values: &[Vec<u8>]) -> Result<Vec<Self>, StoreError> {
        values.chunks(3).map(Self::of).collect()
    }

    fn of(values: &[Vec<u8>]) -> Result<Self, StoreError> {
        let [seq, set, state] = values else { return Err(codec::unreadable("a SET")) };
        let set = SetEntry::decode(set)?;
        let state = StateRecord::decode(state, set.appended_at)?;
        Ok(Self { seq: codec::seq(seq)?, set, state })
    }

    /// Reads the SET as one that waits.
    pub(super) fn pending(self) -> Result<PendingSet, StoreError> {
        let SetEntry { kind, lane, appended_at, jti, claims, .. } = self.set;
        match (self.state.state, claims) {
            (SetState::Waiting { due_at, .. }, Some(claims)) => Ok(PendingSet {
                seq: self.seq,
                jti,
                lane,
                kind,
                claims,
                appended_at,
                attempts: self.state.attempts,
                due_at,
            }),
            _ => Err(codec::unreadable("a SET that waits")),
        }
    }
}

#[async_trait]
impl Outbox for RedisStore {
    async fn read_due(
        &self,
        stream: &StreamId,
        query: OutboxQuery,
        now: Timestamp,
    ) -> Result<Due, StoreError> {
        let Self { slots, .. } = self;
        let mut discarded = 0;
        loop {
            let mut call = slots
                .call_for(&script::READ, stream)
                .arg(codec::time(now))
                .arg(query.fresh)
                .arg(query.retries)
                .arg(OutboxQuery::CONTROL_MAX);
            for seq in &query.busy {
                call.push(codec::digits(seq.0));
            }
            let Some(answer) = slots.run::<Option<Vec<Vec<u8>>>>(call).await? else {
                return Ok(Due { discarded, ..Due::default() });
            };
            let [judged, next_retry, sets @ ..] = &answer[..] else {
                return Err(codec::unreadable("an outbox"));
            };
            let sets = Found::all(sets)?;
            let unwanted = match SlotJudge::of(judged, stream)? {
                Some(judge) => judge.unwanted(slots, &sets, now).await?,
                None => Vec::new(),
            };
            if unwanted.is_empty() {
                let sets = sets.into_iter().map(Found::pending).collect::<Result<_, _>>()?;
                let next_retry = optional_time(next_retry)?;
                return Ok(Due { sets, next_retry, discarded, unrequested: 0 });
            }
            // Other SETs may take their places.
            discarded += discard_unwanted(slots, judged, stream, unwanted, now).await?;
        }
    }

    async fn settle(
        &self,
        stream: &StreamId,
        settlements: Vec<Settlement>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Self { slots, .. } = self;
        let mut call =
            slots.call_for(&script::SETTLE, stream).arg(codec::time(now)).arg(slots.epoch(stream));
        for Settlement { seq, disposition, version } in settlements {
            call.push(codec::digits(seq.0));
            match disposition {
                Disposition::Delivered => call.push(("s", "", "")),
                Disposition::Dead { reason, detail } => call.push(("d", reason.label(), detail)),
                Disposition::GivenUp { reason, detail } => call.push(("g", reason.label(), detail)),
                Disposition::RetryAt { due_at, error } => {
                    let when = codec::time(due_at) + &codec::stream::version(version);
                    call.push(("w", when, error));
                }
            }
        }
        slots.run(call).await
    }

    async fn discard(
        &self,
        stream: &StreamId,
        unwanted: Vec<Seq>,
        reason: Reason,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        // Not fenced, because the decision does not depend on which node serves the slot.
        let discarded = discard(&self.slots, stream, &unwanted, reason, now, "").await;
        discarded.map(|(count, _)| count)
    }

    async fn acknowledge(
        &self,
        stream: &StreamId,
        acknowledgement: Acknowledgement,
        now: Timestamp,
    ) -> Result<Acknowledged, StoreError> {
        poll::acknowledge(&self.slots, stream, &acknowledgement, now).await
    }

    async fn take_for_poll(
        &self,
        stream: &StreamId,
        limit: PollLimit,
        now: Timestamp,
        hidden_until: Timestamp,
    ) -> Result<Polled, StoreError> {
        poll::take(&self.slots, stream, limit, now, hidden_until).await
    }

    async fn next_due(
        &self,
        stream: &StreamId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let Self { slots, .. } = self;
        let call = slots.call_for(&script::NEXT_DUE, stream).arg(codec::time(now));
        let due: Option<Vec<u8>> = slots.run(call).await?;
        due.as_deref().map(codec::read_time).transpose()
    }

    async fn streams_with_work(
        &self,
        now: Timestamp,
        slots: SlotSet,
    ) -> Result<Vec<StreamId>, StoreError> {
        let now = codec::time(now);
        let found: Vec<Vec<String>> =
            self.slots.run_on(slots, &script::WORK, |call| call.arg(&now)).await?;
        found.into_iter().flatten().map(codec::parsed).collect()
    }

    async fn waiting(&self, stream: &StreamId) -> Result<Waiting, StoreError> {
        let Self { slots, .. } = self;
        let (sets, oldest): (u64, Vec<u8>) =
            slots.run(slots.call_for(&script::COUNT, stream)).await?;
        Ok(Waiting { sets, oldest: optional_time(&oldest)? })
    }
}

/// The most SETs that one script discards, because Redis serves nobody else meanwhile.
const DISCARDED_MAX: usize = 500;

/// Discards heads, and the SETs behind them in their lanes as long as those must not be sent either.
async fn discard_unwanted(
    slots: &Slots,
    judged: &[u8],
    stream: &StreamId,
    mut unwanted: Vec<Seq>,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let (mut discarded, epoch) = (0, slots.epoch(stream));
    while !unwanted.is_empty() {
        let (count, heads) =
            discard(slots, stream, &unwanted, Reason::Subject, now, &epoch).await?;
        discarded += count;
        unwanted = match SlotJudge::of(judged, stream)? {
            Some(judge) => judge.unwanted(slots, &heads, now).await?,
            None => Vec::new(),
        };
    }
    Ok(discarded)
}

/// Discards SETs. Returns how many of them still waited, and the heads that took their places.
pub(super) async fn discard(
    slots: &Slots,
    stream: &StreamId,
    unwanted: &[Seq],
    reason: Reason,
    now: Timestamp,
    epoch: &str,
) -> Result<(usize, Vec<Found>), StoreError> {
    let (mut discarded, mut heads) = (0, Vec::new());
    for some in unwanted.chunks(DISCARDED_MAX) {
        let mut call = slots
            .call_for(&script::DISCARD, stream)
            .arg(codec::time(now))
            .arg(epoch)
            .arg(reason.label());
        for seq in some {
            call.push(codec::digits(seq.0));
        }
        let answer: Vec<Vec<u8>> = slots.run(call).await?;
        let (count, sets) = answer.split_first().ok_or(codec::unreadable("an outbox"))?;
        discarded += codec::count(count)?;
        heads.append(&mut Found::all(sets)?);
    }
    Ok((discarded, heads))
}

pub(super) async fn backlog(slots: &Slots) -> Result<Vec<Backlog>, StoreError> {
    let found: Vec<Vec<(String, u64, Vec<u8>)>> =
        slots.run_on_all(&script::BACKLOG, |call| call).await?;
    let mut lines = std::collections::BTreeMap::new();
    for (provider, sets, oldest) in found.into_iter().flatten() {
        let provider = codec::parsed(provider)?;
        let oldest = optional_time(&oldest)?;
        let line: &mut Waiting = lines.entry(provider).or_default();
        line.sets += sets;
        line.oldest = line.oldest.into_iter().chain(oldest).min();
    }
    let lines = lines.into_iter();
    Ok(lines
        .map(|(provider, Waiting { sets, oldest })| Backlog { provider, sets, oldest })
        .collect())
}

/// Reads a time. An empty text stands for no time.
fn optional_time(text: &[u8]) -> Result<Option<Timestamp>, StoreError> {
    if text.is_empty() { Ok(None) } else { codec::read_time(text).map(Some) }
}
