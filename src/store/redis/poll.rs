//! Delivery by poll (RFC 8936).

use std::collections::HashSet;

use super::{
    codec,
    judge::SlotJudge,
    outbox::{self, Found},
    script,
    slots::Slots,
};
use crate::{
    delivery::poll::PollLimit,
    domain::{id::StreamId, reason::Reason, time::Timestamp},
    store::{Acknowledged, Acknowledgement, Polled, StoreError},
};

/// How many waiting SETs one poll looks at. A Receiver that acknowledges nothing has at most this number
/// of SETs handed out at a time.
const SCAN_MAX: usize = 10_000;

/// The lowest number of SETs that are judged together.
const LOOK_MIN: usize = 250;

/// About the most SETs that one poll discards.
const DISCARDED_MAX: usize = 1000;

/// The SETs that a poll takes.
#[derive(Default)]
struct TakenSets {
    judge: Option<SlotJudge>,
    more: bool,
    sets: Vec<Found>,
}

impl TakenSets {
    fn polled(self, discarded: usize) -> Result<Polled, StoreError> {
        let sets = self.sets.into_iter().map(Found::pending).collect::<Result<_, _>>()?;
        Ok(Polled { sets, more: self.more, discarded, unrequested: 0 })
    }
}

struct Poll<'a> {
    slots: &'a Slots,
    stream: &'a StreamId,
    now: Timestamp,
    hidden_until: Timestamp,
}

impl Poll<'_> {
    /// Runs `take.lua`, which describes `how`.
    async fn take(&self, limit: PollLimit, how: &str) -> Result<TakenSets, StoreError> {
        let call = self.slots.call_for(&script::TAKE, self.stream).arg(codec::time(self.now));
        let call = call.arg(codec::time(self.hidden_until)).arg(limit.sets).arg(SCAN_MAX).arg(how);
        let call = call.arg(limit.bytes).arg(PollLimit::SET_OVERHEAD);
        let Some(answer) = self.slots.run::<Option<Vec<Vec<u8>>>>(call).await? else {
            return Ok(TakenSets::default());
        };
        let [judged, more, sets @ ..] = &answer[..] else {
            return Err(codec::unreadable("an outbox"));
        };
        let judge = SlotJudge::of(judged, self.stream)?;
        Ok(TakenSets { judge, more: !more.is_empty(), sets: Found::all(sets)? })
    }

    /// Discards the SETs that must not be sent. Returns their numbers, and how many of them still waited.
    async fn judge(
        &self,
        judge: &SlotJudge,
        sets: &[Found],
    ) -> Result<(HashSet<i64>, usize), StoreError> {
        let unwanted = judge.unwanted(self.slots, sets, self.now).await?;
        // Any node answers a poll, whichever node serves the slot.
        let discard =
            outbox::discard(self.slots, self.stream, &unwanted, Reason::Subject, self.now, "");
        let (count, _) = discard.await?;
        Ok((unwanted.iter().map(|seq| seq.0).collect(), count))
    }
}

pub(super) async fn take(
    slots: &Slots,
    stream: &StreamId,
    limit: PollLimit,
    now: Timestamp,
    hidden_until: Timestamp,
) -> Result<Polled, StoreError> {
    let poll = Poll { slots, stream, now, hidden_until };
    let first = poll.take(limit, "unless").await?;
    let Some(judge) = first.judge else { return first.polled(0) };

    // SETs that must not be sent are discarded before any are taken.
    let (mut seen, mut discarded, mut more) = (HashSet::new(), 0, false);
    while !more {
        let look = PollLimit { sets: limit.sets.saturating_add(1).max(LOOK_MIN), ..limit };
        let looked = poll.take(look, "look").await?;
        seen.extend(looked.sets.iter().map(|found| found.seq.0));
        let (unwanted, count) = poll.judge(&judge, &looked.sets).await?;
        discarded += count;
        if unwanted.is_empty() {
            break;
        }
        more = DISCARDED_MAX <= discarded;
    }
    let mut taken = poll.take(limit, "take").await?;
    if taken.sets.iter().any(|found| !seen.contains(&found.seq.0)) {
        // Further SETs have come meanwhile, or the next poll discards the rest.
        let (unwanted, count) = poll.judge(&judge, &taken.sets).await?;
        taken.sets.retain(|found| !unwanted.contains(&found.seq.0));
        discarded += count;
    }
    taken.more |= more;
    taken.polled(discarded)
}

pub(super) async fn acknowledge(
    slots: &Slots,
    stream: &StreamId,
    acknowledgement: &Acknowledgement,
    now: Timestamp,
) -> Result<Acknowledged, StoreError> {
    let Acknowledgement { acked, refused } = acknowledgement;
    let mut call =
        slots.call_for(&script::ACKNOWLEDGE, stream).arg(codec::time(now)).arg(acked.len());
    for jti in acked {
        call.push(jti.as_str());
    }
    for (jti, error) in refused {
        let detail = format!("{}: {}", error.err, error.description);
        call.push(jti.as_str());
        call.push(Reason::Refused(error.code).label());
        call.push(detail);
    }
    let (delivered, dead): (Vec<Vec<u8>>, Vec<usize>) = slots.run(call).await?;
    let delivered = delivered.iter().map(|at| codec::read_time(at)).collect::<Result<_, _>>()?;
    let dead = dead.into_iter().filter_map(|place| refused.get(place));
    Ok(Acknowledged { delivered, dead: dead.map(|(_, error)| error.code).collect() })
}
