//! Thin shells around the machines: they perform what is decided elsewhere. The first layer that
//! knows actix.

pub mod accepted;
pub mod hosts;
pub mod registry;
pub mod signer;
pub mod stream;
mod threads;
