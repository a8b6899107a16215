//! Operators look after dead letters: they list them, send them again, remove them. All of it goes
//! page by page, so that no call is long and whoever asks sets the pace.

use std::sync::Arc;

use crate::{
    clock,
    delivery::outbox::{Seq, SetKind},
    domain::{
        id::{Jti, ProviderName, StreamId},
        reason::StoredReason,
        stream::StreamConfig,
    },
    store::{
        StoreError,
        archive::{DeadCount, DeadFilter, KeptSet, Page, PageToken, Requeue, SetState},
    },
    telemetry::metrics,
};

use super::{RequestError, Transmitter};

/// A page of dead letters.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub filter: DeadFilter,
    /// The position where the previous page ended, or `None` for the first page.
    pub after: Option<PageToken>,
    pub limit: usize,
    /// Only count what would be done.
    pub dry_run: bool,
}

/// The result of a page of SETs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handled {
    /// So many were sent on their way or removed; or would be.
    pub sets: usize,
    /// So many were left as they are.
    pub left: usize,
    /// The position where the next page begins, if there may be one.
    pub next: Option<PageToken>,
}

impl Transmitter {
    /// Dead letters stream by stream, each stream's in order. A stream that there is not is not
    /// taken for one that has none: its id may be misspelt.
    pub async fn dead_letters(&self, selection: Selection) -> Result<Page, RequestError> {
        let Selection { filter, after, limit, .. } = selection;
        if let Some(stream) = &filter.stream {
            self.known(stream)?;
        }
        Ok(self.store.dead_letters(filter, after, limit).await?)
    }

    /// The dead letter of this `jti`.
    pub async fn dead_letter(&self, jti: &Jti) -> Result<KeptSet, RequestError> {
        let sets = self.store.sets_of_jti(jti).await?;
        let dead = |set: &KeptSet| matches!(set.state, SetState::Dead { .. });
        sets.into_iter().find(dead).ok_or(RequestError::NothingKept)
    }

    /// Puts a page of dead letters into the outboxes of their streams again, with their `jti`s and
    /// claims, behind all that waits there: those of one subject keep their order among themselves.
    /// One of a stream that is disabled is left, and so is a control event, which speaks of the
    /// stream as it was. Each stream's part is one step; whoever was interrupted begins anew.
    pub async fn redrive(&self, selection: Selection) -> Result<Handled, RequestError> {
        let dry_run = selection.dry_run;
        let Page { sets, next } = self.dead_letters(selection).await?;
        let mut handled = Handled { next, ..Handled::default() };
        for (stream, sets) in by_stream(&sets) {
            let moved = match self.open(stream) {
                None => 0,
                Some(_) if dry_run => sets.iter().filter(|set| set.kind == SetKind::Event).count(),
                Some(config) => {
                    let again = sets.iter().map(|set| Requeue::Same(set.seq)).collect();
                    let moved = self.store.requeue(stream, again, clock::now()).await?;
                    metrics::sets_redriven(&config.provider, moved);
                    self.wake(std::slice::from_ref(stream), false);
                    moved
                }
            };
            handled.sets += moved;
            handled.left += sets.len() - moved;
        }
        Ok(handled)
    }

    /// Removes a page of dead letters for good.
    pub async fn purge(&self, selection: Selection) -> Result<Handled, RequestError> {
        let dry_run = selection.dry_run;
        let Page { sets, next } = self.dead_letters(selection).await?;
        let mut handled = Handled { next, ..Handled::default() };
        for (stream, sets) in by_stream(&sets) {
            let gone = if dry_run {
                sets.len()
            } else {
                let seqs: Vec<Seq> = sets.iter().map(|set| set.seq).collect();
                self.store.purge(stream, seqs).await?
            };
            handled.sets += gone;
            handled.left += sets.len() - gone;
        }
        Ok(handled)
    }

    /// How many dead letters there are. A kind that there was before, and is not now, is counted as
    /// none.
    pub async fn count_dead_letters(&self) -> Result<Vec<DeadCount>, StoreError> {
        let mut counts = self.store.dead_counts().await?;
        let mut seen = self.seen_dead();
        let counted: Vec<_> = counts.iter().map(kind).collect();
        let gone = seen.iter().filter(|kind| !counted.contains(kind)).cloned();
        counts.extend(gone.map(|(provider, reason)| DeadCount { provider, reason, sets: 0 }));
        seen.extend(counted);
        Ok(counts)
    }

    /// A stream that takes SETs.
    pub(super) fn open(&self, id: &StreamId) -> Option<Arc<StreamConfig>> {
        self.directory.stream(id).filter(|stream| !stream.status.discards())
    }
}

/// A provider, and why its SETs are dead.
pub(super) type DeadKind = (ProviderName, StoredReason);

fn kind(count: &DeadCount) -> DeadKind {
    (count.provider.clone(), count.reason.clone())
}

/// SETs that stand together and are of one stream.
fn by_stream(sets: &[KeptSet]) -> impl Iterator<Item = (&StreamId, &[KeptSet])> {
    sets.chunk_by(|a, b| a.stream == b.stream).map(|sets| (&sets[0].stream, sets))
}
