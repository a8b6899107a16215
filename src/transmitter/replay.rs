//! Sends SETs of a stream again, because its Receiver lost them or processed them wrongly.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    clock,
    delivery::outbox::Seq,
    domain::{
        id::{Jti, StreamId},
        set::{reissued, repeated_jti},
        time::Timestamp,
    },
    store::archive::{KeptSet, Page, PageToken, Requeue, Since},
    telemetry::metrics,
};

use super::{RequestError, Transmitter, dead_letters::Handled};

/// Where a replay begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayFrom {
    /// With what was accepted then.
    Time(Timestamp),
    /// With this SET.
    Jti(Jti),
    /// With the SET at this place of the outbox, or the next.
    Position(Seq),
}

/// Under which `jti` a SET goes out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayJti {
    /// Its own, with the same claims: a Receiver that had it knows the repeat, and may drop it.
    Kept,
    /// Another, with the time of issue and all else as it was, `txn` too: a Receiver that had it
    /// takes it for a new one. The SET that was sent stays in the records.
    New,
}

/// A page of a replay.
#[derive(Debug, Clone)]
pub struct Replay {
    pub from: ReplayFrom,
    pub jti: ReplayJti,
    /// The position where the previous page ended, or `None` for the first page.
    pub after: Option<PageToken>,
    pub limit: usize,
    /// Only count what would be done.
    pub dry_run: bool,
}

impl Transmitter {
    /// Puts a page of what one stream was sent, or what died on it, into its outbox again, in order
    /// and behind all that waits there. It then goes the way of every SET; nothing else about the
    /// stream changes. A page is one step.
    pub async fn replay(&self, id: &StreamId, replay: Replay) -> Result<Handled, RequestError> {
        let stream = self.known(id)?;
        if stream.status.discards() {
            return Err(RequestError::Disabled);
        }
        let since = match &replay.after {
            // Where it goes on is said by the page before.
            Some(_) if !matches!(replay.from, ReplayFrom::Time(_)) => Since::default(),
            _ => self.since(id, &replay.from).await?,
        };
        let (run, after) = match (replay.jti, replay.after) {
            (ReplayJti::Kept, after) => (None, after),
            (ReplayJti::New, None) => (Some(clock::random_uuid()), None),
            (ReplayJti::New, Some(token)) => {
                let (run, token) = Run::split(&token).ok_or(RequestError::NoSuchPage)?;
                (Some(run), Some(token))
            }
        };
        let Page { sets, next } = self.store.retained(id, since, after, replay.limit).await?;
        let next = match run {
            Some(run) => next.map(|next| Run::join(run, &next)),
            None => next,
        };
        if replay.dry_run {
            return Ok(Handled { sets: sets.len(), left: 0, next });
        }
        let now = clock::now();
        let again: Vec<_> = sets.iter().filter_map(|set| repeat(set, run, now)).collect();
        let moved = self.store.requeue(id, again, now).await?;
        metrics::sets_replayed(&stream.provider, moved);
        self.wake(std::slice::from_ref(id), false);
        Ok(Handled { sets: moved, left: sets.len() - moved, next })
    }

    async fn since(&self, id: &StreamId, from: &ReplayFrom) -> Result<Since, RequestError> {
        match from {
            ReplayFrom::Time(accepted_at) => {
                Ok(Since { accepted_at: *accepted_at, seq: Seq::default() })
            }
            ReplayFrom::Position(seq) => Ok(Since { accepted_at: Timestamp::EPOCH, seq: *seq }),
            ReplayFrom::Jti(jti) => {
                let sets = self.store.kept_sets(vec![(id.clone(), jti.clone())]).await?;
                let own = sets.iter().find(|set| set.jti == *jti);
                let own = own.ok_or(RequestError::NothingKept)?;
                Ok(Since { accepted_at: Timestamp::EPOCH, seq: own.seq })
            }
        }
    }
}

/// How a SET goes out again; `None` if its claims are none of ours.
fn repeat(set: &KeptSet, run: Option<Uuid>, now: Timestamp) -> Option<Requeue> {
    let Some(run) = run else { return Some(Requeue::Same(set.seq)) };
    let jti = repeated_jti(&run, &set.stream, &set.jti);
    let claims = reissued(set.claims.as_deref()?, &jti, now)?;
    Some(Requeue::Copy { of: set.seq, jti, claims: Arc::from(claims) })
}

/// One replay under new `jti`s, which derive from its number. That travels with the page, so that
/// a page that is asked for twice makes no SET twice.
struct Run;

impl Run {
    fn join(run: Uuid, token: &PageToken) -> PageToken {
        format!("{}.{}", run.simple(), token.as_str()).into()
    }

    fn split(token: &PageToken) -> Option<(Uuid, PageToken)> {
        let (run, token) = token.as_str().split_once('.')?;
        Some((run.parse().ok()?, token.to_owned().into()))
    }
}
