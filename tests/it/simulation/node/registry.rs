//! Starts actors and shares room, as `ssfd::actor::registry` and `ssfd::actor::hosts` do.

use ssfd::delivery::{
    courier::Courier,
    pace::{HostPace, Load},
};

use super::{Actor, Address, Call, Phase};
use crate::simulation::world::{Happening, World};

/// How often a grant finds the mailbox of an actor full, in a thousand.
const FULL_MAILBOXES: u64 = 20;

impl World {
    pub(in crate::simulation) fn wake(&mut self, stream: usize, control: bool) {
        if self.node.phase != Phase::Up {
            return;
        }
        if !self.is_leased(stream) {
            self.node.sweep_due = true;
            return;
        }
        if self.node.actors[stream].is_none() {
            if !self.node.known(stream).flow().may_have_work(control) {
                return;
            }
            let birth = self.node.next_number();
            let view = self.view(stream);
            self.promises.on_started(stream);
            self.node.actors[stream] = Some(Actor {
                birth,
                courier: Courier::new(self.settings.clone(), &view),
                revision: view.revision,
                stream: view.stream.clone(),
                starts_over: None,
                rooms: Vec::new(),
                preparing: 0,
                ended: Vec::new(),
                tick: 0,
            });
        }
        let birth = self.node.actors[stream].as_ref().expect("there is one now").birth;
        self.say(0..=3, Call::Wake { to: Address { stream, birth }, control });
    }

    pub(super) fn sweep(&mut self) {
        let life = self.node.life;
        let interval = self.settings.sweep_interval;
        self.agenda.after(interval, Happening::Call(Call::Sweep { life }));
        self.check_progress();
        if self.store_fails() {
            return;
        }
        // A retry that a daemon before this one recorded is known from the store alone. New SETs were
        // told of, and a courier that forgets them must not be helped.
        let fresh = self.sweeps || self.node.sweep_due;
        self.node.sweep_due = false;
        let now = self.agenda.now();
        for stream in 0..self.outboxes.len() {
            if self.outboxes[stream].has_work(fresh, now) {
                self.wake(stream, true);
            }
        }
    }

    /// Whether the daemon may begin attempts for this stream.
    pub(in crate::simulation) fn is_leased(&self, stream: usize) -> bool {
        self.node.leased && !self.lost[stream]
    }

    /// No further attempts.
    pub(in crate::simulation) fn drain(&mut self) {
        self.node.phase = Phase::Draining;
        for stream in 0..self.node.actors.len() {
            if let Some(actor) = &self.node.actors[stream] {
                self.input(Address { stream, birth: actor.birth }, Courier::on_drain);
            }
        }
    }

    /// Room that was waited for is there.
    pub(super) fn granted(&mut self, to: Address, host: usize) {
        let full = self.chance.happens(FULL_MAILBOXES);
        match self.node.actor(to) {
            Some(actor) if !full => {
                actor.rooms.push(host);
                let origin = format!("https://{host}.example").into();
                self.input(to, |courier, view| courier.on_room(&origin, view));
            }
            Some(_) => {
                self.release(host, to.stream, Load::Unknown);
                // One of the messages that fill the mailbox.
                self.say(0..=1, Call::Wake { to, control: false });
            }
            None => self.release(host, to.stream, Load::Unknown),
        }
    }

    pub(super) fn release(&mut self, host: usize, stream: usize, load: Load) {
        let now = self.agenda.now();
        let pace: &mut HostPace = &mut self.node.hosts[host];
        pace.release(&self.ids[stream], load, now);
        while let Some(next) = self.node.hosts[host].grant_next() {
            let stream = self.ids.iter().position(|id| *id == next).expect("a stream of ours");
            // An actor that is gone gives the room back.
            let birth = self.node.actors[stream].as_ref().map_or(0, |actor| actor.birth);
            let (to, life) = (Address { stream, birth }, self.node.life);
            self.say(0..=1, Call::Granted { to, host, life });
        }
    }
}
