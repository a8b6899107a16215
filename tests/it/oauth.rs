//! Access tokens from an external authorization server and from the built-in one.

mod access_tokens;
mod discovery;
mod introspection;
mod keys;
pub(crate) mod token_endpoint;
