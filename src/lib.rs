//! `ssfd`, a Shared Signals Framework (SSF) Transmitter.
//!
//! The modules stand in reading order, from the rules of SSF to the process that runs them. A
//! module may use the modules above it and none below; `tests/it/layers.rs` fails where one does
//! not. ARCHITECTURE.md says what each of them is responsible for.

pub mod domain;

pub mod delivery;

pub mod clock;

pub mod telemetry;

pub mod store;

pub mod directory;

pub mod signing;

pub mod push;

pub mod auth;

pub mod cluster;

pub mod actor;

pub mod transmitter;

pub mod source;

pub mod agents;

pub mod ingest;

pub mod maintenance;

pub mod http;

pub mod config;

pub mod app;

pub mod cli;
