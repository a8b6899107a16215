//! Access tokens: those of an authorization server that is not ours, and those of our own.

mod access_tokens;
mod discovery;
mod introspection;
mod keys;
mod token_endpoint;
