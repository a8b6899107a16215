//! The integration tests: one binary, a module for each resource.

mod command_line;
mod dependencies;
mod end_to_end;
mod harness;
mod http;
mod layers;
mod push;
mod push_client;
mod receive;
mod scripted_server;
mod source;
mod store_contract;
