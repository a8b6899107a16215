//! Reads the SETs of a stream that wait, by the calls with which `ssfd store copy` reads a store.

use ssfd::{
    delivery::outbox::{PendingSet, SetKind},
    domain::{id::StreamId, status::StreamStatus},
    store::{Store, archive::SetState, portable::WholeSet},
};

/// How many SETs are read in one call.
const CHUNK: usize = 500;

/// Returns the SETs of a stream that wait and may go out: the announcement, then control events, then
/// events, each in the order of appending. A stream that is not enabled sends its announcement alone.
pub(crate) async fn waiting_sets(store: &dyn Store, id: &StreamId) -> Vec<PendingSet> {
    loop {
        if let Some(waiting) = try_read(store, id).await {
            return waiting;
        }
    }
}

/// Returns `None` if a SET went while it was read.
async fn try_read(store: &dyn Store, id: &StreamId) -> Option<Vec<PendingSet>> {
    let Some(stream) = store.stream(id).await.expect("readable") else { return Some(Vec::new()) };
    let numbers = store.set_numbers(id).await.expect("readable");
    let mut waiting = Vec::new();
    for some in numbers.chunks(CHUNK) {
        let sets = store.numbered_sets(id, some.to_vec()).await.expect("readable");
        if sets.len() != some.len() {
            return None;
        }
        let pending = some.iter().zip(sets).filter_map(|(seq, set)| {
            let WholeSet { state: SetState::Waiting { due_at, .. }, claims, .. } = set else {
                return None;
            };
            Some(PendingSet {
                seq: *seq,
                jti: set.jti,
                lane: set.lane,
                kind: set.kind,
                claims: claims.expect("a SET that waits has claims"),
                appended_at: set.appended_at,
                attempts: set.attempts,
                due_at,
            })
        });
        waiting.extend(pending);
    }
    let is_enabled = stream.status == StreamStatus::Enabled;
    waiting.retain(|set| is_enabled || set.kind == SetKind::Announcement);
    waiting.sort_by_key(|set| {
        let rank = [SetKind::Announcement, SetKind::Control, SetKind::Event];
        (rank.iter().position(|kind| *kind == set.kind), set.seq)
    });
    Some(waiting)
}
