//! Several nodes on one store.

mod changes;
mod daemons;
mod handing_over;
mod polls;
mod sharing;
