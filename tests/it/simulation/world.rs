//! Some streams on a few hosts, their Receivers, the store, and one daemon that dies and comes back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ssfd::{
    delivery::{
        breaker::BreakerSettings, fault::FaultSettings, lane::Lane, outbox::SetKind,
        pace::HostPace, retry::RetryPolicy, settings::DeliverySettings,
    },
    domain::{
        id::StreamId,
        status::{Initiator, StreamStatus},
    },
};

use super::{
    agenda::Agenda,
    chance::Chance,
    node::{Call, Known, Node, Wire},
    outbox::{OWN_LANE, Outbox},
    promises::{Promises, left_behind},
    stranger::{Key, Stranger, Temper},
};

/// A change is known on the whole node within a second (promise P5).
const CHANGE_KNOWN_WITHIN_MILLIS: u64 = 900;

/// How long the world may take to drain once it is well: the longest wait for a retry, an hour with
/// its jitter, and as much as the clock was ever set ahead, twice over.
const DRAINED_WITHIN: Duration = Duration::from_hours(8);

/// How long anything may take to fall silent once all is delivered.
const SILENT_WITHIN: Duration = Duration::from_hours(3);

/// An event of the world.
#[derive(Debug)]
pub(super) enum Happening {
    /// A publisher publishes some events.
    Publish,
    /// Somebody does something that makes life harder, or easier.
    Trouble,
    /// A change of a stream in the store reaches the daemon.
    Known(usize),
    /// The daemon is told to stop, and has a while left.
    Killed {
        life: u32,
    },
    Restart,
    /// The store answers again.
    StoreBack,
    /// A heartbeat confirms the lease again.
    LeaseConfirmed {
        life: u32,
    },
    /// The daemon serves a stream again that another node had taken.
    Regained(usize),
    /// An operator looks after streams that were paused.
    Rounds,
    /// Within the daemon.
    Call(Call),
}

pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) agenda: Agenda<Happening>,
    pub(super) settings: DeliverySettings,
    pub(super) ids: Vec<StreamId>,
    /// The store: what survives.
    pub(super) outboxes: Vec<Outbox>,
    pub(super) store_down: bool,
    /// Of every thousand calls of the store so many fail.
    pub(super) store_faults: u64,
    /// Streams that another node has taken: the store refuses what this daemon records of them.
    pub(super) fenced: Vec<bool>,
    /// Streams of which the daemon knows that another node has taken them.
    pub(super) lost: Vec<bool>,
    /// Whether a sweep finds new SETs in any case, and not only after a hint was lost.
    pub(super) sweeps: bool,
    pub(super) newest_key: Key,
    /// How often the daemon was told that its keys are replaced, and could notice it.
    pub(super) keys_replaced: u64,
    /// Two for each stream, one of which it pushes to.
    pub(super) strangers: Vec<Stranger>,
    /// On which host each of them is.
    pub(super) host_of: Vec<usize>,
    pub(super) hosts: usize,
    /// The daemon: what does not survive.
    pub(super) node: Node,
    pub(super) promises: Promises,
    /// Nothing bad happens any more.
    pub(super) well: bool,
    pause_between_events: Duration,
    pause_between_troubles: Duration,
    ends_at: Duration,
}

/// The stream whose Receiver is always well, and which nobody changes: it shares its host with
/// others, and must not suffer for it (promise P4).
pub(super) const WELL_STREAM: usize = 0;

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let (streams, hosts) = (chance.size(2..=7), chance.size(1..=3));
        let settings = settings(&mut chance);
        let strangers = 2 * streams;
        // Some runs are a crowded minute, others a slow day.
        let troubles = chance.number(5..=50);
        let ends_at = chance.pick(&[60, 600, 7_200, 86_400, 200_000]);
        let ends_at = Duration::from_secs(ends_at);
        let events = chance.number(5..=40);
        let ids = (0..streams).map(|n| format!("st_{n}").try_into().expect("a valid id"));
        Self {
            agenda: Agenda::new(),
            ids: ids.collect(),
            outboxes: (0..streams).map(|n| Outbox::new(2 * n)).collect(),
            store_down: false,
            store_faults: chance.pick(&[0, 5, 50]),
            fenced: vec![false; streams],
            lost: vec![false; streams],
            sweeps: chance.happens(500),
            newest_key: 0,
            keys_replaced: 0,
            strangers: (0..strangers).map(|_| Stranger::new()).collect(),
            host_of: (0..strangers).map(|_| chance.size(0..=hosts - 1)).collect(),
            hosts,
            node: Node::default(),
            promises: Promises::new(streams),
            well: false,
            pause_between_events: ends_at / u32::try_from(events).expect("few"),
            pause_between_troubles: ends_at / u32::try_from(troubles).expect("few"),
            ends_at,
            settings,
            chance,
        }
    }

    /// Lives through the run. `told` is told what happens.
    pub(super) fn run(&mut self, told: impl Fn(&Self, &Happening)) {
        self.restart();
        self.after(0..=1, Happening::Publish);
        self.after(0..=1, Happening::Trouble);
        while self.agenda.elapsed() < self.ends_at {
            self.go_on(&told);
        }
        self.become_well();
        let drained_by = self.agenda.elapsed() + DRAINED_WITHIN;
        while !self.is_drained() {
            self.go_on(&told);
            assert!(
                self.agenda.elapsed() < drained_by,
                "left behind, though all is well: {:?}",
                left_behind(&self.outboxes)
            );
        }
        let silent_by = self.agenda.elapsed() + SILENT_WITHIN;
        while !self.node.is_silent() {
            self.go_on(&told);
            assert!(self.agenda.elapsed() < silent_by, "delivered, and not silent");
        }
        self.check_end();
    }

    fn go_on(&mut self, told: &impl Fn(&Self, &Happening)) {
        let happening = self.agenda.next().expect("the sweep never ends");
        told(self, &happening);
        match happening {
            Happening::Publish => self.publish(),
            Happening::Trouble if self.well => {}
            Happening::Trouble => {
                self.trouble();
                let pause = self.spread(self.pause_between_troubles);
                self.agenda.after(pause, Happening::Trouble);
            }
            Happening::Known(stream) => self.known(stream),
            Happening::Killed { life } if life == self.node.life => self.kill(),
            Happening::Restart => self.restart(),
            Happening::StoreBack => self.store_down = false,
            Happening::LeaseConfirmed { life } if life == self.node.life => {
                (self.node.leased, self.node.sweep_due) = (true, true);
            }
            Happening::Killed { .. } | Happening::LeaseConfirmed { .. } => {}
            Happening::Regained(stream) => self.regain(stream),
            Happening::Rounds => self.resume_all(),
            Happening::Call(call) => self.call(call),
        }
    }

    pub(super) fn after(&mut self, millis: std::ops::RangeInclusive<u64>, happening: Happening) {
        let wait = self.chance.millis(millis);
        self.agenda.after(wait, happening);
    }

    /// Between nothing and twice as much.
    fn spread(&mut self, pause: Duration) -> Duration {
        pause.mul_f64(2.0 * self.chance.dice())
    }

    /// Appends to all the outboxes at once or to none, as ingest does.
    fn publish(&mut self) {
        if self.well {
            return;
        }
        let pause = self.spread(self.pause_between_events);
        self.agenda.after(pause, Happening::Publish);
        if self.store_down {
            return;
        }
        self.append_some();
    }

    pub(super) fn append_some(&mut self) {
        let now = self.agenda.now();
        for _ in 0..self.chance.size(1..=4) {
            let control = self.chance.happens(50);
            let lane = Lane::from_i64(i64::try_from(self.chance.number(1..=8)).expect("small"));
            let (lane, kind) =
                if control { (OWN_LANE, SetKind::Control) } else { (lane, SetKind::Event) };
            for stream in 0..self.outboxes.len() {
                let wanted = !control || self.chance.happens(300);
                if wanted && self.outboxes[stream].append(lane, kind, now) {
                    // A hint may be lost.
                    if !self.sweeps || !self.chance.happens(100) {
                        self.wake(stream, control);
                    }
                }
            }
        }
    }

    /// A change of a stream is durable, and soon known.
    pub(super) fn changed(&mut self, stream: usize) {
        self.after(0..=CHANGE_KNOWN_WITHIN_MILLIS, Happening::Known(stream));
    }

    fn known(&mut self, stream: usize) {
        if self.node.is_up() {
            self.node.learn(stream, self.known_of(stream));
            self.wake(stream, true);
        }
    }

    fn known_of(&self, stream: usize) -> Known {
        Known::of(&self.ids[stream], &self.outboxes[stream], &self.host_of, self.keys_replaced)
    }

    /// A key is replaced. Couriers notice it at their next input, unless only the Receivers know.
    pub(super) fn replace_key(&mut self) {
        self.newest_key += 1;
        if self.chance.happens(700) {
            self.keys_replaced += 1;
            self.node.keys_replaced(self.keys_replaced);
        }
    }

    /// The store has refused a result, so that the daemon knows of the loss.
    pub(super) fn lease_lost(&mut self, stream: usize) {
        self.lost[stream] = self.fenced[stream];
        self.node.sweep_due = true;
    }

    fn regain(&mut self, stream: usize) {
        (self.fenced[stream], self.lost[stream]) = (false, false);
        self.node.sweep_due = true;
    }

    /// The daemon starts, from the store alone.
    pub(super) fn restart(&mut self) {
        let known = (0..self.outboxes.len()).map(|stream| self.known_of(stream)).collect();
        self.lost.fill(false);
        let hosts = (0..self.hosts).map(|_| HostPace::new(self.settings.host_in_flight_max));
        self.node.start(known, hosts.collect());
        self.promises.on_restart(self.agenda.elapsed());
        self.call(Call::Sweep { life: self.node.life });
    }

    /// All who can make life hard stop doing so. One stream may stay paused.
    fn become_well(&mut self) {
        self.well = true;
        self.store_faults = 0;
        for stranger in &mut self.strangers {
            stranger.temper = Temper::Well;
        }
        if self.chance.happens(300) {
            let stream = self.chance.size(WELL_STREAM + 1..=self.outboxes.len() - 1);
            self.turn(stream, StreamStatus::Paused, Initiator::Transmitter, "for good");
            self.promises.stays_paused = Some(stream);
        }
        self.resume_all();
    }

    fn resume_all(&mut self) {
        for stream in 0..self.outboxes.len() {
            let config = self.outboxes[stream].config.as_ref();
            let stopped = config.is_some_and(|config| !config.is_enabled());
            if stopped && self.promises.stays_paused != Some(stream) {
                self.turn(stream, StreamStatus::Enabled, Initiator::Transmitter, "");
            }
        }
        self.agenda.after(Duration::from_mins(10), Happening::Rounds);
    }

    /// Somebody changes the status of a stream.
    pub(super) fn turn(&mut self, stream: usize, to: StreamStatus, by: Initiator, reason: &str) {
        let now = self.agenda.now();
        self.outboxes[stream].change_status(to, by, reason, now);
        self.changed(stream);
    }

    /// Returns the sights of this run, so that many runs can be asked whether they saw everything.
    pub(super) fn sights(&self) -> BTreeSet<String> {
        let rows = self.outboxes.iter().flat_map(Outbox::rows);
        let fates = rows.map(|row| format!("{:?}", row.fate));
        fates.chain(self.promises.sights.iter().map(|sight| (*sight).to_owned())).collect()
    }

    fn is_drained(&self) -> bool {
        let stays = |stream| self.promises.stays_paused == Some(stream);
        self.outboxes.iter().enumerate().all(|(n, outbox)| stays(n) || outbox.is_empty())
    }

    pub(super) fn wire(&self) -> &BTreeMap<u64, Wire> {
        &self.node.wire
    }
}

fn settings(chance: &mut Chance) -> DeliverySettings {
    DeliverySettings {
        in_flight_max: chance.pick(&[1, 2, 4, 32]),
        window_max: chance.pick(&[1, 2, 3, 8, 256]),
        failing_attempt_interval: chance.pick(&[Duration::ZERO, Duration::from_millis(100)]),
        host_in_flight_max: chance.pick(&[1, 2, 5, 64]),
        idle_timeout: Duration::from_secs(30),
        // So that a slow day takes no long time.
        sweep_interval: Duration::from_mins(1),
        new_key_grace: Duration::ZERO,
        retry: RetryPolicy {
            give_up_after: chance.pick(&[1, 6, 72].map(Duration::from_hours)),
            ..RetryPolicy::default()
        },
        breaker: BreakerSettings {
            failures: chance.pick(&[1, 2, 5]),
            ..BreakerSettings::default()
        },
        fault: FaultSettings {
            pause_after: chance.pick(&[0, 5, 60].map(Duration::from_mins)),
            attempts_min: chance.pick(&[1, 5]),
            key_refusals_max: chance.pick(&[2, 10]),
        },
    }
}
