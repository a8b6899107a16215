//! The integration tests: one binary, a module for each resource.

mod dependencies;
mod layers;
mod source;
mod push_client;
mod store_contract;
