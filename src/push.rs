//! Getting SETs across by push (RFC 8935): one HTTP client for all streams.

pub mod client;
pub mod guard;
pub mod settings;
pub mod tls;

mod connection;
mod dial;
mod failure;
mod retry_after;
