//! Troubles: Receivers who change, operators, keys, crashes, a store that fails, leases that are in
//! doubt or lost, a clock that is set.

use std::time::Duration;

use ssfd::{
    delivery::lane::Lane,
    domain::status::{Initiator, StreamStatus},
};

use super::{
    stranger::TEMPERS,
    world::{Happening, WELL_STREAM, World},
};

/// A stop hands back what is under way within this (promise P8).
pub(super) const GRACE: Duration = Duration::from_secs(25);

/// The clock is set ahead by no more.
pub(super) const AHEAD_MAX: Duration = Duration::from_hours(1);

impl World {
    pub(super) fn trouble(&mut self) {
        let stream = self.chance.size(WELL_STREAM + 1..=self.outboxes.len() - 1);
        match self.chance.number(0..=101) {
            0..46 => {
                let stranger = self.chance.size(2 * (WELL_STREAM + 1)..=self.strangers.len() - 1);
                self.strangers[stranger].temper = self.chance.pick(&TEMPERS);
            }
            // Faster than the daemon learns of it.
            46..50 => {
                let stops = self.chance.pick(&[StreamStatus::Disabled, StreamStatus::Paused]);
                for to in [stops, StreamStatus::Enabled] {
                    self.turn(stream, to, Initiator::Transmitter, "a slip");
                }
                self.append_some();
            }
            50..68 => {
                use StreamStatus::{Disabled, Enabled, Paused};
                let to = self.chance.pick(&[Enabled, Enabled, Enabled, Paused, Paused, Disabled]);
                let by = self.chance.pick(&[Initiator::Receiver, Initiator::Transmitter]);
                self.turn(stream, to, by, "because");
            }
            68..76 => {
                let endpoint = 2 * stream + self.chance.size(0..=1);
                self.outboxes[stream].move_to(endpoint);
                self.changed(stream);
            }
            76..80 => {
                let lane = Lane::from_i64(i64::try_from(self.chance.number(1..=8)).expect("small"));
                self.outboxes[stream].removed.insert(lane);
                self.changed(stream);
            }
            80..81 => {
                self.outboxes[stream].delete();
                self.changed(stream);
            }
            81..85 => self.replace_key(),
            85..89 => self.crash(),
            89..92 => self.stop(),
            92..96 => {
                self.store_down = true;
                self.promises.on_disturbed(self.agenda.elapsed() + Duration::from_mins(1));
                self.after(100..=60_000, Happening::StoreBack);
            }
            100 => {
                self.node.leased = false;
                self.promises.sights.insert("lease in doubt");
                self.promises.on_disturbed(self.agenda.elapsed() + Duration::from_mins(1));
                let life = self.node.life;
                self.after(100..=30_000, Happening::LeaseConfirmed { life });
            }
            101 => {
                self.fenced[stream] = true;
                self.after(1_000..=60_000, Happening::Regained(stream));
            }
            _ => {
                // Both what it showed and what it shows now.
                self.on_clock_set();
                let ahead = AHEAD_MAX.mul_f64(self.chance.dice());
                self.agenda.set_clock(ahead);
                self.on_clock_set();
            }
        }
    }

    /// `kill -9`: all that is in memory is gone. What was on its way may arrive, and nobody learns
    /// what is said to it.
    pub(super) fn crash(&mut self) {
        if !self.node.is_up() {
            return;
        }
        if !self.wire().is_empty() {
            self.promises.sights.insert("crashed with pushes under way");
        }
        let under_way: Vec<_> = self.wire().keys().copied().collect();
        for number in under_way {
            if self.chance.happens(500) {
                self.arrive(number);
            }
        }
        self.node.die();
        self.after(100..=20_000, Happening::Restart);
    }

    /// SIGTERM: nothing new begins, and what is under way ends and is recorded.
    fn stop(&mut self) {
        if self.node.is_up() {
            self.drain();
            self.agenda.after(GRACE, Happening::Killed { life: self.node.life });
        }
    }

    pub(super) fn kill(&mut self) {
        self.check_drained();
        self.crash();
    }
}
