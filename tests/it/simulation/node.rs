//! The daemon, as far as it pushes: one actor per stream with work performs what its machine
//! decides, as `ssfd::actor` does with threads, sockets and a store.

mod attempt;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ssfd::{
    delivery::{
        fault::Fault,
        lane::Lane,
        machine::{Action, Change, Flow, StreamMachine},
        outbox::{OutboxQuery, PendingSet, Seq, Settlement},
        outcome::Outcome,
        pace::{HostPace, Load},
    },
    domain::status::{Initiator, StreamStatus},
    store::Due,
};

use super::{
    outbox::{Config, Outbox},
    stranger::Key,
    world::{Happening, World},
};

/// How long an actor waits before it calls upon a store that failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// One incarnation of a stream's actor. What is addressed to another reaches nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) stream: usize,
    birth: u64,
}

/// What the daemon's parts say to one another.
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
    /// After the store failed.
    Again {
        to: Address,
    },
    Idle {
        to: Address,
        number: u64,
    },
    /// The store does it, or fails.
    Read {
        to: Address,
        reading: OutboxQuery,
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
        goes_on: Option<bool>,
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
    PauseFailed {
        to: Address,
    },
    Signed {
        to: Address,
        attempts: Vec<Attempt>,
        key: Option<Key>,
        judged_at: Revision,
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
}

/// A SET, and the room for the attempt at it.
type Attempt = (PendingSet, usize);

/// As `ssfd::directory` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Revision {
    version: u64,
    removals: usize,
}

/// What the daemon knows of a stream.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) config: Option<Config>,
    pub(super) removed: BTreeSet<Lane>,
}

impl Known {
    pub(super) fn of(outbox: &Outbox) -> Self {
        Self { config: outbox.config.clone(), removed: outbox.removed.clone() }
    }

    fn flow(&self) -> Flow {
        self.config.as_ref().map_or(Flow::Nothing, Config::flow)
    }

    fn endpoint(&self) -> Option<usize> {
        self.config.as_ref().map(|config| config.endpoint)
    }

    fn revision(&self) -> Revision {
        let version = self.config.as_ref().map_or(0, |config| config.version);
        Revision { version, removals: self.removed.len() }
    }
}

/// A push that is under way.
pub(super) struct Wire {
    pub(super) stream: usize,
    pub(super) set: PendingSet,
    pub(super) endpoint: usize,
    key: Key,
    to: Address,
    arrived: bool,
}

struct Actor {
    birth: u64,
    machine: StreamMachine,
    revision: Revision,
    /// With which key SETs that wait for a retry are signed.
    signed: BTreeMap<Seq, Key>,
    granted: Vec<usize>,
    tick: u64,
    idle: Option<u64>,
}

/// The process. Nothing of it survives.
#[derive(Default)]
pub(super) struct Node {
    pub(super) life: u32,
    up: bool,
    draining: bool,
    known: Vec<Known>,
    actors: Vec<Option<Actor>>,
    pub(super) hosts: Vec<HostPace>,
    pub(super) wire: BTreeMap<u64, Wire>,
    /// For births, ticks and pushes.
    count: u64,
}

impl Node {
    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    pub(super) fn known(&self, stream: usize) -> &Known {
        &self.known[stream]
    }

    pub(super) fn start(&mut self, known: Vec<Known>, hosts: Vec<HostPace>) {
        self.life += 1;
        (self.up, self.draining) = (true, false);
        self.actors = known.iter().map(|_| None).collect();
        (self.known, self.hosts) = (known, hosts);
    }

    pub(super) fn die(&mut self) {
        self.up = false;
        self.actors.clear();
        self.wire.clear();
    }

    pub(super) fn learn(&mut self, stream: usize, outbox: &Outbox) {
        self.known[stream] = Known::of(outbox);
    }

    /// Nothing under way, and no actor left.
    pub(super) fn is_silent(&self) -> bool {
        self.up
            && self.wire.is_empty()
            && self.actors.iter().all(Option::is_none)
            && self.hosts.iter().all(HostPace::is_idle)
    }

    /// Nothing under way, and no result that is not recorded.
    pub(super) fn is_quiet(&self) -> bool {
        self.wire.is_empty() && self.actors.iter().flatten().all(|actor| actor.machine.is_quiet())
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

    pub(super) fn call(&mut self, call: Call) {
        let now = self.agenda.now();
        match call {
            Call::Sweep { life } if life == self.node.life && self.node.up => self.sweep(),
            Call::Sweep { .. } => {}
            Call::Wake { to, control } => {
                if !self.catch_up(to) {
                    self.with(to, |machine| machine.on_wake(control, now));
                }
            }
            Call::Granted { life, .. } if life != self.node.life || !self.node.up => {}
            Call::Granted { to, host, .. } => match self.node.actor(to) {
                Some(actor) => {
                    actor.granted.push(host);
                    self.with(to, |machine| machine.on_tick(now));
                }
                None => self.release(host, to.stream, Load::Unknown),
            },
            Call::Tick { to, number } => {
                if self.node.actor(to).is_some_and(|actor| actor.tick == number) {
                    self.with(to, |machine| machine.on_tick(now));
                }
            }
            Call::Again { to } => self.with(to, |machine| machine.on_tick(now)),
            Call::Idle { to, number } => {
                if self.node.actor(to).is_some_and(|actor| actor.idle == Some(number)) {
                    self.node.actors[to.stream] = None;
                }
            }
            Call::Read { to, reading } => self.read(to, &reading),
            Call::ReadEnded { to, due: Some(due) } => {
                self.with(to, |machine| machine.on_read(due.sets, due.next_retry, now));
            }
            Call::ReadEnded { to, due: None } => {
                self.after_failure(to, StreamMachine::on_read_failed);
            }
            Call::Settle { to, settlements } => self.settle(to, &settlements),
            Call::SettleEnded { to, goes_on: Some(goes_on) } => {
                self.with(to, |machine| machine.on_settled(goes_on, now));
            }
            Call::SettleEnded { to, goes_on: None } => {
                self.after_failure(to, StreamMachine::on_settle_failed);
            }
            Call::Pause { to, version, fault } => self.pause(to, version, &fault),
            Call::PauseEnded { to, done: true } => _ = self.catch_up(to),
            Call::PauseEnded { to, done: false } => {
                self.agenda.after(STORE_RETRY, Happening::Call(Call::PauseFailed { to }));
            }
            Call::PauseFailed { to } => self.with(to, |machine| machine.on_pause_failed(now)),
            Call::Signed { to, attempts, key, judged_at } => {
                for attempt in attempts {
                    self.push(to, attempt, key, judged_at);
                }
            }
            Call::Arrive { number } => self.arrive(number),
            Call::PushEnded { to, number, outcome } => self.push_ended(to, number, &outcome),
        }
    }

    /// Has a machine decide, and performs it.
    fn with(&mut self, at: Address, decide: impl FnOnce(&mut StreamMachine) -> Vec<Action>) {
        if let Some(actor) = self.node.actor(at) {
            let actions = decide(&mut actor.machine);
            self.perform(at, actions);
        }
    }

    fn after_failure(&mut self, at: Address, tell: impl FnOnce(&mut StreamMachine)) {
        if let Some(actor) = self.node.actor(at) {
            tell(&mut actor.machine);
            self.agenda.after(STORE_RETRY, Happening::Call(Call::Again { to: at }));
        }
    }

    // What the registry does.

    pub(super) fn wake(&mut self, stream: usize, control: bool) {
        if !self.node.up || self.node.draining {
            return;
        }
        if self.node.actors[stream].is_none() {
            let flow = self.node.known[stream].flow();
            if flow == Flow::Nothing || (flow == Flow::Announcements && !control) {
                return;
            }
            let birth = self.node.next_number();
            self.node.actors[stream] = Some(Actor {
                birth,
                machine: StreamMachine::new(self.settings.clone(), flow),
                revision: self.node.known[stream].revision(),
                signed: BTreeMap::new(),
                granted: Vec::new(),
                tick: 0,
                idle: None,
            });
        }
        let birth = self.node.actors[stream].as_ref().expect("there is one now").birth;
        self.say(0..=3, Call::Wake { to: Address { stream, birth }, control });
    }

    fn sweep(&mut self) {
        let life = self.node.life;
        let interval = self.settings.sweep_interval;
        self.agenda.after(interval, Happening::Call(Call::Sweep { life }));
        self.check_progress();
        if self.store_fails() {
            return;
        }
        let now = self.agenda.now();
        for stream in 0..self.outboxes.len() {
            if self.outboxes[stream].has_work(now) {
                self.wake(stream, true);
            }
        }
    }

    /// No further attempts.
    pub(super) fn drain(&mut self) {
        self.node.draining = true;
        for actor in self.node.actors.iter_mut().flatten() {
            actor.machine.hold();
        }
    }

    // What a stream's actor does.

    fn perform(&mut self, at: Address, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Read(reading) => {
                    self.check_reading(at.stream, &reading);
                    self.say(0..=5, Call::Read { to: at, reading });
                }
                Action::Attempt { count } => self.start_attempts(at, count),
                Action::Settle(settlements) => {
                    self.check_settlements(at.stream, &settlements);
                    self.say(0..=20, Call::Settle { to: at, settlements });
                }
                Action::GivenUp(_) => {}
                Action::Pause(fault) => {
                    self.check_fault(at.stream, &fault);
                    let actor = self.node.actor(at).expect("it performs");
                    let version = actor.revision.version;
                    self.say(0..=20, Call::Pause { to: at, version, fault });
                }
                Action::TickAt(due_at) => {
                    let wait = due_at.since(self.agenda.now());
                    let number = self.node.next_number();
                    self.node.actor(at).expect("it performs").tick = number;
                    self.agenda.after(wait, Happening::Call(Call::Tick { to: at, number }));
                }
            }
        }
        let unused = std::mem::take(&mut self.node.actor(at).expect("it performs").granted);
        for host in unused {
            self.release(host, at.stream, Load::Unknown);
        }
        self.rest(at);
    }

    /// An actor with nothing to do goes after a while.
    fn rest(&mut self, at: Address) {
        let number = self.node.next_number();
        let actor = self.node.actor(at).expect("it performs");
        if !actor.machine.is_idle() {
            actor.idle = None;
        } else if actor.idle.is_none() {
            actor.idle = Some(number);
            let timeout = self.settings.idle_timeout;
            self.agenda.after(timeout, Happening::Call(Call::Idle { to: at, number }));
        }
    }

    /// Notices a change of the stream. `false` if there was none.
    fn catch_up(&mut self, at: Address) -> bool {
        let now = self.agenda.now();
        let known = &self.node.known.get(at.stream);
        let Some((revision, flow)) = known.map(|known| (known.revision(), known.flow())) else {
            return false;
        };
        let draining = self.node.draining;
        let Some(actor) = self.node.actor(at).filter(|actor| actor.revision != revision) else {
            return false;
        };
        let same = actor.revision.version == revision.version;
        let change = if same { Change::Subjects } else { Change::Stream };
        actor.revision = revision;
        actor.signed.clear();
        let flow = if draining { Flow::Nothing } else { flow };
        self.promises.on_changed(at.stream, change);
        self.with(at, |machine| machine.on_changed(change, flow, now));
        true
    }

    fn read(&mut self, to: Address, reading: &OutboxQuery) {
        let now = self.agenda.now();
        if self.node.actor(to).is_none() {
            return;
        }
        let due = (!self.store_fails()).then(|| self.outboxes[to.stream].read_due(reading, now));
        self.say(0..=15, Call::ReadEnded { to, due });
    }

    fn settle(&mut self, to: Address, settlements: &[Settlement]) {
        if self.node.actor(to).is_none() {
            return;
        }
        let elapsed = self.agenda.elapsed();
        let goes_on = (!self.store_fails()).then(|| {
            self.promises.on_settled(to.stream, settlements, elapsed);
            self.outboxes[to.stream].settle(settlements)
        });
        self.say(0..=15, Call::SettleEnded { to, goes_on });
    }

    /// What the Transmitter does when it is told of an endpoint at fault.
    fn pause(&mut self, to: Address, version: u64, fault: &Fault) {
        if self.node.actor(to).is_none() {
            return;
        }
        let done = !self.store_fails();
        let config = self.outboxes[to.stream].config.as_ref();
        let unchanged = config.is_some_and(|config| {
            config.version == version && config.status == StreamStatus::Enabled
        });
        if done && unchanged {
            let (reason, by) = (fault.to_string(), Initiator::Transmitter);
            self.turn(to.stream, StreamStatus::Paused, by, &reason);
        }
        self.say(0..=15, Call::PauseEnded { to, done });
    }

    fn store_fails(&mut self) -> bool {
        self.store_down || self.chance.happens(self.store_faults)
    }
}
