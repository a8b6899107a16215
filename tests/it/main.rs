//! The integration tests: one binary, a module for each resource.

mod command_line;
mod crash;
mod dependencies;
mod end_to_end;
mod explain;
mod harness;
mod http;
mod ingest;
mod layers;
mod oauth;
mod openapi;
mod operating;
mod poll;
mod publish_http;
mod push;
mod push_client;
mod receive;
mod redis_store;
mod schemas;
mod scripted_server;
mod settled;
mod simulation;
mod source;
mod spec;
mod store_contract;
mod subjects;
