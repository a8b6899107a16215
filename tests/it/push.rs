//! Push delivery (RFC 8935), from an accepted event to a settled SET.
//!
//! - `outcomes` checks each answer of a Receiver, `order` the lanes of a stream, and `hosts` the
//!   limits that the streams of one host share.
//! - `faults` pauses streams whose endpoint is at fault, `changes` changes streams with unsettled
//!   SETs, and `restarts` stops the daemon during an attempt.

mod changes;
pub(crate) mod faults;
mod hosts;
mod order;
mod outcomes;
mod restarts;
