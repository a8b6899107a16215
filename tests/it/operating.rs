//! What operators do to streams, and what their Receivers see of it (SSF §8.1.5).

mod api;
pub(crate) mod inactivity;
mod jobs;
mod poll;
mod push;
