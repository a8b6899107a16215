//! The integration tests: one binary, a module for each resource.

mod dependencies;
mod end_to_end;
mod harness;
mod ingest;
mod layers;
mod poll;
mod publish_http;
mod push;
mod push_client;
mod receive;
mod scripted_server;
mod source;
mod store_contract;
mod subjects;
