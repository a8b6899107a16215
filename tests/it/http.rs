//! The HTTP interface, resource by resource, as Receivers and operators meet it.

mod authorization;
mod cut;
mod discovery;
mod observability;
mod order;
mod providers;
mod rates;
mod slow;
mod status;
mod streams;
mod verification;

use crate::harness::receiver_client::{
    ReceiverClient, UNKNOWN, assert_refused, deletion, operations,
};
