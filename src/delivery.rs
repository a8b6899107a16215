//! How SETs get across, as values and state machines: facts and the time go in, decisions come
//! out. No async, no IO, no clock, no randomness.

pub mod breaker;
pub mod courier;
pub mod fault;
pub mod flow;
pub mod lane;
pub mod new_key;
pub mod outbox;
pub mod outcome;
pub mod pace;
pub mod parcel;
pub mod poll;
pub mod push;
pub mod retry;
pub mod settings;
pub mod slowdown;
