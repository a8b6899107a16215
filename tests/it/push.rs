//! Push delivery (RFC 8935), from an accepted event to a settled SET.

mod changes;
pub(crate) mod faults;
mod hosts;
mod order;
mod outcomes;
mod restarts;
