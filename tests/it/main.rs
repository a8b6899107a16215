//! The integration tests: one binary, a module for each resource.

mod command_line;
mod dependencies;
mod layers;
mod push_client;
mod source;
mod store_contract;
