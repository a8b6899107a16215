//! One stream as the store keeps it: an outbox in memory that does what the doc comments of
//! `ssfd::store::Store` say. `tests/it/store_contract.rs` holds the backends to the same.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use ssfd::{
    delivery::{
        lane::Lane,
        outbox::{Disposition, OutboxQuery, PendingSet, Seq, SetKind, Settlement},
    },
    domain::{
        reason::Reason,
        status::{Announce, Initiator, StreamStatus},
        time::Timestamp,
    },
    store::Due,
};

/// Where control events and announcements belong: the subject is the stream itself.
pub(super) const OWN_LANE: Lane = Lane::from_i64(-1);

/// The durable result of a SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Waits,
    Delivered,
    Dead { reason: Reason },
    Discarded(Why),
}

/// Why a SET is neither delivered nor dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Disabled,
    Deleted,
    SubjectRemoved,
    /// An announcement that a further change made untrue.
    Withdrawn,
}

pub(super) struct Row {
    pub(super) set: PendingSet,
    pub(super) fate: Fate,
}

/// The part of a stream's configuration that pushing depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) version: u64,
    pub(super) status: StreamStatus,
    pub(super) reason: Option<String>,
    /// The stranger that gets the SETs.
    pub(super) endpoint: usize,
}

impl Config {
    pub(super) fn is_enabled(&self) -> bool {
        self.status == StreamStatus::Enabled
    }

    pub(super) fn lets_through(&self, kind: SetKind) -> bool {
        self.is_enabled() || kind == SetKind::Announcement
    }
}

pub(super) struct Outbox {
    /// `None` once the stream is deleted.
    pub(super) config: Option<Config>,
    pub(super) removed: BTreeSet<Lane>,
    /// In the order of their numbers, from 1.
    rows: Vec<Row>,
    /// SETs that wait, by rank of kind and lane. No queue is empty.
    lanes: BTreeMap<(u8, Lane), VecDeque<Seq>>,
}

const KINDS: [SetKind; 3] = [SetKind::Announcement, SetKind::Control, SetKind::Event];

fn rank(kind: SetKind) -> u8 {
    match kind {
        SetKind::Announcement => 0,
        SetKind::Control => 1,
        SetKind::Event => 2,
    }
}

impl Outbox {
    pub(super) fn new(endpoint: usize) -> Self {
        let status = StreamStatus::Enabled;
        let config = Config { version: 1, status, reason: None, endpoint };
        Self {
            config: Some(config),
            removed: BTreeSet::new(),
            rows: Vec::new(),
            lanes: BTreeMap::new(),
        }
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn row(&self, seq: Seq) -> &Row {
        &self.rows[index(seq)]
    }

    /// The oldest of a lane that waits.
    pub(super) fn head(&self, kind: SetKind, lane: Lane) -> Option<Seq> {
        self.lanes.get(&(rank(kind), lane))?.front().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// `false` if the stream does not take it.
    pub(super) fn append(&mut self, lane: Lane, kind: SetKind, now: Timestamp) -> bool {
        let takes = self.config.as_ref().is_some_and(|c| c.status != StreamStatus::Disabled);
        let takes = takes && !self.removed.contains(&lane);
        if takes {
            self.insert(lane, kind, now);
        }
        takes
    }

    fn insert(&mut self, lane: Lane, kind: SetKind, now: Timestamp) {
        let seq = Seq(i64::try_from(self.rows.len()).expect("few") + 1);
        let set = PendingSet {
            seq,
            jti: format!("j{}", seq.0).parse().expect("a valid jti"),
            lane,
            kind,
            claims: Arc::from("{}"),
            appended_at: now,
            attempts: 0,
            due_at: now,
        };
        self.rows.push(Row { set, fate: Fate::Waits });
        self.lanes.entry((rank(kind), lane)).or_default().push_back(seq);
    }

    /// Ends the wait of a SET; `true` if another of its lane is the head now.
    fn end(&mut self, seq: Seq, fate: Fate) -> bool {
        let row = &mut self.rows[index(seq)];
        row.fate = fate;
        let key = (rank(row.set.kind), row.set.lane);
        let lane = self.lanes.get_mut(&key).expect("what waits is in its lane");
        let was_head = lane.front() == Some(&seq);
        lane.retain(|other| *other != seq);
        let goes_on = was_head && !lane.is_empty();
        if lane.is_empty() {
            self.lanes.remove(&key);
        }
        goes_on
    }

    fn end_all(&mut self, which: impl Fn(&PendingSet) -> bool, why: Why) {
        let waiting = self.lanes.values().flatten().copied();
        let ended: Vec<_> = waiting.filter(|seq| which(&self.row(*seq).set)).collect();
        for seq in ended {
            self.end(seq, Fate::Discarded(why));
        }
    }

    /// The heads of the lanes that may go out.
    fn heads(&self) -> impl Iterator<Item = &PendingSet> {
        let heads = self.lanes.values().filter_map(|lane| lane.front());
        let heads = heads.map(|seq| &self.row(*seq).set);
        let config = self.config.as_ref();
        heads.filter(move |set| config.is_some_and(|config| config.lets_through(set.kind)))
    }

    pub(super) fn read_due(&mut self, reading: &OutboxQuery, now: Timestamp) -> Due {
        if self.config.as_ref().is_some_and(Config::is_enabled) {
            self.discard_removed(&reading.busy);
        }
        let mut sets = Vec::new();
        for kind in KINDS {
            let (limit, retries) = match kind {
                SetKind::Event => (reading.fresh + reading.retries, reading.retries),
                SetKind::Control | SetKind::Announcement => {
                    (OutboxQuery::CONTROL_MAX, OutboxQuery::CONTROL_MAX / 2)
                }
            };
            let free = self.heads().filter(|set| set.kind == kind);
            let free = free.filter(|set| !reading.busy.contains(&set.seq));
            let (mut fresh, mut failed): (Vec<_>, Vec<_>) = free.partition(|set| set.attempts == 0);
            failed.retain(|set| set.due_at <= now);
            failed.sort_by_key(|set| (set.due_at, set.seq));
            failed.truncate(limit);
            fresh.sort_by_key(|set| set.seq);
            fresh.truncate(limit - failed.len().min(retries));
            failed.truncate(limit - fresh.len());
            sets.extend(failed.into_iter().chain(fresh).cloned());
        }
        let later = self.heads().filter(|set| set.attempts != 0 && now < set.due_at);
        let next_retry = later.map(|set| set.due_at).min();
        Due { sets, next_retry, discarded: 0, unrequested: 0 }
    }

    /// Discards SETs about subjects that are not on the stream any more, except in lanes that are busy.
    fn discard_removed(&mut self, busy: &[Seq]) {
        let busy: BTreeSet<_> = busy.iter().map(|seq| self.row(*seq).set.lane).collect();
        let removed: BTreeSet<_> = self.removed.difference(&busy).copied().collect();
        self.end_all(|set| removed.contains(&set.lane), Why::SubjectRemoved);
    }

    /// Whether there is a SET to send, of those that were tried before and, if asked for, the others.
    pub(super) fn has_work(&self, fresh: bool, now: Timestamp) -> bool {
        self.heads().any(|set| if set.attempts == 0 { fresh } else { set.due_at <= now })
    }

    pub(super) fn settle(&mut self, settlements: &[Settlement]) -> bool {
        let mut goes_on = false;
        let current = self.config.as_ref().map(|config| config.version);
        for Settlement { seq, disposition, version } in settlements {
            let row = &mut self.rows[index(*seq)];
            if row.fate != Fate::Waits {
                continue;
            }
            match disposition {
                Disposition::Delivered => goes_on |= self.end(*seq, Fate::Delivered),
                Disposition::Dead { reason, .. } | Disposition::GivenUp { reason, .. } => {
                    goes_on |= self.end(*seq, Fate::Dead { reason: *reason });
                }
                Disposition::RetryAt { due_at, .. } => {
                    row.set.attempts += 1;
                    let judged = current == Some(*version);
                    row.set.due_at = if judged { *due_at } else { row.set.appended_at };
                }
            }
        }
        goes_on
    }

    pub(super) fn change_status(
        &mut self,
        to: StreamStatus,
        by: Initiator,
        reason: &str,
        now: Timestamp,
    ) {
        let Some(config) = &mut self.config else { return };
        let from = config.status;
        config.version += 1;
        config.status = to;
        config.reason = (to != StreamStatus::Enabled).then(|| reason.to_owned());
        let announced = self.head(SetKind::Announcement, OWN_LANE).is_some();
        self.end_all(|set| set.kind == SetKind::Announcement, Why::Withdrawn);
        if to.discards() {
            self.end_all(|_| true, Why::Disabled);
        }
        if from != StreamStatus::Enabled && to == StreamStatus::Enabled {
            self.make_due();
        }
        match from.announced(to, by) {
            Announce::Always => self.insert(OWN_LANE, SetKind::Announcement, now),
            Announce::Instead if announced => self.insert(OWN_LANE, SetKind::Announcement, now),
            Announce::Instead | Announce::Never => {}
        }
    }

    pub(super) fn move_to(&mut self, endpoint: usize) {
        let Some(config) = &mut self.config else { return };
        config.version += 1;
        if config.endpoint != endpoint {
            config.endpoint = endpoint;
            self.make_due();
        }
    }

    fn make_due(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.fate == Fate::Waits) {
            row.set.due_at = row.set.appended_at;
        }
    }

    pub(super) fn delete(&mut self) {
        self.config = None;
        self.end_all(|_| true, Why::Deleted);
    }
}

fn index(seq: Seq) -> usize {
    usize::try_from(seq.0 - 1).expect("numbers begin at 1")
}
