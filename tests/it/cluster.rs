//! Several nodes on one store.

mod changes;
mod handing_over;
mod sharing;
mod team;
