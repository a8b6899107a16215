//! Reads SETs to be sent, and discards those of types that their stream no longer asks for.

use super::{Due, Outbox, Polled, StoreError, Streams};
use crate::{
    delivery::{
        outbox::{OutboxQuery, PendingSet, Seq, SetKind},
        poll::PollLimit,
    },
    domain::{judgement::still_requested, reason::Reason, stream::StreamConfig, time::Timestamp},
};

/// Reads what a push stream can send now, as [`Outbox::read_due`] does.
pub async fn read_due<S: Outbox + Streams + ?Sized>(
    store: &S,
    stream: &StreamConfig,
    query: &OutboxQuery,
    now: Timestamp,
) -> Result<Due, StoreError> {
    let (mut discarded, mut unrequested) = (0, 0);
    loop {
        let due = store.read_due(&stream.id, query.clone(), now).await?;
        discarded += due.discarded;
        let gone = unrequested_of(store, stream, &due.sets).await?;
        if gone.is_empty() {
            return Ok(Due { discarded, unrequested, ..due });
        }
        // Other SETs may take their places.
        unrequested += store.discard(&stream.id, gone, Reason::NotRequested, now).await?;
    }
}

/// Takes the SETs that a poll hands out, as [`Outbox::take_for_poll`] does.
pub async fn take_for_poll<S: Outbox + Streams + ?Sized>(
    store: &S,
    stream: &StreamConfig,
    limit: PollLimit,
    now: Timestamp,
    hidden_until: Timestamp,
) -> Result<Polled, StoreError> {
    let (mut discarded, mut unrequested) = (0, 0);
    loop {
        let mut polled = store.take_for_poll(&stream.id, limit, now, hidden_until).await?;
        discarded += polled.discarded;
        let gone = unrequested_of(store, stream, &polled.sets).await?;
        if !gone.is_empty() {
            polled.sets.retain(|set| !gone.contains(&set.seq));
            unrequested += store.discard(&stream.id, gone, Reason::NotRequested, now).await?;
            if polled.sets.is_empty() {
                // Other SETs may take their places.
                continue;
            }
        }
        return Ok(Polled { discarded, unrequested, ..polled });
    }
}

/// Returns the SETs whose type the stream does not ask for.
async fn unrequested_of<S: Streams + ?Sized>(
    store: &S,
    stream: &StreamConfig,
    sets: &[PendingSet],
) -> Result<Vec<Seq>, StoreError> {
    // A stream that was never changed asks for what it asked for when its SETs were made.
    if stream.version == 1 {
        return Ok(Vec::new());
    }
    let is_gone = |stream: &StreamConfig, set: &PendingSet| {
        set.kind == SetKind::Event && !still_requested(stream, &set.claims)
    };
    let doubtful: Vec<_> = sets.iter().filter(|set| is_gone(stream, set)).collect();
    if doubtful.is_empty() {
        return Ok(Vec::new());
    }
    // The SETs were read before the stream is read here. A SET of a type that another node has just
    // added to the stream is therefore not among those that are discarded.
    let Some(stored) = store.stream(&stream.id).await? else { return Ok(Vec::new()) };
    let gone = doubtful.into_iter().filter(|set| is_gone(&stored, set));
    Ok(gone.map(|set| set.seq).collect())
}
