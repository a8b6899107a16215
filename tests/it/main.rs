//! The integration tests: one binary, a module for each resource.

mod push_client;
mod receive;
mod scripted_server;
