//! The daemon, as far as it pushes. Its couriers are the very type that ships, and so is the pace of
//! its hosts; this world performs their actions in virtual time, as `ssfd::actor` does with threads,
//! sockets and a store.

mod known;
mod perform;
mod registry;

use std::{collections::BTreeMap, sync::Arc};

use ssfd::{
    delivery::{
        courier::{Attempt, Attempted, Changed, Courier, SigningBatch, StoreFailure, View},
        fault::Fault,
        outbox::{OutboxQuery, PendingSet, Settlement},
        outcome::Outcome,
        pace::HostPace,
    },
    domain::stream::{Revision, StreamConfig},
    store::Due,
};

pub(super) use self::known::{Known, endpoint_at, host_at};
use super::{
    stranger::Key,
    world::{Happening, World},
};

/// One incarnation of a stream's actor. Calls for another incarnation reach nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) stream: usize,
    birth: u64,
}

/// A message between parts of the daemon.
#[derive(Debug)]
pub(super) enum Call {
    Sweep {
        life: u32,
    },
    Wake {
        to: Address,
        control: bool,
    },
    /// Room at a host that was waited for.
    Granted {
        to: Address,
        host: usize,
        life: u32,
    },
    Tick {
        to: Address,
        number: u64,
    },
    /// The store does it, or fails.
    Read {
        to: Address,
        query: OutboxQuery,
    },
    ReadEnded {
        to: Address,
        due: Option<Due>,
    },
    Settle {
        to: Address,
        settlements: Vec<Settlement>,
    },
    SettleEnded {
        to: Address,
        recorded: Result<bool, StoreFailure>,
    },
    Pause {
        to: Address,
        version: u64,
        fault: Fault,
    },
    PauseEnded {
        to: Address,
        done: bool,
    },
    /// Claims are signed with a key, or it fails.
    Signed {
        to: Address,
        batch: SigningBatch,
        asked_at: Revision,
        fails: bool,
    },
    /// A push is where it was sent to.
    Arrive {
        number: u64,
    },
    PushEnded {
        to: Address,
        number: u64,
        outcome: Outcome,
    },
    /// Attempts that ended within a moment are told together.
    TellEnded {
        to: Address,
    },
}

/// A push that is under way.
pub(super) struct Wire {
    pub(super) stream: usize,
    pub(super) set: PendingSet,
    pub(super) endpoint: usize,
    key: Key,
    to: Address,
    arrived: bool,
    attempt: Attempt,
}

struct Actor {
    birth: u64,
    courier: Courier,
    /// Of the last view that the courier was given.
    revision: Revision,
    /// The stream in that view.
    stream: Option<Arc<StreamConfig>>,
    /// The stream was changed since the last input.
    starts_over: Option<Changed>,
    /// Room that the courier counts, by host.
    rooms: Vec<usize>,
    /// Reads and batches to be signed that are under way.
    preparing: u32,
    ended: Vec<Attempted>,
    tick: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Down,
    Up,
    /// No attempt begins any more.
    Draining,
}

/// The process. Nothing of it survives.
#[derive(Default)]
pub(super) struct Node {
    pub(super) life: u32,
    phase: Phase,
    /// A hint was lost, so that the next sweep is needed.
    pub(super) sweep_due: bool,
    /// The lease was confirmed lately.
    pub(super) leased: bool,
    known: Vec<Known>,
    actors: Vec<Option<Actor>>,
    pub(super) hosts: Vec<HostPace>,
    pub(super) wire: BTreeMap<u64, Wire>,
    /// For births, ticks and pushes.
    count: u64,
}

impl Node {
    pub(super) fn is_up(&self) -> bool {
        self.phase != Phase::Down
    }

    pub(super) fn known(&self, stream: usize) -> &Known {
        &self.known[stream]
    }

    pub(super) fn start(&mut self, known: Vec<Known>, hosts: Vec<HostPace>) {
        self.life += 1;
        (self.phase, self.sweep_due, self.leased) = (Phase::Up, true, true);
        self.actors = known.iter().map(|_| None).collect();
        (self.known, self.hosts) = (known, hosts);
    }

    pub(super) fn die(&mut self) {
        self.phase = Phase::Down;
        self.actors.clear();
        self.wire.clear();
    }

    pub(super) fn learn(&mut self, stream: usize, known: Known) {
        self.known[stream] = known;
    }

    pub(super) fn keys_replaced(&mut self, count: u64) {
        for known in &mut self.known {
            known.key_changes = count;
        }
    }

    /// Nothing under way, and no actor left.
    pub(super) fn is_silent(&self) -> bool {
        self.is_up()
            && self.wire.is_empty()
            && self.actors.iter().all(Option::is_none)
            && self.hosts.iter().all(HostPace::is_idle)
    }

    /// No push is under way, and every courier has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.wire.is_empty() && self.actors.iter().all(Option::is_none)
    }

    fn next_number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn actor(&mut self, at: Address) -> Option<&mut Actor> {
        let actor = self.actors.get_mut(at.stream)?.as_mut()?;
        (actor.birth == at.birth).then_some(actor)
    }
}

impl World {
    fn say(&mut self, millis: std::ops::RangeInclusive<u64>, call: Call) {
        self.after(millis, Happening::Call(call));
    }

    fn view(&self, stream: usize) -> View {
        let known = self.node.known(stream);
        View {
            now: self.agenda.now(),
            ages_by: self.agenda.now(),
            revision: known.revision(),
            stream: known.stream.as_ref().map(Arc::clone),
            new_key: None,
            may_begin: self.is_leased(stream),
        }
    }

    pub(super) fn call(&mut self, call: Call) {
        match call {
            Call::Sweep { life } if life == self.node.life && self.node.is_up() => self.sweep(),
            Call::Sweep { .. } => {}
            Call::Wake { to, control } => {
                if self.node.actor(to).is_none() {
                    self.node.sweep_due = true;
                }
                self.input(to, |courier, view| courier.on_wake(control, view));
            }
            Call::Granted { life, .. } if life != self.node.life || !self.node.is_up() => {}
            Call::Granted { to, host, .. } => self.granted(to, host),
            Call::Tick { to, number } => {
                if self.node.actor(to).is_some_and(|actor| actor.tick == number) {
                    self.input(to, Courier::on_tick);
                }
            }
            Call::Read { to, query } => self.read(to, &query),
            Call::ReadEnded { to, due } => self.prepared(to, |courier, view| match due {
                Some(due) => courier.on_read(due.sets, due.next_retry, view),
                None => courier.on_read_failed(StoreFailure::Unavailable, view),
            }),
            Call::Settle { to, settlements } => self.settle(to, &settlements),
            Call::SettleEnded { to, recorded } => self.input(to, |courier, view| match recorded {
                Ok(goes_on) => courier.on_settled(goes_on, view),
                Err(failure) => courier.on_settle_failed(failure, view),
            }),
            Call::Pause { to, version, fault } => self.pause(to, version, &fault),
            Call::PauseEnded { to, done } => {
                self.input(to, |courier, view| courier.on_pause_ended(done, view));
            }
            Call::Signed { to, batch, asked_at, fails } => {
                self.signed(to, &batch, asked_at, fails);
            }
            Call::Arrive { number } => self.arrive(number),
            Call::PushEnded { to, number, outcome } => self.push_ended(to, number, outcome),
            Call::TellEnded { to } => self.tell_ended(to),
        }
    }
}
