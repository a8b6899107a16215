//! The HTTP interface, resource by resource, as Receivers and operators meet it.

mod authorization;
mod discovery;
mod key_set;
mod observability;
mod order;
mod providers;
mod status;
mod streams;
mod tls;
mod verification;

use crate::harness::caller::{Caller, UNKNOWN, assert_refused, deletion, operations};
