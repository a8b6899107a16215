//! Operators change streams, and the Receivers are told (SSF §8.1.5).

mod api;
pub(crate) mod inactivity;
mod jobs;
mod new_streams;
mod poll;
mod push;
