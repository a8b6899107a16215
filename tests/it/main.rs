//! The integration tests, in one binary with a module for each resource.
//!
//! - `harness` starts what the tests talk to. `scripted_server` is an HTTP server that answers by a
//!   script, and `raw_server` one that answers with any bytes. `source` reads Rust source.
//! - `spec` has one test for each requirement of the specifications; `store_contract` runs one
//!   suite on every store; `simulation` drives the state machines from a printed seed; `crash`
//!   interrupts real processes.
//! - `layers`, `dependencies`, `instructions`, `prose`, `docs` and `reference` guard the code itself:
//!   the order of its modules, its dependencies, its cost, its comments and its documentation.
//!   `walkthrough` runs the commands of the documentation.
//! - Every other module tests one resource or command of the daemon.

mod agents;
mod architecture;
mod cluster;
mod command_line;
mod crash;
mod dependencies;
mod docs;
mod end_to_end;
mod explain;
mod harness;
mod http;
mod import;
mod ingest;
mod instructions;
mod key_material;
mod layers;
mod oauth;
mod openapi;
mod operating;
mod poll;
mod presets;
mod prose;
mod proxies;
mod publish_http;
mod push;
mod push_client;
mod raw_server;
mod receive;
mod redis_store;
mod reference;
mod revoked_tokens;
mod schemas;
mod scripted_server;
mod settled;
mod simulation;
mod source;
mod sources;
mod spans;
mod spec;
mod store_contract;
mod store_copy;
mod strangers;
mod subjects;
mod trouble;
mod walkthrough;
