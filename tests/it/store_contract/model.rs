//! An outbox as plainly as it can be said, and random histories to hold a backend against it.

use std::collections::{BTreeSet, HashMap};

use proptest::{collection::vec, prelude::*, sample::Index};
use ssfd::{
    domain::{set_error::SetError, status::Announce},
    store::Acknowledgement,
};

use super::*;

/// One step in the life of a stream.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// SETs by number, which may have come before; the odd ones are control events.
    Append(Vec<u8>),
    Settle(Vec<(Index, Ending)>),
    Poll {
        limit: usize,
    },
    Acknowledge {
        acked: Vec<u8>,
        refused: Vec<u8>,
    },
    Wait {
        secs: u64,
    },
    Deliver {
        by_poll: bool,
    },
    Turn {
        to: StreamStatus,
        announce: Announce,
    },
    Restart,
}

/// A [`Disposition`] to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    Delivered,
    Dead,
    RetryIn { secs: u64 },
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let result = prop_oneof![
        Just(Ending::Delivered),
        Just(Ending::Dead),
        (0..20_u64).prop_map(|secs| Ending::RetryIn { secs }),
    ];
    let number = 0..40_u8;
    let status = prop_oneof![
        4 => Just(StreamStatus::Enabled),
        2 => Just(StreamStatus::Paused),
        1 => Just(StreamStatus::Disabled),
    ];
    let announce =
        prop_oneof![Just(Announce::Never), Just(Announce::Instead), Just(Announce::Always)];
    let step = prop_oneof![
        4 => vec(number.clone(), 1..6).prop_map(Step::Append),
        3 => vec((any::<Index>(), result), 1..4).prop_map(Step::Settle),
        3 => (0..4_usize).prop_map(|limit| Step::Poll { limit }),
        2 => (vec(number.clone(), 0..4), vec(number, 0..2))
            .prop_map(|(acked, refused)| Step::Acknowledge { acked, refused }),
        2 => (1..40_u64).prop_map(|secs| Step::Wait { secs }),
        2 => any::<bool>().prop_map(|by_poll| Step::Deliver { by_poll }),
        2 => (status, announce).prop_map(|(to, announce)| Step::Turn { to, announce }),
        1 => Just(Step::Restart),
    ];
    vec(step, 1..30)
}

/// One SET, in the order of appending; it stays when it is settled, so that its `jti` is known.
struct Kept {
    set: NewSet,
    appended_at: Timestamp,
    due_at: Timestamp,
    attempts: u32,
    waits: bool,
}

struct Model {
    kept: Vec<Kept>,
    now: Timestamp,
    status: StreamStatus,
    by_poll: bool,
}

impl Model {
    fn waiting(&mut self) -> Vec<&mut Kept> {
        self.kept.iter_mut().filter(|kept| kept.waits).collect()
    }

    /// Returns the SETs that may be sent, control events first.
    fn outgoing(&mut self) -> Vec<&mut Kept> {
        let all = self.status == StreamStatus::Enabled;
        let mut outgoing = self.waiting();
        outgoing.retain(|kept| all || kept.set.kind == SetKind::Announcement);
        // Stable, and so each kind stays in order.
        outgoing.sort_by_key(|kept| match kept.set.kind {
            SetKind::Announcement => 0,
            SetKind::Control => 1,
            SetKind::Event => 2,
        });
        outgoing
    }

    /// Returns how many SETs are discarded.
    fn turn(&mut self, to: StreamStatus, announcement: &Announcement) -> u64 {
        let before = self.waiting().len();
        self.kept.retain(|kept| !(kept.waits && kept.set.kind == SetKind::Announcement));
        let left = self.waiting().len();
        if to == StreamStatus::Disabled {
            // Their `jti`s stay known.
            self.kept.iter_mut().for_each(|kept| kept.waits = false);
        }
        let discarded = left - self.waiting().len();
        let resumes = self.status != StreamStatus::Enabled && to == StreamStatus::Enabled;
        if resumes && !self.by_poll {
            self.make_due();
        }
        self.status = to;
        match announcement {
            Announcement::New(set) => self.put(set.clone()),
            Announcement::Instead(set) if left < before => self.put(set.clone()),
            Announcement::Instead(_) | Announcement::None => {}
        }
        discarded as u64
    }

    fn deliver(&mut self, by_poll: bool) {
        if self.by_poll != by_poll {
            self.by_poll = by_poll;
            self.make_due();
        }
    }

    fn make_due(&mut self) {
        for kept in self.waiting() {
            kept.due_at = kept.appended_at;
        }
    }

    fn append(&mut self, set: NewSet) {
        if self.status != StreamStatus::Disabled {
            self.put(set);
        }
    }

    fn put(&mut self, set: NewSet) {
        if self.kept.iter().all(|kept| kept.set.jti != set.jti) {
            let (appended_at, due_at) = (self.now, self.now);
            self.kept.push(Kept { set, appended_at, due_at, attempts: 0, waits: true });
        }
    }

    fn settle(&mut self, name: &Jti, result: Ending) {
        let now = self.now;
        let Some(kept) = self.waiting().into_iter().find(|kept| kept.set.jti == *name) else {
            return;
        };
        match result {
            Ending::Delivered | Ending::Dead => kept.waits = false,
            Ending::RetryIn { secs } => {
                kept.attempts += 1;
                kept.due_at = now + Duration::from_secs(secs);
            }
        }
    }

    fn poll(&mut self, limit: usize) -> (Vec<Jti>, bool) {
        let now = self.now;
        let mut heads = HashMap::new();
        let mut due: Vec<_> = self.outgoing();
        due.retain(|kept| {
            let head = *heads.entry((kept.set.kind, kept.set.lane)).or_insert(kept.due_at);
            kept.due_at <= now && (kept.set.kind != SetKind::Event || head <= now)
        });
        let more = limit < due.len();
        due.truncate(limit);
        for kept in &mut due {
            kept.due_at = now + HIDDEN;
        }
        (due.into_iter().map(|kept| kept.set.jti.clone()).collect(), more)
    }
}

const HIDDEN: Duration = Duration::from_secs(30);

fn numbered(number: u8) -> NewSet {
    let name = format!("j{number}");
    let lane = i64::from(number % 6);
    let set = if number.is_multiple_of(2) { set("st_1", &name) } else { control("st_1", &name) };
    in_lane(lane, set)
}

/// Lives through the steps with a backend and the model side by side.
pub(super) async fn replay(backend: impl Backend, steps: Vec<Step>) {
    let mut store = backend.open().await;
    let mut stream = push_stream("st_1");
    create(&*store, vec![stream.clone()]).await;
    let pushed = stream.delivery.clone();
    let mut model = Model { kept: vec![], now: NOW, status: StreamStatus::Enabled, by_poll: false };
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Append(numbers) => {
                let sets = numbers.into_iter().map(numbered);
                sets.clone().for_each(|set| model.append(set));
                let events = sets.map(|set| event(vec![set])).collect();
                append(&*store, events, model.now).await;
            }
            Step::Settle(results) => {
                let waiting = pending(&*store, "st_1").await;
                if waiting.is_empty() {
                    continue;
                }
                let results = results.iter().map(|(index, result)| (index.get(&waiting), *result));
                let mut settlements = Vec::new();
                for (PendingSet { seq, jti, .. }, result) in results {
                    model.settle(jti, result);
                    let disposition = match result {
                        Ending::Delivered => Disposition::Delivered,
                        Ending::Dead => dead(),
                        Ending::RetryIn { secs } => retry_at(model.now + Duration::from_secs(secs)),
                    };
                    settlements.push(Settlement {
                        seq: *seq,
                        disposition,
                        version: stream.version,
                    });
                }
                store.settle(&stream.id, settlements, model.now).await.expect("settled");
            }
            Step::Poll { limit } if model.by_poll => {
                let now = model.now;
                let polled =
                    store.take_for_poll(&stream.id, PollLimit::of(limit), now, now + HIDDEN).await;
                let polled = polled.expect("taken");
                let taken = polled.sets.into_iter().map(|set| set.jti).collect();
                assert_eq!((taken, polled.more), model.poll(limit));
            }
            Step::Acknowledge { acked, refused } => {
                let jtis = |numbers: &[u8]| -> Vec<Jti> {
                    numbers.iter().map(|number| numbered(*number).jti).collect()
                };
                let (acked, refused) = (jtis(&acked), jtis(&refused));
                let before = model.waiting().len();
                for (jti, result) in acked.iter().map(|jti| (jti, Ending::Delivered)) {
                    model.settle(jti, result);
                }
                let delivered = before - model.waiting().len();
                for jti in &refused {
                    model.settle(jti, Ending::Dead);
                }
                let dead = before - delivered - model.waiting().len();
                let error = SetError::new("x", "y");
                let refused = refused.into_iter().map(|jti| (jti, error.clone())).collect();
                let acknowledgement = Acknowledgement { acked, refused };
                let done = store.acknowledge(&stream.id, acknowledgement, model.now).await;
                let done = done.expect("acknowledged");
                assert_eq!((done.delivered.len(), done.dead.len()), (delivered, dead));
            }
            // A push stream cannot be polled.
            Step::Poll { .. } => {}
            Step::Wait { secs } => model.now = model.now + Duration::from_secs(secs),
            Step::Deliver { by_poll } => {
                stream.version += 1;
                stream.delivery = if by_poll { Delivery::Poll } else { pushed.clone() };
                store.update_stream(stream.clone()).await.expect("changed");
                model.deliver(by_poll);
            }
            Step::Turn { to, announce } => {
                stream = stream.with_status(to, None);
                let set = announcement("st_1", &format!("a{n}"));
                let announcement = match announce {
                    Announce::Never => Announcement::None,
                    Announce::Instead => Announcement::Instead(set),
                    Announce::Always => Announcement::New(set),
                };
                let expected = model.turn(to, &announcement);
                let changed = store.change_status(stream.clone(), announcement, model.now).await;
                assert_eq!(changed.expect("changed"), expected);
            }
            Step::Restart => {
                drop(store);
                store = backend.open().await;
            }
        }
        compare(&*store, &mut model).await;
    }
}

/// Returns the SETs that can be pushed, in the order in which they are read, and the time of the
/// next retry.
fn due<'a>(outgoing: &'a [&mut Kept], now: Timestamp) -> (Vec<&'a str>, Option<Timestamp>) {
    let mut lanes = BTreeSet::new();
    let heads: Vec<&Kept> =
        outgoing.iter().map(|kept| &**kept).filter(|kept| lanes.insert(kept.set.lane)).collect();
    let of = |kind: SetKind| {
        let mut failed: Vec<_> = heads.iter().filter(|kept| kept.set.kind == kind).collect();
        failed.retain(|kept| kept.attempts != 0 && kept.due_at <= now);
        failed.sort_by_key(|kept| kept.due_at);
        let fresh = heads.iter().filter(move |kept| kept.set.kind == kind && kept.attempts == 0);
        failed.into_iter().chain(fresh)
    };
    let due = of(SetKind::Announcement).chain(of(SetKind::Control)).chain(of(SetKind::Event));
    let due = due.map(|kept| kept.set.jti.as_str());
    let later = heads.iter().filter(|kept| kept.attempts != 0 && now < kept.due_at);
    (due.collect(), later.map(|kept| kept.due_at).min())
}

async fn compare(store: &dyn Store, model: &mut Model) {
    let (now, by_poll) = (model.now, model.by_poll);
    let waiting = model.waiting();
    let waits = (waiting.len() as u64, waiting.iter().map(|kept| kept.appended_at).min());
    let outgoing = model.outgoing();
    let found = pending(store, "st_1").await;
    assert_eq!(found.len(), outgoing.len());
    for (found, kept) in found.iter().zip(&outgoing) {
        let expected = PendingSet {
            seq: found.seq,
            jti: kept.set.jti.clone(),
            lane: kept.set.lane,
            kind: kept.set.kind,
            claims: Arc::clone(&kept.set.claims),
            appended_at: kept.appended_at,
            attempts: kept.attempts,
            due_at: kept.due_at,
        };
        assert_eq!(*found, expected);
    }
    let with_work = store.streams_with_work(now, SlotSet::ALL).await.expect("readable");
    if by_poll {
        let next_due = outgoing.iter().map(|kept| kept.due_at).filter(|at| now < *at).min();
        assert_eq!(store.next_due(&id("st_1"), now).await.expect("readable"), next_due);
        assert_eq!(with_work, []);
    } else {
        let (due, next_retry) = due(&outgoing, now);
        assert_eq!(!with_work.is_empty(), !due.is_empty());
        let read = store.read_due(&id("st_1"), up_to(100), now).await.expect("readable");
        assert_eq!((names(&read.sets), read.next_retry), (due, next_retry));
    }
    let backlog = store.backlog().await.expect("readable");
    let counted = backlog.first().map(|backlog| (backlog.sets, backlog.oldest));
    assert_eq!(counted, waits.1.is_some().then_some(waits));
    let waiting = store.waiting(&id("st_1")).await.expect("readable");
    assert_eq!((waiting.sets, waiting.oldest), waits);
}
