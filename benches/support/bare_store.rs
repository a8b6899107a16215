//! The store floor: the commands that store, read and settle SETs, by a bare client that sends or
//! commits many together.

mod redis;
mod sqlite;

use super::{backend::Backend, sample};

/// A store without any code of the daemon.
pub(crate) struct BareStore {
    engine: Engine,
    claims: String,
    /// The number of SETs that were stored so far.
    kept: u32,
}

enum Engine {
    Sqlite(sqlite::BareSqlite),
    Redis(redis::BareRedis),
}

impl BareStore {
    pub(crate) fn new(backend: Backend) -> Self {
        let engine = match backend {
            Backend::Sqlite => Engine::Sqlite(sqlite::BareSqlite::new()),
            Backend::Redis => Engine::Redis(redis::BareRedis::new()),
        };
        Self { engine, claims: sample::claims().to_string(), kept: 0 }
    }

    /// Stores this number of SETs together.
    pub(crate) fn keep(&mut self, sets: u32) {
        let kept = self.kept..self.kept + sets;
        match &mut self.engine {
            Engine::Sqlite(bare) => bare.keep(kept, &self.claims).expect("done"),
            Engine::Redis(bare) => bare.keep(kept, &self.claims).expect("done"),
        }
        self.kept += sets;
    }

    /// Reads this number of SETs and settles them together.
    pub(crate) fn settle(&mut self, sets: u32) {
        match &mut self.engine {
            Engine::Sqlite(bare) => bare.settle(sets).expect("done"),
            Engine::Redis(bare) => bare.settle(sets).expect("done"),
        }
    }
}

/// Returns a `jti` as long and as scattered as those of the daemon.
fn jti(n: u32) -> u128 {
    u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}
