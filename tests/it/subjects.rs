//! The subjects of a stream (SSF §8.1.3), from the Receiver's request to the SETs that it gets.

mod api;
mod delivery;
mod formats;
mod identifiers;
mod matching;
mod opt_out;

use crate::harness::{
    daemon::with_provider,
    subjects::{none_by_default, opaque},
};
