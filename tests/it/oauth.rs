//! Access tokens: those of an authorization server that is not ours, and those of our own.

mod access_tokens;
mod discovery;
mod introspection;
mod keys;
pub(crate) mod token_endpoint;
